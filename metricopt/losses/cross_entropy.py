"""Binary cross-entropy, plain and with class weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from metricopt import _arrays
from metricopt.losses.base import CountingLoss, mean_over
from metricopt.losses.class_weights import Weighting, check_weighting, class_weights


def cross_entropy(scores: Tensor, labels: Tensor, weight: Tensor | None = None, *, num_replicas: int = 1) -> Tensor:
    """Return the mean binary cross-entropy of logits over the labels that are present.

    Parameters
    ----------
    scores, labels : Tensor, shape (B, L), float
        Logits, and labels that are 0, 1 or NaN (missing).
    weight : Tensor, shape (B, L), float, optional
        The weight of each label.
    num_replicas : int
        The number of models side by side whose scores these are: the loss is then the mean of theirs.

    Returns
    -------
    Tensor, scalar
        The weighted sum, divided by the number of labels present. It is 0 if no label is present.

    Examples
    --------
    >>> import torch
    >>> round(cross_entropy(torch.zeros(2, 1), torch.tensor([[1.0], [torch.nan]])).item(), 4)
    0.6931
    """
    present = ~labels.isnan()
    if num_replicas > 1 or not _arrays.is_on_host(scores):  # to choose rows would wait for the device
        number = present.unflatten(1, (num_replicas, -1)).sum(dim=(0, 2)).clamp(min=1)  # (B, R * L) -> (R,)
        fraction = 1 / (num_replicas * number).to(scores.dtype).repeat_interleave(labels.shape[1] // num_replicas)
        held = torch.where(present, fraction if weight is None else weight.to(scores.dtype) * fraction, 0)
        truth = torch.where(present, labels, 0).to(scores.dtype)
        return binary_cross_entropy_with_logits(torch.where(present, scores, 0), truth, held, reduction="sum")
    labels = labels.to(scores.dtype)  # torch gives the loss the precision of the labels
    if present.all() and present.numel():
        return binary_cross_entropy_with_logits(scores, labels, weight)
    of_present = None if weight is None else weight[present]
    total = binary_cross_entropy_with_logits(scores[present], labels[present], of_present, reduction="sum")
    return total / max(int(present.sum()), 1)


class WeightedCrossEntropy(CountingLoss):
    r"""The loss is cross-entropy in which the rarer class weighs more.

    .. math:: -\frac1n \sum_i w_{y_i} \log p_i, \qquad p_i = \sigma((2 y_i - 1) z_i)

    over the n labels that are present. The weights :math:`w_1, w_0` of each label are scaled so that their mean over
    the training samples is 1. A class without samples counts as one sample. Call :meth:`prepare` first.

    Parameters
    ----------
    weighting : "inverse_frequency" or "effective_number"
        A sample weighs one over the number of samples of its class, or one over their effective number (see
        :func:`~metricopt.losses.class_weights.class_weights`).
    decay : float, in (0, 1)
        The constant of the effective number. The closer it is to 1, the closer the weights are to the inverse
        frequency.

    Examples
    --------
    >>> import torch
    >>> loss = WeightedCrossEntropy().prepare([1, 0, 0, 0])  # weights 2 and 2/3
    >>> round(loss(torch.zeros(2), torch.tensor([1.0, 0.0])).item(), 4)
    0.9242

    References
    ----------
    Y. Cui, M. Jia, T.-Y. Lin, Y. Song, S. Belongie (2019). Class-balanced loss based on effective number of samples.
    CVPR. Section 4. Differs from the paper: there the weights of the classes sum to the number of classes.
    """

    def __init__(self, weighting: Weighting = "inverse_frequency", decay: float = 0.999) -> None:
        super().__init__()
        check_weighting(weighting, decay)
        self.weighting, self.decay = weighting, decay

    def of_columns(self, scores: Tensor, labels: Tensor, present: Tensor) -> Tensor:
        of_positives, of_negatives = class_weights(*self.counts(scores), self.weighting, self.decay)
        weight = torch.where(labels == 1, of_positives, of_negatives)
        return mean_over(binary_cross_entropy_with_logits(scores, labels, weight, reduction="none"), present)
