"""A network and fitted classifiers as one model: the mean of their log-odds.

This file decides how the two are called and averaged. How each scores by itself is decided in
:mod:`metricopt.scoring.inputs` and :mod:`metricopt.scoring.classifiers`, and the lines from scores to log-odds in
:mod:`metricopt.evidence.probabilities`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from metricopt.scoring.classifiers import FittedClassifiers
from metricopt.scoring.inputs import score_inputs


@dataclass(frozen=True, eq=False)
class Blend:
    r"""The mean of two models' log-odds, :math:`\frac{1}{2} \sum_m (a_m s_m + b_m)`.

    Attributes
    ----------
    network : Module
        A torch model of one label.
    classifiers : FittedClassifiers
        Of the same label; both take the same features.
    lines : pair of (float, float)
        The slope and the intercept of the network's scores, then those of the classifiers'.
    """

    network: nn.Module
    classifiers: FittedClassifiers
    lines: tuple[tuple[float, float], tuple[float, float]]

    def scores(self, features: Any) -> NDArray[np.float64]:
        """Return the score of each row, shape (n, 1).

        Parameters
        ----------
        features : array, shape (n, d)
            As both take them.

        Raises
        ------
        InvalidInputError
            If a score is not finite.
        """
        return self.average(score_inputs(features, self.network), self.classifiers.scores(features))

    def average(self, network: NDArray[np.floating], classifiers: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the mean of scores that the two gave to the same rows, of their shape."""
        log_odds = (
            slope * own.astype(np.float64) + intercept
            for (slope, intercept), own in zip(self.lines, (network, classifiers), strict=True)
        )
        return np.mean(list(log_odds), axis=0)

    def __str__(self) -> str:
        return f"{type(self.network).__name__} and {self.classifiers}, averaged"
