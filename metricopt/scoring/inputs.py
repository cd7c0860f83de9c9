"""Whatever a user has at hand - arrays, tensors, data sets, loaders - in batches and scored, in the order of the data.

This file decides which forms of data a trained model can be applied to. It leaves calling the model on a batch to
:mod:`metricopt.scoring.forward`.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from metricopt._arrays import numbered
from metricopt._validation import InvalidInputError, reject
from metricopt.data.loader_labels import as_label_columns
from metricopt.data.loaders import SCORING_BATCH, check_scored_whole, indexed_loader, is_iterable, rows_of, split_batch
from metricopt.data.sparse_rows import SparseRows, is_sparse
from metricopt.scoring.forward import check_scores, device_of, forward, num_rows, score_loader, to_device
from metricopt.scoring.modes import evaluating


@torch.no_grad()
def score_inputs(data: Any, model: nn.Module, num_labels: int | None = None) -> np.ndarray:
    """Return the scores of inputs without labels, of shape (n, L); see :meth:`metricopt.FitResult.scores`."""
    check_inputs(data, model)
    device, columns = device_of(model), []
    with evaluating(model):
        for number, inputs in enumerate(inputs_of(data, model)):
            x = to_device(inputs, device)
            scores = forward(model, x, num_labels)
            check_scores(scores, x, number)
            columns.append(scores.cpu().numpy())
    if not columns:
        raise InvalidInputError("data must be non-empty, got no sample; pass at least one")
    return np.concatenate(columns)


def score_pairs(data: Any, model: nn.Module, num_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and labels of pairs (x, y), of shape (n, L) each; see :meth:`metricopt.FitResult.evaluate`."""
    return score_loader(model, pairs_of(data, model), device_of(model), num_labels)


def score_and_number_pairs(
    data: Any, model: nn.Module, num_labels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return what :func:`score_pairs` returns, and a number for each row, the same for rows of equal inputs.

    The numbers are None where inputs are something else than tensors, or a tuple or dict of tensors.
    """
    digests: list[bytes] = []

    def seen() -> Iterator[Any]:
        for batch in pairs_of(data, model):
            digests.extend(_digests(split_batch(batch)[0]))
            yield batch

    scores, labels = score_loader(model, seen(), device_of(model), num_labels)
    return scores, labels, numbered("inputs", digests, len(labels)) if len(digests) == len(labels) else None


def _digests(x: Any) -> list[bytes]:
    """Return a digest of each row of a batch; none if the batch does not consist of tensors with a row a sample."""
    parts = list(x.values()) if isinstance(x, Mapping) else list(x) if isinstance(x, (tuple, list)) else [x]
    if not all(isinstance(part, torch.Tensor) and part.layout == torch.strided and part.ndim for part in parts):
        return []
    if len({len(part) for part in parts}) != 1:
        return []
    columns = [part.detach().cpu().reshape(len(part), -1).contiguous().view(torch.uint8).numpy() for part in parts]
    return [hashlib.blake2b(b"".join(map(bytes, row)), digest_size=16).digest() for row in zip(*columns, strict=True)]


def pairs_of(data: Any, model: nn.Module) -> Any:
    """Return batches of (x, y), in the order of the data."""
    if isinstance(data, (tuple, list)):
        if len(data) != 2:
            reject("test_data", "a loader, a data set or a pair (x, y)", f"{len(data)} items", "pass (x, y)")
        x, labels = _as_tensors(data[0], model), as_label_columns(data[1])
        if num_rows(x) not in (None, len(labels)):
            reject("test_data", f"of one length, x holds {num_rows(x)} samples", f"{len(labels)} labels", "pass (x, y)")
        return zip(_batches(x), _batches(torch.from_numpy(labels)), strict=True)
    return _in_order(data)


def inputs_of(data: Any, model: nn.Module) -> Any:
    """Return batches of x, in the order of the data."""
    if not isinstance(data, (DataLoader, Dataset)):
        return _batches(_as_tensors(data, model))
    pairs = (
        batch if isinstance(batch, (tuple, list)) and len(batch) == 2 else (batch, None) for batch in _in_order(data)
    )
    return (x for x, _ in pairs)


def check_inputs(data: Any, model: nn.Module) -> None:
    """Reject a tuple or dict that does not fit the arguments of the model: most often (x, y) where x was meant."""
    try:
        signature = inspect.signature(model.forward)
    except (TypeError, ValueError):  # compiled code does not tell its arguments
        return
    try:
        if isinstance(data, Mapping):
            signature.bind(**data)
        elif isinstance(data, (tuple, list)):
            signature.bind(*data)
    except TypeError as error:
        got = f"a {type(data).__name__} of {len(data)}"
        remedy = "pass x alone, labels are for evaluate(); a tuple is read as arguments by position, a dict by name"
        reject("data", "inputs that the model takes, without labels", f"{got} ({error})", remedy)


def _batches(x: Any) -> Iterator[Any]:
    """Yield arrays (or tuples or dicts of them) by rows, so that a model never sees a large data set at once."""
    for start in range(0, max(num_rows(x) or 1, 1), SCORING_BATCH):
        yield _rows(x, slice(start, start + SCORING_BATCH))


def _rows(x: Any, rows: slice) -> Any:
    if isinstance(x, Mapping):
        return {name: _rows(value, rows) for name, value in x.items()}
    if isinstance(x, (tuple, list)) and num_rows(x) is not None:
        return tuple(_rows(value, rows) for value in x)
    return x[rows] if hasattr(x, "__getitem__") else x


def _in_order(data: Any) -> Any:
    loader = data if isinstance(data, DataLoader) else DataLoader(data, batch_size=256)
    if is_iterable(loader):
        return loader
    check_scored_whole("data", loader)
    ordered = indexed_loader(loader, loader.dataset, rows_of(loader), shuffled=False, generator=torch.Generator())
    return (batch for batch, _ in ordered)


def _as_tensors(x: Any, model: nn.Module) -> Any:
    """Return arrays as tensors that the model's layers take: NumPy's floats are float64, weights hardly ever."""
    if isinstance(x, Mapping):
        return {name: _as_tensors(value, model) for name, value in x.items()}
    if isinstance(x, (tuple, list)):
        return tuple(_as_tensors(value, model) for value in x)
    if not isinstance(x, torch.Tensor) and hasattr(x, "to_numpy"):  # a table of pandas
        x = x.to_numpy()
    if is_sparse(x):
        return SparseRows(x, _precision_of(model))
    if not isinstance(x, np.ndarray):
        return x
    if x.dtype.kind not in "biuf":
        reject("features", "numbers", f"an array of {x.dtype}", "encode texts and dates as numbers, as in training")
    tensor = torch.tensor(x)
    return tensor.to(_precision_of(model)) if tensor.is_floating_point() else tensor


def _precision_of(model: nn.Module) -> torch.dtype:
    precisions = (parameter.dtype for parameter in model.parameters() if parameter.is_floating_point())
    return next(precisions, torch.float32)
