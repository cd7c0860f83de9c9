"""The rows that the models of a classifier are trained on, and how they are trained and judged.

How torch modules are trained is in :mod:`metricopt.estimator.modules`, how classifiers of scikit-learn are in
:mod:`metricopt.estimator.classifiers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from metricopt.evidence.subgroups import SubgroupColumn


@dataclass(frozen=True)
class LabelledRows:
    """The rows that train and judge.

    Attributes
    ----------
    features : array, frame or sparse matrix, shape (n, d)
        As the model takes them.
    labels : ndarray, shape (n,), float
        0 or 1.
    weight : ndarray, shape (n,), float, or None
    groups : sequence, shape (n,), or None
    label : str
        What results call the label.
    subgroups : mapping of str to SubgroupColumn
        The columns that the objective names.
    """

    features: Any
    labels: NDArray[np.float64]
    weight: NDArray[np.float64] | None = None
    groups: Any = None
    label: str = "label"
    subgroups: Mapping[str, SubgroupColumn] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """How each candidate is trained and judged.

    Attributes
    ----------
    folds : ndarray, shape (n,), int, or None
        The fold of each row, the same for all candidates; None where :func:`metricopt.fit` decides, or a part is held
        out.
    asked_folds : Any
        What :func:`metricopt.fit` is given as its folds where ``folds`` is None.
    val_fraction, confidence, prevalence, solver, learning_rate, epochs, batch_size
        As for :class:`~metricopt.DirectMetricClassifier` and :func:`metricopt.fit`.
    dtype : torch.dtype
        Of features and weights of torch models.
    device : str or device
    seed : int
    tell : callable ``(text) -> None``, or None
        What is told how far a training is, after each epoch or fold.
    rest : dict
        Further arguments of :func:`metricopt.fit`.
    """

    folds: NDArray[np.intp] | None = None
    asked_folds: Any = "auto"
    val_fraction: float | None = None
    confidence: float | str | None = "auto"
    prevalence: float | None = None
    solver: Any = "profiled"
    learning_rate: float | None = None
    epochs: int | None = None
    batch_size: int | None = None
    dtype: torch.dtype = torch.float64
    device: str | torch.device = "cpu"
    seed: int = 0
    tell: Callable[[str], None] | None = None
    rest: dict[str, Any] = field(default_factory=dict)
