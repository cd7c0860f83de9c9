"""The models that have a name for tables: nouns, so that a saved result can be built again.

This file decides the architecture of the torch models. Any other torch module goes to :func:`metricopt.fit` directly;
boosted trees are made in :mod:`metricopt.estimator.classifiers`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from metricopt._validation import check_choice

HIDDEN = 64


def _linear(num_features: int) -> nn.Module:
    return nn.Linear(num_features, 1)


def _mlp(num_features: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(num_features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1)
    )


MLP = "mlp"
TABLE_MODELS: dict[str, Callable[[int], nn.Module]] = {"linear": _linear, MLP: _mlp}
"""The torch models, the simpler first."""
BOOSTING = "boosting"
NAMED = (*TABLE_MODELS, BOOSTING)
"""All models that have a name, the simpler first."""
BLEND = f"{MLP} + {BOOSTING}"
"""The mean of the two, which costs no training of its own."""
AUTO = "auto"
"""The name of the best of all of these."""


def make_table_model(kind: str, num_features: int, *, seed: int = 0) -> nn.Module:
    """Return a new model for standardised features, with one logit.

    Parameters
    ----------
    kind : str
        ``"linear"`` (logistic regression's form) or ``"mlp"`` (two hidden layers of 64 rectified units).
    num_features : int, >= 1
    seed : int
        The same seed gives the same initial weights; the global random state is left alone.

    Raises
    ------
    InvalidInputError
        If the kind is unknown.

    Examples
    --------
    >>> make_table_model("linear", 3)
    Linear(in_features=3, out_features=1, bias=True)
    """
    check_choice("model", kind, TABLE_MODELS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TABLE_MODELS[kind](num_features)
