r"""Rows that were seen before, and rows that are there several times: what equal scores tell of both.

A certificate needs new rows, each of them once. A row that trained has the very score and label that it had then. But
so may a new row, where scores are discrete: those of a model of a few categories, or of one that saturates. How often
chance makes rows equal is seen among the known ones. Let :math:`f_i` scores occur i times among them. Of m new rows
whose scores at most one known row has, by Good and Turing,

- each has the score of that one with a probability of :math:`2 f_2 / (f_1 + 2 f_2)`;
- each is equal to another of the m with a probability of at most
  :math:`1 - \exp(-m (2 f_2 + 6 f_3) / (f_1 + 2 f_2)^2)`.

Here :math:`f_2` is taken to be one more than was seen, and each chance to be that among :data:`CROWDING` times as many
rows, because new rows may crowd where known ones are rare. More equal rows than that are no chance: they are binomial,
and less probable than :data:`LEVEL`.

Of scores that many rows have, the numbers tell. With a new and b known rows of a score, n and K in all, a is binomial
of a + b rows with :math:`\phi = n / (n + K)` where both were drawn alike, and varies more where they were not. Rows
that came back make it vary less: where a fraction r of the new rows is known,

.. math:: X^2 = \sum \frac{(a - \phi (a + b))^2}{\phi (1 - \phi) (a + b)}

is about :math:`1 - 2 r n / (n + K)` times its degrees of freedom.

This file decides when equality is no chance. What is done about it is decided in :mod:`metricopt.results.calibration`.
Where a model gives few distinct scores, little is found: rows that are repeated unevenly look like frequent ones.

References
----------
I. J. Good (1953). The population frequencies of species and the estimation of population parameters. Biometrika 40,
equation 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 4e-6
"""How much two scores of one row differ at most, relative to their size and spread: 32 float32 rounding errors."""

CROWDING = 4.0
"""How many times as dense as the known rows the new ones may be."""

LEVEL = 1e-4
"""What is less probable than this is taken to be no chance."""

MIN_COUNT, MIN_SCORES = 2, 10
"""Scores whose numbers can tell: so many rows are expected of either kind; and how many such scores it takes."""


@dataclass(frozen=True)
class Equals:
    """The rows that equal another one, among those that can tell.

    Attributes
    ----------
    rows : ndarray of int
        The numbers of the rows that equal another one.
    num_telling : int
        How many rows would show it if they did.
    by_chance : float
        The fraction of these that equals another row by chance.
    """

    rows: NDArray[np.intp]
    num_telling: int
    by_chance: float

    @property
    def fraction(self) -> float:
        """The fraction of the rows that equal another one by no chance; 0 where all may be chance."""
        from scipy.stats import binom

        if binom.sf(len(self.rows) - 1, self.num_telling, self.by_chance) >= LEVEL:
            return 0.0
        return (len(self.rows) / self.num_telling - self.by_chance) / (1 - self.by_chance)


def seen_before(scores: NDArray[np.floating], known: NDArray[np.floating]) -> Equals:
    """Find the rows that have the score of a known row; of several rows with one score, the first.

    Parameters
    ----------
    scores : ndarray, shape (n,), float
        Of the rows of one class.
    known : ndarray, shape (K,), float
        Of the known rows of that class, by the same model.

    Examples
    --------
    >>> seen_before(np.array([0.1, 0.2, 0.255]), np.linspace(0, 1, 101)).rows
    array([0, 1])
    """
    number, times_known = _numbers_and_times(scores, known)
    present, first = np.unique(number, return_index=True)
    times = times_known[present]
    once, twice = _once_and_twice(times_known)
    return Equals(first[times == 1], int((times <= 1).sum()), _crowded(2 * twice / (once + 2 * twice)))


def fraction_alike(scores: NDArray[np.floating], known: NDArray[np.floating]) -> float:
    """Return the fraction of the rows that are known ones, as the numbers of equal scores tell; 0 if it may be none.

    Parameters
    ----------
    scores, known
        As for :func:`seen_before`.

    Examples
    --------
    >>> known = np.repeat(np.arange(20.0), np.arange(11, 31))
    >>> fraction_alike(known[1:], known) > 0.99
    True
    """
    from scipy.stats import chi2

    number, known_times = _numbers_and_times(scores, known)
    times = np.bincount(number, minlength=len(known_times))
    both = times + known_times
    new = times.sum() / max(both.sum(), 1)
    can_tell = both * min(new, 1 - new) >= MIN_COUNT
    if can_tell.sum() < MIN_SCORES:
        return 0.0
    times, both = times[can_tell], both[can_tell]
    new, freedom = times.sum() / both.sum(), len(times) - 1
    if not 0 < new < 1:
        return 0.0
    statistic = ((times - new * both) ** 2 / (new * (1 - new) * both)).sum()
    return float((1 - statistic / freedom) / (2 * new)) if chi2.cdf(statistic, freedom) < LEVEL else 0.0


def repeated(
    scores: NDArray[np.floating], known: NDArray[np.floating], identity: NDArray[np.intp] | None = None
) -> Equals:
    """Find the rows that are there more than once, among those whose score at most one known row has.

    Parameters
    ----------
    scores, known
        As for :func:`seen_before`.
    identity : ndarray, shape (n,), int, optional
        The same number for rows of equal inputs. By default rows of equal scores are taken to be equal.

    Examples
    --------
    >>> repeated(np.array([0.105, 0.215, 0.105, 0.2]), np.linspace(0, 1, 101)).rows
    array([0, 2])
    """
    number, times_known = _numbers_and_times(scores, known)
    can_tell = times_known[number] <= 1
    _, position, copies = np.unique(number if identity is None else identity, return_inverse=True, return_counts=True)
    once, twice = _once_and_twice(times_known)
    thrice = int((times_known == 3).sum())
    expected = can_tell.sum() * (2 * twice + 6 * thrice) / (once + 2 * twice) ** 2
    return Equals(
        np.flatnonzero(can_tell & (copies[position] > 1)), int(can_tell.sum()), _crowded(-np.expm1(-expected))
    )


def copies_of_each(identity: NDArray[np.intp]) -> int:
    """Return how many times every row is there; 1 where that may be chance, as it is for a few distinct rows.

    Examples
    --------
    >>> copies_of_each(np.repeat(np.arange(20), 10))
    10
    """
    _, copies = np.unique(identity, return_counts=True)
    # By chance a number of copies is even, say, in half of the cases.
    return int(np.gcd.reduce(copies)) if 0.5 ** len(copies) < LEVEL else 1


def number_scores(scores: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return a number for each score, the same for scores that are equal up to rounding."""
    order = np.argsort(scores)  # ties get one number, in whatever order they come
    ascending = scores[order].astype(np.float64)
    low, high = np.quantile(ascending, [0.25, 0.75]) if len(ascending) else (0.0, 0.0)
    is_next = np.diff(ascending, prepend=ascending[:1]) > TOLERANCE * (np.abs(ascending) + high - low)
    numbers = np.empty(len(scores), dtype=np.intp)
    numbers[order] = np.cumsum(is_next)
    return numbers


def _numbers_and_times(
    scores: NDArray[np.floating], known: NDArray[np.floating]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return a number for each row's score, and how many known rows have the score of each number."""
    numbers = number_scores(np.concatenate([scores, known]))
    times_known = np.bincount(numbers[len(scores) :], minlength=int(numbers.max(initial=-1)) + 1)
    # Where positives were repeated ten times to balance the classes, each of them is one known row.
    return numbers[: len(scores)], times_known // max(int(np.gcd.reduce(times_known)), 1)


def _once_and_twice(times_known: NDArray[np.intp]) -> tuple[int, int]:
    """Return how many scores occur once and how many twice, of these one more than was seen."""
    return int((times_known == 1).sum()), int((times_known == 2).sum()) + 1


def _crowded(chance: float) -> float:
    """Return the chance to equal one of ``CROWDING`` times as many rows."""
    return float(1 - (1 - chance) ** CROWDING)
