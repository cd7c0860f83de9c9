"""All cuts through the scores of one label, with what an objective says of each: exact, by sorting.

This file decides which cuts are worth a look, which of several is best, and where between two scores the threshold
lies. What a metric or a bound *is* comes from :mod:`metricopt.problem.ratios` and :mod:`metricopt.problem.objectives`.
How sure a bound is on new data, and the choice that users make, is for :mod:`metricopt.evidence.thresholds`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch

from metricopt.problem.bounds import MetricBound
from metricopt.problem.objectives import CountObjective
from metricopt.problem.ranking import Ranking
from metricopt.problem.ratios import Counts, Ratio

Subgroups = Mapping[str, Mapping[str, Ranking]]
"""The rows of each subgroup, by the name of a column and the value there."""


@dataclass(frozen=True)
class BoundAtCuts:
    """A bound on one set of rows, at each of some cuts through all rows.

    Attributes
    ----------
    bound : MetricBound
    subgroup : str or None
        The value of the bound's column that these rows have; None for all rows.
    ranking : Ranking
        These rows.
    counts : Counts, each of shape (m,)
    value : ndarray, shape (m,)
    feasible : ndarray, shape (m,), bool
    """

    bound: MetricBound
    subgroup: str | None
    ranking: Ranking
    counts: Counts
    value: np.ndarray
    feasible: np.ndarray

    @classmethod
    def of(cls, bound: MetricBound, subgroup: str | None, ranking: Ranking, counts: Counts) -> BoundAtCuts:
        """Measure a bound from the counts of its rows at the cuts."""
        value = bound.metric(counts)
        return cls(bound, subgroup, ranking, counts, value, bound.holds(value))

    @property
    def is_ever_defined(self) -> bool:
        """Whether the metric has a value at some cut through these rows."""
        return is_ever_defined(self.bound.metric, self.ranking)


@dataclass(frozen=True)
class Cuts:
    """The cuts of one label that can be best, and what they reach; the thresholds ascend.

    Attributes
    ----------
    ranking : Ranking
    objective : CountObjective
        For one label.
    lowest_flagged : ndarray, shape (m,)
        The lowest score that raises an alarm; infinity, the last entry, is "flag nothing".
    counts : Counts, each of shape (m,)
    value : ndarray, shape (m,)
    feasible : ndarray, shape (m,), bool
        Whether all bounds hold on these samples.
    bounds : tuple of BoundAtCuts
        Each bound over all rows, or in one subgroup.
    """

    ranking: Ranking
    objective: CountObjective
    lowest_flagged: np.ndarray
    counts: Counts
    value: np.ndarray
    feasible: np.ndarray
    bounds: tuple[BoundAtCuts, ...]

    @classmethod
    def of(cls, ranking: Ranking, objective: CountObjective, subgroups: Subgroups = MappingProxyType({})) -> Cuts:
        """Measure every cut that can be best on these samples.

        A cut whose lowest flagged score belongs to negatives alone can be raised to the next positive's score. That
        drops false alarms and nothing else, so where neither metric suffers from fewer of them, it is at least as good
        with a higher threshold. Where no positive lies above, it can be raised to the highest score of all: the one
        such cut at which precision is still defined.
        """
        needs_all = not never_needs_false_alarms(objective)
        lowest_flagged = all_cuts(ranking) if needs_all else _at_positives(ranking)
        return cls.at(ranking, objective, lowest_flagged, subgroups)

    @classmethod
    def at(
        cls,
        ranking: Ranking,
        objective: CountObjective,
        lowest_flagged: np.ndarray,
        subgroups: Subgroups = MappingProxyType({}),
    ) -> Cuts:
        """Measure some cuts, by their lowest flagged scores: ascending, with infinity at the end."""
        counts = ranking.counts(lowest_flagged)
        counted: dict[tuple[str, str], Counts] = {}
        bounds, value = [], objective.value(counts)
        for bound in objective.bounds:
            if bound.within is None:
                bounds.append(BoundAtCuts.of(bound, None, ranking, counts))
                continue
            for name, own in subgroups[bound.within].items():
                if (bound.within, name) not in counted:
                    counted[bound.within, name] = own.counts(lowest_flagged)
                bounds.append(BoundAtCuts.of(bound, name, own, counted[bound.within, name]))
        feasible = np.logical_and.reduce([each.feasible for each in bounds]) if bounds else value == value
        return cls(ranking, objective, lowest_flagged, counts, value, feasible, tuple(bounds))

    @property
    def bounded_value(self) -> np.ndarray | None:
        """What the only bound speaks of, at each cut; None unless there is one, over all rows."""
        return self.bounds[0].value if self.objective.only_bound is not None else None

    def shortfall(self, at: np.ndarray) -> np.ndarray:
        """Return by how much all bounds together are missed at the cuts ``at``, each in units of its metric.

        A bound whose metric is undefined at a cut is missed by infinity there; one whose metric is undefined at every
        cut, as recall is in a subgroup without positives, is left out.
        """
        missed = [each.bound.shortfall(each.value[at]) for each in self.bounds if each.is_ever_defined]
        return np.sum(missed, axis=0) if missed else np.zeros(len(at))

    def _value(self, at: np.ndarray) -> np.ndarray:
        return self.value[at]

    def _nearness(self, at: np.ndarray) -> np.ndarray:
        return -self.shortfall(at)

    def _safety(self, at: np.ndarray) -> np.ndarray:
        """Return how far on the safe side of the bounds the cuts ``at`` are, summed over them."""
        return np.sum([each.bound.sign * each.value[at] for each in self.bounds], axis=0) + np.zeros(len(at))

    def best(self) -> int:
        """Return the position of the best cut.

        Among the feasible ones, that of the best value, then the bounded values further on the safe side, then the
        higher threshold. If none is feasible, that of the least total :meth:`shortfall` (of the best bounded value,
        where there is one), then the best value, then the higher threshold.
        """
        candidates = np.flatnonzero(self.feasible)
        keys: tuple[Callable[[np.ndarray], np.ndarray], ...] = (self._value, self._safety)
        if not len(candidates):
            candidates = np.arange(len(self.value))
            keys = (self._safety if len(self.bounds) == 1 else self._nearness, self._value)
        for key in keys:
            held = key(candidates)
            held = np.where(np.isnan(held), -np.inf, held)
            candidates = candidates[held == held.max()]
        return int(candidates[-1])

    def best_first(self, candidates: np.ndarray) -> np.ndarray:
        """Return the positions of feasible cuts in the order in which :meth:`best` prefers them."""
        keys = [candidates]
        for held in (self._safety(candidates), self.value[candidates]):
            keys.append(np.where(np.isnan(held), -np.inf, held))
        return candidates[np.lexsort(keys)[::-1]]

    def threshold(self, position: int, dtype: torch.dtype) -> float:
        """Return the number midway between the lowest flagged score and the score below it, as ``dtype`` has it.

        Where no number of that dtype lies between, it is the lowest flagged score. "Flag everything" is the lowest
        score, "flag nothing" the next number above the highest.
        """
        cut = self.lowest_flagged[position]
        below = [
            float(side.scores[place - 1])
            for side in (self.ranking.positives, self.ranking.negatives)
            if (place := np.searchsorted(side.scores, cut)) > 0
        ]
        flagged = float(cut)
        if not below:
            return flagged
        lower = max(below)
        if flagged == np.inf:
            return torch.nextafter(torch.tensor(lower, dtype=dtype), torch.tensor(np.inf, dtype=dtype)).item()
        # Halved before the sum, which could overflow.
        middle = torch.tensor(lower / 2 + flagged / 2, dtype=torch.float64).to(dtype).item()
        return middle if lower < middle <= flagged else flagged


def _at_positives(ranking: Ranking) -> np.ndarray:
    highest = ranking.negatives.scores[-1:]
    positive = ranking.positives.distinct()
    if len(positive) and len(highest) and highest[0] <= positive[-1]:
        highest = highest[:0]
    return np.concatenate([positive, highest, np.array([np.inf], dtype=positive.dtype)])


def all_cuts(ranking: Ranking) -> np.ndarray:
    """Return the lowest flagged score of every cut there is, ascending; infinity, the last, is "flag nothing"."""
    return np.append(ranking.distinct(), np.array(np.inf, dtype=ranking.positives.scores.dtype))


def never_needs_false_alarms(objective: CountObjective) -> bool:
    """Say whether neither metric of the objective gains by false alarms, or is defined only by them."""
    for bound in objective.bounds:
        needs_alarms = any(map(np.any, (bound.metric.denominator.tp, bound.metric.denominator.fp)))
        if bound.within is not None and needs_alarms:
            return False  # the only alarm of a subgroup may be a false one
    ratios = [(objective.maximised, 1.0), *((bound.metric, bound.sign) for bound in objective.bounds)]
    return all(_never_gains(ratio, sign) for ratio, sign in ratios)


def is_ever_defined(ratio: Ratio, ranking: Ranking) -> bool:
    """Say whether a metric has a value at some cut through some rows: where all are flagged, or none is."""
    positives, negatives = ranking.positives.weight.sum(), ranking.negatives.weight.sum()
    ends = Counts(positives, negatives, 0.0, 0.0), Counts(0.0, 0.0, positives, negatives)
    return not all(np.isnan(ratio(counts)) for counts in ends)


def _never_gains(ratio: Ratio, sign: float) -> bool:
    """Say whether ``sign * ratio`` never rises with false positives (its slope in FP), nor needs them to be defined."""
    below = ratio.denominator
    slope = below * ratio.numerator.fp - ratio.numerator * below.fp
    falls = all(sign * coefficient <= 0 for coefficient in (slope.tp, slope.positives, slope.negatives))
    return falls and max(below.tp, below.positives, below.negatives) > 0
