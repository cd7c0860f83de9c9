"""Batches with a fixed share of positives, in an order that is seeded and can be resumed.

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
from metricopt.data.loaders import as_label_columns


class BalancedBatchSampler(Sampler[list[int]]):
    r"""Draws every batch with the same number of positives, however rare they are.

    Of a batch of B rows, :math:`B_+ = \text{positive\_share} \cdot B` (rounded, at least 1 and at most B - 1) are
    positives and the others negatives. Each class is dealt out in shuffled passes: no row of it comes again before all
    of them came. Rare positives repeat within an epoch; a class of fewer rows than its places repeats within a batch.

    For ``DataLoader(dataset, batch_sampler=...)``, and with ``val_loader`` or ``val_fraction=0`` for
    :func:`metricopt.fit`, which keeps and puts back its :attr:`generator`: a training that is resumed goes on bit for
    bit. In a loop of one's own, :meth:`state_dict` does so.

    Parameters
    ----------
    labels : array, shape (n,) or (n, L)
        Labels of all rows of the data set: 0, 1 or NaN (missing).
    batch_size : int, >= 2
    positive_share : float, in (0, 1)
    num_batches : int, >= 1, optional
        Batches an epoch. By default as many as show every labelled row once at least: one pass over the majority,
        unless the share of the minority is smaller still than its prevalence.
    label : int
        The column of ``labels`` that is balanced. Rows where it is missing are never drawn.
    seed : int
        The same seed gives the same batches, epoch by epoch.

    Attributes
    ----------
    generator : torch.Generator
        What the order is drawn from, at the start of an epoch.

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
        positive_share: float = 0.5,
        num_batches: int | None = None,
        label: int = 0,
        seed: int = 0,
    ) -> None:
        columns = as_label_columns(labels)
        check_labels(columns)
        faults = Faults()
        faults.check_integer("batch_size", batch_size, 2, "give e.g. 64")
        is_share = isinstance(positive_share, (float, np.floating)) and 0 < positive_share < 1
        faults.check(is_share, "positive_share", "in (0, 1)", repr(positive_share), "give a fraction, e.g. 0.5")
        if num_batches is not None:
            faults.check_integer("num_batches", num_batches, 1, "leave it out for one pass")
        is_column = is_integer(label) and 0 <= label < columns.shape[1]
        rule = f"a column of labels, 0 to {columns.shape[1] - 1}"
        faults.check(is_column, "label", rule, repr(label), "give the number of one")
        faults.check_seed(seed)
        faults.raise_if_any()

        self.batch_size = int(batch_size)
        num_positives = min(max(round(positive_share * self.batch_size), 1), self.batch_size - 1)
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
        """Return where the sampler stands: the state of the order and the batches drawn in this epoch.

        A loader with workers draws some batches ahead of those that it hands out.
        """
        is_within = 0 < self._position < self._num_batches
        return {
            "generator": (self._at_epoch_start if is_within else self.generator.get_state()).clone(),
            "position": self._position if is_within else 0,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned; the next pass yields the rest of the epoch."""
        if state["position"] >= self._num_batches:
            rule = f"that of a sampler of as many batches an epoch ({self._num_batches})"
            reject("state", rule, f"one within its batch {state['position'] + 1}", "pass the same arguments")
        self._at_epoch_start = state["generator"].clone()
        self.generator.set_state(self._at_epoch_start)
        self._position = self._num_to_skip = state["position"]

    def _deal(self, rows: torch.Tensor, places: int) -> torch.Tensor:
        """Return an epoch's rows of one class, shape (number of batches, places)."""
        num_drawn = self._num_batches * places
        passes = range(math.ceil(num_drawn / len(rows)))
        order = torch.cat([torch.randperm(len(rows), generator=self.generator) for _ in passes])
        return rows[order[:num_drawn]].reshape(self._num_batches, places)
