"""The labels of a loader's rows: of its batches, or of its data set where they are known without reading it.

This file decides where labels are looked for. It leaves how a loader is rebuilt to :mod:`metricopt.data.loaders`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset, TensorDataset

from metricopt._arrays import to_numpy
from metricopt._validation import InvalidInputError, check_labels, reject
from metricopt.data.loaders import indexed_loader, split_batch


def as_label_columns(labels: Any) -> np.ndarray:
    """Return labels as float32 of shape (n, L)."""
    array = to_numpy("labels", labels).astype(np.float32)
    if array.ndim not in (1, 2):
        reject("labels", "of shape (n,) or (n, L)", f"shape {array.shape}", "give one row a sample")
    return array if array.ndim == 2 else array[:, np.newaxis]  # (n,) -> (n, 1)


def knows_labels(dataset: Any) -> bool:
    """Say whether the labels of a map-style data set are known without reading its rows."""
    return _known_labels(dataset) is not None


def read_labels(loader: DataLoader[Any], batches: Callable[[Iterable[Any]], Iterator[Any]]) -> np.ndarray:
    """Return the labels of all rows of a loader's data set.

    They are taken from its ``labels`` or ``targets`` where these are 0, 1 or NaN, from the last of a
    :class:`~torch.utils.data.TensorDataset`'s tensors, or from one scan through ``batches`` (which may show progress).

    Returns
    -------
    ndarray, shape (n, L), float32
    """
    known = _known_labels(loader.dataset)
    if known is not None:
        return known
    rows = np.arange(len(loader.dataset))  # type: ignore[arg-type]
    scan = indexed_loader(loader, loader.dataset, rows, shuffled=False, generator=torch.Generator())
    columns = [as_label_columns(split_batch(batch)[1]) for batch, _ in batches(scan)]
    return np.concatenate(columns) if columns else np.empty((0, 1), dtype=np.float32)


def _known_labels(dataset: Any) -> np.ndarray | None:
    if isinstance(dataset, Subset):
        known = _known_labels(dataset.dataset)
        return None if known is None else known[np.asarray(dataset.indices, dtype=np.intp)]
    if type(dataset) is TensorDataset and len(dataset.tensors) == 2:
        return as_label_columns(dataset.tensors[1])
    for name in ("labels", "targets"):
        labels = _as_binary_columns(getattr(dataset, name, None))
        if labels is not None and len(labels) == len(dataset):
            return labels
    return None


def _as_binary_columns(labels: Any) -> np.ndarray | None:
    """Return what a data set calls its labels, None where it means something else (classes 0 to 9, names)."""
    try:
        columns = as_label_columns(labels)
        check_labels(columns)
    except InvalidInputError:
        return None
    return columns
