"""Training and evaluation modes of a model: whoever changes them puts them back."""

from __future__ import annotations

from collections.abc import Iterator
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


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode for a while."""
    with modes_kept(model):
        model.eval()
        yield
