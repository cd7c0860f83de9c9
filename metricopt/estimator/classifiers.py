"""Classifiers of scikit-learn, trained as they are: what they have not seen is the evidence for a threshold.

This file decides how a classifier is trained. It leaves its scores to :mod:`metricopt.scoring.classifiers`, folds to
:mod:`metricopt.evidence`, and the conventions of scikit-learn to :mod:`metricopt.estimator.classifier`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
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
from metricopt.estimator.candidates import LabelledRows, Settings
from metricopt.evidence.cross_fit import cross_fit
from metricopt.evidence.rule import check_confidence, read_confidence
from metricopt.evidence.subgroups import crossed_subgroups
from metricopt.problem.objectives import Objective
from metricopt.results.history import History
from metricopt.results.result import FitResult, result_from_scores
from metricopt.results.scores import OUT_OF_FOLD, DataScores, scores_at
from metricopt.results.versions import package_of, versions_of
from metricopt.scoring.classifiers import FittedClassifiers, score_by
from metricopt.training.holdout import DEFAULT_FRACTION, Holdout


def make_boosting(seed: int) -> Any:
    """Return the boosted trees that go by the name ``"boosting"``, not trained yet."""
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
    model: Any, rows: LabelledRows, objective: Objective, settings: Settings, *, name: str
) -> FitResult:
    """Train a classifier of scikit-learn as it is; the objective chooses among its thresholds.

    Parameters
    ----------
    model : classifier
        What is cloned for each fold; ``sample_weight`` is passed on where its ``fit`` takes it.
    rows : LabelledRows
    objective : Objective
    settings : Settings
        Without folds a part is held out; with a ``val_fraction`` of 0 the training rows choose.
    name : str

    Raises
    ------
    InvalidInputError
        If the model cannot be trained (the fold is named), or gives scores that are not finite.
    """
    began, folds = time.perf_counter(), settings.folds
    val_fraction = DEFAULT_FRACTION if settings.val_fraction is None else settings.val_fraction
    if settings.confidence is not None and settings.confidence != "auto":
        check_confidence(settings.confidence)  # type: ignore[arg-type]
    if not 0 <= val_fraction < 1:
        reject("val_fraction", "in [0, 1)", val_fraction, "give e.g. 0.2, or 0 to choose by the training rows")
    train = _trainer(model, rows, name, folds, settings.tell)
    labels, groups = rows.labels, None
    if rows.groups is not None:
        groups = numbered("groups", rows.groups, len(labels))
    if folds is not None:
        crossed = cross_fit(
            lambda chosen: partial(_finite_scores, train(chosen)),
            rows.features,
            labels,
            folds,
            sample_weight=rows.weight,
        )
        fitted = FittedClassifiers(tuple(scorer.args[0] for scorer in crossed.scorers), crossed.frames)  # type: ignore[attr-defined]
        data = {
            "train": _data("train", crossed.scores(rows.features), rows, groups=groups),
            "validation": _data(OUT_OF_FOLD, crossed.out_of_fold, rows, groups=groups, folds=folds),
        }
    else:
        parts = [np.arange(len(labels))]
        if val_fraction:
            fractions = (1 - val_fraction, val_fraction)
            parts = list(
                stratified_split(labels, fractions, settings.seed, rows.groups, crossed_subgroups(rows.subgroups))
            )
        fitted = FittedClassifiers((train(parts[0]),))
        every = fitted.scores(rows.features)[:, 0]
        data = {
            part: _data(part, every[own], rows, own, groups=groups if part == "validation" else None)
            for part, own in zip(("train", "validation"), parts, strict=False)
        }
    return result_from_scores(
        fitted,
        objective,
        data if settings.prevalence is None else scores_at(settings.prevalence, data),
        label_names=(rows.label,),
        diverged=False,
        confidence=read_confidence(settings.confidence, judges_itself=len(data) == 1),
        holdout=Holdout(val_fraction).text(None if folds is None else folds[:, np.newaxis], has_loader=False),
        prevalence=settings.prevalence,
        classes=(None,),
        baseline_name="",
        history=History(),
        selected_stage="",
        solver="",
        seconds=time.perf_counter() - began,
        versions=versions_of(_packages_of(fitted)),
    )


def _finite_scores(model: Any, features: Any) -> NDArray[np.float64]:
    scores = score_by(model, features)
    if not np.isfinite(scores).all():
        got = f"{int((~np.isfinite(scores)).sum())} others of {type(model).__name__}"
        reject("model", "one that gives finite scores", got, "check the features for extreme values")
    return scores


def _packages_of(fitted: FittedClassifiers) -> list[str]:
    """Return the packages that a classifier came from, as far as they have a version."""
    last = fitted.models[0].steps[-1][1] if isinstance(fitted.models[0], Pipeline) else fitted.models[0]
    own = package_of(type(last).__module__.partition(".")[0])
    return ["metricopt", "scikit-learn", *([] if own in (None, "scikit-learn") else [own])]


def _trainer(
    model: Any, rows: LabelledRows, name: str, folds: NDArray[np.intp] | None, tell: Callable[[str], None] | None
) -> Callable[[NDArray[np.intp]], Any]:
    """Return what trains a clone on the rows with given numbers."""
    weight_name = _weight_name(model)
    if rows.weight is not None and weight_name is None:
        warnings.warn(
            f"{name} takes no sample_weight, so its training ignores the weights. They count in the choice of the "
            "threshold and in the reports.",
            UserWarning,
            stacklevel=4,
        )

    def train(chosen: NDArray[np.intp]) -> Any:
        own, given = clone(model), {}
        if rows.weight is not None and weight_name is not None:
            given[weight_name] = rows.weight[chosen]
        try:
            own.fit(_safe_indexing(rows.features, chosen), rows.labels[chosen].astype(np.intp), **given)
        except Exception as error:  # whatever a classifier stumbles over
            where = "" if folds is None else f" in {_fold_without(chosen, folds)}"
            kind = TypeError if isinstance(error, TypeError) else InvalidInputError
            what = str(error) if isinstance(error, (ValueError, TypeError, RuntimeError)) else repr(error)
            raise kind(f"{name} could not be trained{where}: {what}") from error
        if tell is not None and folds is not None:
            tell(f"{name}: {_fold_without(chosen, folds)} is trained")
        return own

    return train


def _fold_without(chosen: NDArray[np.intp], folds: NDArray[np.intp]) -> str:
    """Return which fold is left out where the rows of all others train."""
    number = int(folds.max()) + 1
    (left_out,) = np.setdiff1d(np.arange(number), folds[chosen])
    return f"fold {left_out + 1} of {number}"


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
    subgroups = {column: of_rows.take(own) for column, of_rows in rows.subgroups.items()}
    return DataScores(name, scores[:, np.newaxis], None, labels, None, weight, of_groups, folds, subgroups)
