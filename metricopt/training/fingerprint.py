"""What tells a training from others, so that a checkpoint is resumed by the run that wrote it and by no other.

This file decides what must agree. It leaves what happens where it does not to :mod:`metricopt.training.checkpoint`.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from torch import nn

from metricopt.data.loaders import batch_size_of
from metricopt.processes import Processes
from metricopt.solvers import Stage
from metricopt.training.partition import Part, Partition
from metricopt.training.request import Request


def fingerprint_of(
    request: Request,
    model: nn.Module,
    parts: Partition,
    plan: Sequence[Stage],
    label_names: Sequence[str],
    processes: Processes,
    *,
    num_generators: int,
) -> dict[str, str]:
    """Return the name and value of everything that must be the same when a training is resumed.

    Parameters
    ----------
    model : Module
        What is trained counts by its layers and the kinds and shapes of its weights.
    request : Request
        The loader counts by its batch size (times the
        number of processes) and the kind of its sampler. The number of its workers may differ.
    parts : Partition
        The parts count by their labels and weights; those of an iterable data set in any order.
    plan : sequence of Stage
    label_names : sequence of str
    processes : Processes
    num_generators : int
        Number of the random generators that the loaders, samplers and data sets hold.
    """
    loader, validation = request.loader, parts.validation
    stages = [
        f"{stage.name} by {repr(request.solver) if stage.is_direct else 'cross_entropy'} for {stage.epochs} epochs"
        for stage in plan
    ]
    return {
        "objective": repr(request.objective),
        "label_names": ", ".join(label_names),
        "stages": ", ".join(stages),
        "model": f"{type(model).__name__} {zlib.crc32(repr(model).encode()):08x}",
        "seed": str(request.seed),
        "learning_rate": str(request.learning_rate),
        "optimizer": type(request.optimizer).__name__,
        "gradient_clip": str(request.gradient_clip),
        "scheduler": str(request.scheduler is not None),
        "precision": str(processes.accelerator.mixed_precision),
        "generators": str(num_generators),
        "batch size": str(batch_size_of(loader) * processes.number),
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
