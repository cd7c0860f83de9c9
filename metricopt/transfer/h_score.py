"""H-score: how far apart the mean features of the classes are, in units of the spread of the features."""

from __future__ import annotations

from typing import Any

import numpy as np

from metricopt.transfer.inputs import Floats, narrowed, read_classes, read_features
from metricopt.transfer.score import Score, report

# A column counts where more than this of it is its own, not a combination of others; in float32 less is rounding.
_OWN = 1e-6
# Each takes an error of the fit to about (condition number)^2 x 1e-16 of it.
_REFINEMENTS = 3


def h_score(features: Any, labels: Any, *, shrinkage: bool = False, balanced: bool = False) -> Score:
    r"""Return the variance between classes, in units of the variance of the features.

    .. math:: H = \mathrm{tr}\big(\mathrm{cov}(f)^+ \, \mathrm{cov}(\mathrm{E}[f \mid y])\big)
              = \lVert Q_f^T Q_y \rVert_F^2

    with orthonormal bases Q of the centred features and of the scaled class indicators (Pillai's trace). With shrinkage
    it is

    .. math:: H_a = (1-a) \, \mathrm{tr}(\Sigma_a^{-1} \Sigma_{E[f|y]}), \qquad
              \Sigma_a = (1-a) \Sigma + a \, \frac{\mathrm{tr} \, \Sigma}{d} I

    where a is the intensity of Ledoit and Wolf.

    Parameters
    ----------
    features : array, shape (n, d)
        The features of the target's samples, computed by the network that is judged.
    labels : array, shape (n,)
        The classes of the samples, as whole numbers or names.
    shrinkage : bool
        Whether to shrink the covariance, which is needed for few samples in many dimensions. The intensity is
        ``score.details["shrinkage"]``.
    balanced : bool
        Whether every class weighs the same in means and covariances. The papers do not have this option.

    Returns
    -------
    Score
        A number in [0, C - 1] for C classes, or with shrinkage in [0, (C - 1) n / (n - 1)]. Without shrinkage it does
        not change under invertible linear maps of the features; with shrinkage it does not change under rotations and
        changes of the unit.

    Warns
    -----
    TransferWarning
        If there are no more samples than features and no shrinkage (the score is then at its bound, or near it, for any
        labels), if the shrinkage is 1 (the score is then 0), or if a class has fewer than 10 samples.

    Raises
    ------
    InvalidInputError
        If values are not finite, lengths differ, there is only one class, or all features are equal.

    Notes
    -----
    Differs from the public code: columns that depend on others to 1e-6 count as one, where a pseudo-inverse divides by
    rounding errors. The intensity equals scikit-learn's, but it is computed from the covariance that is known already,
    which takes a third of the time.

    References
    ----------
    Y. Bao et al. (2019). An information-theoretic approach to transferability in task transfer learning. ICIP.
    S. Ibrahim, N. Ponomareva, R. Mazumder (2021). Newer is not always better: rethinking transferability metrics, their
    peculiarities, stability and performance. arXiv:2110.06893.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> iris = load_iris()
    >>> round(h_score(iris.data, iris.target), 6)
    1.191899
    >>> score = h_score(iris.data, iris.target, shrinkage=True)
    >>> round(score, 6), round(score.details["shrinkage"], 6), score.num_positives
    (1.177842, 0.007579, 50)
    """
    f = read_features("features", features)
    classes = read_classes("labels", labels, len(f), "features")
    num_samples, width = f.shape
    weights = classes.weights(balanced)
    f = _centred(f, weights)
    f *= np.sqrt(weights)[:, np.newaxis]  # now f.T @ f is the covariance
    indicators = classes.one_hot() * np.sqrt(weights)[:, np.newaxis]
    indicators /= np.linalg.norm(indicators, axis=0)
    if not shrinkage:
        caveats = [_few_samples(num_samples, width)] if num_samples <= width else []
        return report(_projected(f, indicators), classes.counts, caveats)
    intensity, value = _shrunk(f, indicators, num_samples, width)
    caveats = ["the shrinkage is 1: the covariance is all noise and the score is 0; collect more"] * (intensity == 1)
    return report(value, classes.counts, caveats, shrinkage=intensity)


def _centred(f: Floats, weights: Floats) -> Floats:
    """Subtract the mean. Columns that are constant become exactly 0, without rounding errors."""
    largest = np.abs(f).max(axis=0)
    for _ in range(2):  # the second time takes away what rounding left of a large mean
        f -= weights @ f
    f[:, np.abs(f).max(axis=0) <= 1e-14 * largest] = 0
    return f


def _projected(f: Floats, targets: Floats) -> float:
    """Return the sum of squares of the targets' projections onto the span of the columns of ``f``.

    A Cholesky factor with pivoting finds the columns that span it, in a third of the time of a QR factorization. The
    fit is then refined with residuals, because the condition number is squared.
    """
    from scipy.linalg import cho_solve
    from scipy.linalg.lapack import dpstrf

    lengths = np.linalg.norm(f, axis=0)
    f /= np.where(lengths > 0, lengths, 1.0)
    f = narrowed(f)
    products = f.T @ f
    factor, pivots, rank, _ = dpstrf(products, tol=_OWN**2 * products.diagonal().max())
    factor, kept = factor[:rank, :rank], pivots[:rank] - 1
    fitted, residual = np.zeros_like(targets), targets
    coefficients = np.zeros((f.shape[1], targets.shape[1]))
    for _ in range(_REFINEMENTS):
        coefficients[kept] += cho_solve((factor, False), (f.T @ residual)[kept])
        fitted = f @ coefficients
        residual = targets - fitted
    return float((fitted**2).sum())


def _shrunk(f: Floats, indicators: Floats, num_samples: int, width: int) -> tuple[float, float]:
    """Return the intensity of the shrinkage and the score with it."""
    from scipy.linalg import cho_factor, cho_solve

    f = narrowed(f)
    covariance = f.T @ f
    variance = np.trace(covariance) / width
    squares = (covariance**2).sum()
    noise = (num_samples * ((f**2).sum(axis=1) ** 2).sum() - squares) / num_samples
    distance = squares - width * variance**2
    intensity = float(min(1.0, noise / distance)) if min(noise, distance) > 0 and width > 1 else 0.0
    if intensity == 0:
        return intensity, _projected(f, indicators) * num_samples / (num_samples - 1)
    between = f.T @ indicators
    shrunk = (1 - intensity) * covariance
    shrunk[np.diag_indices_from(shrunk)] += intensity * variance
    solved = cho_solve(cho_factor(shrunk, overwrite_a=True), between)
    # the papers' code divides by n - 1 between classes, by n in the shrunk covariance
    return intensity, float((1 - intensity) * (between * solved).sum() * num_samples / (num_samples - 1))


def _few_samples(num_samples: int, width: int) -> str:
    return f"{num_samples} samples in {width} dimensions: the score is near its bound anyhow; use shrinkage=True"
