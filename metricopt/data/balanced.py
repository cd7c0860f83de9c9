"""Batches with a fixed number of positives, in an order that is seeded and can be resumed.

This file decides which rows a batch holds. It leaves loading them to the data loader.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

from metricopt._validation import Faults, check_labels, is_integer, reject
from metricopt.data.loader_labels import as_label_columns


class BalancedBatchSampler(Sampler[list[int]]):
    r"""Draws every batch with the same number of positives, however rare they are.

    Of a batch of B rows, :math:`B_+ = \text{positive\_fraction} \cdot B` (rounded, at least 1 and at most B - 1) are
    positives and the others negatives. The rows of each class come in shuffled passes: no row comes again before all
    rows of its class have come. So rare positives repeat within an epoch, and a class with fewer rows than it has
    places in a batch repeats within the batch.

    The sampler is for ``DataLoader(dataset, batch_sampler=...)``. With :func:`metricopt.fit` it needs ``val_loader`` or
    ``val_fraction=0``; a training that is resumed then goes on bit for bit, because ``fit`` saves and restores
    :attr:`generator`. In your own loop, use :meth:`state_dict` for that.

    Parameters
    ----------
    labels : array, shape (n,) or (n, L)
        Labels of all rows of the data set: 0, 1 or NaN (missing).
    batch_size : int, >= 2
        The number of rows in a batch.
    positive_fraction : float, in (0, 1)
        The fraction of a batch that is positive.
    num_batches : int, >= 1, optional
        The number of batches in an epoch. By default every labelled row comes at least once: an epoch is as many
        batches as the class takes that needs the most, usually the negatives.
    label : int
        The column of ``labels`` that is balanced. Rows where it is missing are never drawn.
    seed : int
        The same seed gives the same batches, epoch by epoch.

    Attributes
    ----------
    generator : torch.Generator
        The generator that draws the order at the start of an epoch.

    Raises
    ------
    InvalidInputError
        If an argument is not as above, or ``label`` has no positives or no negatives.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> x, y = torch.arange(10.0), torch.tensor([1.0, 1.0] + [0.0] * 8)
    >>> loader = DataLoader(TensorDataset(x, y), batch_sampler=BalancedBatchSampler(y, batch_size=4))
    >>> [int(labels.sum()) for _, labels in loader]
    [2, 2, 2, 2]
    """

    def __init__(
        self,
        labels: Any,
        batch_size: int,
        positive_fraction: float = 0.5,
        num_batches: int | None = None,
        label: int = 0,
        seed: int = 0,
    ) -> None:
        columns = as_label_columns(labels)
        check_labels(columns)
        faults = Faults()
        faults.check_integer("batch_size", batch_size, 2, "give e.g. 64")
        is_fraction = isinstance(positive_fraction, (float, np.floating)) and 0 < positive_fraction < 1
        faults.check(
            is_fraction, "positive_fraction", "in (0, 1)", repr(positive_fraction), "give a fraction, e.g. 0.5"
        )
        if num_batches is not None:
            faults.check_integer("num_batches", num_batches, 1, "leave it out for one pass")
        is_column = is_integer(label) and 0 <= label < columns.shape[1]
        rule = f"a column of labels, 0 to {columns.shape[1] - 1}"
        faults.check(is_column, "label", rule, repr(label), "give the number of the column that you want balanced")
        faults.check_seed(seed)
        faults.raise_if_any()

        self.batch_size = int(batch_size)
        num_positives = min(max(round(positive_fraction * self.batch_size), 1), self.batch_size - 1)
        # By class, positives first: its rows, and its places in a batch.
        self._rows = [torch.from_numpy(np.flatnonzero(columns[:, label] == truth)) for truth in (1, 0)]
        self._places = [num_positives, self.batch_size - num_positives]
        for name, rows in zip(("positive", "negative"), self._rows, strict=True):
            if not len(rows):
                remedy = "add samples of that class or check the labels"
                reject("labels", "with positives and negatives", f"no {name} in column {label}", remedy)
        passes = (math.ceil(len(rows) / places) for rows, places in zip(self._rows, self._places, strict=True))
        self._num_batches = max(passes) if num_batches is None else int(num_batches)
        self.generator = torch.Generator().manual_seed(int(seed))
        self._at_epoch_start = self.generator.get_state()
        self._position = self._num_to_skip = 0

    def __len__(self) -> int:
        return self._num_batches

    def __iter__(self) -> Iterator[list[int]]:
        first, self._num_to_skip = self._num_to_skip, 0
        self._at_epoch_start = self.generator.get_state()
        # All at once: the generator then rests, however far ahead of the batches in use a loader draws.
        of_classes = [self._deal(*of_class) for of_class in zip(self._rows, self._places, strict=True)]
        batches = torch.cat(of_classes, dim=1)
        for position in range(first, self._num_batches):
            self._position = position + 1
            yield batches[position].tolist()

    def state_dict(self) -> dict[str, Any]:
        """Return where the sampler stands: the state of its generator, and how many batches of the epoch are drawn.

        A loader with workers draws some batches before it hands them out.
        """
        is_within = 0 < self._position < self._num_batches
        return {
            "generator": (self._at_epoch_start if is_within else self.generator.get_state()).clone(),
            "position": self._position if is_within else 0,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where :meth:`state_dict` was called. The next pass yields the rest of that epoch."""
        if state["position"] >= self._num_batches:
            rule = f"of a sampler with {self._num_batches} batches in an epoch"
            remedy = "make the sampler with the arguments that it was saved with"
            reject("state", rule, f"one at batch {state['position'] + 1}", remedy)
        self._at_epoch_start = state["generator"].clone()
        self.generator.set_state(self._at_epoch_start)
        self._position = self._num_to_skip = state["position"]

    def _deal(self, rows: torch.Tensor, places: int) -> torch.Tensor:
        """Return an epoch's rows of one class, shape (number of batches, places)."""
        num_drawn = self._num_batches * places
        passes = range(math.ceil(num_drawn / len(rows)))
        order = torch.cat([torch.randperm(len(rows), generator=self.generator) for _ in passes])
        return rows[order[:num_drawn]].reshape(self._num_batches, places)
