"""Rows dealt to the sites of a federation: equal sites, or sites that differ.

This file decides which site gets which rows. Whose rows they are is decided in :mod:`benchmarks.data.federations`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Features, shape (n, d), and labels, shape (n,)."""


def joined(parts: Sequence[Rows]) -> Rows:
    """Return the rows of several parts together."""
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def dealt(rows: Rows, number: int, seed: int) -> list[Rows]:
    """Return rows dealt to sites, positives and negatives equally and at random.

    Examples
    --------
    >>> rows = np.zeros((6, 1), np.float32), np.array([0, 0, 0, 0, 1, 1], np.float32)
    >>> [labels.tolist() for _, labels in dealt(rows, 2, seed=0)]
    [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]
    """
    features, labels = rows
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    return [(features[order[site::number]], labels[order[site::number]]) for site in range(number)]


def dealt_from_all(pools: Sequence[Rows], number: int, seed: int) -> list[Rows]:
    """Return equal sites, each with the same number of rows of every pool."""
    return [joined(parts) for parts in zip(*(dealt(pool, number, seed) for pool in pools), strict=True)]


def dealt_from_one(pools: Sequence[Rows], number: int, seed: int) -> list[Rows]:
    """Return skewed sites, each with rows of one pool; the last of a pool has up to four times as many as its first."""
    sites = []
    for at, pool in enumerate(pools):
        own = number // len(pools) + (at < number % len(pools))
        sizes = np.linspace(1, 4, own).round().astype(int)
        pieces, ends = dealt(pool, int(sizes.sum()), seed), np.cumsum(sizes)
        sites += [joined(pieces[end - size : end]) for end, size in zip(ends.tolist(), sizes.tolist(), strict=True)]
    return sites


def dealt_by_prevalence(rows: Rows, parts: Sequence[float], seed: int) -> list[Rows]:
    """Return sites with these parts of the positives, and with the same parts of the negatives the other way round.

    Examples
    --------
    >>> rows = np.zeros((20, 1), np.float32), np.repeat(np.array([0, 1], np.float32), 10)
    >>> [(len(labels), int(labels.sum())) for _, labels in dealt_by_prevalence(rows, (0.2, 0.8), seed=0)]
    [(10, 2), (10, 8)]
    """
    features, labels = rows
    random = np.random.default_rng(seed)
    dealt_out = []
    for truth, own in ((0, parts[::-1]), (1, parts)):
        at = random.permutation(np.flatnonzero(labels == truth))
        dealt_out.append(np.split(at, np.rint(np.cumsum(own)[:-1] * len(at)).astype(int)))
    both = [np.concatenate(pair) for pair in zip(*dealt_out, strict=True)]
    return [(features[at], labels[at]) for at in both]
