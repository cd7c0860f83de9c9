r"""Scores as probabilities: how often rows with such scores are positive.

.. math:: P(y = 1 \mid s) = \frac{1}{1 + \exp(-g(s))}

with g fitted to scores of rows that the model has not seen. With few rows of a class it is a line, :math:`g(s) = a s +
b` with :math:`a > 0`, by logistic regression (Platt scaling). With many it follows isotonic regression: through the
middle of each of its steps, and beyond the outer ones it hardly rises, so that it claims no more than was seen. Either
way g increases strictly, so that probabilities have the order of the scores. This file decides how they are fitted, and
nothing about thresholds.

References
----------
J. Platt (1999). Probabilistic outputs for support vector machines and comparisons to regularized likelihood methods.
Advances in Large Margin Classifiers.

B. Zadrozny, C. Elkan (2002). Transforming classifier scores into accurate multiclass probability estimates. KDD
(isotonic regression).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST_SLOPE = 1e-3
"""Of a standardised score: where scores say nothing, or the opposite, probabilities still have their order."""
MANY = 500
"""With at least so many rows of either class, isotonic regression takes the place of the line."""
_DEFAULT_FOLDS = 5
_PENALTY = 0.01
"""On the square of the slope, of a sum over rows: it keeps the slope finite where the scores divide the classes."""
_MOST_STEPS, _SMALLEST_STEP = 100, 1e-10


@dataclass(frozen=True, eq=False)
class Calibration:
    """How scores become log-odds.

    Attributes
    ----------
    slope, intercept : float
        Of the line, or of what lies beyond the knots; the slope is above 0.
    knots, log_odds : ndarray, shape (K,), float64, or None
        The middle of each step of isotonic regression, and the log-odds there; both increase strictly. None with few
        rows of a class.
    """

    slope: float
    intercept: float
    knots: NDArray[np.float64] | None = None
    log_odds: NDArray[np.float64] | None = None

    @classmethod
    def of(
        cls,
        scores: NDArray[np.floating],
        labels: NDArray[np.floating],
        sample_weight: NDArray[np.floating] | None = None,
    ) -> Calibration:
        """Fit to the scores of one label.

        Parameters
        ----------
        scores : ndarray, shape (n,), float
        labels : ndarray, shape (n,), float
            0, 1 or NaN (missing), with both classes among them.
        sample_weight : ndarray, shape (n,), float, optional

        Examples
        --------
        >>> calibration = Calibration.of(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.0, 1.0]))
        >>> calibration(np.array([0.0, 3.0])).round(2).tolist()
        [0.21, 0.79]
        """
        own, truth, weight = _known(scores, labels, sample_weight)
        counted = truth if weight is None else truth[weight > 0]
        if min((counted == 0).sum(), (counted == 1).sum()) < MANY:
            return cls(*line_to_log_odds(scores, labels, sample_weight))
        return cls(LEAST_SLOPE / _spread(own, weight), 0.0, *_steps(own, truth, weight))

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of each score, of the same shape."""
        if self.knots is None or self.log_odds is None:
            return _probability(self.slope * scores + self.intercept)
        beyond = np.minimum(scores - self.knots[0], 0.0) + np.maximum(scores - self.knots[-1], 0.0)
        inside = np.interp(scores, self.knots, self.log_odds)
        return _probability(inside + self.slope * beyond)


def _probability(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-log_odds)), without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0, -log_odds)), dtype=np.float64)


def line_to_log_odds(
    scores: NDArray[np.floating], labels: NDArray[np.floating], sample_weight: NDArray[np.floating] | None = None
) -> tuple[float, float]:
    """Return slope and intercept of the line from scores to log-odds, by logistic regression (Platt scaling).

    Parameters
    ----------
    scores, labels, sample_weight
        As for :meth:`Calibration.of`.
    """
    own, truth, weight = _known(scores, labels, sample_weight)
    centre, spread = np.average(own, weights=weight), _spread(own, weight)
    slope, intercept = _logistic_line((own - centre) / spread, truth, weight)
    slope = max(slope, LEAST_SLOPE)
    return slope / spread, intercept - slope * centre / spread


def _logistic_line(
    scores: NDArray[np.float64], labels: NDArray[np.floating], weight: NDArray[np.float64] | None
) -> tuple[float, float]:
    """Return slope and intercept of logistic regression on one column, by Newton steps that never raise the loss.

    It is done here, since importing scikit-learn takes longer than predicting some hundred rows.
    """
    columns = np.stack([scores, np.ones_like(scores)])
    counts = np.ones_like(scores) if weight is None else weight
    penalty = np.array([_PENALTY, 0.0])

    def loss(line: NDArray[np.float64]) -> float:
        log_odds = line @ columns
        return float(counts @ (np.logaddexp(0, log_odds) - labels * log_odds) + penalty @ line**2 / 2)

    line, lowest = np.zeros(2), loss(np.zeros(2))
    for _ in range(_MOST_STEPS):
        probabilities = _probability(line @ columns)
        gradient = columns @ (counts * (probabilities - labels)) + penalty * line
        curvature = (columns * (counts * probabilities * (1 - probabilities))) @ columns.T + np.diag(penalty)
        step = np.linalg.lstsq(curvature, gradient)[0]
        while (reached := loss(line - step)) > lowest and np.abs(step).max() > _SMALLEST_STEP:
            step /= 2
        if reached > lowest:
            break
        line, lowest = line - step, reached
        if np.abs(step).max() <= _SMALLEST_STEP:
            break
    return float(line[0]), float(line[1])


def _known(
    scores: NDArray[np.floating], labels: NDArray[np.floating], sample_weight: NDArray[np.floating] | None
) -> tuple[NDArray[np.float64], NDArray[np.floating], NDArray[np.float64] | None]:
    """Return scores, labels and weights of the rows with a label."""
    known = ~np.isnan(labels)
    weight = None if sample_weight is None else sample_weight[known].astype(np.float64)
    return scores[known].astype(np.float64), labels[known], weight


def _spread(scores: NDArray[np.float64], weight: NDArray[np.float64] | None) -> float:
    centre = np.average(scores, weights=weight)
    return float(np.sqrt(np.average((scores - centre) ** 2, weights=weight))) or 1.0


def held_out_probabilities(
    scores: NDArray[np.floating],
    labels: NDArray[np.floating],
    folds: NDArray[np.integer] | None = None,
    sample_weight: NDArray[np.floating] | None = None,
) -> NDArray[np.float64] | None:
    """Return the probability of each row by a calibration that has not seen it.

    Parameters
    ----------
    scores, labels : ndarray, shape (n,), float
        Labels are 0, 1 or NaN (missing).
    folds : ndarray, shape (n,), int, optional
        Rows of one fold are calibrated by those of the others. The default deals every fifth row into one fold.
    sample_weight : ndarray, shape (n,), float, optional

    Returns
    -------
    ndarray, shape (n,), float64, or None
        None where the rows of some other folds lack a class.
    """
    fold_of = np.arange(len(scores)) % _DEFAULT_FOLDS if folds is None else folds
    found = np.empty(len(scores))
    counted = labels if sample_weight is None else np.where(sample_weight > 0, labels, np.nan)
    for fold in np.unique(fold_of):
        own = fold_of == fold
        if not ((counted[~own] == 0).any() and (counted[~own] == 1).any()):
            return None
        weight = None if sample_weight is None else sample_weight[~own]
        found[own] = Calibration.of(scores[~own], labels[~own], weight)(scores[own].astype(np.float64))
    return found


def _steps(
    scores: NDArray[np.float64], labels: NDArray[np.floating], weight: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middle of each step of isotonic regression, and its log-odds, kept finite at 0 and 1."""
    from scipy.optimize import isotonic_regression  # sooner imported than scikit-learn's

    counts = np.ones(len(scores)) if weight is None else weight
    scores, labels, counts = scores[counts > 0], labels[counts > 0], counts[counts > 0]
    _, place = np.unique(scores, return_inverse=True)
    total = np.bincount(place, weights=counts)
    fitted = isotonic_regression(np.bincount(place, weights=labels * counts) / total, weights=total).x[place]
    values, step = np.unique(fitted.round(12), return_inverse=True)
    knots = np.bincount(step, weights=scores * counts) / np.bincount(step, weights=counts)
    sizes = np.bincount(step)
    if values[0] == 0:  # half a positive, as if one more row were seen, but less than in the next step
        values[0] = min(0.5 / (sizes[0] + 1), values[1] / 2)
    if values[-1] == 1:
        values[-1] = max(1 - 0.5 / (sizes[-1] + 1), (1 + values[-2]) / 2)
    return knots, np.log(values) - np.log1p(-values)
