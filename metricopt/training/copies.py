"""Rows that are there several times: folds would take each copy for evidence of its own.

This file decides whether a warning is due. What equal scores tell is decided in :mod:`metricopt.evidence.equal_rows`.
"""

from __future__ import annotations

import warnings

import numpy as np

from metricopt.evidence.equal_rows import copies_of_each, number_scores


def warn_of_copies(scores: np.ndarray, labels: np.ndarray) -> None:
    """Warn if every row of a class is there several times, so that a copy of what is judged has trained.

    Parameters
    ----------
    scores : ndarray, shape (n,), float
        Of a model that has not trained, which gives equal scores to equal rows.
    labels : ndarray, shape (n,), float
        0, 1 or NaN.

    Warns
    -----
    UserWarning
        If so, with what to do.
    """
    found = []
    for kind, label in (("positive", 1), ("negative", 0)):
        times = copies_of_each(number_scores(scores[labels == label]))
        if times > 1:
            found.append(f"each {kind} row is there {times} times or more")
    if found:
        warnings.warn(
            f"In loader {' and '.join(found)}. So a copy of each row that is judged has trained: the bound may fail "
            "on new rows however well it is supported here: leave the copies out (sample_weight= makes a row count "
            "more), or give the copies of a row one value of groups=.",
            UserWarning,
            stacklevel=6,  # the caller of fit
        )
