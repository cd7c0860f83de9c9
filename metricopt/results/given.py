"""Data for a result: scored by its model or, where it has none, scores that the user gives.

This file decides what a result without a model takes in place of inputs, and what it cannot do. It leaves scoring to
:mod:`metricopt.scoring.inputs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, TypeAlias

import numpy as np
import torch
from torch import nn

from metricopt._arrays import columns_of, to_numpy
from metricopt._validation import check_finite, check_labels, reject
from metricopt.problem.classes import Classes
from metricopt.scoring.blend import Blend
from metricopt.scoring.classifiers import FittedClassifiers
from metricopt.scoring.inputs import score_and_number_pairs, score_inputs, score_pairs

ClassesOfLabels: TypeAlias = "tuple[Classes | None, ...]"
"""The classes of each label; None for one whose labels are 0 and 1."""


AnyModel: TypeAlias = "nn.Module | FittedClassifiers | Blend | None"
"""A torch model, fitted classifiers, a blend of both, or None for a result of scores alone."""


def scores_of(data: Any, model: AnyModel, num_labels: int) -> np.ndarray:
    """Return the scores of data without labels, shape (n, L): the model's, or without one the data themselves."""
    if model is None:
        return read_scores(data, num_labels)
    return score_inputs(data, model, num_labels) if isinstance(model, nn.Module) else model.scores(data)


def scored_pairs(
    data: Any, labels: Any, model: AnyModel, classes: ClassesOfLabels, label_names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and labels of data, shape (n, L) each; ``labels`` is None where the data hold them."""
    if not isinstance(model, nn.Module):
        return _given_pairs(data, labels, model, classes, label_names)
    return score_pairs(data if labels is None else (data, labels), model, len(classes))


def scored_and_numbered_pairs(
    data: Any, labels: Any, model: AnyModel, classes: ClassesOfLabels, label_names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return what :func:`scored_pairs` returns, and a number for each row by its inputs, None where these are unknown.

    Rows of equal inputs have the same number.
    """
    if not isinstance(model, nn.Module):
        return *_given_pairs(data, labels, model, classes, label_names), None
    return score_and_number_pairs(data if labels is None else (data, labels), model, len(classes))


def reject_without_model(what: str, model: FittedClassifiers | Blend | None) -> NoReturn:
    """Say that something needs a torch model, which a result of scores alone or of classifiers has not.

    Raises
    ------
    InvalidInputError
    """
    if model is not None:
        remedy = "save it with result.save, which holds the classifiers too"
        reject("the result", f"one with a torch model to {what}", str(model), remedy)
    remedy = "train one with metricopt.fit, or apply result.threshold to the scores of the model that gave them"
    reject("the result", f"one with a model to {what}", "a result of scores alone", remedy)


def read_scores(scores: Any, num_labels: int | None = None) -> np.ndarray:
    """Return scores that a user gives, shape (n, L), in their own precision.

    Parameters
    ----------
    scores : array, tensor, list, or column or frame of pandas or polars, shape (n,) or (n, L)
    num_labels : int, optional
        How many columns there must be, because a result speaks of so many labels.

    Raises
    ------
    InvalidInputError
        If they are not finite numbers, or of another number of columns.
    """
    columns, _ = columns_of(scores)
    if num_labels is not None and len(columns) != num_labels:
        rule = f"scores of {num_labels} label{'s' * (num_labels != 1)}, because the result has no model"
        remedy = "give the scores of the model that the result was made for, one column a label"
        reject("data", rule, f"{len(columns)} columns", remedy)
    if not columns:
        reject("scores", "of one label at least", "no column", "give one column a label")
    for column in columns:
        _check_no_text(column)
    numbers = [to_numpy("scores", column) for column in columns]
    if {array.ndim for array in numbers} != {1}:
        reject("scores", "of shape (n,) or (n, L)", f"shape {np.shape(scores)}", "give one row a sample")
    table = np.column_stack(numbers)
    check_finite("scores", table)
    return table.astype(np.promote_types(table.dtype, np.float32), copy=False)


def read_labels(labels: Any, classes: ClassesOfLabels, label_names: Sequence[str]) -> np.ndarray:
    """Return labels that a user gives as 0, 1 and NaN, shape (n, L), float32.

    Raises
    ------
    InvalidInputError
        If there are not as many columns as classes, or a value is not of the classes, nor 0, 1 or missing.
    """
    columns, _ = columns_of(labels)
    if len(columns) != len(classes):
        reject("labels", f"one column a label ({len(classes)})", f"{len(columns)} columns", "give one label a score")
    numbers = [
        to_numpy("labels", column) if own is None else own.encode(column, label=name)
        for column, own, name in zip(columns, classes, label_names, strict=True)
    ]
    if {array.ndim for array in numbers} - {1}:
        reject("labels", "of shape (n,) or (n, L)", f"shape {np.shape(labels)}", "give one row a sample")
    table = np.column_stack(numbers)
    check_labels(table)
    return table.astype(np.float32)


def check_same_rows(scores: np.ndarray, labels: np.ndarray) -> None:
    """Reject scores and labels of different numbers of rows.

    Raises
    ------
    InvalidInputError
    """
    if len(scores) != len(labels):
        reject("labels", f"one a row of the scores ({len(scores)})", f"{len(labels)} rows", "give one label a score")


def _check_no_text(column: Any) -> None:
    values = [] if isinstance(column, torch.Tensor) else np.asarray(column).ravel()[:1000].tolist()
    first = next((value for value in values if isinstance(value, str)), None)
    if first is not None:
        reject("scores", "numbers", f"text, such as {first!r}", "give the column with the model's scores, as numbers")


def _given_pairs(
    data: Any,
    labels: Any,
    model: FittedClassifiers | Blend | None,
    classes: ClassesOfLabels,
    label_names: Sequence[str],
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and labels of data that torch has no part in."""
    if labels is None:
        if not (isinstance(data, (tuple, list)) and len(data) == 2):
            what = "scores" if model is None else "features"
            reject("labels", f"given beside {what}", None, f"pass the {what} of the rows, and their labels")
        data, labels = data
    scores, truth = scores_of(data, model, len(classes)), _labels_of(labels, model, classes, label_names)
    check_same_rows(scores, truth)
    return scores, truth


def _labels_of(
    labels: Any, model: FittedClassifiers | Blend | None, classes: ClassesOfLabels, label_names: Sequence[str]
) -> np.ndarray:
    """Return labels as 0, 1 and NaN; beside a model they may be that already."""
    is_read = model is not None and isinstance(labels, (np.ndarray, torch.Tensor)) and _are_numbers(labels)
    return read_labels(labels, (None,) * len(classes) if is_read else classes, label_names)


def _are_numbers(labels: np.ndarray | torch.Tensor) -> bool:
    """Say whether all labels are 0, 1 or NaN."""
    values = np.asarray(labels)
    return values.dtype.kind in "biuf" and bool(((values == 0) | (values == 1) | (values != values)).all())
