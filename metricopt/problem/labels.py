"""Which labels can be chosen by: those with both classes; the others are left out as missing.

This file decides that and nothing else; it leaves the choice to :mod:`metricopt.evidence.thresholds`.
"""

from __future__ import annotations

import numpy as np


def has_both_classes(labels: np.ndarray, sample_weight: np.ndarray | None = None) -> np.ndarray:
    """Say which labels have positives and negatives, of a weight above 0: the others cannot be learnt or chosen by.

    Parameters
    ----------
    labels : ndarray, shape (n, L)
        0, 1 or NaN (missing).
    sample_weight : ndarray, shape (n, L), optional

    Returns
    -------
    ndarray, shape (L,), bool

    Examples
    --------
    >>> has_both_classes(np.array([[0, 0, np.nan], [1, 0, np.nan]])).tolist()
    [True, False, False]
    """
    counts = True if sample_weight is None else sample_weight > 0
    return np.logical_and.reduce([((labels == truth) & counts).any(axis=0) for truth in (0, 1)])


def mask_labels(labels: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return labels (n, L) with those columns missing that are not ``kept`` (L,), so that they get no threshold."""
    return labels if kept.all() else np.where(kept, labels, np.nan).astype(labels.dtype)
