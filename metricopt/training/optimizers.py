"""What steps the weights: Adam at a rate by the model's size, or what the user brings.

This file decides defaults; the loop asks for an optimizer at every stage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import nn

from metricopt._validation import reject

OptimizerLike: TypeAlias = "torch.optim.Optimizer | Callable[[Any], torch.optim.Optimizer]"


def optimizer_maker(
    model: nn.Module, optimizer: OptimizerLike | None, learning_rate: float | None
) -> Callable[[], torch.optim.Optimizer]:
    """Return what makes a stage's optimizer: Adam, the user's factory, or the user's own as it is."""
    if isinstance(optimizer, torch.optim.Optimizer):
        return lambda: optimizer
    if optimizer is not None:
        if not callable(optimizer):
            reject("optimizer", "an Optimizer or a callable (parameters) -> Optimizer", optimizer, "pass one of them")
        return lambda: optimizer(model.parameters())
    rate = _default_learning_rate(model) if learning_rate is None else float(learning_rate)
    return lambda: torch.optim.Adam(model.parameters(), lr=rate)


def is_linear(model: nn.Module) -> bool:
    """Say whether at most one layer of weights is trained: a linear model, or the head of frozen features."""
    return len(_sizes_of_trained(model)) <= 1


def _default_learning_rate(model: nn.Module) -> float:
    if is_linear(model):
        return 0.02
    return 0.003 if sum(_sizes_of_trained(model)) <= 100_000 else 0.001


def _sizes_of_trained(model: nn.Module) -> list[int]:
    return [weights.numel() for weights in model.parameters() if weights.ndim > 1 and weights.requires_grad]
