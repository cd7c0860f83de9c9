r"""Histograms of scores by class: what a site tells of its rows, as whole numbers in bins that all sites share.

A histogram says less than scores do: of a row in the bin :math:`[e_k, e_{k+1})` it is only known that its score lies
there. Whatever is claimed from histograms must hold for all such rows. So in a claim each row stands at the end of its
bin that is worst: a positive at the lower end, a negative just below the upper one. At every threshold the true alarms
that are counted are then at most those that there are, and the false ones at least. A bound on precision, recall, the
false-positive rate or any metric that grows with true alarms and shrinks with false ones holds wherever it is claimed.
(A bound on the number of all alarms is exact up to the rows of one bin.) Rows at the best ends say what is possible.

A site merges bins until each cell holds a minimum of rows of its class. The rows of a cell are counted in its worst
bin, so that claims stay true. Cells of finer bins lie within those of the coarser ones that the same model was judged
by, so that no difference of two histograms speaks of fewer rows. A label of which a site holds some rows of a class,
but fewer than the minimum, is not told of at all.

This file decides bins, cells and what rows histograms stand for. It leaves thresholds to
:mod:`metricopt.evidence.thresholds`, and which bins are refined to :mod:`metricopt.federated.refinement`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

LARGEST_SCORE = 1e4
"""Scores beyond it, on either side, count as this score."""
DEFAULT_BINS = 512

Place = Literal["worst", "middle", "best"]


def first_edges(num_labels: int, num_bins: int = DEFAULT_BINS) -> np.ndarray:
    """Return the bins that every model is first judged by: fine around 0, where the logits of trained models lie.

    Returns
    -------
    ndarray, shape (L, num_bins + 1), float64
        Equal steps of the inverse hyperbolic sine.
    """
    reach = np.arcsinh(LARGEST_SCORE)
    edges = np.sinh(np.linspace(-reach, reach, num_bins + 1))
    edges[[0, -1]] = -LARGEST_SCORE, LARGEST_SCORE
    return np.tile(edges, (num_labels, 1))


def bins_of(scores: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the bin of each score (n,), by the ascending ends (B + 1,) of all bins."""
    found = np.searchsorted(edges, scores.astype(np.float64), side="right") - 1
    return np.clip(found, 0, len(edges) - 2)


def count_scores(scores: np.ndarray, labels: np.ndarray, levels: Sequence[np.ndarray], minimum: int = 1) -> np.ndarray:
    """Return how many rows of each class lie in each bin, in cells of at least ``minimum`` rows.

    Parameters
    ----------
    scores, labels : ndarray, shape (n, L)
        Labels are 0, 1 or NaN (missing).
    levels : sequence of ndarray, shape (L, B + 1)
        The ends of the bins, from the coarsest to those that are counted; each level contains the ends of the one
        before it.
    minimum : int, >= 1

    Returns
    -------
    ndarray, shape (L, 2, B), int64
        Of negatives and positives.

    Examples
    --------
    >>> scores, labels = np.array([[0.1], [0.2], [0.7], [0.8], [0.9]]), np.ones((5, 1))
    >>> edges = np.array([[0.0, 0.25, 0.5, 0.75, 1.0]])
    >>> count_scores(scores, labels, [edges])[0, 1].tolist()
    [2, 0, 1, 2]
    >>> count_scores(scores, labels, [edges], minimum=3)[0, 1].tolist()
    [5, 0, 0, 0]
    """
    num_labels, num_bins = scores.shape[1], levels[-1].shape[1] - 1
    counts = np.zeros((num_labels, 2, num_bins), np.int64)
    for label in range(num_labels):
        rows = [scores[labels[:, label] == truth, label] for truth in (0, 1)]
        if any(0 < len(own) < minimum for own in rows):
            continue
        for truth, own in enumerate(rows):
            counts[label, truth] = _counts_in_cells(own, [level[label] for level in levels], minimum, truth == 1)
    return counts


def _counts_in_cells(scores: np.ndarray, levels: Sequence[np.ndarray], minimum: int, is_positive: bool) -> np.ndarray:
    """Return the counts of one class in the bins of the last level, in cells that lie within those of every level."""
    cells = np.zeros(len(levels[-1]) - 1, np.int64)  # the cell of each bin of the last level
    counts = np.bincount(bins_of(scores, levels[-1]), minlength=len(cells))
    if minimum <= 1:
        return counts
    for level in levels:
        coarse = bins_of(levels[-1][:-1], level)
        totals = np.bincount(coarse, weights=counts, minlength=len(level) - 1).astype(np.int64)
        first = np.searchsorted(coarse, np.arange(len(level) - 1))
        cells = _merged(totals, cells[np.minimum(first, len(cells) - 1)], minimum)[coarse]
    told = np.zeros_like(counts)
    filled = np.flatnonzero(counts)
    if not len(filled):
        return told
    order = filled if is_positive else filled[::-1]  # the worst bin of each cell first
    numbers, first = np.unique(cells[order], return_index=True)
    totals = np.bincount(cells, weights=counts).astype(np.int64)
    told[order[first]] = totals[numbers]
    return told


def _merged(counts: np.ndarray, within: np.ndarray, minimum: int) -> np.ndarray:
    """Return the cell of each bin (B,): neighbours that lie in one cell of ``within`` and hold ``minimum`` rows.

    A cell of ``within`` that has rows has at least as many.
    """
    cells = np.zeros(len(counts), np.int64)
    left = np.bincount(within, weights=counts).astype(np.int64)  # rows not yet in a cell
    number, held, before = 0, 0, within[0]
    for place, (count, outer) in enumerate(zip(counts.tolist(), within.tolist(), strict=True)):
        if outer != before or (held >= minimum and left[outer] >= minimum):
            number, held = number + 1, 0
        cells[place], before = number, outer
        held += count
        left[outer] -= count
    return cells


@dataclass(frozen=True)
class PseudoRows:
    """Rows that histograms stand for.

    Attributes
    ----------
    scores, labels, weight : ndarray, shape (m, L), float64, float32 and float64
        One row for each site, class and bin; the weight is the number of rows there.
    site_of : ndarray of str, shape (m,)
    """

    scores: np.ndarray
    labels: np.ndarray
    weight: np.ndarray
    site_of: np.ndarray

    @classmethod
    def of(cls, counts: Mapping[str, np.ndarray], edges: np.ndarray, place: Place) -> PseudoRows:
        """Return the rows of each site's counts (L, 2, B) in bins of ends (L, B + 1).

        Parameters
        ----------
        counts : mapping of str to ndarray
            By the name of the site.
        edges : ndarray
        place : "worst", "middle" or "best"
            Where in its bin each row stands.
        """
        scores = np.stack(_ends(edges, place), axis=1)  # (L, 2, B)
        labels = np.broadcast_to(np.array([0.0, 1.0], np.float32)[:, np.newaxis], scores.shape)

        def columns(array: np.ndarray) -> np.ndarray:
            return array.reshape(len(edges), -1).T  # (L, 2, B) -> (2 B, L)

        number = len(counts)
        return cls(
            np.tile(columns(scores), (number, 1)),
            np.tile(columns(labels), (number, 1)),
            np.concatenate([columns(own) for own in counts.values()]).astype(np.float64),
            np.repeat(list(counts), scores[0].size),
        )

    def filled(self) -> PseudoRows:
        """Return the rows that stand for some row, by any label."""
        kept = self.weight.any(axis=1)
        return PseudoRows(self.scores[kept], self.labels[kept], self.weight[kept], self.site_of[kept])

    def one_by_one(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return scores and labels (n, L) with a row for each row, and the site of each.

        Rows of a label that others do not have are missing (NaN) there.
        """
        names = list(dict.fromkeys(self.site_of.tolist()))
        parts = [self._one_by_one(self.site_of == name) for name in names]
        sites = np.repeat(names, [len(scores) for scores, _ in parts])
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]), sites

    def _one_by_one(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        times = self.weight[rows].astype(np.int64)
        num_rows = times.sum(axis=0)
        scores = np.zeros((num_rows.max(initial=0), times.shape[1]))
        labels = np.full(scores.shape, np.nan, np.float32)
        for label, number in enumerate(num_rows):
            scores[:number, label] = np.repeat(self.scores[rows, label], times[:, label])
            labels[:number, label] = np.repeat(self.labels[rows, label], times[:, label])
        return scores, labels


def _ends(edges: np.ndarray, place: Place) -> tuple[np.ndarray, np.ndarray]:
    """Return where negatives and positives of each bin stand, (L, B) each."""
    low, high = edges[:, :-1], edges[:, 1:]
    if place == "middle":
        return (low + high) / 2, (low + high) / 2
    below = np.nextafter(high, -np.inf)
    return (below, low) if place == "worst" else (low, below)
