"""The similarity of two representations of the same samples, for any choice of axes: CCA, SVCCA and PWCCA.

This file decides what is computed from the covariances of two sets of features. :mod:`metricopt.transfer.comparison`
decides where the features come from, and keeps nothing of them but covariances.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from metricopt._arrays import to_numpy
from metricopt._validation import check_choice, check_finite, check_fraction, reject
from metricopt.transfer.scatter import CrossScatter

QUANTITIES = ("variance", "singular_values")


class Spectrum(NamedTuple):
    """The directions in which features vary, ordered by falling variance, without those that are rounding errors.

    Attributes
    ----------
    sums : ndarray, shape (r,)
        The sums of squares along each direction, which are the squared singular values of the centred features.
    directions : ndarray, shape (d, r)
        The directions, as orthonormal columns.
    """

    sums: np.ndarray
    directions: np.ndarray

    @classmethod
    def of(cls, scatter: CrossScatter) -> Spectrum:
        """Return the spectrum of features, from their scatter with themselves."""
        sums, directions = np.linalg.eigh(scatter.sums.cpu().numpy())
        tolerance = max(len(sums) * np.finfo(np.float64).eps, scatter.resolution**2) * max(sums[-1], 0.0)
        kept = np.flatnonzero(sums > tolerance)[::-1][: scatter.num_samples - 1]
        return cls(sums[kept], directions[:, kept])

    @property
    def rank(self) -> int:
        """The number of directions in which the features vary."""
        return len(self.sums)

    def leading(self, fraction: float, of: str) -> Spectrum:
        """Return the fewest directions that hold a fraction of the variance, or of the sum of singular values."""
        weights = np.cumsum(self.sums if of == "variance" else np.sqrt(self.sums))
        number = int(np.searchsorted(weights, fraction * weights[-1] * (1 - 1e-12))) + 1 if self.rank else 0
        return Spectrum(self.sums[:number], self.directions[:, :number])


def correlations_of(x: Spectrum, y: Spectrum, cross: np.ndarray) -> np.ndarray:
    """Return the canonical correlations, the largest first, from two spectra and their cross scatter (d_x, d_y)."""
    return _canonical(x, y, cross)[1]


def projection_weighted(x: Spectrum, y: Spectrum, cross: np.ndarray) -> float:
    """Return PWCCA (:func:`pwcca`) from two spectra and their cross scatter (d_x, d_y)."""
    if y.rank < x.rank:
        x, y, cross = y, x, cross.T
    if x.rank == 0:
        return float("nan")
    left, correlations = _canonical(x, y, cross)
    # h_i = X V diag(sums)^(-1/2) u_i and X^T X = V diag(sums) V^T, so <h_i, z_j> has entries u_i^T sqrt(sums) V^T.
    weights = np.abs(left.T @ (np.sqrt(x.sums)[:, None] * x.directions.T)).sum(axis=1)
    return float(weights @ correlations / weights.sum())


def _canonical(x: Spectrum, y: Spectrum, cross: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the canonical directions of the first side in whitened coordinates, and the correlations."""
    whitened = (x.directions / np.sqrt(x.sums)).T @ cross @ (y.directions / np.sqrt(y.sums))
    left, correlations, _ = np.linalg.svd(whitened, full_matrices=False)
    return left, np.clip(correlations, 0.0, 1.0)


def cca(x: Any, y: Any) -> np.ndarray:
    r"""Return the canonical correlations of two representations of the same samples.

    The first is the largest correlation of a linear combination of one side's features with one of the other's, the
    second is the largest among combinations that are uncorrelated with the former, and so on. With centred features and
    orthonormal bases :math:`Q_x, Q_y` of their columns, they are the singular values of :math:`Q_x^\top Q_y`.
    Invertible linear maps of either side change nothing. Directions whose spread is below about 1e-7 of the largest
    count as rounding errors and are left out.

    Parameters
    ----------
    x : array, shape (n, d_x)
        The first representation.
    y : array, shape (n, d_y)
        The second representation, of the same samples in the same order.

    Returns
    -------
    ndarray, shape (r,), float64
        The correlations, in [0, 1], the largest first, where r is the lower of the two ranks. If n - 1 < r_x + r_y, the
        first r_x + r_y - (n - 1) are 1 for any data.

    Raises
    ------
    InvalidInputError
        If shapes do not fit, values are not finite, or one side does not vary at all.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(100, 3))
    >>> cca(x, x @ [[1, 2, 0], [0, 1, 1], [0, 0, 1]]).round(6)
    array([1., 1., 1.])

    References
    ----------
    H. Hotelling (1936). Relations between two sets of variates. Biometrika 28.
    A. Bjoerck, G. H. Golub (1973). Numerical methods for computing angles between linear subspaces. Mathematics of
    Computation 27.
    """
    return correlations_of(*_read(x, y))


def svcca(x: Any, y: Any, *, fraction: float = 0.99, of: str = "variance") -> float:
    """Return the mean canonical correlation of the leading directions of two representations.

    Directions with hardly any variance are noise, and CCA would count them like others. So each side is first reduced
    to the fewest directions that hold a given fraction of its variance.

    Parameters
    ----------
    x, y : array, shape (n, d_x) and (n, d_y)
        The two representations, as for :func:`cca`.
    fraction : float, in (0, 1]
        The fraction that is kept.
    of : str
        ``"variance"`` keeps a fraction of the variance, as in the paper. ``"singular_values"`` keeps a fraction of the
        sum of singular values, as in the authors' tutorial, which keeps more directions.

    Returns
    -------
    float, in [0, 1]
        The mean correlation.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> signal, noise = random.normal(size=(200, 2)), 0.01 * random.normal(size=(2, 200, 4))
    >>> x, y = (np.hstack([signal, each]) for each in noise)
    >>> round(svcca(x, y), 3), round(float(cca(x, y).mean()), 3)
    (1.0, 0.411)

    References
    ----------
    M. Raghu, J. Gilmer, J. Yosinski, J. Sohl-Dickstein (2017). SVCCA: singular vector canonical correlation analysis
    for deep learning dynamics and interpretability. NeurIPS, section 2.1.
    """
    check_leading(fraction, of)
    left, right, cross = _read(x, y)
    return float(correlations_of(left.leading(fraction, of), right.leading(fraction, of), cross).mean())


def pwcca(x: Any, y: Any) -> float:
    r"""Return the mean canonical correlation, weighted by how much of a representation each direction accounts for.

    If :math:`h_i` are the canonical variates, of unit norm, of the side of lower rank (or of the first, if the ranks
    are equal), and :math:`z_j` are its centred features, it is

    .. math:: \frac{\sum_i \alpha_i \rho_i}{\sum_i \alpha_i}, \qquad \alpha_i = \sum_j |\langle h_i, z_j \rangle|.

    The correlations do not depend on the axes of either side. The weights depend on the axes of the side that they are
    taken from, so invertible linear maps of the other side change nothing.

    Differs from the authors' script: variates have unit norm, as the paper defines them, where the script leaves out an
    inverse square root.

    Parameters
    ----------
    x, y : array, shape (n, d_x) and (n, d_y)
        The two representations, as for :func:`cca`.

    Returns
    -------
    float, in [0, 1]
        The weighted mean correlation.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> x = random.normal(size=(500, 3)) * [10, 1, 1]
    >>> y = np.hstack([x[:, :1], random.normal(size=(500, 3))])
    >>> round(pwcca(x, y), 2), round(float(cca(x, y).mean()), 2)
    (0.8, 0.37)

    References
    ----------
    A. S. Morcos, M. Raghu, S. Bengio (2018). Insights on representational similarity in neural networks with canonical
    correlation. NeurIPS, section 2 and equations 2 to 4.
    """
    return projection_weighted(*_read(x, y))


def check_leading(fraction: Any, of: Any) -> None:
    """Reject a fraction, or a choice of what it is a fraction of, that :func:`svcca` cannot use."""
    check_fraction("fraction", fraction)
    check_choice("of", of, QUANTITIES)


def _read(x: Any, y: Any) -> tuple[Spectrum, Spectrum, np.ndarray]:
    """Return the two spectra and the cross scatter, from which the measures are computed."""
    sides = {"x": to_numpy("x", x), "y": to_numpy("y", y)}
    for name, values in sides.items():
        if values.ndim != 2 or min(values.shape) == 0:
            remedy = "flatten feature maps to (n h w, C), or take their spatial means"
            reject(name, "of shape (n, d)", f"shape {values.shape}", remedy)
        check_finite(name, values)
    if len(sides["x"]) != len(sides["y"]):
        got = f"{len(sides['y'])} for {len(sides['x'])} of x"
        reject("y", "of as many samples as x", got, "pass the features of the same samples, in the same order")
    tensors = {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in sides.items()}
    spectra = {}
    for name, tensor in tensors.items():
        own = CrossScatter()
        own.update(tensor, tensor)
        spectra[name] = Spectrum.of(own)
        if spectra[name].rank == 0:
            reject(name, "features that vary", "the same row for all samples", "leave out layers that are silent")
    cross = CrossScatter()
    cross.update(tensors["x"], tensors["y"])
    return spectra["x"], spectra["y"], cross.sums.numpy()
