"""Which bins are divided further, so that the threshold of all sites is found as if their scores were known.

Rows at the worst ends of their bins say what can be claimed, rows at the best ends what is possible. The server knows
the best thresholds of both, and what the true one reaches lies between what these reach. So the bins around them are
divided and counted again, until the two reach nearly the same.

This file decides which bins these are. It leaves counting to :mod:`metricopt.federated.histograms`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from metricopt.evidence.choice import ThresholdChoice
from metricopt.federated.choosing import choice_of
from metricopt.problem.objectives import Objective

BINS_REFINED = 4
"""How many bins of each label are divided in an exchange: two around each of the two thresholds."""
PARTS_OF_BIN = 128
SMALLEST_GAIN = 1e-3
"""Bins are divided no further where less could be gained."""


def refined(
    counts: Mapping[str, np.ndarray], edges: np.ndarray, objective: Objective, confidence: float | None
) -> np.ndarray | None:
    """Return finer bins around the threshold of each label, or None where nothing more can be gained.

    Parameters
    ----------
    counts : mapping of str to ndarray, shape (L, 2, B)
        The histograms of the rows that choose, by site.
    edges : ndarray, shape (L, B + 1)
    objective : Objective
    confidence : float or None

    Returns
    -------
    ndarray, shape (L, B' + 1), or None
        They contain the ends of the bins before.
    """
    claimed, possible = (choice_of(counts, edges, objective, place, confidence) for place in ("worst", "best"))
    # Where the rows support nothing, it is the best of the rows themselves that is found more exactly.
    pairs = [(claimed, possible), (claimed.empirical or claimed, possible.empirical or possible)]
    if all(_are_alike(*pair) for pair in pairs):
        return None
    summed = np.sum(list(counts.values()), axis=0)
    return np.stack(
        [
            _divided(own, summed[label].sum(axis=0), [_threshold(claimed, label), _threshold(possible, label)])
            for label, own in enumerate(edges)
        ]
    )


def _are_alike(claimed: ThresholdChoice, possible: ThresholdChoice) -> bool:
    gain = np.nan_to_num(possible.value) - np.nan_to_num(claimed.value)
    return bool(((gain <= SMALLEST_GAIN) & (claimed.feasible == possible.feasible)).all())


def _threshold(choice: ThresholdChoice, label: int) -> float:
    """Return the threshold of a label, or the best of the rows themselves where these support none."""
    chosen = float(choice.threshold[label])
    return chosen if np.isfinite(chosen) or choice.empirical is None else float(choice.empirical.threshold[label])


def _divided(edges: np.ndarray, counts: np.ndarray, thresholds: list[float]) -> np.ndarray:
    """Return bins of which those around thresholds are divided, as many as :data:`BINS_REFINED`."""
    filled, chosen = np.flatnonzero(counts), list[int]()
    for threshold in thresholds:
        if not np.isfinite(threshold):
            continue
        at = int(np.searchsorted(edges, threshold, side="right")) - 1
        below, above = filled[filled < at], filled[filled >= at]
        chosen += [at, *above[:1].tolist(), *below[-1:].tolist()]
    # The ends of bins that are too narrow to be divided would be alike.
    is_wide = np.diff(edges) > 1e-9 * np.maximum(np.abs(edges[1:]), 1.0)
    for_all = dict.fromkeys([*chosen, *np.argsort(-counts, kind="stable").tolist()])
    divided = [at for at in for_all if is_wide[at]][:BINS_REFINED]
    inner = [np.linspace(edges[at], edges[at + 1], PARTS_OF_BIN + 1)[1:-1] for at in divided]
    return np.sort(np.concatenate([edges, *inner]))
