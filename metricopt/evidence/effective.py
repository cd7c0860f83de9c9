r"""How many independent rows stand behind the metrics of each cut: groups and uneven weights make them fewer.

- Rows of one group (a patient's images) may be copies of each other. They count as many as there are distinct groups
  among the rows that the bounded metric speaks of: the alarms for precision, the positives for recall. Where each class
  has a rate of its own, that is taken class by class.
- Where the weights within a class differ, its rate :math:`p` has the variance of a ratio estimator, and the effective
  number is that of as many equal rows (Korn and Graubard 1998):

  .. math:: n = \frac{p (1 - p)}{v}, \qquad
            v = \frac{(1 - p)^2 \sum_{\text{hits}} w^2 + p^2 \sum_{\text{misses}} w^2}{(\sum w)^2}

  at most the number of rows; without hits or without misses, :math:`(\sum w)^2 / \sum w^2` (Kish 1965). It is taken at
  each cut, so that it knows where the heavy rows are.

This file decides these numbers, and whether a metric is one rate of equal rows or a ratio of the rates of two classes.
It leaves the limits to :mod:`metricopt.evidence.limits`.

References
----------
E. L. Korn, B. I. Graubard (1998). Confidence intervals for proportions with small expected number of positive counts
estimated from survey data. Survey Methodology 24.
L. Kish (1965). Survey Sampling. Wiley.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from metricopt.evidence.cells import ALARMS, EVERYTHING, Cells
from metricopt.evidence.groups import Groups
from metricopt.evidence.limits import EffectiveRate, Limit, LimitOfInverse, LimitOfRate, LimitOfTwoRates
from metricopt.problem.bounds import MetricBound
from metricopt.problem.ranking import RankedClass, Ranking
from metricopt.problem.ratios import Ratio


@dataclass(frozen=True)
class Evidence:
    """The rows of one label, and what stands behind each of some cuts.

    Attributes
    ----------
    ranking : Ranking
        The rows with a label and a weight above 0.
    cuts : ndarray, shape (m,)
        The lowest score that raises an alarm at each cut, ascending; infinity is "flag nothing".
    groups : Groups or None
        Of the same rows.
    class_weights : (float, float), or None
        What all positives and all negatives weigh where the metrics are meant, as at a prevalence; None where they are
        meant for rows like these.
    """

    ranking: Ranking
    cuts: np.ndarray
    groups: Groups | None = None
    class_weights: tuple[float, float] | None = None

    def limit(self, bound: MetricBound) -> Limit:
        """Return the confidence limit of the bounded metric at each cut."""
        ratio, direction = bound.metric, bound.direction
        hits, counted = Cells.of(ratio.numerator), Cells.of(ratio.denominator)
        if hits is not None and counted is not None and counted <= hits and not hits <= counted:
            inverse = Ratio(f"1 / {ratio.name}", ratio.denominator, ratio.numerator)
            return LimitOfInverse(self.limit(MetricBound(inverse, "<=" if direction == "min" else ">=", bound.bound)))
        if hits is not None and counted is not None and hits <= counted and not ratio.by_class:
            classes = [is_positive for is_positive in (True, False) if any(counted.of_class(is_positive))]
            if len(classes) == 1:
                return LimitOfRate(self._rate_of_class(classes[0], hits, counted), direction)
            if self.class_weights is None and _are_equal(self.ranking.positives, self.ranking.negatives):
                return LimitOfRate(self._rate_of_rows(hits, counted), direction)
        of_recall, of_false_positive_rate = (
            self._rate_of_class(is_positive, ALARMS, counted or EVERYTHING) for is_positive in (True, False)
        )
        if ratio.by_class:
            return LimitOfTwoRates(ratio, direction, of_recall, of_false_positive_rate, 1.0, 1.0)
        weights = self.class_weights or (self.ranking.positives.weight.sum(), self.ranking.negatives.weight.sum())
        return LimitOfTwoRates(ratio, direction, of_recall, of_false_positive_rate, *weights)

    @cached_property
    def num_alarms(self) -> np.ndarray:
        """How many alarms each cut raises, or how many distinct groups are among them: shape (m,)."""
        return self._distinct(ALARMS)

    @cached_property
    def num_positives(self) -> float:
        """How many positives there are, or how many distinct groups have one."""
        return float(self._distinct(EVERYTHING.only(True))[0])

    @property
    def is_by_row(self) -> bool:
        """Whether each row of a class counts as one."""
        return self.groups is None and _are_equal(self.ranking.positives) and _are_equal(self.ranking.negatives)

    def _rate_of_rows(self, hits: Cells, counted: Cells) -> EffectiveRate:
        """Return the rate of hits among counted rows of both classes, which all weigh the same."""
        num_hits, num_counted = self._rows(hits), self._rows(counted)
        kept = _over(self._distinct(counted), num_counted)
        return EffectiveRate(num_hits * kept, (num_counted - num_hits) * kept)

    def _rate_of_class(self, is_positive: bool, hits: Cells, counted: Cells) -> EffectiveRate:
        """Return the rate of hits among all rows of a class, of which the ``counted`` say how many share a group."""
        rate, number = self._rate_of_alarms(is_positive)
        if hits.of_class(is_positive) == (False, True):
            rate = 1 - rate
        if self.groups is not None:
            own, every = counted.only(is_positive), EVERYTHING.only(is_positive)
            num_own = self._rows(own)
            kept = _over(self._distinct(own), num_own), _over(self._distinct(every), self._rows(every))
            number = number * np.where(num_own > 0, *kept)
        return EffectiveRate(rate * number, (1 - rate) * number)

    def _rows(self, cells: Cells) -> np.ndarray:
        """Return how many rows are in the cells, at each cut."""
        found = np.zeros(len(self.cuts))
        for is_positive in (True, False):
            alarms, others = cells.of_class(is_positive)
            if alarms or others:
                below = self._below[is_positive]
                found += alarms * (len(self._ranked(is_positive).scores) - below) + others * below
        return found

    def _rate_of_alarms(self, is_positive: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the weighted rate of alarms in a class, and the effective number of its rows, at each cut."""
        ranked, below = self._ranked(is_positive), self._below[is_positive]
        num_rows, weight = len(ranked.scores), ranked.weight
        if _are_equal(ranked):
            return (num_rows - below) / max(num_rows, 1), np.full(len(self.cuts), float(num_rows))
        total, squares = weight.sum(), np.append(np.cumsum(weight[::-1] ** 2)[::-1], 0.0)
        assert ranked.weight_above is not None
        rate = ranked.weight_above[below] / ranked.weight_above[0]
        variance = ((1 - rate) ** 2 * squares[below] + rate**2 * (squares[0] - squares[below])) / total**2
        number = np.where((below > 0) & (below < num_rows), _over(rate * (1 - rate), variance), total**2 / squares[0])
        return rate, np.minimum(number, num_rows)

    @cached_property
    def _below(self) -> dict[bool, np.ndarray]:
        """How many rows of a class score below each cut."""
        return {truth: np.searchsorted(self._ranked(truth).scores, self.cuts) for truth in (True, False)}

    def _ranked(self, is_positive: bool) -> RankedClass:
        return self.ranking.positives if is_positive else self.ranking.negatives

    def _distinct(self, cells: Cells) -> np.ndarray:
        return self._rows(cells) if self.groups is None else self.groups.distinct(cells, self.cuts)


def _are_equal(*classes: RankedClass) -> bool:
    """Say whether all rows of some classes weigh the same, but for the rounding of sums of weights."""
    units = {ranked.unit for ranked in classes if len(ranked.scores)}
    if len(units) <= 1 and None not in units:
        return True
    weights = np.concatenate([ranked.weight for ranked in classes])
    return float(weights.max() - weights.min()) <= 1e-6 * float(weights.max())


def _over(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return a quotient, 0 where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
