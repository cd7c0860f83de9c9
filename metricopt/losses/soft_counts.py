r"""Soft confusion counts, in which a number in [0, 1] replaces the indicator of an alarm, and F-beta made of them.

This file decides how the sigmoid relaxations count. The files beside it decide which metric they make of the counts.
The threshold is 0 in all of them, and the model's bias moves in its place.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class SoftCounts(NamedTuple):
    """The relaxed counts of a batch, of shape (L,) each."""

    true_positives: Tensor
    false_positives: Tensor
    false_negatives: Tensor


def soft_alarms(scores: Tensor, slope: float = 1.0, offset: float = 0.0) -> Tensor:
    r"""Return :math:`\sigma(\text{slope} \cdot (z - \text{offset}))`, which stands for :math:`1\{z > \text{offset}\}`.

    Parameters
    ----------
    scores : Tensor, float
        Any shape, which the result has as well.
    slope : float, > 0
        The steepness of the sigmoid, :math:`\beta` in the paper.
    offset : float
        The score that counts as half an alarm, :math:`-\eta` in the paper.

    References
    ----------
    G. Bénédict, V. Koops, D. Odijk, M. de Rijke (2021). sigmoidF1: a smooth F1 score surrogate loss for multilabel
    classification.
    """
    return torch.sigmoid(slope * (scores - offset))


def soft_counts(alarms: Tensor, labels: Tensor, present: Tensor) -> SoftCounts:
    """Sum the relaxed alarms of each label over its positives and over its negatives.

    Parameters
    ----------
    alarms : Tensor, shape (B, L), float
        The relaxed indicators, in [0, 1].
    labels, present : Tensor, shape (B, L)
        The arguments of :meth:`~metricopt.losses.Loss.of_columns`.

    Examples
    --------
    >>> counts = soft_counts(torch.tensor([[0.75], [0.5]]), torch.tensor([[1.0], [0.0]]), torch.ones(2, 1))
    >>> [count.item() for count in counts]
    [0.75, 0.5, 0.25]
    """
    true_positives = (alarms * labels).sum(dim=0)
    return SoftCounts(true_positives, (alarms * (present - labels)).sum(dim=0), labels.sum(dim=0) - true_positives)


def f_beta_loss(counts: SoftCounts, present: Tensor, beta: float) -> Tensor:
    r"""Return 1 - F-beta of the counts, averaged over the labels.

    .. math:: 1 - \frac{(1 + \beta^2) \, TP}{\beta^2 (TP + FN) + \max(TP, 0) + FP}

    A lower bound of TP may be negative. It is then left out of the denominator, which could reach 0 with it. A label
    without positives in the batch counts as 1 and has no gradient. A label that is missing in the whole batch counts
    as 0.
    """
    square = beta**2
    positives = counts.true_positives + counts.false_negatives
    denominator = square * positives + counts.true_positives.clamp(min=0) + counts.false_positives
    # Below 1e-16 only without positives and with next to no alarms: 0/0 otherwise, in the gradient too.
    f_beta = (1 + square) * counts.true_positives / denominator.clamp(min=1e-16)
    return ((1 - f_beta) * present.amax(dim=0)).mean()
