"""The scores of one label in order, with what they count at every cut.

This file decides how ties and weights are summed along a ranking. It leaves metrics to
:mod:`metricopt.problem.ratios`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metricopt._arrays import Samples
from metricopt.problem.ratios import PRECISION, RECALL, Counts


@dataclass(frozen=True)
class RankedClass:
    """The scores of one class in ascending order, with their weights.

    Attributes
    ----------
    scores : ndarray, shape (m,), ascending
    weight : ndarray, shape (m,), float
        What each sample weighs.
    unit : float or None
        The one weight of all samples; None where they differ.
    weight_above : ndarray, shape (m + 1,), or None
        Entry i sums the weights of ``scores[i:]``; None where the samples weigh the same and can be counted.
    """

    scores: np.ndarray
    weight: np.ndarray
    unit: float | None
    weight_above: np.ndarray | None

    @classmethod
    def of(cls, scores: np.ndarray, weight: np.ndarray | None) -> RankedClass:
        """Sort the scores of one class, with their weights if there are any."""
        if weight is None or not len(weight) or (weight == weight[0]).all():
            unit = 1.0 if weight is None or not len(weight) else float(weight[0])
            return cls(np.sort(scores), np.broadcast_to(unit, len(scores)), unit, None)
        order = np.argsort(scores)
        return cls(scores[order], weight[order], None, _sums_from_the_end(weight[order]))

    def weight_at_or_above(self, cuts: np.ndarray) -> np.ndarray:
        """Return the weight of this class at or above each cut."""
        below = np.searchsorted(self.scores, cuts)
        if self.weight_above is not None:
            return self.weight_above[below]
        number = float(len(self.scores)) - below
        return number if self.unit is None else self.unit * number

    def distinct(self) -> np.ndarray:
        """Return each score once, ascending."""
        return self.scores[np.append(True, self.scores[1:] != self.scores[:-1])[: len(self.scores)]]


@dataclass(frozen=True)
class Ranking:
    """The labelled samples of one label, sorted class by class, so that the counts at any cut are two look-ups.

    Sorting the classes apart costs less than one argsort of all scores, and keeps ties together by itself.
    """

    positives: RankedClass
    negatives: RankedClass

    @classmethod
    def of(cls, samples: Samples, label: int) -> Ranking:
        """Sort one label's samples; those with a missing label or weight 0 stay out."""
        scores, labels = samples.scores[:, label], samples.labels[:, label]
        weight = None if samples.weight is None else samples.weight[:, label]
        ranked = []
        for side in (1, 0):
            chosen = labels == side if weight is None else (labels == side) & (weight > 0)
            ranked.append(RankedClass.of(scores[chosen], None if weight is None else weight[chosen]))
        return cls(*ranked)

    def counts(self, cuts: np.ndarray) -> Counts:
        """Return the counts of "alarm when score >= cut" for every cut, in float64."""
        everything = np.array(-np.inf, dtype=cuts.dtype)
        found, false_alarms = (side.weight_at_or_above(cuts) for side in (self.positives, self.negatives))
        positives, negatives = (side.weight_at_or_above(everything) for side in (self.positives, self.negatives))
        return Counts(found, false_alarms, positives - found, negatives - false_alarms, self._unit)

    @property
    def _unit(self) -> float:
        """What each sample of either class weighs, 1 where they differ."""
        units = {side.unit for side in (self.positives, self.negatives) if len(side.scores)}
        (unit,) = units if len(units) == 1 else (None,)
        return 1.0 if unit is None else unit

    def distinct(self) -> np.ndarray:
        """Return each score of either class once, ascending."""
        return np.unique(np.concatenate([self.positives.scores, self.negatives.scores]))

    def average_precision(self) -> float:
        """Return the average precision, NaN without positives; see :func:`average_precision`."""
        # Recall changes at positives only, so the other cuts contribute nothing.
        counts = self.counts(self.positives.distinct())
        if not len(counts.true_positives):
            return np.nan
        gained = -np.diff(RECALL(counts), append=0.0)
        return float(gained @ PRECISION(counts))


def _sums_from_the_end(weight: np.ndarray) -> np.ndarray:
    """Return the sums of ``weight[i:]`` for every i, and 0: the same sum for the same weights in whatever order.

    Each weight is split into parts of so few digits that sums of the parts are exact (error-free vector transformation,
    Rump, Ogita and Oishi 2008, Accurate floating-point summation, SIAM J. Sci. Comput. 31); integers are one part.
    """
    parts, rest = [], weight
    digits = 52 - len(weight).bit_length()
    while rest.any():
        unit = np.ldexp(1.0, max(np.frexp(rest.max())[1] - digits, -1074))
        part = np.floor(rest / unit) * unit
        parts.append(np.append(np.cumsum(part[::-1])[::-1], 0.0))
        rest = rest - part
    return sum(parts[::-1], np.zeros(1))  # the small ones first
