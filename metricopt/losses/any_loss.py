"""AnyLoss: F-beta, computed from probabilities that are pushed towards 0 or 1."""

from __future__ import annotations

from torch import Tensor

from metricopt._validation import check_positive
from metricopt.losses.base import Loss
from metricopt.losses.soft_counts import f_beta_loss, soft_alarms, soft_counts


class AnyLoss(Loss):
    r"""The loss is 1 - F-beta, in which each alarm counts as its probability, pushed towards 0 or 1.

    .. math:: A(p) = \frac{1}{1 + e^{-L (p - 1/2)}}, \qquad p = \sigma(z)

    stands for the alarm of a sample: :math:`TP = \sum_P A(p_i)` and :math:`FP = \sum_N A(p_i)`. The loss is the mean of
    :math:`1 - F_\beta` over the labels. The threshold is 0, and the model's bias moves in its place. A batch without
    positives gives 1 and no gradient.

    Parameters
    ----------
    beta : float, > 0
        How many times recall outweighs precision.
    amplification : float, > 0
        The constant L. The paper recommends 73.

    References
    ----------
    D. Han, N. Moniz, N. V. Chawla (2024). AnyLoss: transforming classification metrics into loss functions. KDD.

    Examples
    --------
    >>> import torch
    >>> round(AnyLoss()(torch.tensor([2.0, -2.0]), torch.tensor([1.0, 0.0])).item(), 4)
    0.0
    """

    def __init__(self, beta: float = 1.0, amplification: float = 73.0) -> None:
        super().__init__()
        check_positive("beta", beta)
        check_positive("amplification", amplification)
        self.beta, self.amplification = beta, amplification

    def of_columns(self, scores: Tensor, labels: Tensor, present: Tensor) -> Tensor:
        alarms = soft_alarms(scores.sigmoid(), self.amplification, 0.5)
        return f_beta_loss(soft_counts(alarms, labels, present), present, self.beta)
