"""The random generators that a training draws from, seeded, captured and put back.

This file decides which generators these are: the global ones of Python, NumPy, torch and its devices, and those that
the user's loaders, samplers and data sets hold. It leaves when to do so to the training loop.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import torch

Generator: TypeAlias = "torch.Generator | np.random.Generator | np.random.RandomState | random.Random"
_KINDS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_PARTS = ("loader", "dataset", "sampler", "batch_sampler")
"""Attributes behind which a loader's generators hide."""
_turn = threading.RLock()
"""Held by the thread that has seeded the global generators."""


def generators_of(*holders: Any) -> list[Generator]:
    """Return the generators that objects, and the samplers and data sets in them, hold as attributes; each once.

    Parameters
    ----------
    *holders
        Loaders, data sets or any other objects; None is skipped.

    Examples
    --------
    >>> from torch.utils.data import DataLoader, WeightedRandomSampler
    >>> own = torch.Generator()
    >>> loader = DataLoader([0, 1], sampler=WeightedRandomSampler([0.5, 0.5], 2, generator=own))
    >>> generators_of(loader) == [own]
    True
    """
    found: list[Generator] = []
    seen: set[int] = set()

    def visit(holder: Any) -> None:
        if id(holder) in seen or not hasattr(holder, "__dict__"):
            return
        seen.add(id(holder))
        for name, value in sorted(vars(holder).items()):
            if isinstance(value, _KINDS):
                if id(value) not in seen:
                    seen.add(id(value))
                    found.append(value)
            elif name.lstrip("_") in _PARTS:
                visit(value)

    for holder in holders:
        visit(holder)
    return found


class RandomStates:
    """The global generators and some more, whose states are taken and put back together.

    Parameters
    ----------
    generators : sequence of generators
        The generators beside the global ones. They must be the same, in the same order, whenever a state is put back.

    Examples
    --------
    >>> states = RandomStates([])
    >>> before = states.capture()
    >>> first = torch.rand(3)
    >>> states.restore(before)
    >>> torch.equal(torch.rand(3), first)
    True
    """

    def __init__(self, generators: Sequence[Generator]) -> None:
        self._generators = list(generators)

    def capture(self) -> dict[str, Any]:
        """Return the states, as tensors, arrays and numbers."""
        return {
            "python": random.getstate(),
            "numpy": np.random.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "own": [_state_of(generator) for generator in self._generators],
        }

    def restore(self, states: dict[str, Any]) -> None:
        """Put back what :meth:`capture` returned."""
        random.setstate(states["python"])
        np.random.set_state(states["numpy"])
        torch.set_rng_state(states["torch"])
        if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():  # else another number of devices
            torch.cuda.set_rng_state_all(states["cuda"])
        for generator, state in zip(self._generators, states["own"], strict=True):
            _put_back(generator, state)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global random generators; afterwards put them back to the state they were in.

    One thread at a time does so, since all threads draw from the same generators: another thread waits for its turn.
    In the same thread one such block may lie in another.

    Parameters
    ----------
    seed : int, in [0, 2**64)

    Examples
    --------
    >>> with seeded(3):
    ...     first = torch.rand(2)
    >>> with seeded(3):
    ...     torch.equal(torch.rand(2), first)
    True
    """
    devices = list(range(torch.cuda.device_count()))
    with _turn:
        python_state, numpy_state = random.getstate(), np.random.get_state()
        try:
            with torch.random.fork_rng(devices):
                torch.manual_seed(seed)
                random.seed(seed)
                np.random.seed(seed % 2**32)
                yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


@contextmanager
def begun_anew(generators: Sequence[Generator]) -> Iterator[None]:
    """Set the global generators and some more to where the seed 0 begins; afterwards put all back.

    Whatever is drawn in such a block is the same in the next, and nothing outside notices.

    Parameters
    ----------
    generators : sequence of generators
        The generators beside the global ones.

    Examples
    --------
    >>> own = np.random.default_rng(5)
    >>> with begun_anew([own]):
    ...     first = own.random()
    >>> with begun_anew([own]):
    ...     own.random() == first
    True
    >>> own.random() == np.random.default_rng(5).random()
    True
    """
    states = RandomStates(generators)
    before = states.capture()
    try:
        with seeded(0):
            for generator in generators:
                _begin_anew(generator)
            yield
    finally:
        states.restore(before)


def _state_of(generator: Generator) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.get_state() if isinstance(generator, np.random.RandomState) else generator.getstate()


def _begin_anew(generator: Generator) -> None:
    if isinstance(generator, torch.Generator):
        generator.manual_seed(0)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = type(generator.bit_generator)(0).state
    else:
        generator.seed(0)


def _put_back(generator: Generator, state: Any) -> None:
    if isinstance(generator, torch.Generator):
        generator.set_state(state)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.setstate(state)
