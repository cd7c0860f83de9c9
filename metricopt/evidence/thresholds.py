"""The threshold that an objective asks for on given scores: the best of these rows, or one with confidence on new ones.

This file decides what users get for their scores. It leaves the cuts and which is best to
:mod:`metricopt.problem.cuts`, what the evidence supports to :mod:`metricopt.evidence.support`, and how a choice reads
to :mod:`metricopt.evidence.choice`. No model and no training is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from metricopt._arrays import Array
from metricopt._validation import reject
from metricopt.evidence.choice import ThresholdChoice, gather
from metricopt.evidence.choosing import choose, support_of
from metricopt.evidence.per_subgroup import choose_per_subgroup
from metricopt.evidence.rows import Rows
from metricopt.evidence.rule import Rule, check_confidence
from metricopt.problem.cuts import Cuts
from metricopt.problem.objectives import Objective
from metricopt.problem.program import Program
from metricopt.problem.registry import Asked, get_objective


def choose_threshold(
    scores: Array,
    labels: Array,
    objective: Asked,
    *,
    alpha: float | Sequence[float] | None = None,
    beta: float | None = None,
    confidence: float | None = None,
    sample_weight: Array | None = None,
    groups: Sequence[Any] | Array | None = None,
    prevalence: float | Sequence[float] | None = None,
    folds: Sequence[Any] | Array | None = None,
    subgroups: Any = None,
) -> ThresholdChoice:
    r"""Return the threshold at which scores do best by an objective: on these rows, or with confidence on new ones.

    .. math:: \max_t \; \frac{a(c(t))}{b(c(t))} \quad \text{s.t.} \quad \frac{p(c(t))}{q(c(t))} \ge \alpha
              \;\; (\text{or} \le \alpha)

    with :math:`c(t)` the confusion counts of "alarm when score >= t", over all cuts between distinct scores, from
    "flag everything" to "flag nothing"; tied scores enter or leave together. The bound is compared as the ratio that
    users compute, without tolerance.

    Without a confidence, the choice is the exact optimum of these rows:

    - Among the feasible cuts the best value wins, then the bounded value further on the safe side of the bound, then
      the higher threshold (fewer alarms).
    - If no cut is feasible, the one with the best achievable bounded value is returned (the highest precision, say),
      then the best value, then the higher threshold; ``feasible`` is False. No alarm at all leaves precision undefined,
      which never meets a bound on precision.

    That optimum is the luckiest cut, and on new rows its bound fails about every second time. With a confidence, only
    those feasible cuts compete that the evidence supports:

    - The confidence limit of the bounded metric must meet the bound, too: for precision, with TP right and FP wrong
      alarms, the quantile :math:`1 - c` of :math:`\text{Beta}(TP, FP + 1)` (Clopper and Pearson). At least 10 alarms
      must be raised. Groups, weights and a prevalence make it another limit: see :mod:`metricopt.evidence.effective`
      and :mod:`metricopt.evidence.limits`.
    - If no cut is supported, the threshold is a safe one, and ``supported`` and ``feasible`` are False: it is infinite
      and raises no alarm for a bound on precision or on a rate, and minus infinity, which flags every row, for a bound
      on recall. ``advice`` says what is missing, ``empirical`` is the optimum of these rows.
    - Where "flag everything" is the best for a bound on recall, the threshold is minus infinity as well: the bound then
      holds for new rows below the lowest score, too.
    - The confidence is nominal: it is that of each cut by itself, for rows drawn alike and scores that these rows did
      not train. An objective without a bound is chosen for as without a confidence.

    In any case:

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
        For example ``FPOR(min_precision=0.9)``, or ``"FPOR"`` with ``alpha=0.9``; its bound may differ by label. Or
        ``{label name: objective}`` in the order of the columns.
    alpha, beta : float, optional
        The bound, or the beta of OFBS, where the objective is asked for by name.
    confidence : float, in (0, 1), optional
        How sure the bound must be on new rows, e.g. 0.9; by default it need only hold on these.
    sample_weight : array, shape (n,) or (n, L), optional
        Finite, >= 0. Equal weights choose as none do, and integers count exactly. Sums of others are rounded, alike in
        whatever order the samples come, so a bound that is met with equality may go either way, but a report agrees.
        A weight says what a row counts in the metrics, not how often it was seen: equal weights change no limit.
    groups : sequence, shape (n,), optional
        Rows of equal value (one patient's images) testify together, as one. Matters only with a confidence.
    prevalence : float in (0, 1), or one per label, optional
        The fraction of positives where the threshold will be used; the metrics are those at this prevalence.
    folds : sequence, shape (n,), optional
        The number of each row's fold: with a confidence, the bound must also hold on the rows of every single fold.
    subgroups : mapping of str to array of shape (n,), or a frame, optional
        The columns that a :class:`~metricopt.Program` names, such as ``{"site": sites}``; if it names one, its array.

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
    >>> scores = np.arange(400.0)
    >>> labels = (scores >= 200) & (scores % 20 != 0)
    >>> print(choose_threshold(scores, labels, "FPOR", alpha=0.9, confidence=0.9))
    precision >= 0.9 is supported with confidence 0.9
      threshold  200.5
      alarms     199: 190 right, 9 wrong; 0 positives missed
      recall     1.000
      precision  0.955, on new rows at least 0.930 with confidence 0.9
    >>> few = choose_threshold(scores[::9], labels[::9], "FPOR", alpha=0.9, confidence=0.9)
    >>> bool(few.supported), bool((scores[::9] >= few.threshold).any())
    (False, False)
    >>> few.advice
    '22 alarms stand behind the best cut; about 40 more positives, with their negatives, are needed.'
    """
    objective = get_objective(objective, alpha=alpha, beta=beta)
    if confidence is not None:
        check_confidence(confidence)
    rows = Rows.read(
        scores,
        labels,
        sample_weight=sample_weight,
        groups=groups,
        prevalence=prevalence,
        folds=folds,
        subgroups=subgroups,
        columns=objective.columns,
    )
    rows = replace(rows, crosses=isinstance(objective, Program) and objective.threshold_per is not None)
    rule = None if confidence is None else Rule(float(confidence), every_fold=folds is not None)
    of_labels = zip(rows.of_labels(), objective.for_labels(rows.samples.num_labels), strict=True)
    dtype, choices = rows.samples.dtype, []
    for label, (own, single) in enumerate(of_labels):
        if isinstance(single, Program) and single.threshold_per is not None:
            choices.append(choose_per_subgroup(rows, label, own, single, rule, dtype))
        else:
            choices.append(choose(own, single, rule, dtype))
    return gather(choices, rows.samples.give_back)


def reachable_bound(
    scores: Array,
    labels: Array,
    objective: str | Objective,
    *,
    alpha: float | Sequence[float] | None = None,
    confidence: float,
    sample_weight: Array | None = None,
    groups: Sequence[Any] | Array | None = None,
    prevalence: float | Sequence[float] | None = None,
    folds: Array | None = None,
) -> Array:
    """Return the best bound that given scores support at any threshold with at least 10 alarms, whatever is asked.

    Parameters
    ----------
    scores, labels, objective, alpha, sample_weight, groups, prevalence, folds
        As for :func:`choose_threshold`; the objective has a bound, whose value does not matter.
    confidence : float, in (0, 1)

    Returns
    -------
    array, scalar or shape (L,), float64
        The largest bound that would be supported where the bound is a least value, else the smallest; NaN where none
        would be, or where a label has no positives.

    Examples
    --------
    >>> scores = np.arange(400.0)
    >>> labels = (scores >= 200) & (scores % 20 != 0)
    >>> round(float(reachable_bound(scores, labels, "FPOR", alpha=0.99, confidence=0.9)), 3)
    0.93
    """
    check_confidence(confidence)
    objective = get_objective(objective, alpha=alpha)
    if objective.only_bound is None:
        reject("objective", "one with a bound", objective.name, "give e.g. FPOR(min_precision=0.9)")
    rows = Rows.read(scores, labels, sample_weight=sample_weight, groups=groups, prevalence=prevalence, folds=folds)
    rule, reached = Rule(float(confidence), every_fold=folds is not None), []
    for own, single in zip(rows.of_labels(), objective.for_labels(rows.samples.num_labels), strict=True):
        if not len(own.ranking.positives.scores):
            reached.append(np.nan)
            continue
        cuts = Cuts.of(own.ranking, single.threshold_objective)
        reached.append(support_of(own, cuts, rule).reachable_bound())
    return rows.samples.give_back(reached)


def selection_criterion(choice: ThresholdChoice, objective: Objective) -> tuple[float, float]:
    """Return what models are compared by on their selection data: the higher, the better.

    The value where the bound holds, below every such value how near the bound comes; averaged over the labels that have
    a value. The second number breaks ties: how far on the safe side of the bound; for a program the value.

    Examples
    --------
    >>> from metricopt.problem.objectives import FPOR
    >>> selection_criterion(choose_threshold([0.9, 0.8, 0.5], [1, 0, 1], FPOR(0.6)), FPOR(0.6))
    (1.0, 0.6666666666666666)
    """
    values = np.atleast_1d(np.asarray(choice.value))
    if choice.program is not None:
        return _criterion_of_program(values, choice)
    bounded = np.zeros_like(values) if choice.bounded_value is None else np.nan_to_num(choice.bounded_value)
    safety = np.atleast_1d(bounded if objective.bound_direction == "min" else -bounded)
    learnable = ~np.isnan(values)
    if not learnable.any():
        return (-np.inf, -np.inf)
    criteria = np.where(choice.feasible, values, safety - 2)
    return float(criteria[learnable].mean()), float(safety[learnable].mean())


def _criterion_of_program(values: np.ndarray, choice: ThresholdChoice) -> tuple[float, float]:
    """Return the criterion where values may be of any size: those below -1 are squeezed into (-2, -1)."""
    learnable = ~np.isnan(values)
    if not learnable.any():
        return (-np.inf, -np.inf)
    squeezed = np.where(values < -1, -2 - 1 / np.minimum(values, -1), values)
    outcomes = choice.program if isinstance(choice.program, tuple) else (choice.program,)
    missed = np.array([min(outcome.shortfall, 1e6) for outcome in outcomes])
    criteria = np.where(choice.feasible, squeezed, -2 - missed)
    return float(criteria[learnable].mean()), float(squeezed[learnable].mean())
