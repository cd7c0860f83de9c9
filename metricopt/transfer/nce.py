"""NCE, the negative conditional entropy: how well the source model's classes predict the target's."""

from __future__ import annotations

from typing import Any

import numpy as np

from metricopt.transfer.inputs import Floats, read_classes, read_labels
from metricopt.transfer.score import Score, report


def nce(source_labels: Any, labels: Any, *, balanced: bool = False) -> Score:
    r"""Return the negative entropy of the target's classes given the source model's classes.

    .. math:: \mathrm{NCE} = -H(Y \mid Z) = \sum_{y, z} \hat P(y, z) \ln \hat P(y \mid z)

    Parameters
    ----------
    source_labels : array, shape (n,)
        The class z that the source model gives to each sample of the target (its arg max), as whole numbers or names.
    labels : array, shape (n,)
        The target's classes y, as whole numbers or names.
    balanced : bool
        Whether every target class weighs the same. With a rare class the plain score is near 0 for every source, and
        the balanced score is not. The paper does not have this option.

    Returns
    -------
    Score
        A number in nats, in [-H(Y), 0]. It is 0 if z determines y. The names of the classes do not matter.

    Warns
    -----
    TransferWarning
        If there are as many source classes as samples of the rarest class (the score is then too high by chance), or if
        a class has fewer than 10 samples.

    Raises
    ------
    InvalidInputError
        If a label is missing, lengths differ, or there is only one target class.

    References
    ----------
    A. T. Tran, C. V. Nguyen, T. Hassner (2019). Transferability and hardness of supervised classification tasks. ICCV.

    Examples
    --------
    >>> round(nce([0, 1, 0, 0] * 10, [0, 1, 1, 0] * 10), 6)
    -0.477386
    """
    num_samples = len(np.atleast_1d(read_labels("source_labels", source_labels)))
    source = read_classes("source_labels", source_labels, num_samples, "the target", min_classes=1)
    classes = read_classes("labels", labels, len(source.index), "source_labels")
    caveats = []
    if len(source.names) >= classes.sizes.min():
        few = f"{len(source.names)} source classes for {classes.sizes.min()} samples of the rarest class"
        caveats = [f"{few}: the score is too high by chance; collect more"]
    joint = np.zeros((len(source.names), len(classes.names)))
    np.add.at(joint, (source.index, classes.index), classes.weights(balanced))
    return report(-conditional_entropy(joint), classes.counts, caveats)


def conditional_entropy(joint: Floats) -> float:
    """Return H(Y | Z) in nats from the joint probabilities of Z (rows) and Y (columns): exactly 0 if Z determines Y."""
    from scipy.special import rel_entr

    return abs(float(rel_entr(joint, joint.sum(axis=1, keepdims=True)).sum()))
