"""Focal loss: cross-entropy in which samples that are classified well count little."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from metricopt._validation import check_fraction, reject
from metricopt.losses.base import Loss, mean_over


class FocalLoss(Loss):
    r"""The loss is cross-entropy, scaled down where the probability of the true class is high.

    .. math:: -\frac1n \sum_i \alpha_{y_i} (1 - p_i)^\gamma \log p_i, \qquad p_i = \sigma((2 y_i - 1) z_i)

    over the n labels that are present, with :math:`\alpha_1 = \alpha` and :math:`\alpha_0 = 1 - \alpha`, or both 1 if
    ``alpha`` is None.

    Parameters
    ----------
    gamma : float, >= 0
        The larger it is, the less a sample counts that is classified well. With 0 the loss is cross-entropy.
    alpha : float, in (0, 1], optional
        The weight of positives.

    Examples
    --------
    >>> import torch
    >>> round(FocalLoss(gamma=2)(torch.zeros(1), torch.ones(1)).item(), 4)  # a quarter of log 2
    0.1733

    References
    ----------
    T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár (2017). Focal loss for dense object detection. ICCV. Equation 5.
    Differs from the paper: the sum is divided by the number of labels present, not by the number of positives, so that
    the scale of the loss does not depend on the positives of a batch.
    """

    def __init__(self, gamma: float = 2.0, alpha: float | None = None) -> None:
        super().__init__()
        if not 0 <= gamma < math.inf:
            reject("gamma", "a finite number >= 0", repr(gamma), "give for example 2.0")
        if alpha is not None:
            check_fraction("alpha", alpha)
        self.gamma, self.alpha = gamma, alpha

    def of_columns(self, scores: Tensor, labels: Tensor, present: Tensor) -> Tensor:
        signed = scores * (2 * labels - 1)
        # As a product of logarithms' exponentials: a power of 1 - p has an infinite slope at p = 1 where gamma < 1.
        losses = -torch.exp(self.gamma * logsigmoid(-signed)) * logsigmoid(signed)
        if self.alpha is not None:
            losses = losses * torch.where(labels == 1, self.alpha, 1 - self.alpha)
        return mean_over(losses, present)
