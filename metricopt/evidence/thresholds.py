"""The threshold that an objective asks for on given scores, label by label.

This file decides what users get for their scores. It leaves the cuts and which is best to
:mod:`metricopt.problem.cuts`. No model and no training is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch

from metricopt._arrays import Samples
from metricopt.problem.cuts import Cuts
from metricopt.problem.metrics import Array, Counts, Ranking
from metricopt.problem.objectives import Objective
from metricopt.problem.registry import get_objective


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
    scores: Array,
    labels: Array,
    objective: str | Objective,
    *,
    alpha: float | Sequence[float] | None = None,
    beta: float | None = None,
    sample_weight: Array | None = None,
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
    objective : str or Objective
        For example ``FPOR(min_precision=0.9)``, or ``"FPOR"`` with ``alpha=0.9``; its bound may differ by label.
    alpha, beta : float, optional
        The bound, or the beta of OFBS, where the objective is asked for by name.
    sample_weight : array, shape (n,) or (n, L), optional
        Finite, >= 0. Equal weights choose as none do, and integers count exactly. Sums of others are rounded, alike in
        whatever order the samples come, so a bound that is met with equality may go either way, but a report agrees.

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
    >>> choice = choose_threshold([0.9, 0.8, 0.5, 0.25], [1, 0, 1, 0], "FPOR", alpha=0.6)
    >>> float(choice.threshold), float(choice.value), bool(choice.feasible)
    (0.375, 1.0, True)
    """
    objective = get_objective(objective, alpha=alpha, beta=beta)
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
    objective = asked.threshold_objective
    cuts = Cuts.of(ranking, objective)
    if not len(ranking.positives.scores):
        no_alarm = cuts.counts[-1]
        return ThresholdChoice(np.nan, np.nan, objective.bounded_value(no_alarm), no_alarm, False)
    best = cuts.best()
    return ThresholdChoice(
        threshold=cuts.threshold(best, dtype),
        value=asked.measure(ranking, cuts.counts[best]),
        bounded_value=None if cuts.bounded_value is None else cuts.bounded_value[best],
        counts=cuts.counts[best],
        feasible=cuts.feasible[best],
    )
