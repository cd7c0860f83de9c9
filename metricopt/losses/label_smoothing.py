"""Label smoothing: cross-entropy with labels that are moved a little from 0 and 1 towards 1/2."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from metricopt._validation import check_fraction
from metricopt.losses.base import Loss, mean_over


class LabelSmoothing(Loss):
    r"""The loss is cross-entropy, with labels that are mixed with the uniform distribution over the two classes.

    .. math:: -\frac1n \sum_i \tilde y_i \log \sigma(z_i) + (1 - \tilde y_i) \log \sigma(-z_i),
        \qquad \tilde y_i = (1 - \epsilon) y_i + \epsilon / 2

    Parameters
    ----------
    smoothing : float, in [0, 1]
        The weight :math:`\epsilon` of the uniform distribution. With 0 the loss is cross-entropy.

    Examples
    --------
    >>> import torch
    >>> round(LabelSmoothing(0.1)(torch.tensor([2.0]), torch.ones(1)).item(), 4)  # .1269, and 2 * .05
    0.2269

    References
    ----------
    C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna (2016). Rethinking the Inception architecture for computer
    vision. CVPR. Section 7.
    """

    def __init__(self, smoothing: float = 0.1) -> None:
        super().__init__()
        check_fraction("smoothing", smoothing, zero=True)
        self.smoothing = smoothing

    def of_columns(self, scores: Tensor, labels: Tensor, present: Tensor) -> Tensor:
        smooth = (1 - self.smoothing) * labels + self.smoothing / 2
        return mean_over(binary_cross_entropy_with_logits(scores, smooth, reduction="none"), present)
