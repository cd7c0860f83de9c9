"""The toy problem of Rath and Hughes, whose best linear model no smooth surrogate finds easily."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def rath_hughes_toy() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the 570 points, 120 of them positive, on which recall at a precision has many local optima.

    Three Gaussian blobs of positives lie beside one large and two small blobs of negatives. Both columns are
    standardised with the population deviation. Among linear classifiers the best recall is 29/120 at precision >= 0.9,
    89/120 at 0.8 and 28/120 at 0.95. At the minimum of cross-entropy no threshold has a precision above 0.69.

    Returns
    -------
    features : ndarray, shape (570, 2), float64
        The two coordinates of each point.
    labels : ndarray, shape (570,), float64
        1 for the first 120 rows, then 0.

    References
    ----------
    P. Rath, M. C. Hughes (2022). Optimizing early warning classifiers to control false alarms via a minimum precision
    constraint. AISTATS.

    Examples
    --------
    >>> features, labels = rath_hughes_toy()
    >>> features.shape, int(labels.sum())
    ((570, 2), 120)
    """
    positives = _blobs(
        seed=101,
        sizes=(30, 60, 30),
        means=((0.7, 2.5), (0.7, 1.0), (0.7, 0.0)),
        variances=((0.06, 0.1), (0.1, 0.1), (0.06, 0.06)),
    )
    negatives = _blobs(
        seed=201,
        sizes=(400, 30, 20),
        means=((2.25, 1.5), (0.0, 3.0), (0.0, 0.5)),
        variances=((0.1, 0.2), (0.05, 0.05), (0.05, 0.05)),
    )
    features = np.concatenate([positives, negatives])
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    return features, np.repeat([1.0, 0.0], [len(positives), len(negatives)])


def _blobs(
    seed: int,
    sizes: tuple[int, ...],
    means: tuple[tuple[float, float], ...],
    variances: tuple[tuple[float, float], ...],
) -> NDArray[np.float64]:
    """Draw one Gaussian blob after the other from a single stream."""
    random = np.random.RandomState(seed)
    return np.concatenate(
        [
            random.multivariate_normal(mean, np.diag(variance), size)
            for size, mean, variance in zip(sizes, means, variances, strict=True)
        ]
    )
