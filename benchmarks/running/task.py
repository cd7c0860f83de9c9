"""A split of a data set as a method may see it: features and labels to learn from, features alone to be judged on.

This file decides fractions, seeds and scaling: 60, 20 and 20 %, stratified, standardised on the training part. Data
come from :mod:`benchmarks.data`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from benchmarks.data import BenchmarkData
from metricopt.data import stratified_split
from metricopt.evidence.folds import DEFAULT_FOLDS, make_folds
from metricopt.training.table_models import make_table_model

FRACTIONS = (0.6, 0.2, 0.2)


@dataclass(frozen=True)
class Task:
    """What a method gets.

    Attributes
    ----------
    train, validation : TensorDataset
        Features (n, d), float32, and labels (n,), float32.
    test_features : Tensor, shape (n, d), float32
    model : str
        Name in :data:`metricopt.training.table_models.TABLE_MODELS`.
    seed : int
        Of the split, the initial weights and the order of the batches.
    num_steps, batch_size : int
    """

    train: TensorDataset
    validation: TensorDataset
    test_features: Tensor
    model: str
    seed: int
    num_steps: int
    batch_size: int

    @property
    def features(self) -> dict[str, Tensor]:
        """The features of every part, by its name."""
        return {
            "train": self.train.tensors[0],
            "validation": self.validation.tensors[0],
            "test": self.test_features,
        }

    @property
    def known(self) -> TensorDataset:
        """The rows of both parts with labels, those for training first."""
        pairs = zip(self.train.tensors, self.validation.tensors, strict=True)
        return TensorDataset(*(torch.cat(pair) for pair in pairs))

    @property
    def folds(self) -> NDArray[np.intp]:
        """The fold of each of the :attr:`known` rows, the same for every method."""
        labels = self.known.tensors[1].numpy()
        rarer = int(min((labels == 0).sum(), (labels == 1).sum()))
        return make_folds(min(DEFAULT_FOLDS, rarer), labels, seed=self.seed)

    def make_fresh_model(self) -> nn.Module:
        """Return a model with weights drawn from torch's global generator, so that each fold begins elsewhere."""
        return make_table_model(self.model, self.test_features.shape[1], seed=torch.initial_seed())

    def make_model(self) -> nn.Module:
        """Return the model before training, the same for every method."""
        return make_table_model(self.model, self.test_features.shape[1], seed=self.seed)

    def epochs_of(self, num_batches: int) -> int:
        """Return how many epochs of so many batches the budget buys."""
        return max(1, math.ceil(self.num_steps / num_batches))


def make_task(
    data: BenchmarkData, seed: int, model: str, *, num_steps: int, batch_size: int
) -> tuple[Task, dict[str, Tensor]]:
    """Split a data set.

    Returns
    -------
    Task
    dict of str to Tensor
        The labels of every part, the test part's among them: for the judge alone.
    """
    rows = dict(zip(("train", "validation", "test"), stratified_split(data.labels, FRACTIONS, seed), strict=True))
    own = data.features[rows["train"]]
    mean, spread = own.mean(axis=0), own.std(axis=0)
    spread[spread == 0] = 1.0  # a constant column stays 0
    features = torch.from_numpy((data.features - mean) / spread).float()
    labels = torch.from_numpy(data.labels).float()
    parts = {name: TensorDataset(features[index], labels[index]) for name, index in rows.items()}
    task = Task(parts["train"], parts["validation"], parts["test"].tensors[0], model, seed, num_steps, batch_size)
    return task, {name: part.tensors[1] for name, part in parts.items()}
