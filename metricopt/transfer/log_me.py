"""LogME: how likely the labels are under the best Bayesian linear model of the features."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from metricopt._validation import check_finite, reject
from metricopt.transfer.inputs import Floats, is_of_classes, narrowed, read_classes, read_features, read_labels
from metricopt.transfer.score import Score, report

# Up to so many multiplications a singular value decomposition is a matter of a second; the eigenvalues of the Gram
# matrix take a fifth of the time, and lose what is below 1e-8 of the largest singular value.
_SMALL = 5e9
# alpha / beta in units of the largest eigenvalue, on a logarithmic scale: every optimum seen lies well inside.
_RATIOS = np.linspace(-80.0, 40.0, 481)


def log_me(features: Any, labels: Any, *, balanced: bool = False) -> Score:
    r"""Return the logarithm of the maximum evidence, divided by the numbers of samples and classes.

    .. math:: \max_{\alpha, \beta} \frac1n \ln \int \mathcal N(y \mid F w, \beta^{-1} I) \,
              \mathcal N(w \mid 0, \alpha^{-1} I) \, dw

    for the indicator y of each class, averaged over the classes. With the singular values :math:`s` of F,
    :math:`x = U^T y`, :math:`r_0 = |y|^2 - |x|^2` and the ratio :math:`t = \alpha/\beta`, the best :math:`\beta` is
    known in closed form. A maximum over t alone remains, which is found to full precision:

    .. math:: \max_t \; -\frac12 \sum_k \ln\Big(1 + \frac{s_k^2}{t}\Big) - \frac n2 \ln \frac1n \Big(r_0 + \sum_k
              \frac{x_k^2}{1 + s_k^2/t}\Big) - \frac n2 (1 + \ln 2 \pi)

    Parameters
    ----------
    features : array, shape (n, d)
        The features F of the target's samples, computed by the network that is judged.
    labels : array, shape (n,), (n, 1) or (n, K)
        The classes of the samples, as whole numbers or names. With two axes they are K real-valued targets, unless
        there is one column of whole numbers, with fewer values than half the samples.
    balanced : bool
        Whether every class weighs the same: the log-likelihood of a sample then counts the more, the rarer its class
        is. This is for classes only, and the paper does not have this option.

    Returns
    -------
    Score
        A number in nats, without a bound. It is infinite if a target is an exact linear function of the features.
        ``details`` holds the evidence of each class. The score does not change under rotations of the features.

    Warns
    -----
    TransferWarning
        If the score is infinite, or a class has fewer than 10 samples.

    Raises
    ------
    InvalidInputError
        If :func:`metricopt.transfer.h_score` would raise, or a real-valued target is constant.

    Notes
    -----
    Differs from the public code: the optimum is reached, where the fixed-point iteration of that code stops at 1e-3;
    and the evidence counts min(n, d) directions, where its fast version counts d (on 30 samples in 40 dimensions that
    gives 1.0831 in place of .0022577).

    References
    ----------
    K. You, Y. Liu, J. Wang, M. Long (2021). LogME: practical assessment of pre-trained models for transfer learning.
    ICML.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> iris = load_iris()
    >>> score = log_me(iris.data, iris.target)
    >>> round(score, 6), round(score.details["class 0"], 4)
    (-0.16006, 0.4417)
    """
    f = read_features("features", features)
    counts: dict[Hashable, int] = {}
    given = read_labels("labels", labels)
    if not is_of_classes(given):
        if balanced:
            reject("balanced", "False for real-valued targets", True, "give labels of one axis, or leave it out")
        targets = _read_targets(given, len(f))
        names = [f"target {column}" for column in range(targets.shape[1])]
    else:
        classes = read_classes("labels", given, len(f), "features")
        counts = classes.counts
        names = [f"class {name}" for name in counts]
        repeats = np.sqrt(len(f) * classes.weights(balanced))[:, np.newaxis]
        f *= repeats
        targets = classes.one_hot() * repeats
    strengths, projections, rests = _spectrum(f, targets)
    evidences = [_evidence(strengths, x, rest, len(f)) for x, rest in zip(projections.T**2, rests, strict=True)]
    exact = [name for name, value in zip(names, evidences, strict=True) if np.isinf(value)]
    caveats = [f"{exact[0]} is an exact linear function of the features: the evidence has no bound"] if exact else []
    return report(float(np.mean(evidences)), counts, caveats, **dict(zip(names, evidences, strict=True)))


def _read_targets(targets: np.ndarray, num_samples: int) -> Floats:
    if targets.shape[0] != num_samples or targets.shape[1] == 0:
        rule = f"of shape ({num_samples}, K), one row for each sample of features"
        reject("labels", rule, f"shape {targets.shape}", "give the targets of the same samples")
    check_finite("labels", targets)
    constant = (targets == targets[:1]).all(axis=0)
    if constant.any():
        reject("labels", "different for some samples", f"constant column {int(constant.argmax())}", "leave it out")
    return targets.astype(np.float64)


def _spectrum(f: Floats, targets: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the squared singular values (k,), U^T y (k, K) and the squared rests of the targets (K,)."""
    from scipy.linalg import eigh, svd

    f = narrowed(f)
    num_samples, width = f.shape
    if num_samples * width**2 <= _SMALL:
        basis, singular, _ = svd(f, full_matrices=False)
        kept = singular > singular[0] * num_samples * np.finfo(float).eps
        basis, strengths = basis[:, kept], singular[kept] ** 2
        projections = basis.T @ targets
        rest = targets - basis @ projections
    else:
        eigenvalues, vectors = eigh(f.T @ f, driver="evd", overwrite_a=True)
        kept = eigenvalues > eigenvalues[-1] * num_samples * np.finfo(float).eps
        vectors, strengths = vectors[:, kept], eigenvalues[kept]
        projections = vectors.T @ (f.T @ targets) / np.sqrt(strengths)[:, np.newaxis]
        rest = targets - f @ (vectors @ (projections / np.sqrt(strengths)[:, np.newaxis]))
    return strengths, projections, (rest**2).sum(axis=0)


def _evidence(strengths: Floats, squares: Floats, rest: float, num_samples: int) -> float:
    """Return the maximum over t of the log evidence, divided by the number of samples."""
    from scipy.optimize import minimize_scalar

    if rest <= 1e-20 * (rest + squares.sum()):  # nothing but rounding
        if len(strengths) < num_samples:
            return np.inf
        rest = 0.0
    relative = strengths / strengths.max()

    def negative(ratio: Any) -> Any:
        growth = relative * np.exp(-np.asarray(ratio))[..., np.newaxis]
        error = (rest + (squares / (1 + growth)).sum(axis=-1)) / num_samples
        return (np.log1p(growth).sum(axis=-1) / num_samples + np.log(error) + 1 + np.log(2 * np.pi)) / 2

    best = int(negative(_RATIOS).argmin())
    around = _RATIOS[max(best - 1, 0)], _RATIOS[min(best + 1, len(_RATIOS) - 1)]
    return -float(minimize_scalar(negative, bounds=around, method="bounded", options={"xatol": 1e-10}).fun)
