"""What tells a training from others, so that a checkpoint is resumed by the run that wrote it and by no other.

This file decides what must agree. It leaves what happens where it does not to :mod:`metricopt.training.checkpoint`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from metricopt.data.loaders import batch_size_of
from metricopt.processes import Processes
from metricopt.solvers import Stage
from metricopt.training.parts import Part, Partition
from metricopt.training.random_states import Generator, begun_anew
from metricopt.training.request import Request

SAMPLED_ROWS = 16
"""How many rows stand for a data set that is not in memory as tensors: few, as each may be an image to decode."""


def fingerprint_of(
    request: Request,
    model: nn.Module,
    parts: Partition,
    plan: Sequence[Stage],
    label_names: Sequence[str],
    processes: Processes,
    *,
    generators: Sequence[Generator],
) -> dict[str, str]:
    """Return the name and value of everything that must be the same when a training is resumed.

    Parameters
    ----------
    model : Module
        What is trained counts by its layers and the kinds and shapes of its weights.
    request : Request
        The loader counts by its batch size (times the number of processes) and the kind of its sampler. The number of
        its workers may differ.
    parts : Partition
        The parts count by their labels and weights; those of an iterable data set in any order. Inputs are read as
        :func:`digest_of` says.
    plan : sequence of Stage
    label_names : sequence of str
    processes : Processes
    generators : sequence of generators
        The random generators that the loaders, samplers and data sets hold, which count by their number.
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
        "generators": str(len(generators)),
        "batch size": str(batch_size_of(loader) * processes.number),
        "sampler": type(loader.sampler).__name__,
        "steps an epoch": str(len(parts.train_loader)),
        "training data": _describe(parts.train, parts.is_stream),
        "held-out data": "none" if validation is None else _describe(validation, in_any_order=True),
        **processes.from_main(lambda: _inputs_of(request, generators)),
        **{f"weights {name}": f"{value.dtype} {tuple(value.shape)}" for name, value in model.state_dict().items()},
    }


def _inputs_of(request: Request, generators: Sequence[Generator]) -> dict[str, str]:
    held_out = None if request.val_loader is None else request.val_loader.dataset
    data = {"training": request.loader.dataset, "scored": request.eval_dataset, "validation": held_out}
    return {f"{name} inputs": digest_of(given, generators) for name, given in data.items() if given is not None}


def digest_of(dataset: Dataset[Any], generators: Sequence[Generator]) -> str:
    """Return a text that is another one where a data set holds other values.

    Every value of a :class:`~torch.utils.data.TensorDataset` counts, and of other data sets :data:`SAMPLED_ROWS` rows
    that lie evenly in it (of an iterable one, the first). These are read twice, with the same random draws. If they
    are not the same then, or cannot be read here (in a worker alone, say), the text says so.

    Parameters
    ----------
    dataset : Dataset
    generators : sequence of generators
        The random generators that it may draw from, beside the global ones.
    """
    if type(dataset) is TensorDataset:
        return f"{_crc_of(dataset.tensors):08x}"
    try:
        first, second = (_read_some(dataset, generators) for _ in range(2))
    except Exception:  # whatever a data set stumbles over; what matters shows in training
        return "not readable outside of workers"
    return f"{first:08x}" if first == second else "others at every reading"


def _read_some(dataset: Any, generators: Sequence[Generator]) -> int:
    with begun_anew(generators):
        if isinstance(dataset, IterableDataset):
            return _crc_of(list(islice(iter(dataset), SAMPLED_ROWS)))
        rows = np.unique(np.linspace(0, len(dataset) - 1, SAMPLED_ROWS).astype(int))
        return _crc_of([dataset[int(row)] for row in rows])


def _crc_of(value: Any, crc: int = 0) -> int:
    """Return the CRC-32 of tensors, arrays, images, numbers and texts, and of what holds them; of others their kind."""
    if isinstance(value, Mapping):
        value = list(value.items())
    if isinstance(value, (list, tuple)):
        for item in value:
            crc = _crc_of(item, crc)
        return zlib.crc32(str(len(value)).encode(), crc)
    if isinstance(value, (str, bytes, int, float, bool, type(None))):
        return zlib.crc32(repr(value).encode(), crc)
    if isinstance(value, Tensor):
        crc = zlib.crc32(f"{value.dtype} {tuple(value.shape)}".encode(), crc)
        if value.layout is not torch.strided or value.is_quantized:
            return crc
        return zlib.crc32(value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data, crc)
    array = np.asarray(value)
    if array.dtype == object:
        return zlib.crc32(type(value).__name__.encode(), crc)
    return zlib.crc32(array.tobytes(), zlib.crc32(f"{array.dtype} {array.shape}".encode(), crc))


def _describe(part: Part, in_any_order: bool) -> str:
    labels = np.sort(part.labels, axis=0) if in_any_order else part.labels
    weight = "" if part.sample_weight is None else f", weights {_crc(part.sample_weight)}"
    subgroups = "".join(f", {name} {_crc(column.of_row)}" for name, column in part.subgroups.items())
    return f"{len(labels)} rows of {labels.shape[1]} label(s) {_crc(labels)}{weight}{subgroups}"


def _crc(array: np.ndarray) -> str:
    return f"{zlib.crc32(np.ascontiguousarray(array).data):08x}"
