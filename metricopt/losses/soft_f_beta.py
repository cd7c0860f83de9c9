"""F-beta of a batch, from soft counts (sigmoidF1)."""

from __future__ import annotations

from torch import Tensor

from metricopt._validation import check_positive
from metricopt.losses.base import Loss
from metricopt.losses.soft_counts import f_beta_loss, soft_alarms, soft_counts


class SoftFBeta(Loss):
    r"""The loss is 1 - F-beta, in which each alarm counts as the sigmoid of its logit.

    .. math:: 1 - \frac{(1 + \beta^2) \, TP}{(1 + \beta^2) \, TP + \beta^2 FN + FP}, \qquad
        TP = \sum_P \sigma_i, \quad FP = \sum_N \sigma_i, \quad FN = \sum_P (1 - \sigma_i)

    of the batch, with :math:`\sigma_i = \sigma(\text{slope} \cdot (z_i - \text{offset}))`, averaged over the labels.
    The threshold is 0, and the model's bias moves in its place. A batch without positives gives 1 and no gradient.

    Parameters
    ----------
    beta : float, > 0
        How many times recall outweighs precision.
    slope : float, > 0
        The steepness of the sigmoid.
    offset : float
        The logit that counts as half an alarm.

    References
    ----------
    G. Bénédict, V. Koops, D. Odijk, M. de Rijke (2021). sigmoidF1: a smooth F1 score surrogate loss for multilabel
    classification. Differs from the paper: there beta is 1, and the offset has the opposite sign.

    Examples
    --------
    >>> import torch
    >>> round(SoftFBeta()(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.0])).item(), 4)
    0.5
    """

    def __init__(self, beta: float = 1.0, slope: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        check_positive("beta", beta)
        check_positive("slope", slope)
        self.beta, self.slope, self.offset = beta, slope, offset

    def of_columns(self, scores: Tensor, labels: Tensor, present: Tensor) -> Tensor:
        alarms = soft_alarms(scores, self.slope, self.offset)
        return f_beta_loss(soft_counts(alarms, labels, present), present, self.beta)
