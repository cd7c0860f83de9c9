"""The parts of a training: the samples that train and those that select, or all of them in folds.

This file decides what is known of a part. It leaves taking a user's loaders apart to
:mod:`metricopt.training.partition`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from metricopt.problem.labels import has_both_classes
from metricopt.problem.prevalence import Prevalence, weights_at
from metricopt.solvers.base import Subgroups


@dataclass(frozen=True)
class Part:
    """The samples that serve one purpose.

    Attributes
    ----------
    loader : iterable of (batch, index)
        The batches for scoring: all samples, in order; of several processes each has its own part of them.
    labels : ndarray, shape (n, L), float32
    sample_weight : ndarray, shape (n, L), float64, or None
    groups : ndarray, shape (n,), int, or None
        The number of each sample's group.
    subgroups : mapping of str to SubgroupColumn
        The columns that the objective names.
    """

    loader: Iterable[tuple[Any, Any]]
    labels: np.ndarray
    sample_weight: np.ndarray | None
    groups: np.ndarray | None = None
    subgroups: Subgroups = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def batches(self) -> Iterator[Any]:
        """The batches without their index."""
        return (batch for batch, _ in self.loader)


@dataclass(frozen=True)
class FoldedRows:
    """Rows that lie in folds, with one replica a fold, which trains without it: as often as the rows are divided.

    Attributes
    ----------
    labels : ndarray, shape (n, L), float32
        The labels as they are. Those of ``Partition.train`` have a column for each replica and label, and are missing
        where the replica does not train on the row: column r L + l belongs to replica r and label l.
    sample_weight : ndarray, shape (n, L), float64, or None
    divisions : ndarray, shape (n, D), int
        The fold of each row in each division. Replicas are numbered division by division, and fold by fold.
    groups : ndarray, shape (n,), int, or None
        The number of each row's group.
    subgroups : mapping of str to SubgroupColumn
        The columns that the objective names.
    """

    labels: np.ndarray
    sample_weight: np.ndarray | None
    divisions: np.ndarray
    groups: np.ndarray | None = None
    subgroups: Subgroups = field(default_factory=dict)

    @property
    def folds(self) -> np.ndarray:
        """The fold of each row in the first division, shape (n,): evidence is divided by these alone."""
        return self.divisions[:, 0]

    @cached_property
    def trains(self) -> np.ndarray:
        """Whether a row trains a replica, shape (n, R), bool."""
        return np.concatenate(
            [folds[:, np.newaxis] != np.arange(folds.max() + 1) for folds in self.divisions.T], axis=1
        )

    @property
    def num_replicas(self) -> int:
        """R."""
        return self.trains.shape[1]

    def for_replicas(self, columns: np.ndarray) -> np.ndarray:
        """Return what each row has, shape (n, L), once for each replica, shape (n, R * L)."""
        return np.tile(columns, (1, self.num_replicas))

    @property
    def labels_of_replicas(self) -> np.ndarray:
        """The labels that train, shape (n, R * L), float32."""
        missing = np.repeat(~self.trains, self.labels.shape[1], axis=1)
        return np.where(missing, np.float32(np.nan), self.for_replicas(self.labels))


@dataclass(frozen=True)
class Partition:
    """The parts of a training.

    Attributes
    ----------
    train : Part
    validation : Part or None
        The held-out samples; None where the training data select.
    train_loader : sized iterable of (batch, index)
        The batches for training, as the user's loader draws them; an index counts the rows of ``train``.
    order : torch.Generator
        The generator from which the order of ``train_loader`` is drawn.
    seed : int
        The seed of the training, from which that of every epoch follows.
    is_stream : bool
        Whether the samples come from an iterable data set, so that an index is a position in the latest pass.
    prevalence : float, tuple of float, or None
        The fraction of positives that the samples are weighted to, if they are.
    folded : FoldedRows or None
        The rows of ``train`` as they lie in folds; None without folds.
    is_checked : bool
        Whether all rows of ``train`` were read once, with their features, to know their labels.
    """

    train: Part
    validation: Part | None
    train_loader: Any
    order: torch.Generator
    seed: int
    is_stream: bool
    prevalence: float | tuple[float, ...] | None = None
    folded: FoldedRows | None = None
    is_checked: bool = False

    @property
    def num_labels(self) -> int:
        """L."""
        return (self.train if self.folded is None else self.folded).labels.shape[1]

    @property
    def selection(self) -> Part:
        """The part whose exact metric chooses the model."""
        return self.validation or self.train

    def begin_epoch(self, epoch: int) -> None:
        """Let the order of an epoch depend on the seed and the number of the epoch alone."""
        self.order.manual_seed(self.seed * 1_000_003 + epoch)

    @property
    def learnable(self) -> np.ndarray:
        """Whether a label has positives and negatives in every part, shape (L,), bool; the others are left out."""
        if self.folded is not None:
            return has_both_classes(self.folded.labels, self.folded.sample_weight)
        parts = filter(None, (self.train, self.validation))
        return np.logical_and.reduce([has_both_classes(part.labels, part.sample_weight) for part in parts])


def partition_at(prevalence: Prevalence | None, parts: Partition) -> Partition:
    """Return the same parts with their samples weighted to a prevalence, each from its own; None leaves them.

    With folds, each replica's rows are weighted from their own, too.
    """
    if prevalence is None:
        return parts
    folded, of_columns = parts.folded, prevalence
    if folded is not None:
        weight = weights_at(prevalence, folded.labels, folded.sample_weight)
        folded = replace(folded, sample_weight=weight)
        of_columns = prevalence * folded.num_replicas if isinstance(prevalence, tuple) else prevalence
    train, validation = (
        None if part is None else replace(part, sample_weight=weights_at(of_columns, part.labels, part.sample_weight))
        for part in (parts.train, parts.validation)
    )
    assert train is not None
    return replace(parts, train=train, validation=validation, prevalence=prevalence, folded=folded)
