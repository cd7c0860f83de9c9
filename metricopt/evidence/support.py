"""Which cuts of one label the evidence supports, which of them is best, and what is missing where there is none.

This file applies the rule of :mod:`metricopt.evidence.rule` to the cuts. It leaves the limits to
:mod:`metricopt.evidence.limits` and what counts as a row to :mod:`metricopt.evidence.effective`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from metricopt.evidence.effective import Evidence
from metricopt.evidence.limits import Limit
from metricopt.evidence.rule import MIN_ALARMS, Rule
from metricopt.problem.cuts import Cuts, all_cuts, sign_of
from metricopt.problem.ranking import Ranking
from metricopt.problem.ratios import Counts, Ratio

MOST_TIMES = 1024
"""Beyond so many times the rows, no number of rows is said to be enough."""

MOST_TRIED = 256
"""Cuts that are looked at to say how many more rows would do."""


@dataclass(frozen=True)
class Support:
    """The cuts of one label under a rule.

    Attributes
    ----------
    cuts : Cuts
        Of an objective with a bound.
    evidence : Evidence
        At these cuts.
    limit : Limit
        Of the bounded metric, at these cuts.
    rule : Rule
    folds : sequence of Ranking
        The rows of each fold; none where the rule doesn't ask for them.
    """

    cuts: Cuts
    evidence: Evidence
    limit: Limit
    rule: Rule
    folds: Sequence[Ranking] = ()

    def supported(self, at: np.ndarray) -> np.ndarray:
        """Say at which of the cuts ``at`` the rule is passed: bool, of the shape of ``at``."""
        objective, confidence = self.cuts.objective, self.rule.confidence
        passes = self.cuts.feasible[at] & (self.evidence.num_alarms[at] >= MIN_ALARMS)
        if confidence is not None:
            passes[passes] = self.limit.supports(self._bound, confidence, at[passes])
        for ranking in self.folds:
            if _is_ever_defined(self._ratio, ranking):
                passes[passes] = objective.feasible(ranking.counts(self.cuts.lowest_flagged[at[passes]]))
        return passes

    def limits(self, at: np.ndarray) -> np.ndarray:
        """Return the limits at the cuts ``at``; NaN where the metric is undefined."""
        values, confidence = self.cuts.bounded_value, self.rule.confidence
        assert values is not None
        limits = np.full(len(at), np.nan) if confidence is None else self.limit.value(confidence, at)
        return np.where(np.isnan(values[at]), np.nan, limits)

    def best(self) -> int:
        """Return the position of the best supported cut, or of a safe one where none is supported.

        A cut at which the bound holds by definition, as recall does where every row is flagged, is supported too, but
        is not said to be. Where there is no such cut either, the bounded metric speaks of no row at the safe cut.
        """
        certain = np.zeros(len(self.cuts.feasible), bool)
        for position in self.by_definition():
            certain[position] = self.cuts.feasible[position]
        enough = self.cuts.feasible & (self.evidence.num_alarms >= MIN_ALARMS)
        for some in _in_parts(self.cuts.best_first(np.flatnonzero(enough | certain))):
            passing = np.flatnonzero(certain[some] | self.supported(some))
            if len(passing):
                return int(some[passing[0]])
        undefined = np.isnan(self._ratio(_everything_flagged(1.0, 1.0)))
        return 0 if undefined else len(certain) - 1

    def num_more_positives(self) -> float:
        """Return about how many more positives, with their negatives, would support the bound at some cut.

        All counts of each cut are multiplied until the limit of one of them meets the bound, and enough alarms stand
        behind it; NaN where none does.
        """
        at = np.flatnonzero(self.cuts.feasible)
        if len(at) > MOST_TRIED:
            at = at[np.linspace(0, len(at) - 1, MOST_TRIED).astype(int)]

        def passing(times: float, at: np.ndarray) -> np.ndarray:
            enough = at[self.evidence.num_alarms[at] * times >= MIN_ALARMS]
            assert self.rule.confidence is not None
            return enough[self.limit.scaled(times).supports(self._bound, self.rule.confidence, enough)]

        few, many = 1.0, 1.0
        while not len(able := passing(many, at)):
            few, many = many, 2 * many
            if many > MOST_TIMES:
                return math.nan
        while many > 1 and (many - few) * self.evidence.num_positives > 0.5:
            middle = (few + many) / 2
            found = passing(middle, able)
            few, many, able = (few, middle, found) if len(found) else (middle, many, able)
        return math.ceil((many - 1) * self.evidence.num_positives)

    def reachable_bound(self) -> float:
        """Return the best bound that the rule supports at any cut, whatever bound is asked; NaN where there is none."""
        sign, values = sign_of(self.cuts.objective), self.cuts.bounded_value
        assert values is not None and self.rule.confidence is not None
        at = np.flatnonzero((self.evidence.num_alarms >= MIN_ALARMS) & ~np.isnan(values))
        best = -math.inf
        for some in _in_parts(at[np.argsort(-sign * values[at])]):
            promising = some[sign * values[some] > best]  # no limit is better than the value itself
            if not len(promising):
                break
            reached = np.fmin(sign * self.limit.value(self.rule.confidence, promising), sign * values[promising])
            for ranking in self.folds:
                if _is_ever_defined(self._ratio, ranking):
                    own = sign * np.asarray(self._ratio(ranking.counts(self.cuts.lowest_flagged[promising])))
                    reached = np.minimum(reached, np.where(np.isnan(own), -math.inf, own))
            best = max(best, float(reached.max()))
        return sign * best if best > -math.inf else math.nan

    def by_definition(self) -> dict[int, float]:
        """Return the only value that the metric can have, by the position of "flag everything" and "flag nothing".

        There is none where it can have several, or is undefined on these rows.
        """
        counts, own, last = self.cuts.counts, self.cuts.bounded_value, len(self.cuts.feasible) - 1
        assert own is not None
        ends = []
        if not counts.false_negatives[0] + counts.true_negatives[0]:
            ends.append((0, _everything_flagged))
        if not counts.true_positives[last] + counts.false_positives[last]:
            ends.append((last, _nothing_flagged))
        known = {}
        for position, counts_of in ends:
            values = {float(self._ratio(counts_of(*sizes))) for sizes in ((1.0, 1.0), (1.0, 2.0), (2.0, 1.0))}
            if len(values) == 1 and not np.isnan(value := values.pop()) and not np.isnan(own[position]):
                known[position] = value
        return known

    @property
    def _ratio(self) -> Ratio:
        ratio = self.cuts.objective.bounded
        assert ratio is not None
        return ratio

    @property
    def _bound(self) -> float:
        return float(np.asarray(self.cuts.objective.bound))


def cuts_to_support(cuts: Cuts, is_by_row: bool) -> Cuts:
    """Return the cuts that can be best under a rule: those of ``cuts`` and a few more, or all there are.

    A cut that ends in false alarms may be the only one with enough alarms: that with just enough is among them, and
    "flag everything", which meets some bounds by definition. Where groups are counted, or weights within a class
    differ, dropping a false alarm can lower the number of independent rows, so every cut is among them.

    Parameters
    ----------
    cuts : Cuts
        Those that can be best on the rows themselves.
    is_by_row : bool
        Whether every row of a class counts as one.
    """
    ranking = cuts.ranking
    if not is_by_row:
        return Cuts.at(ranking, cuts.objective, all_cuts(ranking))
    sides = (ranking.positives.scores, ranking.negatives.scores)
    highest = np.sort(np.concatenate([side[-MIN_ALARMS:] for side in sides]))[-MIN_ALARMS:]
    lowest = np.sort(np.concatenate([side[:1] for side in sides]))[:1]
    more = np.concatenate([lowest, highest[:1]])
    return Cuts.at(ranking, cuts.objective, np.union1d(cuts.lowest_flagged, more))


def _is_ever_defined(ratio: Ratio, ranking: Ranking) -> bool:
    sizes = ranking.positives.weight.sum(), ranking.negatives.weight.sum()
    return any(ratio.denominator(counts(*sizes)) > 0 for counts in (_everything_flagged, _nothing_flagged))


def _everything_flagged(positives: float, negatives: float) -> Counts:
    return Counts(positives, negatives, 0.0, 0.0)


def _nothing_flagged(positives: float, negatives: float) -> Counts:
    return Counts(0.0, 0.0, positives, negatives)


def _in_parts(positions: np.ndarray, first: int = 64, most: int = 8192) -> Iterator[np.ndarray]:
    """Yield some positions after the other, more each time."""
    start, size = 0, first
    while start < len(positions):
        yield positions[start : start + size]
        start, size = start + size, min(2 * size, most)
