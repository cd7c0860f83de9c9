"""One or several models trained on the same rows and folds, and the best of them.

This file decides what the names of models stand for, and which folds they share. How each is trained is in
:mod:`metricopt.estimator.modules` and :mod:`metricopt.estimator.classifiers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from metricopt._validation import reject
from metricopt.estimator.blending import blended
from metricopt.estimator.candidates import LabelledRows, Settings
from metricopt.estimator.classifiers import make_boosting, train_classifier
from metricopt.estimator.modules import train_module
from metricopt.evidence.folds import DEFAULT_FOLDS, make_folds
from metricopt.problem.objectives import Objective
from metricopt.results.choice_of_models import best_on_folds
from metricopt.results.result import FitResult
from metricopt.results.status import Status
from metricopt.results.tried import Tried
from metricopt.training.table_models import BLEND, BOOSTING, MLP

_FEWEST = 2


def train_one(name: str, model: Any, rows: LabelledRows, objective: Objective, settings: Settings) -> FitResult:
    """Train a model by its name, a torch module, a callable that makes one, or a classifier of scikit-learn."""
    if isinstance(model, str) and model == BOOSTING:
        model = make_boosting(settings.seed)
    if hasattr(model, "fit") and not isinstance(model, nn.Module):
        return train_classifier(model, rows, objective, settings, name=name)
    return train_module(model, rows, objective, settings, name=name)


def with_blend(results: Mapping[str, FitResult], objective: Objective) -> dict[str, FitResult]:
    """Return results by name, and with them the mean of MLP and boosting, if both are there and neither diverged."""
    network, trees = results.get(MLP), results.get(BOOSTING)
    if network is None or trees is None or Status.DIVERGED in (network.status, trees.status):
        return dict(results)
    return {**results, BLEND: blended(network, trees, objective)}


def best_of(results: Mapping[str, FitResult], objective: Objective) -> FitResult:
    """Return the best of several results by name, with evidence that did not choose it.

    Its ``candidates`` tell what each of them reached at its own threshold.
    """
    names = list(results)
    winner, best = best_on_folds(objective, list(results.values()))
    return replace(
        best, candidates=tuple(tried(name, result, name == names[winner]) for name, result in results.items())
    )


def tried(name: str, result: FitResult, is_chosen: bool = False) -> Tried:
    """Return what a model reached on the rows that it had not seen."""
    return Tried(name, result.statuses[0], result.selection, result.seconds, is_chosen)


def shared_folds(folds: Any, rows: LabelledRows, seed: int) -> NDArray[np.intp]:
    """Return the fold of each row, shape (n,).

    Parameters
    ----------
    folds : "auto", int, splitter or array
        By default there are 5, or as many as the rarer class has rows, or as there are groups.
    rows : LabelledRows
    seed : int

    Raises
    ------
    InvalidInputError
        If there are too few rows of a class, or folds cannot be dealt out.
    """
    if isinstance(folds, str) and folds == "auto":
        fewest = int(min((rows.labels == 0).sum(), (rows.labels == 1).sum()))
        if fewest < _FEWEST:
            reject("y", "with two rows of each class or more, for folds", fewest, "add rows, or give folds=None")
        num_groups = fewest if rows.groups is None else len(set(rows.groups))
        folds = min(DEFAULT_FOLDS, fewest, num_groups)
    return make_folds(folds, rows.labels, groups=rows.groups, subgroups=rows.subgroups, seed=seed)
