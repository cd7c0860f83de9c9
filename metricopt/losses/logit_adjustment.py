"""Logit adjustment: cross-entropy of logits to which the class frequencies are added."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from metricopt._validation import check_positive
from metricopt.losses.base import CountingLoss, mean_over


class LogitAdjustment(CountingLoss):
    r"""The loss is cross-entropy, after the log odds of the classes are added to the scores.

    .. math:: -\frac1n \sum_i \log \sigma\big((2 y_i - 1) (z_i + \tau \log(n_1 / n_0))\big)

    with :math:`n_1` positives and :math:`n_0` negatives in the training set. Only the loss adds the constant. So, at
    :math:`\tau = 1`, the model's own scores are what they would be if both classes were equally frequent. Call
    :meth:`prepare` first.

    Parameters
    ----------
    temperature : float, > 0
        The factor :math:`\tau` of the log odds.

    Examples
    --------
    >>> import torch
    >>> loss = LogitAdjustment().prepare([1, 0, 0, 0])
    >>> round(loss(torch.zeros(1), torch.ones(1)).item(), 4)  # log 4: a score of 0 stands for the frequency, 1 in 4
    1.3863

    References
    ----------
    A. K. Menon, S. Jayasumana, A. S. Rawat, H. Jain, A. Veit, S. Kumar (2021). Long-tail learning via logit
    adjustment. ICLR. Equation 10, for two classes, whose softmax depends only on the difference of the logits.
    """

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        check_positive("temperature", temperature)
        self.temperature = temperature

    def of_columns(self, scores: Tensor, labels: Tensor, present: Tensor) -> Tensor:
        num_positives, num_negatives = self.counts(scores)
        adjusted = scores + self.temperature * (num_positives / num_negatives).log()
        return mean_over(binary_cross_entropy_with_logits(adjusted, labels, reduction="none"), present)
