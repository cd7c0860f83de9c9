"""The exact threshold for an objective: the best of all cuts through the scores, by sorting.

This file decides which cut is best and where between two scores the threshold lies. What a metric or a bound *is* comes
from :mod:`metricopt.problem.metrics` and :mod:`metricopt.problem.objectives`. No model and no training is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch

from metricopt._arrays import Samples
from metricopt._validation import reject
from metricopt.problem.metrics import Array, Counts, Ranking, Ratio
from metricopt.problem.objectives import CountObjective, Objective


@dataclass(frozen=True)
class ThresholdChoice:
    """A threshold and what it reaches on the data that chose it; scalars, or one entry a label.

    Attributes
    ----------
    threshold : array, scalar or shape (L,), float64
        Scores at or above it are alarms. NaN where a label has no positives to choose by.
    value : array, scalar or shape (L,), float64
        The metric that the objective maximises.
    bounded_value : array, scalar or shape (L,), float64, or None
        The metric that the bound speaks of; None for an objective without a bound.
    counts : Counts
    feasible : array, scalar or shape (L,), bool
        Whether the bound holds on this data. On new data it may not.
    """

    threshold: Array
    value: Array
    bounded_value: Array | None
    counts: Counts
    feasible: Array


def choose_threshold(
    scores: Array, labels: Array, objective: Objective, sample_weight: Array | None = None
) -> ThresholdChoice:
    r"""Return the threshold at which given scores do best by an objective: exact, by sorting.

    .. math:: \max_t \; \frac{a(c(t))}{b(c(t))} \quad \text{s.t.} \quad \frac{p(c(t))}{q(c(t))} \ge \alpha
              \;\; (\text{or} \le \alpha)

    with :math:`c(t)` the confusion counts of "alarm when score >= t", over all cuts between distinct scores, from
    "flag everything" to "flag nothing"; tied scores enter or leave together. The bound is compared as the ratio that
    users compute, without tolerance.

    - Among the feasible cuts the best value wins, then the bounded value further on the safe side of the bound, then
      the higher threshold (fewer alarms).
    - If no cut is feasible, the one with the best achievable bounded value is returned (the highest precision, say),
      then the best value, then the higher threshold; ``feasible`` is False. No alarm at all leaves precision undefined,
      which never meets a bound on precision.
    - The threshold lies midway between the lowest flagged and the highest unflagged score, rounded to the scores' own
      dtype; where no number of that dtype lies between, it is the lowest flagged score. "Flag everything" is the lowest
      score, "flag nothing" the next number above the highest.
    - A metric of the ranking alone (``OAP()``) needs no threshold: ``value`` is the exact metric, and the threshold is
      that of the best F1 score.
    - A label without positives gets threshold and value NaN, the counts of no alarm, and ``feasible`` False.

    Samples with a missing label or weight 0 count nowhere, also as neighbours. Not differentiable. Takes O(n log n).

    Parameters
    ----------
    scores : array, shape (n,) or (n, L), float
        Finite, of any scale and precision, bfloat16 included.
    labels : array, shape of ``scores``
        0, 1 or NaN (missing).
    objective : Objective
        For example ``FPOR(min_precision=0.9)``; its bound may differ by label.
    sample_weight : array, shape (n,) or (n, L), optional
        Finite, >= 0. Sums of weights carry float64 rounding, so a bound that is met with equality may go either way.

    Returns
    -------
    ThresholdChoice
        Of the scores' array kind and device.

    Raises
    ------
    InvalidInputError
        If a shape or value is not as above.

    Examples
    --------
    >>> from metricopt.problem.objectives import FPOR
    >>> choice = choose_threshold([0.9, 0.8, 0.5, 0.25], [1, 0, 1, 0], FPOR(min_precision=0.6))
    >>> float(choice.threshold), float(choice.value), bool(choice.feasible)
    (0.375, 1.0, True)
    """
    if not isinstance(objective, Objective):
        reject("objective", "an Objective", repr(objective), "give e.g. FPOR(min_precision=0.9)")
    samples = Samples.read(scores, labels, sample_weight)
    choices = [
        _choose(Ranking.of(samples, label), single, samples.dtype)
        for label, single in enumerate(objective.for_labels(samples.num_labels))
    ]
    return ThresholdChoice(
        threshold=samples.give_back([choice.threshold for choice in choices]),
        value=samples.give_back([choice.value for choice in choices]),
        bounded_value=samples.give_back([choice.bounded_value for choice in choices]) if objective.bounded else None,
        counts=Counts(*(samples.give_back([getattr(c.counts, f.name) for c in choices]) for f in fields(Counts))),
        feasible=samples.give_back([choice.feasible for choice in choices]),
    )


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


def selection_criterion(choice: ThresholdChoice, objective: Objective) -> tuple[float, float]:
    """Return what models are compared by on their selection data: the higher, the better.

    The value where the bound holds, below every such value how near the bound comes; averaged over the labels that have
    a value. The second number breaks ties: how far on the safe side of the bound.

    Examples
    --------
    >>> from metricopt.problem.objectives import FPOR
    >>> selection_criterion(choose_threshold([0.9, 0.8, 0.5], [1, 0, 1], FPOR(0.6)), FPOR(0.6))
    (1.0, 0.6666666666666666)
    """
    values = np.atleast_1d(np.asarray(choice.value))
    bounded = np.zeros_like(values) if choice.bounded_value is None else np.nan_to_num(choice.bounded_value)
    safety = np.atleast_1d(bounded if objective.bound_direction == "min" else -bounded)
    learnable = ~np.isnan(values)
    if not learnable.any():
        return (-np.inf, -np.inf)
    criteria = np.where(choice.feasible, values, safety - 2)
    return float(criteria[learnable].mean()), float(safety[learnable].mean())


def _choose(ranking: Ranking, asked: Objective, dtype: torch.dtype) -> ThresholdChoice:
    """Choose for one label; the result holds NumPy scalars."""
    objective = asked.of_threshold
    cuts = _candidate_cuts(ranking, objective)
    counts = ranking.counts(cuts)
    value, bounded_value = objective.value(counts), objective.bounded_value(counts)
    feasible = objective.feasible(counts)
    if not len(ranking.positives.scores):
        no_alarm = counts[-1]
        return ThresholdChoice(np.nan, np.nan, objective.bounded_value(no_alarm), no_alarm, False)
    best = _best(value, bounded_value, feasible, objective)
    return ThresholdChoice(
        threshold=_threshold(ranking, cuts[best], dtype),
        value=asked.measure(ranking, counts[best]),
        bounded_value=None if bounded_value is None else bounded_value[best],
        counts=counts[best],
        feasible=feasible[best],
    )


def _best(value: np.ndarray, bounded_value: np.ndarray | None, feasible: np.ndarray, objective: CountObjective) -> int:
    """Return the position of the best of the cuts, which ascend."""
    safety = np.zeros_like(value) if bounded_value is None else _sign(objective) * bounded_value
    candidates = np.flatnonzero(feasible)
    keys = (value, safety)
    if not len(candidates):
        candidates, keys = np.arange(len(value)), (safety, value)
    for key in keys:
        held = key[candidates]
        held = np.where(np.isnan(held), -np.inf, held)
        candidates = candidates[held == held.max()]
    return int(candidates[-1])


def _candidate_cuts(ranking: Ranking, objective: CountObjective) -> np.ndarray:
    """Return the lowest flagged score of every cut that can be best, ascending; infinity is "flag nothing".

    A cut whose lowest flagged score belongs to negatives alone can be raised to the next positive's score. That drops
    false alarms and nothing else, so where neither metric suffers from fewer of them, it is at least as good with a
    higher threshold. Where no positive lies above, it can be raised to the highest score of all: the one such cut at
    which precision is still defined.
    """
    ratios = [(objective.maximised, 1.0)]
    if objective.bounded is not None:
        ratios.append((objective.bounded, _sign(objective)))
    if not all(_never_gains(ratio, sign) for ratio, sign in ratios):
        return np.append(ranking.distinct(), np.array(np.inf, dtype=ranking.positives.scores.dtype))
    highest = ranking.negatives.scores[-1:]
    positive = ranking.positives.distinct()
    if len(positive) and len(highest) and highest[0] <= positive[-1]:
        highest = highest[:0]
    return np.concatenate([positive, highest, np.array([np.inf], dtype=positive.dtype)])


def _never_gains(ratio: Ratio, sign: float) -> bool:
    """Say whether ``sign * ratio`` never rises with false positives (its slope in FP), nor needs them to be defined."""
    below = ratio.denominator
    slope = below * ratio.numerator.fp - ratio.numerator * below.fp
    falls = all(sign * coefficient <= 0 for coefficient in (slope.tp, slope.positives, slope.negatives))
    return falls and max(below.tp, below.positives, below.negatives) > 0


def _sign(objective: CountObjective) -> float:
    return 1.0 if objective.bound_direction == "min" else -1.0


def _threshold(ranking: Ranking, cut: np.floating, dtype: torch.dtype) -> float:
    """Return the number midway between ``cut`` and the score below it, representable in ``dtype``."""
    below = [
        float(side.scores[position - 1])
        for side in (ranking.positives, ranking.negatives)
        if (position := np.searchsorted(side.scores, cut)) > 0
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
