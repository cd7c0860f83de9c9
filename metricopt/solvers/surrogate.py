"""Losses that do not know the objective, or know it only by themselves: cross-entropy and any loss module.

This file decides how a plain loss is driven by the same loop as the direct solvers. The losses are the user's
own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from metricopt._validation import reject
from metricopt.objectives import Objective
from metricopt.solvers.base import Solver, Stage


def cross_entropy(scores: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean binary cross-entropy of logits over the labels that are present.

    Parameters
    ----------
    scores, labels : Tensor, shape (B, L), float
        Labels are 0, 1 or NaN (missing).
    weight : Tensor, shape (B, L), float, optional

    Returns
    -------
    Tensor, scalar
        The weighted sum over the number of labels present; 0 if there is none.

    Examples
    --------
    >>> import torch
    >>> round(cross_entropy(torch.zeros(2, 1), torch.tensor([[1.0], [torch.nan]])).item(), 4)
    0.6931
    """
    present = ~labels.isnan()
    if present.all():
        return binary_cross_entropy_with_logits(scores, labels, weight)
    held = None if weight is None else weight[present]
    total = binary_cross_entropy_with_logits(scores[present], labels[present], held, reduction="sum")
    return total / max(int(present.sum()), 1)


class Surrogate(Solver):
    """Train on a loss as it is, with the loop, the exact threshold and the selection of every other solver.

    Parameters
    ----------
    loss : callable ``(scores, labels) -> scalar Tensor``
        Gets scores and labels of shape (B, L). With one label, samples without it are left out beforehand; with
        several, missing labels reach the loss as NaN. :func:`cross_entropy` by default, the only one that takes
        sample weights.
    """

    warms_up = False

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy) -> None:
        self._loss = loss
        self.name = getattr(loss, "__name__", type(loss).__name__)

    def prepare(self, objective: Objective, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        if sample_weight is not None and self._loss is not cross_entropy:
            reject("sample_weight", "left out when solver is a loss", "weights", "put the weights into the loss")

    def stages(self, epochs: int) -> Sequence[Stage]:
        return [Stage("training", epochs)]

    def loss(self, scores: Tensor, labels: Tensor, weight: Tensor | None = None, index: Tensor | None = None) -> Tensor:
        if self._loss is cross_entropy:
            return cross_entropy(scores, labels, weight)
        if labels.shape[1] == 1 and labels.isnan().any():
            present = ~labels[:, 0].isnan()
            if not present.any():
                return scores.sum() * 0  # the mean of nothing is NaN, which would look like divergence
            scores, labels = scores[present], labels[present]
        return self._loss(scores, labels)

    def state_dict(self) -> dict[str, Any]:
        return {"loss": self._loss.state_dict()} if isinstance(self._loss, nn.Module) else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if isinstance(self._loss, nn.Module):
            self._loss.load_state_dict(state["loss"])
