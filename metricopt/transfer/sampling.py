"""The choice of some samples in the place of all, for scores that would take too long on all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metricopt._validation import check_integer


def draw(
    groups: NDArray[np.intp], proportions: Sequence[float], size: int, random: np.random.Generator
) -> NDArray[np.intp]:
    """Return row numbers in increasing order, from each group in a given proportion as far as it has enough rows.

    Parameters
    ----------
    groups : ndarray, shape (n,), int
        For each row, the position of its group in ``proportions``.
    proportions : sequence of float
        The proportion of each group. A group of proportion 0 is used only if the others have too few rows.
    size : int
        The number of rows to draw. If there are not more rows than this, all of them are returned.
    random : Generator
        The generator by which rows are drawn.

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
    sizes = np.bincount(groups, minlength=len(proportions))
    place = np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # in its own group, from 0
    with np.errstate(divide="ignore"):
        turn = (place + 1) / np.asarray(proportions, dtype=np.float64)[groups[by_group]]
    return np.sort(by_group[np.argsort(turn, kind="stable")[:size]])


def check_size(argument: str, size: int) -> None:
    """Reject anything but an integer above 1."""
    check_integer(argument, size, 2, "give for example 1000")
