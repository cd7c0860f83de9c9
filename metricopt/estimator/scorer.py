"""An objective as ``scoring=`` of a scikit-learn search: one number for each classifier, the bound first.

This file decides how classifiers are ranked in a search. It leaves metrics to :mod:`metricopt.problem.metrics`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils import column_or_1d

from metricopt._validation import reject
from metricopt.evidence.choice import ThresholdChoice
from metricopt.evidence.choosing import choice_at
from metricopt.evidence.rows import Rows
from metricopt.evidence.subgroups import read_subgroups
from metricopt.evidence.thresholds import selection_criterion
from metricopt.problem.classes import as_text, likely_positive
from metricopt.problem.cuts import Cuts
from metricopt.problem.metrics import confusion_counts
from metricopt.problem.objectives import CountObjective, Objective
from metricopt.problem.program import Program
from metricopt.problem.registry import get_objective


class ObjectiveScorer:
    r"""The score of any fitted classifier of two classes by an objective, for ``scoring=`` of a scikit-learn search.

    If the predictions of the classifier meet the bound, the score is their metric. If they miss it, the score is the
    bounded metric minus 2 (for an upper bound its negative minus 2, and an undefined metric counts as 0). That is below
    every score within the bound, and the nearer to the bound the higher. :func:`metricopt.fit` selects models in the
    same order. In a mean over folds, a fold that misses the bound therefore costs more than other folds can gain.

    Parameters
    ----------
    objective : str or Objective
        A name, with ``alpha`` or ``beta`` as for :func:`metricopt.fit`, or an instance. Average precision is computed
        from ``decision_function``, or from ``predict_proba`` if the classifier has none. For a
        :class:`~metricopt.Program` the score is -2 minus the total violation where a bound is missed.
    alpha : float, in (0, 1]
        The bound of an objective that is given by name.
    beta : float, > 0
        The beta of OFBS, if it is given by name.

    Raises
    ------
    InvalidInputError
        If there is no such objective.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> always = DummyClassifier(strategy="constant", constant=1).fit([[0], [0]], [0, 1])  # precision .5
    >>> [ObjectiveScorer("FPOR", alpha=alpha)(always, [[0], [0]], [0, 1]) for alpha in (0.5, 0.6)]
    [1.0, -1.5]
    """

    def __init__(self, objective: str | Objective, *, alpha: float | None = None, beta: float | None = None) -> None:
        (self.objective,) = get_objective(objective, alpha=alpha, beta=beta).for_labels(1)

    def __repr__(self) -> str:
        return f"ObjectiveScorer({self.objective!r})"

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None, subgroups: Any = None) -> float:
        """Return the score of a fitted classifier on data, or NaN if the data have no positives.

        Parameters
        ----------
        estimator : classifier
            A classifier with ``predict`` and ``classes_``. The positive one is its ``positive_``, if it has that; else
            the rule of :class:`~metricopt.DirectMetricClassifier` for two classes is applied to ``y``.
        X : array or frame, shape (n, number of features)
            The features.
        y : array, shape (n,)
            The true class of each row.
        sample_weight : array, shape (n,), optional
            Weights >= 0.
        subgroups : mapping of str to array of shape (n,), or a frame
            The columns that a program names; left out for other objectives.

        Raises
        ------
        InvalidInputError
            If the classifier has not two classes, or a column of subgroups is missing.
        """
        if len(estimator.classes_) != 2:
            reject("estimator", "of two classes", f"{len(estimator.classes_)} classes", "fit it on rows of two classes")
        y = column_or_1d(y)
        positive = _positive_of(estimator, y)
        labels = (y == positive).astype(np.float64)
        own = {"subgroups": subgroups} if has_own_thresholds(estimator) else {}
        alarms = (estimator.predict(X, **own) == positive).astype(np.float64)
        counts = confusion_counts(alarms, labels, 0.5, sample_weight)
        if not counts.positives:
            return float("nan")
        scores = alarms if isinstance(self.objective, CountObjective) else _scores_of(estimator, X, positive)
        (rows,) = Rows.read(
            scores,
            labels,
            sample_weight=sample_weight,
            groups=None,
            prevalence=None,
            subgroups=read_subgroups(subgroups, self.objective.columns, len(y), strict=False),
            columns=self.objective.columns,
        ).of_labels()
        if isinstance(self.objective, Program):
            cuts = Cuts.at(rows.ranking, self.objective, np.array([1.0, np.inf]), rows.rankings)  # alarms have score 1
            of_program = choice_at(rows, self.objective, cuts, 0, torch.float64)
            return selection_criterion(of_program, self.objective)[0]
        ranking = rows.ranking
        value = self.objective.measure(ranking, counts)
        judged = self.objective.threshold_objective
        feasible, bounded_value = judged.feasible(counts), judged.bounded_value(counts)
        choice = ThresholdChoice(0.5, np.nan_to_num(value), bounded_value, counts, feasible)
        return selection_criterion(choice, self.objective)[0]


def has_own_thresholds(estimator: Any) -> bool:
    """Say whether a classifier of ours, fitted, has a threshold for each subgroup."""
    return getattr(getattr(estimator, "result_", None), "threshold_per", None) is not None


def _positive_of(estimator: Any, y: np.ndarray) -> Any:
    """Return the positive class: that of a classifier of ours, also inside a search or a pipeline, else by the rule."""
    own = estimator
    while not hasattr(own, "positive_") and (hasattr(own, "best_estimator_") or hasattr(own, "steps")):
        own = own.best_estimator_ if hasattr(own, "best_estimator_") else own.steps[-1][1]
    if hasattr(own, "positive_"):
        return own.positive_
    names = [as_text(value) for value in estimator.classes_.tolist()]
    counts = [int((y == value).sum()) for value in estimator.classes_]
    name = likely_positive(dict(zip(names, counts, strict=True)))
    return estimator.classes_[1 if name is None else names.index(name)]


def _scores_of(estimator: Any, X: Any, positive: Any) -> np.ndarray:
    """Return the scores of the positive class."""
    is_second = bool(estimator.classes_[1] == positive)
    if hasattr(estimator, "decision_function"):
        return estimator.decision_function(X) if is_second else -estimator.decision_function(X)
    return estimator.predict_proba(X)[:, int(is_second)]
