"""The area under the ROC curve, by a squared hinge on pairs of a positive and a negative."""

from __future__ import annotations

import torch
from torch import Tensor

from metricopt._validation import check_positive
from metricopt.losses.base import Loss


class AUCMarginLoss(Loss):
    r"""The loss is a squared hinge over the pairs of a positive and a negative that are less than a margin apart.

    .. math:: \frac{1}{|P| |N|} \sum_{i \in P} \sum_{j \in N} \max(0, \text{margin} - (z_i - z_j))^2

    over the positives P and negatives N of the batch. The result is the mean over the labels, of which one without
    pairs counts as 0. A constant that is added to all scores changes nothing. The loss holds a matrix of :math:`|P|
    \times |N|` for each label, which is small in a batch of a rare class. Sorting would need no matrix, but then sums
    of squares would cancel in float32.

    Parameters
    ----------
    margin : float, > 0
        How far a positive's score should lie above a negative's.

    References
    ----------
    W. Gao, Z.-H. Zhou (2015). On the consistency of AUC pairwise optimization. IJCAI.

    Z. Yuan, Y. Yan, M. Sonka, T. Yang (2021). Large-scale robust deep AUC maximization. ICCV. Differs from the paper:
    AUC-M puts the hinge on the difference of the classes' mean scores, and their variances beside it, to do without
    pairs over the whole training set; within a batch the pairs are at hand.

    Examples
    --------
    >>> AUCMarginLoss()(torch.tensor([0.5, 0.0, -3.0]), torch.tensor([1.0, 0.0, 0.0])).item()  # (1/2^2 + 0) / 2
    0.125
    """

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        check_positive("margin", margin)
        self.margin = margin

    def of_columns(self, scores: Tensor, labels: Tensor, present: Tensor) -> Tensor:
        losses = []
        for column, truth, here in zip(scores.T, labels.T, present.T, strict=True):
            positives, negatives = column[truth == 1], column[here > truth]
            gaps = (self.margin - (positives[:, None] - negatives)).clamp(min=0)  # (|P|, |N|)
            losses.append(gaps.square().sum() / max(gaps.numel(), 1))
        return torch.stack(losses).mean()
