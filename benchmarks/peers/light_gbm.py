"""LightGBM's classifier with its defaults but for the number of leaves, on one core.

References
----------
G. Ke, Q. Meng, T. Finley, T. Wang, W. Chen, W. Ma, Q. Ye, T.-Y. Liu (2017). LightGBM: a highly efficient gradient
boosting decision tree. NeurIPS 30.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

SETTINGS: tuple[dict[str, Any], ...] = ({"num_leaves": 8}, {"num_leaves": 31})


def missing() -> list[str]:
    """Return the packages that this peer wants and that are not installed."""
    return [] if find_spec("lightgbm") else ["lightgbm"]


def make_light_gbm(seed: int, **setting: Any) -> Any:
    """Return a classifier that is not trained yet."""
    from lightgbm import LGBMClassifier

    return LGBMClassifier(random_state=seed, n_jobs=1, verbose=-1, **setting)
