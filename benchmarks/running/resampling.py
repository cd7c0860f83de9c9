"""Tables with their classes balanced beforehand, by imbalanced-learn: what many try first on rare positives.

This file decides what a resampled share means, and what happens where there is little to resample. It leaves the
methods to imbalanced-learn. Only training data are ever resampled.

References
----------
N. V. Chawla, K. W. Bowyer, L. O. Hall, W. P. Kegelmeyer (2002). SMOTE: synthetic minority over-sampling technique.
JAIR. I. Tomek (1976). Two modifications of CNN. IEEE Transactions on Systems, Man, and Cybernetics. G. Lemaître,
F. Nogueira, C. K. Aridas (2017). Imbalanced-learn. JMLR.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from metricopt._validation import check_choice, check_fraction, reject

METHODS = ("over", "under", "smote", "tomek")
"""Random over-sampling of positives, random under-sampling of negatives, SMOTE, and removal of Tomek links."""
NUM_NEIGHBOURS = 5


def missing() -> list[str]:
    """Return the packages that resampling wants and that are not installed."""
    return [] if find_spec("imblearn") else ["imbalanced-learn"]


def resample(
    name: str, features: np.ndarray, labels: np.ndarray, seed: int, **setting: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return a training table with fewer negatives or more positives.

    Parameters
    ----------
    name : str
        One of :data:`METHODS`.
    features : ndarray, shape (n, d), float
    labels : ndarray, shape (n,), float
        0 or 1.
    seed : int
        Of all but ``"tomek"``, which draws nothing.
    **setting
        ``ratio`` (default 1), in (0, 1], of all but ``"tomek"``: positives per negative afterwards. Data that have as
        many already are returned as they are. ``k_neighbors`` (default 5) of ``"smote"``: among how many of its nearest
        positives a synthetic one's partner is drawn, of which there are never more than positives less one.

    Returns
    -------
    features : ndarray, shape (m, d)
    labels : ndarray, shape (m,)

    Raises
    ------
    InvalidInputError
        If there is no such method or setting, a class is missing, or SMOTE finds a single positive.

    Examples
    --------
    >>> labels = np.repeat([1.0, 0.0], [5, 100])
    >>> features, balanced = resample("under", np.arange(105.0)[:, None], labels, seed=0, ratio=0.5)
    >>> int(balanced.sum()), len(balanced)
    (5, 15)
    """
    check_choice("name", name, METHODS)
    for given in setting:
        check_choice("setting", given, {"tomek": (), "smote": ("ratio", "k_neighbors")}.get(name, ("ratio",)))
    num_positives, num_negatives = (int((labels == truth).sum()) for truth in (1, 0))
    if not num_positives or not num_negatives or num_positives + num_negatives < len(labels):
        got = f"{num_positives} positives and {num_negatives} negatives in {len(labels)} rows"
        reject("labels", "0 or 1, with both classes", got, "leave rows without a label out")
    ratio = setting.get("ratio", 1.0)
    check_fraction("ratio", ratio)
    if name != "tomek" and num_positives >= ratio * num_negatives:
        return features, labels
    resampled: tuple[np.ndarray, np.ndarray] = _method(name, num_positives, ratio, seed, setting).fit_resample(
        features, labels
    )
    return resampled


def _method(name: str, num_positives: int, ratio: float, seed: int, setting: dict[str, float]) -> Any:
    from imblearn.over_sampling import SMOTE, RandomOverSampler
    from imblearn.under_sampling import RandomUnderSampler, TomekLinks

    if name == "tomek":
        return TomekLinks(sampling_strategy=[0.0])
    if name == "over":
        return RandomOverSampler(sampling_strategy=ratio, random_state=seed)
    if name == "under":
        return RandomUnderSampler(sampling_strategy=ratio, random_state=seed)
    if num_positives < 2:
        reject("labels", "with 2 positives at least for SMOTE", num_positives, "take 'over' instead")
    num_neighbours = min(int(setting.get("k_neighbors", NUM_NEIGHBOURS)), num_positives - 1)
    return SMOTE(sampling_strategy=ratio, random_state=seed, k_neighbors=num_neighbours)
