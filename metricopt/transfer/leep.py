"""LEEP: the likelihood of the target's labels under the source model's own classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from metricopt.transfer.inputs import Classes, Floats, read_classes, read_probabilities
from metricopt.transfer.score import Score, report


def leep(source_probabilities: Any, labels: Any, *, balanced: bool = False) -> Score:
    r"""Return the log-likelihood of the classifier that reads the target's class off the source model's.

    .. math:: \mathrm{LEEP} = \frac1n \sum_i \ln \sum_z \hat P(y_i \mid z) \, \theta(x_i)_z, \qquad
              \hat P(y, z) = \frac1n \sum_{i: y_i = y} \theta(x_i)_z

    Parameters
    ----------
    source_probabilities : array, shape (n, Z)
        :math:`\theta(x_i)`, the source model's softmax on the target's samples. Rows sum to 1 within .005, as half
        precision leaves them, and are scaled to do so exactly.
    labels : array, shape (n,)
        y, the target's classes, as whole numbers.
    balanced : bool
        Whether every target class weighs the same, in both means. Not in the paper.

    Returns
    -------
    Score
        In nats, at most 0; :func:`metricopt.transfer.nce` for probabilities that are all 0 or 1.

    Warns
    -----
    TransferWarning
        Where source classes have no probability anywhere, and where a class has fewer than 10 samples.

    Raises
    ------
    InvalidInputError
        On probabilities that are none, lengths that differ, missing labels, or one class.

    Notes
    -----
    Differs from the public code: source classes without mass are left out, where it returns NaN.

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
    """Return LEEP from probabilities (n, Z) that are known to be some."""
    share = classes.shares(balanced)
    joint = (theta * share[:, np.newaxis]).T @ classes.one_hot()  # (Z, C)
    mass = joint.sum(axis=1, keepdims=True)
    given_source = np.divide(joint, mass, out=np.zeros_like(joint), where=mass > 0)
    likelihood = np.einsum("iz,zi->i", theta, given_source[:, classes.index])
    return min(0.0, float(share @ np.log(likelihood)))
