"""Which samples stand for all of them, where a score can only afford some."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metricopt._validation import reject


def draw(groups: NDArray[np.intp], shares: Sequence[float], size: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Return rows in increasing order, of each group in proportion to its share until there are no more of it.

    Parameters
    ----------
    groups : ndarray, shape (n,), int
        Of each row, an index of ``shares``.
    shares : sequence of float
        A group of share 0 only fills up what the others leave.
    size : int
        How many rows; all of them if there are no more.

    Examples
    --------
    >>> groups = np.array([0] * 96 + [1] * 4)
    >>> np.bincount(groups[draw(groups, [0.5, 0.5], 20, np.random.default_rng(0))]).tolist()
    [16, 4]
    """
    if len(groups) <= size:
        return np.arange(len(groups))
    shuffled = random.permutation(len(groups))
    by_group = shuffled[np.argsort(groups[shuffled], kind="stable")]
    sizes = np.bincount(groups, minlength=len(shares))
    place = np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # in its own group, from 0
    with np.errstate(divide="ignore"):
        turn = (place + 1) / np.asarray(shares, dtype=np.float64)[groups[by_group]]
    return np.sort(by_group[np.argsort(turn, kind="stable")[:size]])


def check_size(argument: str, size: int) -> None:
    """Reject anything but an integer above 1."""
    if not (isinstance(size, int) and not isinstance(size, bool) and size > 1):
        reject(argument, "an integer > 1", repr(size), "give for example 1000")
