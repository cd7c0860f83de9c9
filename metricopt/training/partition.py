"""Which samples train and which select: the user's loader taken apart into parts that the loop can use.

This file decides what is held out and checks that both parts can be learnt from. It leaves loading to
:mod:`metricopt.data.loaders` and the choice of rows to :mod:`metricopt.data.splits`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from metricopt._arrays import numbered, to_numpy
from metricopt._validation import check_finite, check_labels, reject
from metricopt.data.loader_labels import as_label_columns, knows_labels, read_labels
from metricopt.data.loaders import (
    SCORING_BATCH,
    batch_size_of,
    check_scored_whole,
    indexed_loader,
    is_iterable,
    rows_of,
    split_batch,
    with_labels,
)
from metricopt.data.splits import stratified_split
from metricopt.evidence.subgroups import SubgroupColumn, crossed_subgroups, warn_of_rare
from metricopt.problem.labels import has_both_classes
from metricopt.processes import ALONE, Processes
from metricopt.scoring.forward import check_features
from metricopt.solvers.base import Subgroups
from metricopt.training.parts import FoldedRows, Part, Partition

OTHER_LABELS = (
    "one that yields the labels of its data set",
    "other values",
    "let y agree with the data set's attribute `labels` or `targets`",
)
"""What is said of a loader whose batches have other labels than its data set: rule, what was found, remedy."""


def make_partition(
    loader: DataLoader[Any],
    *,
    val_loader: DataLoader[Any] | None,
    eval_dataset: Dataset[Any] | None,
    val_fraction: float,
    groups: Sequence[Any] | None,
    sample_weight: Any,
    subgroups: Subgroups = MappingProxyType({}),
    val_subgroups: Subgroups = MappingProxyType({}),
    seed: int,
    watch: Callable[[Iterable[Any], str], Iterator[Any]],
    keep_workers: bool = True,
    processes: Processes = ALONE,
    deal: Callable[[np.ndarray, Any, Subgroups], np.ndarray | None] | None = None,
) -> Partition:
    """Take the user's loaders apart; the arguments are those of ``fit``.

    Parameters
    ----------
    subgroups, val_subgroups : mapping of str to SubgroupColumn
        The columns that the objective names, of the rows of ``loader.dataset`` and of ``val_loader.dataset``.
    watch : callable ``(iterable, what) -> iterator``
        Shows progress while data are read.
    keep_workers : bool
        Whether workers may live on from pass to pass; their random states can then not be put back.
    processes : Processes
        The processes that train together.
    deal : callable ``(labels, groups, subgroups) -> divisions or None``, optional
        Gives the fold of each row in each division, shape (n, D); nothing is held out then.

    Raises
    ------
    InvalidInputError
        If labels are not 0, 1 or NaN, a part has no positive or no negative or fewer rows than there are processes, or
        ``sample_weight`` does not fit.
    """
    for argument, given in (("loader", loader), ("val_loader", val_loader)):
        if processes.number > 1 and given is not None and is_iterable(given):
            got, remedy = "an iterable one", "its rows cannot be divided: use a map-style one, or one process"
            reject(argument, "over a map-style data set in a launch of several processes", got, remedy)
    reader = _Reader(torch.Generator().manual_seed(seed), watch, keep_workers, processes)
    validation = None
    if val_loader is not None:
        validation = reader.whole(val_loader)
        if val_subgroups:
            validation = replace(validation, subgroups=_taken(val_subgroups, rows_of(val_loader)))
    if is_iterable(loader):
        train = reader.stream("loader", loader)
        parts = Partition(train, validation, train.loader, reader.order, seed, is_stream=True)
    else:
        scored = loader.dataset if eval_dataset is None else eval_dataset
        labels = reader.labels_of(loader, "reading labels")
        weight = _as_weight(sample_weight, labels)
        rows, held_out = rows_of(loader), None
        check_labels(labels[rows])
        if not len(rows):
            reject("loader", "non-empty", "a data set of 0 samples", "check the data set")
        own_groups = _groups_of(rows, labels, groups)
        divisions = None if deal is None else deal(labels[rows], own_groups, _taken(subgroups, rows))
        if divisions is not None:
            own_weight = None if weight is None else weight[rows]
            numbers = None if own_groups is None else numbered("groups", own_groups, len(rows))
            folded = FoldedRows(labels[rows], own_weight, divisions, numbers, _taken(subgroups, rows))
            if eval_dataset is not None:
                reader.check_labels_of(loader, eval_dataset, rows, labels)
            return reader.folded(loader, scored, rows, len(labels), folded, seed)
        if validation is None and val_fraction > 0:
            rows, held_out = _hold_out(rows, labels, own_groups, _taken(subgroups, rows), val_fraction, seed)
        train = replace(reader.rows(loader, scored, rows, labels, weight), subgroups=_taken(subgroups, rows))
        if held_out is not None:
            held_out_groups = _groups_of(held_out, labels, groups)
            numbers = None if held_out_groups is None else numbered("groups", held_out_groups, len(held_out))
            validation = replace(
                reader.rows(loader, scored, held_out, labels, weight),
                groups=numbers,
                subgroups=_taken(subgroups, held_out),
            )
            _check_part("the held-out part of loader", validation.labels)
        _check_part("loader" if held_out is None else "the training part of loader", train.labels)
        batches = reader.batches(loader, loader.dataset, rows)
        is_checked = eval_dataset is None and not knows_labels(loader.dataset)
        parts = Partition(train, validation, batches, reader.order, seed, is_stream=False, is_checked=is_checked)
    _check_alike(parts)
    return parts


@dataclass(frozen=True)
class _Reader:
    """How the user's loaders are read; see :func:`make_partition`."""

    order: torch.Generator
    watch: Callable[[Iterable[Any], str], Iterator[Any]]
    keep_workers: bool
    processes: Processes

    def whole(self, loader: DataLoader[Any]) -> Part:
        """Return all samples of a loader for validation."""
        if is_iterable(loader):
            return self.stream("val_loader", loader)
        check_scored_whole("val_loader", loader)
        labels = self.labels_of(loader, "reading validation labels")
        part = self.rows(loader, loader.dataset, rows_of(loader), labels, None)
        _check_part("val_loader", part.labels)
        return part

    def stream(self, argument: str, loader: DataLoader[Any]) -> Part:
        """Return all samples of a loader over an iterable data set."""
        stream = _Stream(loader, self.keep_workers)
        columns = [as_label_columns(split_batch(batch)[1]) for batch, _ in self.watch(stream, "reading labels")]
        if not columns:
            reject("loader", "non-empty", "no batch", "check the data set")
        labels = np.concatenate(columns)
        _check_part(argument, labels)
        return Part(stream, labels, None)

    def labels_of(self, loader: DataLoader[Any], what: str) -> np.ndarray:
        """Return the labels of all rows of a loader's data set."""
        return read_labels(loader, lambda scan: _with_finite_features(self.watch(scan, what)))

    def rows(
        self,
        loader: DataLoader[Any],
        dataset: Dataset[Any],
        rows: np.ndarray,
        labels: np.ndarray,
        weight: np.ndarray | None,
    ) -> Part:
        """Return chosen rows for scoring, of which each process scores a part."""
        number = self.processes.number
        if 1 < number > len(rows):
            rule = f"one with a row for each of {number} processes in every part"
            reject("loader", rule, f"{len(rows)} rows", "use fewer processes or more data")
        scoring = indexed_loader(
            loader,
            dataset,
            self.processes.own_rows(rows),
            shuffled=False,
            generator=self.order,
            batch_size=_scoring_batch(loader),
            keep_workers=self.keep_workers,
        )
        return Part(scoring, labels[rows], None if weight is None else weight[rows])

    def check_labels_of(
        self, loader: DataLoader[Any], dataset: Dataset[Any], rows: np.ndarray, labels: np.ndarray
    ) -> None:
        """Reject a data set whose own labels of chosen rows are others."""
        part = self.rows(loader, dataset, rows, labels, None)
        columns = [as_label_columns(split_batch(batch)[1]) for batch in self.watch(part.batches, "checking labels")]
        if not np.array_equal(np.concatenate(columns), part.labels, equal_nan=True):
            reject("loader", *OTHER_LABELS)

    def folded(
        self,
        loader: DataLoader[Any],
        scored: Dataset[Any],
        rows: np.ndarray,
        num_rows: int,
        folded: FoldedRows,
        seed: int,
    ) -> Partition:
        """Return chosen rows for replicas that each train without one fold."""
        _check_part("loader", folded.labels)
        labels = np.full((num_rows, folded.num_replicas * folded.labels.shape[1]), np.nan, np.float32)
        labels[rows] = folded.labels_of_replicas
        weight = None
        if folded.sample_weight is not None:
            weight = np.zeros(labels.shape)
            weight[rows] = folded.for_replicas(folded.sample_weight)
        train = self.rows(loader, with_labels(scored, labels), rows, labels, weight)
        train = replace(train, subgroups=folded.subgroups)
        batches = self.batches(loader, with_labels(loader.dataset, labels), rows)
        return Partition(train, None, batches, self.order, seed, is_stream=False, folded=folded)

    def batches(self, loader: DataLoader[Any], dataset: Dataset[Any], rows: np.ndarray) -> Any:
        """Return chosen rows for training, in batches as the loader draws them."""
        batches = indexed_loader(
            loader,
            dataset,
            rows,
            shuffled=True,
            generator=self.order,
            keep_workers=self.keep_workers,
            processes=self.processes,
        )
        if len(batches) == 0:
            got = f"{len(rows)} training samples in batches of {loader.batch_size} with drop_last"
            reject("loader", "one with at least one batch", got, "lower batch_size or val_fraction")
        return batches


def _with_finite_features(batches: Iterator[Any]) -> Iterator[Any]:
    """Yield batches of (batch, index), and reject features that are not finite."""
    for number, (batch, index) in enumerate(batches):
        check_features(split_batch(batch)[0], number)
        yield batch, index


def _groups_of(rows: np.ndarray, labels: np.ndarray, groups: Sequence[Any] | None) -> list[Any] | None:
    """Return the groups of chosen rows, one value each; None where there are no groups."""
    if groups is not None and len(groups) != len(labels):
        reject("groups", f"one value a row ({len(labels)})", f"{len(groups)} values", "give one group a row")
    return None if groups is None else [groups[row] for row in rows]


def _taken(subgroups: Subgroups, rows: np.ndarray) -> dict[str, SubgroupColumn]:
    """Return the subgroups of chosen rows."""
    return {name: column.take(rows) for name, column in subgroups.items()}


def _hold_out(
    rows: np.ndarray,
    labels: np.ndarray,
    own_groups: Sequence[Any] | None,
    subgroups: Subgroups,
    val_fraction: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that train and the rows that are held out."""
    _check_part("loader", labels[rows])
    if labels.shape[1] == 1 and (labels[rows] == 1).sum() == 1:
        rule = (
            f"of 2 positives or more, some to train and some in the held-out {val_fraction:g} of the rows to choose by"
        )
        remedy = "add positives, or let the training rows choose: val_fraction=0"
        reject("labels", rule, "1 positive", remedy)
    warn_of_rare(labels[rows], subgroups, 2)
    fractions = (1 - val_fraction, val_fraction)
    train, held_out = stratified_split(labels[rows], fractions, seed, own_groups, crossed_subgroups(subgroups))
    return rows[train], rows[held_out]


class _Stream:
    """A loader over an iterable data set; the index is the position in the pass."""

    def __init__(self, loader: DataLoader[Any], keep_workers: bool) -> None:
        if loader.persistent_workers and not keep_workers:
            remedy = "build it with persistent_workers=False"
            reject("a loader over an iterable data set", "without workers that live on for checkpoints", "such", remedy)
        self._loader = loader
        self._num_batches = 0

    def __iter__(self) -> Iterator[tuple[Any, torch.Tensor]]:
        position = number = 0
        for batch in self._loader:
            size = len(as_label_columns(split_batch(batch)[1]))
            yield batch, torch.arange(position, position + size)
            position, number = position + size, number + 1
        self._num_batches = number

    def __len__(self) -> int:
        return self._num_batches


def _check_part(argument: str, labels: np.ndarray) -> None:
    """Reject a part from which no label can be learnt."""
    check_labels(labels)
    positives, negatives = (labels == 1).sum(axis=0), (labels == 0).sum(axis=0)
    if ((positives > 0) & (negatives > 0)).any():
        return
    missing = "positives" if (positives == 0).all() else "negatives"
    got = f"no {missing} among {len(labels)} samples"
    reject(argument, "one with positives and negatives", got, "add samples of that class or check the labels")


def _check_alike(parts: Partition) -> None:
    """Reject parts of other labels, and parts of which each can be learnt from, but not by the same label."""
    if parts.validation is not None and parts.validation.labels.shape[1] != parts.train.labels.shape[1]:
        wanted, found = parts.train.labels.shape[1], parts.validation.labels.shape[1]
        reject("val_loader", f"of as many labels as loader ({wanted})", f"{found}", "let both yield the same labels")
    both = [has_both_classes(part.labels) for part in (parts.train, parts.validation) if part is not None]
    if not np.logical_and.reduce(both).any():
        got = "none that has them in training and selection data"
        remedy = "add samples, hold out others, or check the labels"
        reject("loader", "one with a label that has positives and negatives", got, remedy)


def _as_weight(sample_weight: Any, labels: np.ndarray) -> np.ndarray | None:
    if sample_weight is None:
        return None
    weight = to_numpy("sample_weight", sample_weight).astype(np.float64)
    if weight.shape not in (labels.shape, labels.shape[:1]):
        rule = f"of shape {labels.shape[:1]} or {labels.shape}"
        reject("sample_weight", rule, f"shape {weight.shape}", "give one weight a row of the loader's data set")
    check_finite("sample_weight", weight)
    if (weight < 0).any():
        reject("sample_weight", ">= 0", f"{weight.min():g}", "give 0 to leave a sample out")
    return np.broadcast_to(weight.reshape(len(labels), -1), labels.shape)


def _scoring_batch(loader: DataLoader[Any]) -> int:
    size = batch_size_of(loader)
    return max(size, SCORING_BATCH) if type(loader.dataset) is TensorDataset else size
