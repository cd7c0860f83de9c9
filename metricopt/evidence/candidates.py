"""Which of several candidates is best by out-of-fold scores, and scores of the winner that did not choose it.

Candidates are models, settings or sets of weights, each cross-fitted on the same folds. The one that does best on some
rows looks better on these rows than it is. So the rows of a fold testify with the candidate that wins on the other
folds: their scores did not take part in that choice. On these scores a threshold is chosen honestly.

This file decides how candidates are compared. It leaves the threshold to :mod:`metricopt.evidence.thresholds`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricopt.evidence.choice import ThresholdChoice
from metricopt.evidence.rule import Rule
from metricopt.evidence.standard_error import standard_error
from metricopt.evidence.subgroups import SubgroupColumn
from metricopt.evidence.thresholds import choose_threshold, selection_criterion
from metricopt.problem.objectives import Objective


def best_candidate(
    out_of_fold: Sequence[NDArray[np.floating]],
    labels: NDArray[np.floating],
    folds: NDArray[np.integer],
    objective: Objective,
    *,
    sample_weight: NDArray[np.floating] | None = None,
    groups: NDArray[Any] | None = None,
    rule: Rule | None = None,
    subgroups: Mapping[str, SubgroupColumn] = MappingProxyType({}),
) -> tuple[int, NDArray[np.float64]]:
    """Return the position of the best candidate, and out-of-fold scores that did not choose it.

    Candidates are compared by the exact metric of the objective at its best threshold, and by how near the bound comes
    where it is met nowhere. Of two that are equally good the earlier wins.

    With a rule they are compared by the metric at the best threshold at which the rows support the bound, and the first
    is preferred: it wins unless another is better by more than its standard error, and so where the rows support the
    bound for neither.

    Parameters
    ----------
    out_of_fold : sequence of ndarray, each of the labels' shape, float
        The scores of each candidate; NaN where it has none.
    labels : ndarray, shape (n,) or (n, L), float
        0, 1 or NaN (missing).
    folds : ndarray, shape (n,), int
        The fold of each row, numbered from 0.
    objective : Objective
    sample_weight : ndarray, shape (n,) or (n, L), float, optional
    groups : ndarray, shape (n,), optional
        Whose rows are counted once by the rule.
    rule : Rule, optional
        What a threshold must pass, where the objective has a bound.
    subgroups : mapping of str to SubgroupColumn, optional
        The columns that the objective names.

    Returns
    -------
    int
    ndarray, shape of the labels, float64
        In the rows of fold k the scores of the candidate that wins on the rows of the other folds.

    Examples
    --------
    >>> from metricopt.problem.objectives import OFBS
    >>> labels, folds = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0, 0, 1, 1])
    >>> right_on_0, right = np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.0, 2.0, 0.0, 2.0])
    >>> winner, scores = best_candidate([right_on_0, right], labels, folds, OFBS())
    >>> winner, scores.tolist()
    (1, [0.0, 2.0, 1.0, 0.0])
    """

    def winner_on(rows: NDArray[np.bool_]) -> int:
        weight = None if sample_weight is None else sample_weight[rows]
        evidence: dict[str, Any] = {"subgroups": {name: column.take(rows) for name, column in subgroups.items()}}
        if rule is not None:
            evidence["confidence"] = rule.confidence
            evidence["groups"] = None if groups is None else groups[rows]
            of_folds = folds[rows]
            is_one_fold = not np.ptp(of_folds)  # of two, without the other
            evidence["folds"] = of_folds if rule.every_fold and not is_one_fold else None
        choices = [choose_known(scores[rows], labels[rows], objective, weight, **evidence) for scores in out_of_fold]
        keys = [selection_criterion(choice, objective) for choice in choices]
        if rule is not None:
            margins = [0.0, *(standard_error(choice, objective, labels[rows]) for choice in choices[1:])]
            keys = [(value - margin, safety) for (value, safety), margin in zip(keys, margins, strict=True)]
        return max(range(len(keys)), key=lambda number: (keys[number], -number))

    honest = np.full(labels.shape, np.nan)
    for fold in range(int(folds.max()) + 1):
        own = folds == fold
        honest[own] = out_of_fold[winner_on(~own)][own]
    return winner_on(np.ones(len(labels), dtype=bool)), honest


def choose_known(
    scores: NDArray[np.floating],
    labels: NDArray[np.floating],
    objective: Objective,
    sample_weight: NDArray[np.floating] | None = None,
    **evidence: Any,
) -> ThresholdChoice:
    """Choose the threshold on the rows that have a score; a row without one, NaN, says nothing.

    Without a confidence it is the exact one; ``evidence`` goes to
    :func:`~metricopt.evidence.thresholds.choose_threshold`.
    """
    known = np.isfinite(scores)
    kept = np.where(known, labels, np.nan)
    return choose_threshold(np.where(known, scores, 0.0), kept, objective, sample_weight=sample_weight, **evidence)
