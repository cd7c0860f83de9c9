"""Torch modules of a classifier, trained on the objective; those that have a name bring their own scaling.

This file decides how the features of a table reach a module. It leaves training to :func:`metricopt.training.fit.fit`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from metricopt._validation import reject
from metricopt.estimator.candidates import LabelledRows, Settings
from metricopt.problem.objectives import Objective
from metricopt.progress import describe
from metricopt.results.result import FitResult
from metricopt.training.fit import fit
from metricopt.training.table_models import TABLE_MODELS

FULL_BATCH_EPOCHS = 1000
MOST_ROWS_IN_FULL = 10_000
"""Up to so many rows a linear model is trained in full batches by default."""
BATCH_SIZE, LARGE_BATCH_SIZE = 256, 1024
MANY_ROWS = 50_000
"""Above so many rows the large batches are the default."""
LINEAR = "linear"


class Standardize(nn.Module):
    """Features with mean 0 and standard deviation 1 in the training rows; a constant one becomes 0.

    Parameters
    ----------
    num_features : int
        The number of features, d.
    """

    mean: Tensor
    scale: Tensor
    is_fixed = True
    """It computes the same in training and evaluation, and never changes itself."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("scale", torch.ones(num_features))

    @classmethod
    def of(cls, rows: LabelledRows, dtype: torch.dtype) -> Standardize:
        """Return the scaling of these rows, by their weights."""
        features = np.asarray(rows.features, dtype=np.float64)
        mean = np.average(features, axis=0, weights=rows.weight)
        scale = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=rows.weight))
        made = cls(features.shape[1])
        made.mean = torch.from_numpy(mean).to(dtype)
        made.scale = torch.from_numpy(np.where(scale > 1e-12 * np.abs(mean), scale, 1.0)).to(dtype)
        return made

    def forward(self, features: Tensor) -> Tensor:
        """Return standardised features, shape (B, d)."""
        return (features - self.mean) / self.scale


def train_module(model: Any, rows: LabelledRows, objective: Objective, settings: Settings, *, name: str) -> FitResult:
    """Train a module on the objective.

    Parameters
    ----------
    model : str, Module or callable ``(number of features) -> Module``
        As for :class:`~metricopt.DirectMetricClassifier`. A module is copied. ``"linear"`` and ``"mlp"`` get
        standardised features.
    rows : LabelledRows
        Their features are an array.
    objective : Objective
    settings : Settings
    name : str

    Raises
    ------
    InvalidInputError
        If the callable returns no module, or :func:`metricopt.fit` rejects an argument.
    """
    dtype, batch_size, epochs = settings.dtype, settings.batch_size, settings.epochs
    features = torch.tensor(np.asarray(rows.features)).to(dtype)
    scaling = Standardize.of(rows, dtype) if isinstance(model, str) else None
    if model == LINEAR and scaling is not None:
        features = scaling(features)  # outside, so that the models of the folds are linear, and so is their average
    num_rows = len(rows.labels)
    if batch_size is None:
        batch_size = _default_batch_size(num_rows, model, chooses_itself=settings.val_fraction == 0)
    is_whole = batch_size >= num_rows
    loader = DataLoader(
        TensorDataset(features, torch.from_numpy(rows.labels).to(dtype)),
        batch_size=int(batch_size),
        shuffle=not is_whole,
    )
    result = fit(
        copy.deepcopy(model).to(dtype) if isinstance(model, nn.Module) else _maker(model, scaling, features, dtype),
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


def make_module(name: str, num_features: int, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return a module of the architecture that :func:`train_module` trains by this name, to be loaded into."""
    return nn.Sequential(Standardize(num_features), TABLE_MODELS[name](num_features)).to(dtype)


def _default_batch_size(num_rows: int, model: Any, *, chooses_itself: bool) -> int:
    if chooses_itself or (model == LINEAR and num_rows <= MOST_ROWS_IN_FULL):
        return num_rows
    return min(num_rows, LARGE_BATCH_SIZE if num_rows > MANY_ROWS else BATCH_SIZE)


def _maker(model: Any, scaling: Standardize | None, features: Tensor, dtype: torch.dtype) -> Callable[[], nn.Module]:
    """Return what makes the module afresh."""
    make = partial(TABLE_MODELS[model] if isinstance(model, str) else model, features.shape[1])

    def made() -> nn.Module:
        module = make()
        if not isinstance(module, nn.Module):
            reject("model", "a callable that returns a Module", type(module).__name__, "return the network")
        if scaling is not None and model != LINEAR:
            module = nn.Sequential(copy.deepcopy(scaling), module)
        return module.to(dtype)

    return made
