r"""How low, or how high, a metric may be on new data: confidence limits at many cuts at once, from effective counts.

A rate with :math:`k` hits and :math:`m` misses has the exact one-sided limits of Clopper and Pearson: from below the
quantile :math:`1 - c` of :math:`\text{Beta}(k, m + 1)`, from above the quantile :math:`c` of
:math:`\text{Beta}(k + 1, m)`. Whether a limit meets a bound takes one incomplete beta function and no inversion.

Where the two classes weigh differently, as for another prevalence, a metric of both is linear-fractional in their two
rates, recall :math:`r` and false-positive rate :math:`f`, and its bound is a line: :math:`A + B r + C f \ge 0`. The
confidence in it is the probability of that half-plane when both rates are drawn, independently, from the beta
distribution of their own limit on the side where they harm: for a bound on precision :math:`r` from
:math:`\text{Beta}(TP, FN + 1)` and :math:`f` from :math:`\text{Beta}(FP + 1, TN)`. The one that varies less is
integrated numerically over its quantiles, the other is an incomplete beta function: the same result every time.

This file decides the limits. It leaves what counts as an independent row to :mod:`metricopt.evidence.effective`.

References
----------
C. J. Clopper, E. S. Pearson (1934). The use of confidence or fiducial limits illustrated in the case of the binomial.
Biometrika 26.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np

from metricopt.problem.ratios import Ratio

NUM_NODES = 16
"""Of the Gauss-Legendre rule over the quantiles of a rate: the confidence is exact to 1e-4."""

Direction = Literal["min", "max"]


@dataclass(frozen=True)
class EffectiveRate:
    """How many independent rows of each of m cuts are hits of a rate, and how many are misses; fractions as well.

    Attributes
    ----------
    hits, misses : ndarray, shape (m,), float64
    """

    hits: np.ndarray
    misses: np.ndarray

    def __getitem__(self, at: np.ndarray) -> EffectiveRate:
        """Return the rate of some of the cuts."""
        return EffectiveRate(self.hits[at], self.misses[at])

    def scaled(self, factor: float) -> EffectiveRate:
        """Return the rate of as many times the rows."""
        return EffectiveRate(self.hits * factor, self.misses * factor)

    def shape(self, from_below: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the parameters of the beta distribution of the limit from below, where so, or from above."""
        return self.hits + ~from_below, self.misses + from_below


class Limit(ABC):
    """A confidence limit of a bounded metric at each of m cuts: from below for a least value, else from above."""

    direction: Direction

    @abstractmethod
    def supports(self, bound: float | np.ndarray, confidence: float, at: np.ndarray) -> np.ndarray:
        """Say at which of the cuts ``at`` the limit meets the bound: bool, of the shape of ``at``."""

    @abstractmethod
    def value(self, confidence: float, at: np.ndarray) -> np.ndarray:
        """Return the limit at the cuts ``at``; NaN where the metric speaks of no row."""

    @abstractmethod
    def scaled(self, factor: float) -> Limit:
        """Return the limit as it would be with as many times the rows at each cut."""


@dataclass(frozen=True)
class LimitOfRate(Limit):
    """The limit of a metric that is one rate: Clopper-Pearson.

    Examples
    --------
    >>> limit = LimitOfRate(EffectiveRate(np.array([22.0, 21.0]), np.array([0.0, 1.0])), "min")
    >>> limit.value(0.9, np.arange(2)).round(3)
    array([0.901, 0.834])
    >>> limit.supports(0.9, 0.9, np.arange(2))
    array([ True, False])
    """

    rate: EffectiveRate
    direction: Direction

    def supports(self, bound: float | np.ndarray, confidence: float, at: np.ndarray) -> np.ndarray:
        own = self.rate[at]
        below = _probability_below(*own.shape(np.full(len(at), self.direction == "min")), bound)
        meets = below <= 1 - confidence if self.direction == "min" else below >= confidence
        return np.asarray(meets & (own.hits + own.misses > 0))

    def value(self, confidence: float, at: np.ndarray) -> np.ndarray:
        own = self.rate[at]
        from_below = np.full(len(at), self.direction == "min")
        limit = _quantile(*own.shape(from_below), 1 - confidence if self.direction == "min" else confidence)
        return np.where(own.hits + own.misses > 0, limit, np.nan)

    def scaled(self, factor: float) -> LimitOfRate:
        return replace(self, rate=self.rate.scaled(factor))


@dataclass(frozen=True)
class LimitOfInverse(Limit):
    """The limit of one over a metric, such as the number needed to evaluate, which is one over precision.

    Attributes
    ----------
    inverse : Limit
        Of that metric, from the other side.
    """

    inverse: Limit

    def supports(self, bound: float | np.ndarray, confidence: float, at: np.ndarray) -> np.ndarray:
        return self.inverse.supports(1 / np.asarray(bound), confidence, at)

    def value(self, confidence: float, at: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.asarray(1 / self.inverse.value(confidence, at))

    def scaled(self, factor: float) -> LimitOfInverse:
        return replace(self, inverse=self.inverse.scaled(factor))


@dataclass(frozen=True)
class LimitOfTwoRates(Limit):
    """The limit of a ratio of the two classes, each with a weight of its own.

    Attributes
    ----------
    ratio : Ratio
    direction : "min" or "max"
    recall, false_positive_rate : EffectiveRate
    of_positives, of_negatives : float
        What all positives and all negatives weigh where the ratio is meant.
    """

    ratio: Ratio
    direction: Direction
    recall: EffectiveRate
    false_positive_rate: EffectiveRate
    of_positives: float
    of_negatives: float

    def supports(self, bound: float | np.ndarray, confidence: float, at: np.ndarray) -> np.ndarray:
        return self.confidence_in(bound, at) >= confidence

    def confidence_in(self, bound: float | np.ndarray, at: np.ndarray) -> np.ndarray:
        """Return how sure the bound is at the cuts ``at``: 0 without hits where the ratio is defined by alarms alone.

        Parameters
        ----------
        bound : float or ndarray, shape of ``at``
        at : ndarray of int
        """
        sign = 1.0 if self.direction == "min" else -1.0
        spare = (self.ratio.numerator - self.ratio.denominator * np.broadcast_to(bound, at.shape)) * sign
        constant = spare.positives * self.of_positives + spare.negatives * self.of_negatives
        terms = [
            _Term.of(slope + np.zeros(len(at)), rate[at])
            for slope, rate in (
                (spare.tp * self.of_positives, self.recall),
                (spare.fp * self.of_negatives, self.false_positive_rate),
            )
        ]
        is_first = terms[0].spread <= terms[1].spread
        narrow, wide = terms[0].where(is_first, terms[1]), terms[1].where(is_first, terms[0])
        nodes, weights = _nodes()
        rest = constant[:, np.newaxis] + narrow.slope[:, np.newaxis] * narrow.quantiles(nodes)  # (k, nodes)
        return wide.probability_above(-rest) @ weights

    def value(self, confidence: float, at: np.ndarray) -> np.ndarray:
        low, high = np.full(len(at), self.ratio.low), np.full(len(at), self.ratio.high)
        for _ in range(40):
            middle = (low + high) / 2
            is_lower = self.supports(middle, confidence, at) == (self.direction == "min")
            low, high = np.where(is_lower, middle, low), np.where(is_lower, high, middle)
        return low if self.direction == "min" else high

    def scaled(self, factor: float) -> LimitOfTwoRates:
        scaled = self.recall.scaled(factor), self.false_positive_rate.scaled(factor)
        return replace(self, recall=scaled[0], false_positive_rate=scaled[1])


@dataclass(frozen=True)
class _Term:
    """``slope`` times a rate drawn from the beta distribution of its limit on the side where it harms: (k,) each."""

    slope: np.ndarray
    a: np.ndarray
    b: np.ndarray

    @classmethod
    def of(cls, slope: np.ndarray, rate: EffectiveRate) -> _Term:
        return cls(slope, *rate.shape(slope >= 0))

    def where(self, condition: np.ndarray, other: _Term) -> _Term:
        """Return this term where so, else the other."""
        pairs = ((self.slope, other.slope), (self.a, other.a), (self.b, other.b))
        return _Term(*(np.where(condition, *pair) for pair in pairs))

    @property
    def spread(self) -> np.ndarray:
        """The standard deviation."""
        total = self.a + self.b
        return np.abs(self.slope) * np.sqrt(self.a * self.b / (total + 1)) / np.maximum(total, 1e-300)

    def quantiles(self, probability: np.ndarray) -> np.ndarray:
        """Return quantiles of the rate: (k, nodes)."""
        return _quantile(self.a[:, np.newaxis], self.b[:, np.newaxis], probability)

    def probability_above(self, least: np.ndarray) -> np.ndarray:
        """Return the probability of a value of at least ``least``, shape (k, nodes)."""
        slope = self.slope[:, np.newaxis]
        with np.errstate(divide="ignore", invalid="ignore"):
            turning = np.clip(np.nan_to_num(least / slope), 0, 1)
        below = _probability_below(self.a[:, np.newaxis], self.b[:, np.newaxis], turning)
        return np.where(slope == 0, least <= 0, np.where(slope > 0, 1 - below, below))


@cache
def _nodes() -> tuple[np.ndarray, np.ndarray]:
    """Return nodes in (0, 1) and their weights, denser towards the ends, where quantiles run away."""
    nodes, weights = np.polynomial.legendre.leggauss(NUM_NODES)
    even = (nodes + 1) / 2
    return even**2 * (3 - 2 * even), weights / 2 * 6 * even * (1 - even)


def _probability_below(a: np.ndarray, b: np.ndarray, value: float | np.ndarray) -> np.ndarray:
    """Return distribution functions of beta distributions; a = 0 is all at 0, b = 0 all at 1, both 0 is NaN."""
    from scipy.special import betainc

    # SciPy before 1.17 returns NaN where one of them is 0.
    inside = betainc(np.maximum(a, 1e-300), np.maximum(b, 1e-300), value)
    return np.where((a <= 0) & (b <= 0), np.nan, inside)


def _quantile(a: np.ndarray, b: np.ndarray, probability: float | np.ndarray) -> np.ndarray:
    """Return quantiles of beta distributions; a = 0 is all at 0, b = 0 all at 1."""
    from scipy.special import betaincinv

    inside = betaincinv(np.maximum(a, 1e-300), np.maximum(b, 1e-300), probability)
    return np.where(a <= 0, 0.0, np.where(b <= 0, 1.0, inside))
