"""What tells a training from others, so that a checkpoint is resumed by the run that wrote it and by no other.

This file decides what must agree. It leaves what happens where it does not to :mod:`metricopt.training.checkpoint`.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn
from torch.utils.data import DataLoader

from metricopt.data.loaders import batch_size_of
from metricopt.problem.objectives import Objective
from metricopt.solvers import Solver, Stage
from metricopt.training.partition import Part, Partition


def fingerprint_of(
    model: nn.Module,
    loader: DataLoader[Any],
    parts: Partition,
    objective: Objective,
    solver: Solver,
    plan: Sequence[Stage],
    label_names: Sequence[str],
    num_processes: int = 1,
    **arguments: object,
) -> dict[str, str]:
    """Return the name and value of everything that must be the same when a training is resumed.

    Parameters
    ----------
    model : Module
        By its layers, and the kinds and shapes of its weights.
    loader : DataLoader
        The user's, by its batch size (times ``num_processes``) and the kind of its sampler. Workers may differ.
    parts : Partition
        By its labels and weights; those of an iterable data set in any order.
    objective, solver, plan, label_names
        Of the training.
    **arguments
        Others of ``fit``, by name.
    """
    validation = parts.validation
    return {
        "objective": repr(objective),
        "label_names": ", ".join(label_names),
        "stages": ", ".join(
            f"{stage.name} by {repr(solver) if stage.is_direct else 'cross_entropy'} for {stage.epochs} epochs"
            for stage in plan
        ),
        "model": f"{type(model).__name__} {zlib.crc32(repr(model).encode()):08x}",
        **{name: str(value) for name, value in arguments.items()},
        "batch size": str(batch_size_of(loader) * num_processes),
        "sampler": type(loader.sampler).__name__,
        "steps an epoch": str(len(parts.train_loader)),
        "training data": _describe(parts.train, parts.is_stream),
        "held-out data": "none" if validation is None else _describe(validation, in_any_order=True),
        **{f"weights {name}": f"{value.dtype} {tuple(value.shape)}" for name, value in model.state_dict().items()},
    }


def _describe(part: Part, in_any_order: bool) -> str:
    labels = np.sort(part.labels, axis=0) if in_any_order else part.labels
    weight = "" if part.sample_weight is None else f", weights {_crc(part.sample_weight)}"
    return f"{len(labels)} rows of {labels.shape[1]} label(s) {_crc(labels)}{weight}"


def _crc(array: np.ndarray) -> str:
    return f"{zlib.crc32(np.ascontiguousarray(array).data):08x}"
