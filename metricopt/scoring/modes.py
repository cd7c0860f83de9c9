"""Training and evaluation modes of a model: whoever changes them puts them back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Give each module of a model the mode (training or evaluation) back that it had on entering.

    Examples
    --------
    >>> model = nn.Sequential(nn.Dropout(), nn.Linear(1, 1).eval())
    >>> with modes_kept(model):
    ...     _ = model.eval()
    >>> [module.training for module in model]
    [True, False]
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def left_in_evaluation(model: nn.Module) -> list[nn.Module]:
    """Return the modules that the owner of a model in training mode left in evaluation mode: frozen batch norms.

    A model that is in evaluation mode as a whole was used for prediction before, and all of it trains.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1).eval())
    >>> [type(module).__name__ for module in left_in_evaluation(model)]
    ['BatchNorm1d']
    """
    return [module for module in model.modules() if not module.training] if model.training else []


def train_as_left(model: nn.Module, left: Sequence[nn.Module], is_training: bool = True) -> None:
    """Put a model into training mode, or evaluation mode, but the modules that were left in evaluation mode."""
    model.train(is_training)
    for module in left:
        module.training = False


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode for a while."""
    with modes_kept(model):
        model.eval()
        yield
