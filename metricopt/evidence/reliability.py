r"""Whether probabilities are what they say: the fraction of positives among rows of like probability, and a line.

Rows are sorted by probability and cut into bins that expect equally many positives each, since with few positives bins
of equally many rows would put all of them into the last one. The line is that of logistic regression on the log-odds,

.. math:: \operatorname{logit} P(y = 1) = a + b \operatorname{logit} p .

Of good probabilities the slope b is 1 (below 1 they are too extreme). The intercept is a where b is held at 1, the
calibration in the large: 0 for good probabilities, above 0 for those that are too low.

References
----------
B. Van Calster, D. J. McLernon, M. van Smeden, L. Wynants, E. W. Steyerberg (2019). Calibration: the Achilles heel of
predictive analytics. BMC Medicine 17.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metricopt._arrays import Array, Samples
from metricopt._validation import reject

SMALLEST = 1e-9
"""Probabilities nearer to 0 or 1 than this are cut off, since their log-odds are not finite."""
_MOST_STEPS, _LARGEST = 100, 1e3
CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class Reliability:
    """Predicted probabilities beside observed fractions.

    Attributes
    ----------
    predicted, observed : ndarray, shape (B,), float64
        The mean probability of each bin, and its fraction of positives.
    low, high : ndarray, shape (B,), float64
        The 95 % interval of the fraction (Clopper-Pearson); NaN for weighted rows.
    weight : ndarray, shape (B,), float64
        The number of rows of each bin, or their weight.
    slope, intercept : float
        NaN where they cannot be estimated: without both classes, where the probabilities divide the classes, and the
        slope where all probabilities are equal.
    """

    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    weight: NDArray[np.float64]
    slope: float
    intercept: float

    @classmethod
    def of(
        cls, probabilities: Array, labels: Array, *, sample_weight: Array | None = None, num_bins: int = 10
    ) -> Reliability:
        """Compare probabilities with labels.

        Parameters
        ----------
        probabilities : array, shape (n,), float, in [0, 1]
        labels : array, shape (n,)
            0, 1 or NaN (missing).
        sample_weight : array, shape (n,), optional
            Weights >= 0.
        num_bins : int, >= 1
            At most so many; rows of equal probability lie in one.

        Raises
        ------
        InvalidInputError
            If a shape or value is not as above, or no row has a label.

        Examples
        --------
        >>> found = Reliability.of([0.2, 0.2, 0.2, 0.2, 0.2, 0.6, 0.6], [0, 0, 1, 0, 0, 1, 0], num_bins=2)
        >>> found.predicted.round(2).tolist(), found.observed.tolist(), found.weight.tolist()
        ([0.2, 0.6], [0.2, 0.5], [5.0, 2.0])
        """
        samples = Samples.read(probabilities, labels, sample_weight)
        if samples.has_label_axis:
            reject("probabilities", "of shape (n,)", f"shape {samples.scores.shape}", "give one label at a time")
        known = ~np.isnan(samples.labels[:, 0])
        own, truth = samples.scores[known, 0].astype(np.float64), samples.labels[known, 0].astype(np.float64)
        weight = np.ones(len(own)) if samples.weight is None else samples.weight[known, 0].astype(np.float64)
        if not weight.any():
            reject("labels", "of at least one sample", "none", "give labelled samples")
        if own.min() < 0 or own.max() > 1:
            got = f"{own.min():.6g}" if own.min() < 0 else f"{own.max():.6g}"
            reject("probabilities", "in [0, 1]", got, "give predict_proba, or result.probabilities, not scores")
        bins = _bins(own, weight, num_bins)
        every = np.bincount(bins, weights=weight)
        filled = every > 0
        total = every[filled].astype(np.float64)
        positives = np.bincount(bins, weights=weight * truth)[filled].astype(np.float64)
        predicted = np.bincount(bins, weights=weight * own)[filled] / total
        low, high = np.full((2, len(total)), np.nan) if samples.weight is not None else _intervals(positives, total)
        slope, intercept = _line(np.clip(own, SMALLEST, 1 - SMALLEST), truth, weight)
        return cls(predicted, positives / total, low, high, total, slope, intercept)

    def __str__(self) -> str:
        named = (f"calibration slope {self.slope:.2f}", f"intercept {self.intercept:.2f}")
        known = [text for text, value in zip(named, (self.slope, self.intercept), strict=True) if not np.isnan(value)]
        return ", ".join(known) or "calibration slope and intercept unknown"


def _bins(probabilities: NDArray[np.float64], weight: NDArray[np.float64], num_bins: int) -> NDArray[np.intp]:
    """Return the bin of each row."""
    _, place = np.unique(probabilities, return_inverse=True)
    expected = np.bincount(place, weights=weight * probabilities)
    if not expected.sum():
        return np.zeros(len(probabilities), dtype=np.intp)
    before = np.cumsum(expected) - expected / 2
    return np.minimum(before / expected.sum() * num_bins, num_bins - 1).astype(np.intp)[place]


def _intervals(positives: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ends of the intervals, shape (2, B)."""
    from scipy.stats import beta

    rest, tail = total - positives, (1 - CONFIDENCE) / 2
    low = np.where(positives > 0, beta.ppf(tail, np.maximum(positives, 1), rest + 1), 0.0)
    high = np.where(rest > 0, beta.ppf(1 - tail, positives + 1, np.maximum(rest, 1)), 1.0)
    return np.stack([low, high])


def _line(
    probabilities: NDArray[np.float64], labels: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[float, float]:
    """Return slope and intercept."""
    counts = weight > 0
    odds = np.log(probabilities) - np.log1p(-probabilities)
    positive, negative = odds[counts & (labels == 1)], odds[counts & (labels == 0)]
    if not len(positive) or not len(negative):
        return np.nan, np.nan
    slope, columns = np.nan, np.stack([np.ones_like(odds), odds])
    is_divided = positive.min() >= negative.max() or positive.max() <= negative.min()
    if not is_divided:
        slope = _logistic(columns, np.zeros_like(odds), labels, weight)[1]
    (intercept,) = _logistic(columns[:1], odds, labels, weight)
    return float(slope), float(intercept)


def _logistic(
    columns: NDArray[np.float64],
    offset: NDArray[np.float64],
    labels: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the coefficients of columns, shape (d, n), by Newton's method; NaN where there is no finite optimum."""
    from scipy.special import expit

    found, nothing = np.zeros(len(columns)), np.full(len(columns), np.nan)

    def loss(coefficients: NDArray[np.float64]) -> float:
        score = coefficients @ columns + offset
        return float((weight * (np.logaddexp(0, score) - labels * score)).sum())

    for _ in range(_MOST_STEPS):
        p = expit(found @ columns + offset)
        gradient = columns @ (weight * (labels - p))
        curvature = (columns * (weight * p * (1 - p))) @ columns.T
        if np.abs(gradient).max() <= 1e-9 * weight.sum():
            return found
        try:
            step = np.linalg.solve(curvature, gradient)
        except np.linalg.LinAlgError:
            return nothing
        before, factor = loss(found), 1.0
        while factor > 1e-6 and loss(found + factor * step) > before:
            factor /= 2
        found = found + factor * step
        if np.abs(found).max() > _LARGEST or not np.isfinite(found).all():
            return nothing
    return nothing
