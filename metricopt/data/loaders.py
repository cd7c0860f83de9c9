"""Rows that know their index: any map-style loader, rebuilt over chosen rows so that each batch names its samples.

This file decides how a user's :class:`~torch.utils.data.DataLoader` is taken apart and put together again. It leaves
its labels to :mod:`metricopt.data.loader_labels`, and which rows are held out to :mod:`metricopt.data.splits`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    default_collate,
)

from metricopt._validation import reject
from metricopt.processes import ALONE, Processes

SCORING_BATCH = 4096
"""Rows in a batch for scoring data that lie in memory; other data are scored in batches of the user's size."""


class IndexedDataset(Dataset[Any]):
    """Chosen rows of a data set; item k is ``(dataset[rows[k]], k)``."""

    def __init__(self, dataset: Dataset[Any], rows: np.ndarray) -> None:
        self._dataset, self._rows = dataset, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, position: int) -> tuple[Any, int]:
        return self._dataset[int(self._rows[position])], position


class IndexedTensors(Dataset[Any]):
    """Chosen rows of a :class:`~torch.utils.data.TensorDataset`, a whole batch at once: collating rows is slow.

    The rows stay where they are; a batch alone is copied.
    """

    def __init__(self, dataset: TensorDataset, rows: np.ndarray) -> None:
        self._tensors, self._rows = dataset.tensors, torch.from_numpy(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitems__(self, positions: list[int]) -> tuple[Any, Tensor]:
        return self.take(torch.tensor(positions))

    def take(self, index: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return the rows at ``index``, and the index."""
        rows = self._rows[index]
        return tuple(tensor[rows] for tensor in self._tensors), index


class Relabelled(Dataset[Any]):
    """The rows of a map-style data set of (x, y), with other labels in the place of y."""

    def __init__(self, dataset: Dataset[Any], labels: np.ndarray) -> None:
        self._dataset, self._labels = dataset, torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, row: int) -> tuple[Any, Tensor]:
        return split_batch(self._dataset[row])[0], self._labels[row]


def with_labels(dataset: Dataset[Any], labels: np.ndarray) -> Dataset[Any]:
    """Return a map-style data set of (x, y) with other labels, shape (n, L); tensors stay tensors."""
    if type(dataset) is TensorDataset:
        return TensorDataset(*dataset.tensors[:-1], torch.from_numpy(labels))
    return Relabelled(dataset, labels)


class TensorBatches:
    """Batches of :class:`IndexedTensors`, without the cost of a :class:`~torch.utils.data.DataLoader` for every row.

    They come in the order that such a loader without workers draws from ``generator``.
    """

    def __init__(
        self,
        dataset: IndexedTensors,
        batch_size: int,
        *,
        shuffled: bool,
        drop_last: bool,
        generator: torch.Generator,
        processes: Processes = ALONE,
    ) -> None:
        self._dataset, self._batch_size, self._drop_last = dataset, batch_size, drop_last
        self._shuffled, self._generator, self._processes = shuffled, generator, processes

    def __len__(self) -> int:
        whole, rest = divmod(len(self._dataset), self._batch_size * self._processes.number)
        return whole + (rest > 0 and not self._drop_last)

    def __iter__(self) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
        torch.empty((), dtype=torch.int64).random_(generator=self._generator)  # the seed that workers would get
        rows = torch.arange(len(self._dataset))
        if self._shuffled:
            rows = torch.randperm(len(self._dataset), generator=self._generator)
        for index in rows.split(self._batch_size * self._processes.number)[: len(self)]:
            yield self._dataset.take(self._processes.part_of(index, self._batch_size))


class OwnBatches(Sampler[list[int]]):
    """The parts of global batches that fall to this process; those without any row are left out.

    Parameters
    ----------
    batches : iterable of lists of int
        The global batches. If ``batch_size`` is None, each process takes whole ones in turn.
    batch_size : int or None
        The number of rows in a full batch of one process.
    processes : Processes
    drawn_alike : bool
        Whether all processes draw the same batches; if not, the main one draws for all.
    """

    def __init__(self, batches: Any, batch_size: int | None, processes: Processes, *, drawn_alike: bool) -> None:
        self._batches, self._batch_size, self._processes = batches, batch_size, processes
        self._drawn_alike = drawn_alike
        self.num_steps = len(self)

    def __len__(self) -> int:
        """Return the number of global batches."""
        return len(self._batches) if self._batch_size else -(-len(self._batches) // self._processes.number)

    def __iter__(self) -> Iterator[list[int]]:
        self.num_steps = 0
        for own in self._parts(self._drawn()):
            self.num_steps += 1
            if own:
                yield own

    def _drawn(self) -> list[list[int]]:
        def draw() -> list[list[int]]:
            return [list(batch) for batch in self._batches]

        return draw() if self._drawn_alike else self._processes.from_main(draw)

    def _parts(self, drawn: list[list[int]]) -> Iterator[list[int]]:
        if self._batch_size is not None:
            yield from (self._processes.part_of(batch, self._batch_size) for batch in drawn)
            return
        for first in range(0, len(drawn), self._processes.number):
            own = first + self._processes.position
            yield drawn[own] if own < len(drawn) else []


class OwnSteps:
    """A loader over :class:`OwnBatches` that takes part in every step, without a row where none is left for it.

    Parameters
    ----------
    loader : DataLoader
    own : OwnBatches
    position : int
        The position of the process; the random generators of its workers are its own.
    generator : torch.Generator
        The generator from which all processes draw alike what a loader in one process draws.
    """

    def __init__(self, loader: DataLoader[Any], own: OwnBatches, position: int, generator: torch.Generator) -> None:
        self._loader, self._own, self._position, self._generator = loader, own, position, generator
        loader.generator = torch.Generator()

    def __len__(self) -> int:
        return len(self._own)

    def __iter__(self) -> Iterator[tuple[Any, Tensor]]:
        seed = torch.empty((), dtype=torch.int64).random_(generator=self._generator).item()
        self._loader.generator.manual_seed((int(seed) + self._position) % 2**63)
        taken = 0
        for taken, batch in enumerate(self._loader, start=1):  # noqa: B007 - counts
            yield batch
        for _ in range(taken, self._own.num_steps):
            yield None, torch.empty(0, dtype=torch.int64)


class IndexedCollate:
    """Collates samples as the user's loader does, and their indices beside them."""

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self._collate = collate

    def __call__(self, items: list[tuple[Any, int]]) -> tuple[Any, Tensor]:
        samples, index = zip(*items, strict=True)
        return self._collate(list(samples)), torch.tensor(index)


def _as_they_are(batch: Any) -> Any:
    return batch


def is_iterable(loader: DataLoader[Any]) -> bool:
    """Say whether the loader's data set has no rows to pick from."""
    return isinstance(loader.dataset, IterableDataset)


def has_own_order(loader: DataLoader[Any]) -> bool:
    """Say whether the loader draws samples in a way of its own, beyond in order or shuffled."""
    sampler = loader.sampler
    if type(loader.batch_sampler) is not BatchSampler:
        return True
    shuffled = type(sampler) is RandomSampler and not sampler.replacement and len(sampler) == len(loader.dataset)  # type: ignore[arg-type]
    return not (shuffled or type(sampler) in (SequentialSampler, SubsetRandomSampler))


def rows_of(loader: DataLoader[Any]) -> np.ndarray:
    """Return the rows of the data set that a loader stands for, ascending.

    They are those of a :class:`~torch.utils.data.SubsetRandomSampler`, and all rows for any other sampler, which may
    draw some rows more often than others.

    Returns
    -------
    ndarray, shape (n,), int
    """
    if type(loader.sampler) is SubsetRandomSampler:
        return np.unique(np.asarray(loader.sampler.indices, dtype=np.intp))
    return np.arange(len(loader.dataset))  # type: ignore[arg-type]


def check_scored_whole(argument: str, loader: DataLoader[Any]) -> None:
    """Reject a loader for scoring whose sampler may leave rows out that scoring would take in."""
    if is_iterable(loader) or not has_own_order(loader) or isinstance(loader.sampler, RandomSampler):
        return
    remedy = "wrap the rows: DataLoader(Subset(dataset, rows), batch_size=256)"
    reject(argument, "one in order, shuffled or over a SubsetRandomSampler", "a sampler of its own", remedy)


def indexed_loader(
    loader: DataLoader[Any],
    dataset: Dataset[Any],
    rows: np.ndarray,
    *,
    shuffled: bool,
    generator: torch.Generator,
    batch_size: int | None = None,
    keep_workers: bool = True,
    processes: Processes = ALONE,
) -> DataLoader[Any] | TensorBatches | OwnSteps:
    """Return a loader like ``loader`` that yields ``(what it yielded, index)`` over the chosen rows.

    Parameters
    ----------
    loader : DataLoader
        The loader that gives batch size, workers, collate function and the rest.
    dataset : Dataset
        The data set of the rows: the loader's own, or the same rows without augmentation.
    rows : ndarray, shape (n,), int
        The chosen rows; index k stands for row ``rows[k]``.
    shuffled : bool
        Whether batches are drawn as ``loader`` does, in an order drawn from ``generator`` if it shuffles; if not, all
        rows come in order.
    generator : torch.Generator
        The generator from which the order and the workers' seeds are drawn.
    batch_size : int, optional
        A batch size other than the loader's.
    keep_workers : bool
        Whether workers may live on from pass to pass, as ``loader`` says; if not, ``generator`` seeds every pass.
    processes : Processes
        The processes that train together: each loads its part of every global batch of a ``shuffled`` loader.
    """
    indexed: Dataset[Any]
    collate: Callable[[Any], Any]
    if type(dataset) is TensorDataset and loader.collate_fn is default_collate:
        indexed, collate = IndexedTensors(dataset, rows), _as_they_are
    else:
        indexed, collate = IndexedDataset(dataset, rows), IndexedCollate(loader.collate_fn)
    taking_part = processes if shuffled else ALONE
    size = batch_size or batch_size_of(loader)
    is_part = len(rows) < len(dataset)  # type: ignore[arg-type]
    order = _order_of(loader, len(rows), size * taking_part.number, shuffled=shuffled, is_part=is_part)
    needs_loader = loader.num_workers or loader.pin_memory or "shuffle" not in order
    if isinstance(indexed, IndexedTensors) and not needs_loader:
        return TensorBatches(
            indexed,
            size,
            shuffled=order["shuffle"],
            drop_last=order["drop_last"],
            generator=generator,
            processes=taking_part,
        )
    own = None if taking_part.number == 1 else _own_batches(order, indexed, loader, processes, generator)
    built = DataLoader(
        indexed,
        collate_fn=collate,
        generator=generator,
        **(order if own is None else {"batch_sampler": own}),
        **_workers_of(loader, keep_workers),
    )
    return built if own is None else OwnSteps(built, own, processes.position, generator)


def _order_of(
    loader: DataLoader[Any], num_rows: int, batch_size: int, *, shuffled: bool, is_part: bool
) -> dict[str, Any]:
    """Return in which batches rows are drawn, as the arguments of a loader.

    Parameters
    ----------
    loader : DataLoader
        The user's loader.
    num_rows : int
    batch_size : int
        The number of rows in a batch of all processes.
    shuffled : bool
        Whether batches are drawn as ``loader`` does; if not, all rows come in order.
    is_part : bool
        Whether some rows of the data set are left out.
    """
    has_own = shuffled and has_own_order(loader)
    if has_own and type(loader.batch_sampler) is not BatchSampler:
        return {"batch_sampler": loader.batch_sampler}
    # Holding rows out must not leave a batch of one, on which batch normalisation fails.
    leaves_one = is_part and num_rows > batch_size > 1 == num_rows % batch_size
    order: dict[str, Any] = {
        "batch_size": batch_size,
        "drop_last": shuffled and (loader.drop_last or leaves_one),
    }
    if has_own:
        return {**order, "sampler": loader.sampler}
    return {**order, "shuffle": shuffled and type(loader.sampler) in (RandomSampler, SubsetRandomSampler)}


def _workers_of(loader: DataLoader[Any], keep_workers: bool) -> dict[str, Any]:
    """Return how a loader loads, as the arguments of another."""
    workers: dict[str, Any] = {
        "num_workers": loader.num_workers,
        "pin_memory": loader.pin_memory,
        "timeout": loader.timeout,
        "worker_init_fn": loader.worker_init_fn,
        "multiprocessing_context": loader.multiprocessing_context,
    }
    if loader.num_workers:
        workers["prefetch_factor"] = loader.prefetch_factor
        workers["persistent_workers"] = loader.persistent_workers and keep_workers
    return workers


def _own_batches(
    order: dict[str, Any],
    indexed: Dataset[Any],
    loader: DataLoader[Any],
    processes: Processes,
    generator: torch.Generator,
) -> OwnBatches:
    """Return what a process loads, in an order that is given in the terms of a loader."""
    if "batch_sampler" in order:
        return OwnBatches(order["batch_sampler"], None, processes, drawn_alike=False)
    sampler: Any = order.get("sampler")
    if sampler is None:
        sampler = RandomSampler(indexed, generator=generator) if order["shuffle"] else SequentialSampler(indexed)  # type: ignore[arg-type]
    batches = BatchSampler(sampler, order["batch_size"], order["drop_last"])
    return OwnBatches(batches, batch_size_of(loader), processes, drawn_alike="sampler" not in order)


def batch_size_of(loader: DataLoader[Any]) -> int:
    """Return the size of a loader's batches, 64 where a batch sampler of its own does not tell."""
    return loader.batch_size or getattr(loader.batch_sampler, "batch_size", None) or 64


def split_batch(batch: Any) -> tuple[Any, Any]:
    """Return ``(x, y)`` of what a loader yields.

    Raises
    ------
    InvalidInputError
        If the batch is not a pair.
    """
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        got = f"{len(batch)} items" if isinstance(batch, (tuple, list)) else type(batch).__name__
        reject("loader", "one that yields (x, y)", got, "yield pairs; put several inputs into x as a tuple or dict")
    return batch[0], batch[1]
