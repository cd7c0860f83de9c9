r"""Scores as probabilities: how often rows with such scores are positive.

.. math:: P(y = 1 \mid s) = \frac{1}{1 + \exp(-(a s + b))}, \qquad a > 0

with a and b fitted by logistic regression to scores of rows that the model has not seen (Platt scaling). So
probabilities have the order of the scores. This file decides how they are fitted, and nothing about thresholds.

References
----------
J. Platt (1999). Probabilistic outputs for support vector machines and comparisons to regularized likelihood methods.
Advances in Large Margin Classifiers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from metricopt.results.scores import DataScores

LEAST_SLOPE = 1e-3
"""Of a standardised score: where scores say nothing, or the opposite, probabilities still have their order."""


@dataclass(frozen=True)
class Calibration:
    """The line from scores to log-odds.

    Attributes
    ----------
    slope : float, > 0
    intercept : float
    """

    slope: float
    intercept: float

    @classmethod
    def of(cls, data: DataScores) -> Calibration:
        """Fit the line to the scores of rows of one label, by their weights.

        Parameters
        ----------
        data : DataScores
            Scores and labels of shape (n, 1).
        """
        known = ~np.isnan(data.labels[:, 0])
        scores, labels = data.scores[known, 0].astype(np.float64), data.labels[known, 0]
        weight = None if data.sample_weight is None else data.sample_weight[known, 0]
        centre = np.average(scores, weights=weight)
        spread = np.sqrt(np.average((scores - centre) ** 2, weights=weight)) or 1.0
        # The penalty is slight; it keeps the slope finite where the scores divide the classes.
        line = LogisticRegression(C=100.0, tol=1e-10)
        line.fit((scores[:, np.newaxis] - centre) / spread, labels, sample_weight=weight)
        slope = max(float(line.coef_[0, 0]), LEAST_SLOPE)
        return cls(slope / spread, float(line.intercept_[0]) - slope * centre / spread)

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of each score, of the same shape."""
        return np.asarray(expit(self.slope * scores + self.intercept), dtype=np.float64)
