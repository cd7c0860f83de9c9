"""All cuts through the scores of one label, with what an objective says of each: exact, by sorting.

This file decides which cuts are worth a look, which of several is best, and where between two scores the threshold
lies. What a metric or a bound *is* comes from :mod:`metricopt.problem.ratios` and :mod:`metricopt.problem.objectives`.
How sure a bound is on new data, and the choice that users make, is for :mod:`metricopt.evidence.thresholds`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from metricopt.problem.objectives import CountObjective
from metricopt.problem.ranking import Ranking
from metricopt.problem.ratios import Counts, Ratio


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
    bounded_value : ndarray, shape (m,), or None
        None for an objective without a bound.
    feasible : ndarray, shape (m,), bool
        Whether the bound holds on these samples.
    """

    ranking: Ranking
    objective: CountObjective
    lowest_flagged: np.ndarray
    counts: Counts
    value: np.ndarray
    bounded_value: np.ndarray | None
    feasible: np.ndarray

    @classmethod
    def of(cls, ranking: Ranking, objective: CountObjective) -> Cuts:
        """Measure every cut that can be best on these samples.

        A cut whose lowest flagged score belongs to negatives alone can be raised to the next positive's score. That
        drops false alarms and nothing else, so where neither metric suffers from fewer of them, it is at least as good
        with a higher threshold. Where no positive lies above, it can be raised to the highest score of all: the one
        such cut at which precision is still defined.
        """
        needs_all = not never_needs_false_alarms(objective)
        return cls.at(ranking, objective, all_cuts(ranking) if needs_all else _at_positives(ranking))

    @classmethod
    def at(cls, ranking: Ranking, objective: CountObjective, lowest_flagged: np.ndarray) -> Cuts:
        """Measure some cuts, by their lowest flagged scores: ascending, with infinity at the end."""
        counts = ranking.counts(lowest_flagged)
        value, bounded_value = objective.value(counts), objective.bounded_value(counts)
        return cls(ranking, objective, lowest_flagged, counts, value, bounded_value, objective.feasible(counts))

    def best(self) -> int:
        """Return the position of the best cut.

        Among the feasible ones, that of the best value, then the bounded value further on the safe side, then the
        higher threshold. If none is feasible, that of the best bounded value, then the best value, then the higher
        threshold.
        """
        sign = sign_of(self.objective)
        safety = np.zeros_like(self.value) if self.bounded_value is None else sign * self.bounded_value
        candidates = np.flatnonzero(self.feasible)
        keys = (self.value, safety)
        if not len(candidates):
            candidates, keys = np.arange(len(self.value)), (safety, self.value)
        for key in keys:
            held = key[candidates]
            held = np.where(np.isnan(held), -np.inf, held)
            candidates = candidates[held == held.max()]
        return int(candidates[-1])

    def best_first(self, candidates: np.ndarray) -> np.ndarray:
        """Return the positions of feasible cuts in the order in which :meth:`best` prefers them."""
        sign = sign_of(self.objective)
        keys = [candidates]
        for values in (None if self.bounded_value is None else sign * self.bounded_value, self.value):
            if values is not None:
                held = values[candidates]
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


def sign_of(objective: CountObjective) -> float:
    """Return 1 where the bound is a least value, -1 where it is a largest."""
    return 1.0 if objective.bound_direction == "min" else -1.0


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
    ratios = [(objective.maximised, 1.0)]
    if objective.bounded is not None:
        ratios.append((objective.bounded, sign_of(objective)))
    return all(_never_gains(ratio, sign) for ratio, sign in ratios)


def _never_gains(ratio: Ratio, sign: float) -> bool:
    """Say whether ``sign * ratio`` never rises with false positives (its slope in FP), nor needs them to be defined."""
    below = ratio.denominator
    slope = below * ratio.numerator.fp - ratio.numerator * below.fp
    falls = all(sign * coefficient <= 0 for coefficient in (slope.tp, slope.positives, slope.negatives))
    return falls and max(below.tp, below.positives, below.negatives) > 0
