"""A round of training at a site: steps over its own rows, under the guidance of the server.

This file decides one round. It leaves what guides it to :mod:`metricopt.federated.guidance`, and which weights it
begins with to :mod:`metricopt.federated.site`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metricopt.data.loader_labels import as_label_columns
from metricopt.data.loaders import split_batch
from metricopt.federated.guidance import Loss
from metricopt.scoring.forward import forward, to_device
from metricopt.scoring.modes import train_as_left
from metricopt.training.driver import DivergedError
from metricopt.training.parts import Partition


@dataclass(frozen=True)
class LocalRound:
    """How long a round lasts at a site, and what holds its weights.

    Attributes
    ----------
    number : int, >= 0
    epochs : int, >= 1
    steps : int or None
        The number of batches of the round, instead of whole epochs.
    proximal : float
        The strength of the pull to the weights that were received.
    """

    number: int
    epochs: int
    steps: int | None
    proximal: float

    def num_steps(self, parts: Partition) -> int:
        """Return the number of batches."""
        return self.epochs * len(parts.train_loader) if self.steps is None else self.steps

    def batches(self, parts: Partition) -> Iterator[Any]:
        """Yield the batches, which depend on the seed and the number of the round alone."""
        return islice(self._epochs(parts), self.num_steps(parts))

    def _epochs(self, parts: Partition) -> Iterator[Any]:
        epoch = self.number * self.epochs
        while True:
            epoch += 1
            parts.begin_epoch(epoch)
            yield from parts.train_loader


def train_round(
    model: nn.Module,
    parts: Partition,
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    of_round: LocalRound,
    anchor: Mapping[str, np.ndarray],
    *,
    gradient_clip: float | None,
    left_in_evaluation: Any,
) -> None:
    """Train a model in place for a round.

    Parameters
    ----------
    model : Module
    parts : Partition
        The rows of the site.
    loss : callable ``(scores, labels, index) -> loss``
        It gives the loss of each batch, and goes one step on.
    optimizer : Optimizer
    of_round : LocalRound
    anchor : mapping of str to ndarray
        The weights that were received, to which the proximal term pulls.
    gradient_clip : float or None
        The largest norm of the gradient of the loss; the proximal term is added afterwards.
    left_in_evaluation
        The modules that stay in evaluation mode.

    Raises
    ------
    DivergedError
        If a loss is NaN or infinite.
    """
    train_as_left(model, left_in_evaluation)
    device = next(model.parameters()).device
    held = _held(model, anchor, device) if of_round.proximal else []
    for batch, index in of_round.batches(parts):
        x, y = split_batch(batch)
        labels = torch.as_tensor(as_label_columns(y), device=device)
        optimizer.zero_grad()
        scores = forward(model, to_device(x, device), labels.shape[1])
        value = loss(scores, labels, None if parts.is_stream else index)
        if not math.isfinite(value.item()):
            raise DivergedError("the loss became NaN or infinite; lower learning_rate or set gradient_clip")
        value.backward()
        if gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), gradient_clip)
        for weight, received in held:
            if weight.grad is not None:
                weight.grad.add_(weight.detach() - received, alpha=of_round.proximal)
        optimizer.step()


def _held(model: nn.Module, anchor: Mapping[str, np.ndarray], device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Return the weights that the proximal term pulls, each with what it is pulled to."""
    return [
        (weight, torch.from_numpy(np.array(anchor[name])).to(device, weight.dtype))
        for name, weight in model.named_parameters()
        if weight.requires_grad and name in anchor
    ]
