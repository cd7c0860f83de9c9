"""Torch modules of a classifier, trained on the objective; those that have a name bring their own scaling.

This file decides how the features of a table reach a module. It leaves training to :func:`metricopt.training.fit.fit`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from metricopt._validation import reject
from metricopt.data.sparse_rows import SparseRows, is_sparse
from metricopt.estimator.candidates import LabelledRows, Settings
from metricopt.problem.objectives import Objective
from metricopt.progress import describe
from metricopt.results.result import FitResult
from metricopt.scoring.standardize import Standardize
from metricopt.training.fit import fit
from metricopt.training.table_models import TABLE_MODELS

FULL_BATCH_EPOCHS = 1000
MOST_ROWS_IN_FULL = 10_000
"""Up to so many rows a linear model is trained in full batches by default."""
BATCH_SIZE, LARGE_BATCH_SIZE = 256, 1024
MANY_ROWS = 50_000
"""Above so many rows the large batches are the default."""
LINEAR = "linear"


def train_module(model: Any, rows: LabelledRows, objective: Objective, settings: Settings, *, name: str) -> FitResult:
    """Train a module on the objective.

    Parameters
    ----------
    model : str, Module or callable ``(number of features) -> Module``
        As for :class:`~metricopt.DirectMetricClassifier`. A module is copied. ``"linear"`` and ``"mlp"`` scale the
        features themselves.
    rows : LabelledRows
        Their features are an array, or a sparse matrix for a model with a name.
    objective : Objective
    settings : Settings
    name : str

    Raises
    ------
    InvalidInputError
        If the callable returns no module, or :func:`metricopt.fit` rejects an argument.
    """
    dtype, batch_size, epochs = settings.dtype, settings.batch_size, settings.epochs
    features = _as_tensor(rows.features, dtype)
    scaling = Standardize.of(rows.features, rows.weight, dtype) if isinstance(model, str) else None
    if (
        model == LINEAR and scaling is not None
    ):  # outside, so that the folds' models are linear, and so is their average
        features = features.divided_by(scaling.scale) if isinstance(features, SparseRows) else scaling(features)
    num_rows = len(rows.labels)
    if batch_size is None:
        batch_size = _default_batch_size(num_rows, model, chooses_itself=settings.val_fraction == 0)
    is_whole = batch_size >= num_rows
    loader = DataLoader(
        TensorDataset(cast(Tensor, features), torch.from_numpy(rows.labels).to(dtype)),
        batch_size=int(batch_size),
        shuffle=not is_whole,
    )
    result = fit(
        copy.deepcopy(model).to(dtype)
        if isinstance(model, nn.Module)
        else _maker(model, scaling, features.shape[1], dtype),
        loader,
        objective,
        label_names=[rows.label],
        epochs=FULL_BATCH_EPOCHS if is_whole and epochs is None else epochs,
        sample_weight=rows.weight,
        groups=rows.groups,
        subgroups=rows.subgroups,
        folds=settings.asked_folds if settings.folds is None else settings.folds,
        val_fraction=settings.val_fraction,
        confidence=settings.confidence,
        prevalence=settings.prevalence,
        solver=copy.deepcopy(settings.solver),  # whose state moves
        learning_rate=settings.learning_rate,
        seed=settings.seed,
        device=settings.device,
        callbacks=[] if settings.tell is None else [partial(_tell_epoch, settings.tell, name)],
        **settings.rest,
    )
    if model == LINEAR and scaling is not None:
        result = replace(result, model=nn.Sequential(scaling.to(result.model.weight.device), result.model))
    return result


def _tell_epoch(tell: Callable[[str], None], name: str, records: Sequence[dict[str, Any]]) -> None:
    tell(f"{name}: {records[0]['stage']}, epoch {records[0]['epoch']}: {describe(records)}")


def _default_batch_size(num_rows: int, model: Any, *, chooses_itself: bool) -> int:
    if chooses_itself or (model == LINEAR and num_rows <= MOST_ROWS_IN_FULL):
        return num_rows
    return min(num_rows, LARGE_BATCH_SIZE if num_rows > MANY_ROWS else BATCH_SIZE)


def _as_tensor(features: Any, dtype: torch.dtype) -> Tensor | SparseRows:
    return SparseRows(features, dtype) if is_sparse(features) else torch.tensor(np.asarray(features)).to(dtype)


def _maker(model: Any, scaling: Standardize | None, num_features: int, dtype: torch.dtype) -> Callable[[], nn.Module]:
    """Return what makes the module afresh."""
    make = partial(TABLE_MODELS[model] if isinstance(model, str) else model, num_features)

    def made() -> nn.Module:
        module = make()
        if not isinstance(module, nn.Module):
            reject("model", "a callable that returns a Module", type(module).__name__, "return the network")
        if scaling is not None and model != LINEAR:
            module = nn.Sequential(copy.deepcopy(scaling), module)
        return module.to(dtype)

    return made
