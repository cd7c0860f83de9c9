"""Which cuts of one label the evidence supports, which of them is best, and what is missing where there is none.

This file applies the rule of :mod:`metricopt.evidence.rule` to the cuts. It leaves the limits to
:mod:`metricopt.evidence.limits` and what counts as a row to :mod:`metricopt.evidence.effective`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from metricopt.evidence.effective import Evidence
from metricopt.evidence.limits import Limit
from metricopt.evidence.rows import LabelRows
from metricopt.evidence.rule import MIN_ALARMS, Rule
from metricopt.problem.cuts import BoundAtCuts, Cuts, Subgroups, all_cuts, is_ever_defined, never_needs_false_alarms
from metricopt.problem.ranking import Ranking
from metricopt.problem.ratios import Counts

MOST_TIMES = 1024
"""Beyond so many times the rows, no number of rows is said to be enough."""

MOST_TRIED = 256
"""Cuts that are looked at to say how many more rows would do."""


@dataclass(frozen=True)
class BoundSupport:
    """One bound on one set of rows under a rule, at each of some cuts.

    Attributes
    ----------
    at_cuts : BoundAtCuts
    all_rows : Counts
        Of all rows at the cuts.
    evidence : Evidence
        Of these rows, at the cuts.
    limit : Limit
        Of the metric, at these cuts.
    confidence : float or None
        With which this bound alone must hold, so that all together hold with that of the rule.
    """

    at_cuts: BoundAtCuts
    all_rows: Counts
    evidence: Evidence
    limit: Limit
    confidence: float | None

    @property
    def value(self) -> float:
        """What the bound asks for."""
        return float(np.asarray(self.at_cuts.bound.bound))

    def supported(self, at: np.ndarray) -> np.ndarray:
        """Say at which of the cuts ``at`` these rows support the bound: bool, of the shape of ``at``.

        A least value in a subgroup needs :data:`metricopt.evidence.rule.MIN_ALARMS` there.
        """
        passes = self.at_cuts.feasible[at].copy()
        if self.at_cuts.subgroup is not None and self.at_cuts.bound.direction == "min":
            passes &= self.evidence.num_alarms[at] >= MIN_ALARMS
        if self.confidence is not None:
            passes[passes] = self.limit.supports(self.value, self.confidence, at[passes])
        return passes

    def limits(self, at: np.ndarray) -> np.ndarray:
        """Return the limits at the cuts ``at``; NaN where the metric is undefined."""
        limits = np.full(len(at), np.nan) if self.confidence is None else self.limit.value(self.confidence, at)
        return np.where(np.isnan(self.at_cuts.value[at]), np.nan, limits)

    @cached_property
    def by_definition(self) -> dict[int, float]:
        """The only value that the metric can have, by the position of "flag everything" and "flag nothing".

        There is none where it can have several, or is undefined on these rows.
        """
        ratio, own, last = self.at_cuts.bound.metric, self.at_cuts.value, len(self.at_cuts.value) - 1
        ends = []
        if not self.all_rows.false_negatives[0] + self.all_rows.true_negatives[0]:
            ends.append((0, _everything_flagged))
        if not self.all_rows.true_positives[last] + self.all_rows.false_positives[last]:
            ends.append((last, _nothing_flagged))
        known = {}
        for position, counts_of in ends:
            values = {float(ratio(counts_of(*sizes))) for sizes in ((1.0, 1.0), (1.0, 2.0), (2.0, 1.0))}
            if len(values) == 1 and not np.isnan(value := values.pop()) and not np.isnan(own[position]):
                known[position] = value
        return known

    def certain(self) -> np.ndarray:
        """Say at which cuts the bound holds by definition: bool, shape (m,)."""
        certain = np.zeros(len(self.at_cuts.feasible), bool)
        for position in self.by_definition:
            certain[position] = self.at_cuts.feasible[position]
        return certain


@dataclass(frozen=True)
class Support:
    """The cuts of one label under a rule.

    Attributes
    ----------
    cuts : Cuts
        Of an objective with bounds.
    evidence : Evidence
        Of all rows, at these cuts.
    bounds : tuple of BoundSupport
        Each bound over all rows, or in one subgroup, in the order of ``Cuts.bounds``.
    rule : Rule
    folds : sequence of Ranking
        The rows of each fold; none where the rule doesn't ask for them.
    """

    cuts: Cuts
    evidence: Evidence
    bounds: tuple[BoundSupport, ...]
    rule: Rule
    folds: Sequence[Ranking] = ()

    @classmethod
    def of(cls, rows: LabelRows, cuts: Cuts, rule: Rule) -> Support:
        """Look at cuts under a rule, whose error is divided equally among the bounds and subgroups."""
        confidence = rule.of_each(len(cuts.bounds))
        bounds = []
        for each in cuts.bounds:
            evidence = rows.part(each.bound.within, each.subgroup).evidence(cuts.lowest_flagged)
            bounds.append(BoundSupport(each, cuts.counts, evidence, evidence.limit(each.bound), confidence))
        folds = rows.folds if rule.every_fold else ()
        return cls(cuts, rows.evidence(cuts.lowest_flagged), tuple(bounds), rule, folds)

    def supported(self, at: np.ndarray) -> np.ndarray:
        """Say at which of the cuts ``at`` the rule is passed: bool, of the shape of ``at``.

        Of several bounds, some may hold by definition beside others that the rows support. Where all do, the rows must
        support each.
        """
        passes = self.cuts.feasible[at] & (self.evidence.num_alarms[at] >= MIN_ALARMS)
        all_certain = self._certain()[at]
        for each in self.bounds:
            by_rows = np.zeros(len(at), bool)
            by_rows[passes] = each.supported(at[passes])
            passes &= by_rows | (each.certain()[at] & ~all_certain)
        for each in self.bounds:
            if each.at_cuts.subgroup is not None:
                continue  # a subgroup has too few rows in a fold
            for ranking in self.folds:
                if is_ever_defined(each.at_cuts.bound.metric, ranking):
                    counts = ranking.counts(self.cuts.lowest_flagged[at[passes]])
                    passes[passes] = each.at_cuts.bound.holds(each.at_cuts.bound.metric(counts))
        return passes

    def best(self) -> int:
        """Return the position of the best supported cut, or of a safe one where none is supported.

        A cut at which the bounds hold by definition, as recall does where every row is flagged, is supported too, but
        is not said to be. Where there is no such cut either, the bounded metric speaks of no row at the safe cut.
        """
        certain = self._certain()
        enough = self.cuts.feasible & (self.evidence.num_alarms >= MIN_ALARMS)
        for some in _in_parts(self.cuts.best_first(np.flatnonzero(enough | certain))):
            passing = np.flatnonzero(certain[some] | self.supported(some))
            if len(passing):
                return int(some[passing[0]])
        flagged = _everything_flagged(1.0, 1.0)
        undefined = all(np.isnan(each.at_cuts.bound.metric(flagged)) for each in self.bounds)
        return 0 if undefined else len(certain) - 1

    def _certain(self) -> np.ndarray:
        """Say at which cuts all bounds hold by definition: bool, shape (m,)."""
        return np.logical_and.reduce([each.certain() for each in self.bounds])

    def num_more_positives(self) -> float:
        """Return about how many more positives, with their negatives, would support the bound at some cut.

        All counts of each cut are multiplied until the limit of one of them meets the bound, and enough alarms stand
        behind it; NaN where none does.
        """
        at = np.flatnonzero(self.cuts.feasible)
        if len(at) > MOST_TRIED:
            at = at[np.linspace(0, len(at) - 1, MOST_TRIED).astype(int)]

        def passing(times: float, at: np.ndarray) -> np.ndarray:
            found = at[self.evidence.num_alarms[at] * times >= MIN_ALARMS]
            all_certain = self._certain()
            for each in self.bounds:
                assert each.confidence is not None
                passes = each.limit.scaled(times).supports(each.value, each.confidence, found)
                if each.at_cuts.subgroup is not None and each.at_cuts.bound.direction == "min":
                    passes &= each.evidence.num_alarms[found] * times >= MIN_ALARMS
                found = found[passes | (each.certain() & ~all_certain)[found]]
            return found

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
        """Return the best bound that the rule supports at any cut, whatever bound is asked; NaN where there is none.

        Of an objective with one bound, over all rows.
        """
        (only,) = self.bounds
        sign, ratio, values = only.at_cuts.bound.sign, only.at_cuts.bound.metric, only.at_cuts.value
        assert self.rule.confidence is not None
        at = np.flatnonzero((self.evidence.num_alarms >= MIN_ALARMS) & ~np.isnan(values))
        best = -math.inf
        for some in _in_parts(at[np.argsort(-sign * values[at])]):
            promising = some[sign * values[some] > best]  # no limit is better than the value itself
            if not len(promising):
                break
            reached = np.fmin(sign * only.limit.value(self.rule.confidence, promising), sign * values[promising])
            for ranking in self.folds:
                if is_ever_defined(ratio, ranking):
                    own = sign * np.asarray(ratio(ranking.counts(self.cuts.lowest_flagged[promising])))
                    reached = np.minimum(reached, np.where(np.isnan(own), -math.inf, own))
            best = max(best, float(reached.max()))
        return sign * best if best > -math.inf else math.nan


def cuts_to_support(cuts: Cuts, is_by_row: bool, subgroups: Subgroups) -> Cuts:
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
    subgroups
        The rows of each subgroup.
    """
    ranking = cuts.ranking
    if not never_needs_false_alarms(cuts.objective):
        return cuts  # all there are
    if not is_by_row:
        return Cuts.at(ranking, cuts.objective, all_cuts(ranking), subgroups)
    sides = (ranking.positives.scores, ranking.negatives.scores)
    highest = np.sort(np.concatenate([side[-MIN_ALARMS:] for side in sides]))[-MIN_ALARMS:]
    lowest = np.sort(np.concatenate([side[:1] for side in sides]))[:1]
    more = np.concatenate([lowest, highest[:1]])
    return Cuts.at(ranking, cuts.objective, np.union1d(cuts.lowest_flagged, more), subgroups)


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
