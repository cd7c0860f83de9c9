"""Losses that do not know the objective, or know it only by themselves: cross-entropy and any loss module.

This file decides how a plain loss is driven by the same loop as the direct solvers. The losses are the user's
own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metricopt._validation import reject
from metricopt.losses.base import Loss
from metricopt.losses.cross_entropy import cross_entropy
from metricopt.problem.objectives import Objective
from metricopt.solvers.base import Solver, Stage


class Surrogate(Solver):
    """Train on a loss as it is, with the loop, the exact threshold and the selection of every other solver.

    Parameters
    ----------
    loss : callable ``(scores, labels) -> scalar Tensor``
        A loss of scores and labels of shape (B, L). With one label, samples without it are left out beforehand; with
        several, missing labels reach the loss as NaN. The default is :func:`~metricopt.losses.cross_entropy`, the only
        loss that takes sample weights. A :class:`~metricopt.losses.Loss` is prepared with the training labels and told
        how far training is. The loss itself is used, not a copy: give each training a loss of its own.
    """

    warms_up = False
    keeps_its_scale = True

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy) -> None:
        self._loss, self.is_columnwise = loss, loss is cross_entropy
        self.takes_logits = loss is cross_entropy or isinstance(loss, Loss)  # a user's own may take probabilities
        self._step, self._num_steps = 0, 1
        self._mean_weight: Tensor | None = None
        self.name = getattr(loss, "__name__", type(loss).__name__)

    def __repr__(self) -> str:
        return repr(self._loss) if isinstance(self._loss, Loss) else self.name

    def prepare(self, objective: Objective, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        if sample_weight is not None and self._loss is not cross_entropy:
            reject("sample_weight", "left out when solver is a loss", "weights", "put the weights into the loss")
        # Weights in other units, or rows of weight 0, would otherwise change the size of the steps.
        self._mean_weight = None if sample_weight is None else _mean_weight(sample_weight, labels, self.num_replicas)
        if isinstance(self._loss, Loss):
            self._loss.prepare(torch.from_numpy(labels))
            self._loss.progress = 0.0

    def stages(self, epochs: int, is_linear: bool = True) -> Sequence[Stage]:
        return [Stage("training", epochs)]

    def start(self, stage: Stage, num_steps: int) -> None:
        self._step, self._num_steps = 0, num_steps

    def step(self) -> None:
        self._step += 1
        if isinstance(self._loss, Loss):
            self._loss.progress = min(self._step / self._num_steps, 1.0)

    def loss(self, scores: Tensor, labels: Tensor, weight: Tensor | None = None, index: Tensor | None = None) -> Tensor:
        if self._loss is cross_entropy:
            if weight is not None and self._mean_weight is not None:
                weight = weight / self._mean_weight.to(weight)
            return cross_entropy(scores, labels, weight, num_replicas=self.num_replicas)
        if labels.shape[1] == 1 and labels.isnan().any():
            present = ~labels[:, 0].isnan()
            if not present.any():
                return scores.sum() * 0  # the mean of nothing is NaN, which would look like divergence
            scores, labels = scores[present], labels[present]
        return self._loss(scores, labels)

    @property
    def losses(self) -> list[nn.Module]:
        return [self._loss] if isinstance(self._loss, nn.Module) else []

    def state_dict(self) -> dict[str, Any]:
        of_loss = {"loss": self._loss.state_dict()} if isinstance(self._loss, nn.Module) else {}
        return {"step": self._step, "num_steps": self._num_steps, **of_loss}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._step, self._num_steps = state["step"], state["num_steps"]
        if isinstance(self._loss, nn.Module):
            self._loss.load_state_dict(state["loss"])
        if isinstance(self._loss, Loss):
            self._loss.progress = min(self._step / self._num_steps, 1.0)


def _mean_weight(sample_weight: np.ndarray, labels: np.ndarray, num_replicas: int) -> Tensor:
    """Return the mean weight of the labels that each replica has, once for each of its columns, shape (R * L,)."""
    own = np.where(np.isnan(labels), 0.0, sample_weight).reshape(len(labels), num_replicas, -1)
    number = (~np.isnan(labels)).reshape(own.shape).sum(axis=(0, 2))
    mean = own.sum(axis=(0, 2)) / np.maximum(number, 1)
    return torch.from_numpy(np.where(mean > 0, mean, 1.0).repeat(own.shape[2]))
