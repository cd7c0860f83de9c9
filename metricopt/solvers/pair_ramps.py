r"""Average precision as a sum over pairs, each pair's indicator a ramp, and such sums without any pairs.

With :math:`a_i` the number of positives and :math:`b_i` that of all samples that score at least as high as positive i,

.. math::
    AP = \frac{1}{n_+} \sum_{i \in P} \frac{a_i}{b_i}, \qquad
    a_i = \sum_{j \in P} 1\{z_j \ge z_i\}, \qquad b_i = \sum_{j \in P \cup N} 1\{z_j \ge z_i\}.

To first order in the indicators, at the current ranks, a negative above positive i costs :math:`c_i = a_i / b_i^2` and
another positive above it is worth :math:`e_i = (b_i - a_i) / b_i^2`, so that what is to be minimised is, up to a
constant,

.. math::
    \frac{1}{n_+} \sum_{i \in P} \Bigl[ c_i \sum_{j \in N} R(z_j - z_i) - e_i \sum_{j \in P, j \ne i} R(z_j - z_i)
    \Bigr], \qquad R(d) = \min(\max(\tfrac12 + d / h, 0), 1),

where the ramp R of width h stands for the indicator. The tie lies in the middle of the ramp: a constant model gains by
every pair that it begins to order, and reaches nothing by its ties. Samples of weight w count w-fold, in the ranks and
in the sums.

The weights belong to i alone. With the scores of one class sorted, :math:`\sum_i v_i R(z - z_i)` is therefore a
difference of prefix sums between the two ends of the ramp: O(log n) for each z, after one sort.

This file decides weights and sums; which samples are summed over, and how wide the ramps are, is decided in
:mod:`metricopt.solvers.profiled_ranking`.

References
----------
L. Peng, Y. Travadi, C. He, Y. Cui, J. Sun (2025). Exact reformulation and optimization for direct metric optimization
in binary imbalanced classification. Program OAP, with one slack a pair; a slack that is minimised away is a ramp
(:mod:`metricopt.solvers.reformulation`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metricopt.problem.ranking import Ranking


def pair_weights(ranking: Ranking) -> tuple[np.ndarray, np.ndarray]:
    """Return what a pair weighs in average precision, to first order at the current ranks.

    Parameters
    ----------
    ranking : Ranking

    Returns
    -------
    of_negatives, of_positives : ndarray, shape (number of positives,), float64
        c and e of each positive, in ascending order of the scores.

    Examples
    --------
    >>> import numpy as np
    >>> from metricopt._arrays import Samples
    >>> samples = Samples.read(np.array([0.9, 0.8, 0.4, 0.2]), np.array([1, 0, 1, 0]))
    >>> [weights.round(2).tolist() for weights in pair_weights(Ranking.of(samples, 0))]
    [[0.22, 1.0], [0.11, 0.0]]
    """
    counts = ranking.counts(ranking.positives.scores)
    squared_rank = (counts.true_positives + counts.false_positives) ** 2
    return counts.true_positives / squared_rank, counts.false_positives / squared_rank


@dataclass(frozen=True)
class RampSums:
    r"""Sums over stored scores :math:`\sum_i v_i R(z - z_i)`, for any z and several weightings v at once.

    Attributes
    ----------
    center : float
        The number that is taken off all scores, so that the sums keep their digits where scores lie far from 0.
    scores : ndarray, shape (m,), ascending, float64
    weights, moments : ndarray, shape (K, m + 1), float64
        Entry i sums the weights, or the weights times the scores, of the first i scores.
    """

    center: float
    scores: np.ndarray
    weights: np.ndarray
    moments: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, weightings: np.ndarray) -> RampSums:
        """Store scores (m,), which ascend, with their weightings (K, m)."""
        center = float(scores[len(scores) // 2])
        centered = scores.astype(np.float64) - center
        return cls(center, centered, _prefix_sums(weightings), _prefix_sums(weightings * centered))

    @property
    def total(self) -> np.ndarray:
        """The sum of each weighting, shape (K,)."""
        return self.weights[:, -1]

    def place(self, scores: np.ndarray) -> np.ndarray:
        """Return how many stored scores lie below each of the given ones."""
        return np.searchsorted(self.scores, scores - self.center)

    def at(self, scores: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the sums at given scores, and their derivatives in them; takes O(log m) each.

        Parameters
        ----------
        scores : ndarray, shape (B,), float64
        width : float, > 0
            The width of the ramp, on which it rises from 0 to 1.

        Returns
        -------
        sums, derivatives : ndarray, shape (K, B), float64

        Examples
        --------
        >>> stored = RampSums.of(np.array([-1.0, 0.0, 3.0]), np.ones((1, 3)))
        >>> stored.at(np.array([0.0, 0.25]), width=1.0)
        (array([[1.5 , 1.75]]), array([[1., 1.]]))
        """
        centered = scores - self.center
        below = np.searchsorted(self.scores, centered - width / 2)
        upto = np.searchsorted(self.scores, centered + width / 2)
        passed = self.weights[:, below]
        slope = (self.weights[:, upto] - passed) / width
        moment = (self.moments[:, upto] - self.moments[:, below]) / width
        with np.errstate(invalid="ignore"):  # an infinite score has no sum: NaN
            return passed + slope * (width / 2 + centered) - moment, slope


def _prefix_sums(values: np.ndarray) -> np.ndarray:
    sums = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums
