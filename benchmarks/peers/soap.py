"""LibAUC's SOAP, the published stochastic method for average precision, behind the solver interface of metricopt.

Only the benchmarks use it: ``pip install --no-deps libauc==2.0.1``, beside torchvision and tqdm. This file decides how
its loss and sampler are called, as its documentation does it: the moving averages by sample, batches by its
DualSampler, because its loss fails on a batch without positives.

References
----------
Q. Qi, Y. Luo, Z. Xu, S. Ji, T. Yang (2021). Stochastic optimization of areas under precision-recall curves with
provable convergence. NeurIPS 34. Z. Yuan, D. Zhu, Z.-H. Qiu, G. Li, X. Wang, T. Yang (2023). LibAUC: a deep learning
library for X-risk optimization. KDD.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from metricopt._torchvision import import_torchvision
from metricopt.problem.objectives import Objective
from metricopt.solvers import Solver, Stage


def missing() -> list[str]:
    """Return the packages that SOAP wants and that are not installed."""
    return [name for name in ("libauc", "torchvision", "tqdm") if find_spec(name) is None]


class Soap(Solver):
    """LibAUC's average-precision loss.

    Parameters
    ----------
    gamma : float, in (0, 1)
        The weight of the new batch in its moving averages.
    margin : float, > 0
        Of its squared hinge.
    has_sigmoid : bool
        Whether its loss sees probabilities, as in the tutorials of LibAUC, or scores.
    """

    name = "SOAP"
    needs_index = True
    warms_up = False

    def __init__(self, gamma: float, margin: float, has_sigmoid: bool) -> None:
        self._gamma, self._margin, self._has_sigmoid = gamma, margin, has_sigmoid

    def prepare(self, objective: Objective, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        import_torchvision()  # LibAUC imports it by itself, which may fail
        from libauc.losses import APLoss

        self._loss = APLoss(data_len=len(labels), gamma=self._gamma, margin=self._margin, device=torch.device("cpu"))

    def stages(self, epochs: int, is_linear: bool = True) -> Sequence[Stage]:
        return [Stage("training", epochs)]

    def loss(self, scores: Tensor, labels: Tensor, weight: Tensor | None = None, index: Tensor | None = None) -> Tensor:
        loss: Tensor = self._loss(torch.sigmoid(scores) if self._has_sigmoid else scores, labels, index)
        return loss


def make_optimizer(learning_rate: float) -> Callable[[Iterable[Any]], torch.optim.Optimizer]:
    """Return what makes LibAUC's SOAP optimizer (its Adam form) for given parameters."""
    import_torchvision()
    from libauc.optimizers import SOAP

    return lambda parameters: SOAP(parameters, lr=learning_rate, mode="adam", device=torch.device("cpu"))


def make_sampler(
    data: Dataset[Any], labels: np.ndarray, batch_size: int, positive_fraction: float, seed: int
) -> Sampler[int]:
    """Return LibAUC's sampler: batches with a fixed share of positives; pass it with the same batch size.

    Parameters
    ----------
    data : Dataset
    labels : ndarray, shape (n,) or (n, 1), float
        Those of its rows: 0 or 1.
    batch_size : int
    positive_fraction : float, in (0, 1)
    seed : int
    """
    import_torchvision()
    from libauc.sampler import DualSampler

    sampler: Sampler[int] = DualSampler(
        data, batch_size, labels=labels, sampling_rate=positive_fraction, random_seed=seed
    )
    return sampler
