"""The latest score of every training sample, kept from the batches in which it was last seen.

An exact threshold needs the scores of all samples, of which a batch shows a few; a pass over all of them for each
refresh would cost as much as training. This file decides where the scores of a batch are kept. It leaves when they are
looked at to :mod:`metricopt.training.driver`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricopt._validation import check_labels, reject


class ScoreMemory:
    """The latest score of every training sample, at its row, or in order of arrival where batches do not name rows.

    In order of arrival the memory holds the scores and labels of the last n samples that were seen: where a sampler
    draws at random, or a batch is dropped, possibly none of a rare class.

    Parameters
    ----------
    labels : ndarray, shape (n, L), float32
        The labels of all training samples; NaN marks a missing one.
    """

    def __init__(self, labels: np.ndarray) -> None:
        self._labels = self._labels_of_rows = labels
        self._keep(np.zeros(labels.shape, labels.dtype))
        self._is_unseen: np.ndarray | None = np.ones(len(labels), dtype=bool)  # None once there is none
        self._arrived = 0

    @property
    def is_empty(self) -> bool:
        """Whether no sample was seen so far."""
        return self._is_unseen is not None and bool(self._is_unseen.all())

    @property
    def is_in_order_of_rows(self) -> bool:
        """Whether scores lie at the rows of their samples, not in order of arrival."""
        return self._labels is self._labels_of_rows

    @property
    def labels(self) -> np.ndarray:
        """The labels that belong to the scores, shape (n, L); those of samples not seen so far are missing."""
        if self._is_unseen is None:
            return self._labels
        return np.where(self._is_unseen[:, np.newaxis], np.float32(np.nan), self._labels)

    @property
    def scores(self) -> np.ndarray:
        """The scores, shape (n, L); those of samples not seen so far are taken to be the mean of the others."""
        if self._is_unseen is None or self.is_empty:
            return self._scores
        mean = self._scores[~self._is_unseen].mean(axis=0)
        return np.where(self._is_unseen[:, np.newaxis], mean, self._scores)

    def replace(self, scores: np.ndarray, labels: np.ndarray | None = None) -> None:
        """Take over a copy of the scores of all samples, (n, L).

        Parameters
        ----------
        scores : ndarray, shape (n, L), float
        labels : ndarray, shape (n, L), float32, optional
            The labels that belong to the scores, if these come in another order than that of the rows.
        """
        self._keep(scores.copy())
        self._labels = self._labels_of_rows if labels is None else labels.copy()
        self._is_unseen, self._arrived = None, 0

    def check(self, labels: Tensor, index: Tensor | None) -> None:
        """Reject a batch that :meth:`put` cannot keep. Its values are checked until all samples were seen.

        Raises
        ------
        InvalidInputError
            If only some batches come with an index, or labels are not those of their rows, or are not 0, 1 or NaN.
        """
        if index is not None and self._labels is not self._labels_of_rows:
            got = "given after batches or an update without it"
            reject("index", "given for every batch or for none", got, "leave it out, or give it always")
        if self._is_unseen is None:
            return
        truth, num_rows = labels.cpu().numpy(), len(self._labels)
        if index is None:
            check_labels(truth)
        elif len(index) != len(truth) or not ((index >= 0) & (index < num_rows)).all():
            got = f"{len(index)} of {int(index.min())} to {int(index.max())}" if len(index) else "none"
            reject("index", f"{len(truth)} rows from 0 to {num_rows - 1}", got, "pass the row of each sample")
        elif not np.array_equal(self._labels[index.cpu().numpy()], truth, equal_nan=True):
            remedy = "let index name rows of the labels that the loss was made with"
            reject("labels", "those of the rows in index", "other values", remedy)

    def put(self, scores: Tensor, labels: Tensor, index: Tensor | None) -> None:
        """Keep the scores of a batch.

        Parameters
        ----------
        scores, labels : Tensor, shape (B, L)
        index : Tensor, shape (B,), int, or None
            The rows of the samples; None keeps the scores in order of arrival.
        """
        if index is None:
            rows = (self._arrived + np.arange(len(scores))) % len(self._scores)
            self._arrived += len(scores)
            if self._labels is self._labels_of_rows:
                self._labels = self._labels.copy()
            self._labels[rows] = labels.cpu().numpy()
        else:
            rows = index.cpu().numpy()
        own = scores.detach().cpu().numpy().astype(self._scores.dtype, order="C", copy=False)
        self._scores.view(self._row)[rows] = own.view(self._row)
        if self._is_unseen is not None:
            self._is_unseen[rows] = False
            self._is_unseen = self._is_unseen if self._is_unseen.any() else None

    def state_dict(self) -> dict[str, Any]:
        """Return everything that moves, as tensors and numbers."""
        labels = None if self._labels is self._labels_of_rows else self._labels
        arrays = {"scores": self._scores, "labels": labels, "is_unseen": self._is_unseen}
        tensors = {name: None if array is None else torch.from_numpy(array.copy()) for name, array in arrays.items()}
        return {**tensors, "arrived": self._arrived}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""
        labels, is_unseen = state["labels"], state["is_unseen"]
        self._keep(state["scores"].numpy().copy())
        self._arrived = state["arrived"]
        self._labels = self._labels_of_rows if labels is None else labels.numpy().copy()
        self._is_unseen = None if is_unseen is None else is_unseen.numpy().copy()

    def _keep(self, scores: np.ndarray) -> None:
        """Take over scores (n, L); as single items, rows are copied in a quarter of the time."""
        self._scores, self._row = scores, np.dtype((np.void, scores.itemsize * scores.shape[1]))


class DeviceScoreMemory(ScoreMemory):
    """The same on an accelerator, where batches are kept without a word to the host.

    Parameters
    ----------
    memory : ScoreMemory
        What is known so far.
    device : torch.device
    """

    def __init__(self, memory: ScoreMemory, device: torch.device) -> None:
        super().__init__(memory._labels_of_rows)
        self.device = device
        self._there: tuple[Tensor, Tensor, Tensor]
        super().load_state_dict(memory.state_dict())
        self._send()

    @property
    def is_empty(self) -> bool:
        return self._holds_none

    @property
    def is_in_order_of_rows(self) -> bool:
        return not self._arrived

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Return scores and labels, shape (n, L); the labels of samples not seen so far are missing."""
        return self._there[0], torch.where(self._there[2].unsqueeze(1), torch.nan, self._there[1])

    def fetch(self) -> ScoreMemory:
        """Return the same on the host; this waits for the device."""
        memory = ScoreMemory(self._labels_of_rows)
        memory.load_state_dict(self.state_dict())
        return memory

    def replace(self, scores: np.ndarray, labels: np.ndarray | None = None) -> None:
        super().replace(scores, labels)
        self._send()

    def put(self, scores: Tensor, labels: Tensor, index: Tensor | None) -> None:
        """Keep the scores of a batch, unless one of them is not finite."""
        kept, truth, is_unseen = self._there
        if index is None:
            rows = (self._arrived + torch.arange(len(scores), device=self.device)) % len(kept)
            self._arrived += len(scores)
        else:
            rows = index.to(self.device, non_blocking=True)
        own = scores.detach().to(kept.dtype)
        is_sound = own.isfinite().all()
        kept.index_copy_(0, rows, torch.where(is_sound, own, kept[rows]))
        if index is None:
            truth.index_copy_(0, rows, torch.where(is_sound, labels.to(truth.dtype), truth[rows]))
        is_unseen.index_fill_(0, rows, False)
        self._holds_none = False

    def state_dict(self) -> dict[str, Any]:
        self._receive()
        return super().state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._send()

    @property
    def labels(self) -> np.ndarray:
        self._receive()
        return super().labels

    @property
    def scores(self) -> np.ndarray:
        self._receive()
        return super().scores

    def _send(self) -> None:
        unseen = np.zeros(len(self._scores), dtype=bool) if self._is_unseen is None else self._is_unseen
        self._holds_none = bool(unseen.all())
        arrays = self._scores.astype(np.float32), self._labels, unseen
        scores, labels, is_unseen = (torch.tensor(array, device=self.device) for array in arrays)
        self._there = scores, labels, is_unseen

    def _receive(self) -> None:
        scores, labels, is_unseen = (tensor.cpu().numpy().copy() for tensor in self._there)
        self._keep(scores)
        self._is_unseen = is_unseen if is_unseen.any() else None
        if self._arrived:
            self._labels = labels
