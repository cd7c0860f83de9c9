"""Classifiers of scikit-learn, trained as they are: what they have not seen is the evidence for a threshold.

This file decides how a classifier is trained and what its scores are. It leaves folds to :mod:`metricopt.evidence`, and
the conventions of scikit-learn to :mod:`metricopt.estimator.classifier`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import has_fit_parameter

from metricopt._arrays import numbered
from metricopt._validation import InvalidInputError, reject
from metricopt.data.splits import stratified_split
from metricopt.estimator.candidates import Candidate, LabelledRows
from metricopt.evidence.cross_fit import cross_fit
from metricopt.evidence.rule import check_confidence, read_confidence
from metricopt.problem.objectives import Objective
from metricopt.results.history import History
from metricopt.results.result import result_from_scores
from metricopt.results.scores import OUT_OF_FOLD, DataScores
from metricopt.training.holdout import Holdout

BOOSTING = "boosting"
SMALLEST = 1e-15
"""Probabilities nearer to 0 or 1 than this are cut off, since their log-odds are not finite."""


@dataclass(frozen=True)
class Scores:
    """What scores features by a fitted classifier.

    Attributes
    ----------
    model : classifier
    """

    model: Any

    def __call__(self, features: Any) -> NDArray[np.float64]:
        """Return a score for each row, shape (m,): ``decision_function``, or log-odds of ``predict_proba``."""
        if hasattr(self.model, "decision_function"):
            return np.asarray(self.model.decision_function(features), dtype=np.float64)
        probability = np.asarray(self.model.predict_proba(features), dtype=np.float64)[:, 1]
        probability = np.clip(probability, SMALLEST, 1 - SMALLEST)
        return np.log(probability) - np.log1p(-probability)


def make_boosting(seed: int) -> Any:
    """Return the boosted trees that go by the name :data:`BOOSTING`, not trained yet."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(random_state=seed)


def check_classifier(model: Any) -> None:
    """Reject what is no classifier with scores.

    Raises
    ------
    InvalidInputError
        If it is a class and no instance, a regressor, or gives neither decisions nor probabilities.
    """
    if isinstance(model, type):
        reject("model", "an instance", f"the class {model.__name__}", f"give {model.__name__}()")
    if not is_classifier(model):
        remedy = "give a classifier, e.g. LogisticRegression()"
        reject("model", "a classifier", type(model).__name__, remedy)
    if not (hasattr(model, "decision_function") or hasattr(model, "predict_proba")):
        remedy = "choose a classifier, or an option of it, that ranks rows"
        reject("model", "one with decision_function or predict_proba", type(model).__name__, remedy)


def train_classifier(
    model: Any,
    rows: LabelledRows,
    objective: Objective,
    *,
    name: str,
    folds: NDArray[np.intp] | None,
    val_fraction: float,
    confidence: float | str | None,
    seed: int,
) -> Candidate:
    """Train a classifier of scikit-learn as it is; the objective chooses among its thresholds.

    Parameters
    ----------
    model : classifier
        What is cloned for each fold; ``sample_weight`` is passed on where its ``fit`` takes it.
    rows : LabelledRows
    objective : Objective
    name : str
    folds : ndarray, shape (n,), int, or None
        The fold of each row. None holds a part out.
    val_fraction : float, in [0, 1)
        That part; with 0 the training rows choose.
    confidence : "auto", float in (0, 1), or None
    seed : int
        Of the held-out part.

    Raises
    ------
    InvalidInputError
        If the model cannot be trained (the fold is named), or gives scores that are not finite.
    """
    if confidence is not None and confidence != "auto":
        check_confidence(confidence)  # type: ignore[arg-type]
    if not 0 <= val_fraction < 1:
        reject("val_fraction", "in [0, 1)", val_fraction, "give e.g. 0.2, or 0 to choose by the training rows")
    train = _trainer(model, rows, name, 1 if folds is None else int(folds.max()) + 1)
    labels, groups = rows.labels, None
    if rows.groups is not None:
        groups = numbered("groups", rows.groups, len(labels))
    if folds is not None:
        fitted = cross_fit(train, rows.features, labels, folds, sample_weight=rows.weight)
        scores, scorers = fitted.scores, fitted.scorers
        data = {
            "train": _data("train", scores(rows.features), rows, groups=groups),
            "validation": _data(OUT_OF_FOLD, fitted.out_of_fold, rows, groups=groups, folds=folds),
        }
    else:
        parts = [np.arange(len(labels))]
        if val_fraction:
            parts = list(stratified_split(labels, (1 - val_fraction, val_fraction), seed, rows.groups))
        scores = train(parts[0])
        scorers = (scores,)
        every = scores(rows.features)
        _check_finite(every, name)
        data = {
            part: _data(part, every[own], rows, own, groups=groups if part == "validation" else None)
            for part, own in zip(("train", "validation"), parts, strict=False)
        }
    result = result_from_scores(
        None,
        objective,
        data,
        label_names=(rows.label,),
        diverged=False,
        confidence=read_confidence(confidence, judges_itself=len(data) == 1),
        holdout=Holdout(val_fraction).text(None if folds is None else folds[:, np.newaxis], has_loader=False),
        classes=(None,),
        baseline_name="",
        history=History(),
        selected_stage="",
        solver="",
        seconds=0.0,
        versions={"metricopt": version("metricopt"), "scikit-learn": version("scikit-learn")},
    )
    return Candidate(name, result, scores, tuple(scorer.model for scorer in scorers if isinstance(scorer, Scores)))


def _trainer(model: Any, rows: LabelledRows, name: str, number: int) -> Callable[[NDArray[np.intp]], Scores]:
    """Return what trains a clone on the rows with given numbers."""
    weight_name = _weight_name(model)
    if rows.weight is not None and weight_name is None:
        warnings.warn(
            f"{name} takes no sample_weight, so its training ignores the weights. They count in the choice of the "
            "threshold and in the reports.",
            UserWarning,
            stacklevel=4,
        )
    calls = 0

    def train(chosen: NDArray[np.intp]) -> Scores:
        nonlocal calls
        calls += 1
        own, given = clone(model), {}
        if rows.weight is not None and weight_name is not None:
            given[weight_name] = rows.weight[chosen]
        try:
            own.fit(_safe_indexing(rows.features, chosen), rows.labels[chosen].astype(np.intp), **given)
        except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
            where = f" in fold {calls} of {number}" if number > 1 else ""
            kind = TypeError if isinstance(error, TypeError) else InvalidInputError
            raise kind(f"{name} could not be trained{where}: {error}") from error
        return Scores(own)

    return train


def _weight_name(model: Any) -> str | None:
    """Return the name under which ``fit`` takes weights; None if it takes none."""
    if isinstance(model, Pipeline):
        step, last = model.steps[-1]
        return f"{step}__sample_weight" if has_fit_parameter(last, "sample_weight") else None
    return "sample_weight" if has_fit_parameter(model, "sample_weight") else None


def _data(
    name: str,
    scores: NDArray[np.float64],
    rows: LabelledRows,
    own: NDArray[np.intp] | slice = slice(None),
    *,
    groups: NDArray[np.intp] | None,
    folds: NDArray[np.intp] | None = None,
) -> DataScores:
    weight = None if rows.weight is None else rows.weight[own, np.newaxis]
    labels = rows.labels[own, np.newaxis].astype(np.float32)
    of_groups = None if groups is None else groups[own]
    return DataScores(name, scores[:, np.newaxis], None, labels, None, weight, of_groups, folds)


def _check_finite(scores: NDArray[np.float64], name: str) -> None:
    if not np.isfinite(scores).all():
        got = f"{int((~np.isfinite(scores)).sum())} others"
        reject("model", "one that gives finite scores", f"{got} of {name}", "check the features for extreme values")
