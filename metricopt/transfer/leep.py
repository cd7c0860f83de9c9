"""LEEP: how likely the target's labels are, given the probabilities of the source model's own classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from metricopt.transfer.inputs import Classes, Floats, read_classes, read_probabilities
from metricopt.transfer.score import Score, report


def leep(source_probabilities: Any, labels: Any, *, balanced: bool = False) -> Score:
    r"""Return the log-likelihood of the classifier that derives the target's class from the source model's classes.

    .. math:: \mathrm{LEEP} = \frac1n \sum_i \ln \sum_z \hat P(y_i \mid z) \, \theta(x_i)_z, \qquad
              \hat P(y, z) = \frac1n \sum_{i: y_i = y} \theta(x_i)_z

    Parameters
    ----------
    source_probabilities : array, shape (n, Z)
        The softmax outputs :math:`\theta(x_i)` of the source model on the target's samples. Rows sum to 1 within .005,
        which allows for half precision, and are scaled to sum to 1 exactly.
    labels : array, shape (n,)
        The target's classes y, as whole numbers or names.
    balanced : bool
        Whether every target class weighs the same in both means. The paper does not have this option.

    Returns
    -------
    Score
        A number in nats, at most 0. If all probabilities are 0 or 1, it equals :func:`metricopt.transfer.nce`.

    Warns
    -----
    TransferWarning
        If a source class has probability 0 for all samples, or a class has fewer than 10 samples.

    Raises
    ------
    InvalidInputError
        If the probabilities are not probabilities, lengths differ, a label is missing, or there is only one class.

    Notes
    -----
    Differs from the public code: source classes with probability 0 are left out, where that code returns NaN.

    References
    ----------
    C. V. Nguyen et al. (2020). LEEP: a new measure to evaluate transferability of learned representations. ICML, eq. 2.

    Examples
    --------
    >>> probabilities = [[0.9, 0.1], [0.2, 0.8], [0.8, 0.2], [0.5, 0.5]] * 10
    >>> round(leep(probabilities, [0, 1, 0, 1] * 10), 6)
    -0.466004
    """
    theta = read_probabilities("source_probabilities", source_probabilities)
    classes = read_classes("labels", labels, len(theta), "source_probabilities")
    without = int((theta.sum(axis=0) == 0).sum())
    caveats = [f"{without} of {theta.shape[1]} source classes have no probability anywhere and are left out"] * (
        without > 0
    )
    return report(log_expected_prediction(theta, classes, balanced), classes.counts, caveats)


def log_expected_prediction(theta: Floats, classes: Classes, balanced: bool) -> float:
    """Return LEEP from probabilities (n, Z) that have been checked."""
    weights = classes.weights(balanced)
    joint = (theta * weights[:, np.newaxis]).T @ classes.one_hot()  # (Z, C)
    mass = joint.sum(axis=1, keepdims=True)
    given_source = np.divide(joint, mass, out=np.zeros_like(joint), where=mass > 0)
    likelihood = np.einsum("iz,zi->i", theta, given_source[:, classes.index])
    return min(0.0, float(weights @ np.log(likelihood)))
