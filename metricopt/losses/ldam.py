"""LDAM: the rarer class gets a wider margin, and the classes get weights towards the end of training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from metricopt._validation import check_fraction, check_positive
from metricopt.losses.base import CountingLoss, mean_over
from metricopt.losses.class_weights import Weighting, check_weighting, class_weights


class LDAM(CountingLoss):
    r"""The loss is cross-entropy with a wider margin for the rarer class, whose weight rises late in training.

    .. math:: \frac1n \sum_i w_{y_i} \log(1 + \exp(\Delta_{y_i} - (2 y_i - 1) z_i)),
        \qquad \Delta_c = \text{max\_margin} \, (\min(n_0, n_1) / n_c)^{1/4}

    with :math:`n_c` samples of class c in the training set. The weights are 1 until ``progress`` reaches ``defer``, and
    those of :class:`~metricopt.losses.WeightedCrossEntropy` from then on. (The name stands for label-distribution-aware
    margin.) Call :meth:`prepare` first.

    Parameters
    ----------
    max_margin : float, > 0
        The margin of the rarer class, in logits.
    defer : float, in [0, 1]
        The fraction of the training after which the classes are weighted. With 1 they never are.
    weighting : "effective_number" or "inverse_frequency"
        How the classes are weighted then.
    decay : float, in (0, 1)
        The constant of the effective number.

    Examples
    --------
    >>> import torch
    >>> loss = LDAM().prepare([1] + 16 * [0])  # margins 1/2 and 1/4
    >>> round(loss(torch.tensor([0.5, -0.25]), torch.tensor([1.0, 0.0])).item(), 4)
    0.6931
    >>> loss.progress = 0.9  # weights 8.5 and 0.53, whose mean over the two is 4.52
    >>> round(loss(torch.tensor([0.5, -0.25]), torch.tensor([1.0, 0.0])).item(), 4)
    3.129

    References
    ----------
    K. Cao, C. Wei, A. Gaidon, N. Arechiga, T. Ma (2019). Learning imbalanced datasets with label-distribution-aware
    margin loss. NeurIPS 32. Sections 3.2 and 3.3, with the margins scaled as in the authors' code. Differs from the
    paper: its softmax over two classes depends only on the difference z of their logits, which is what a model with one
    logit for each label gives. There z is the cosine of normalised features and weights, multiplied by 30 together with
    its margin. A loss cannot change the model, so here z is the model's logit as it is: the margin is in logits, and it
    matters less for a model that can enlarge all of them. The weights have mean 1 over the training samples, and the
    weighted losses are divided by the number of labels present, not by the sum of the weights.
    """

    def __init__(
        self,
        max_margin: float = 0.5,
        defer: float = 0.8,
        weighting: Weighting = "effective_number",
        decay: float = 0.9999,
    ) -> None:
        super().__init__()
        check_positive("max_margin", max_margin)
        check_fraction("defer", defer, zero=True)
        check_weighting(weighting, decay)
        self.max_margin, self.defer, self.weighting, self.decay = max_margin, defer, weighting, decay

    def of_columns(self, scores: Tensor, labels: Tensor, present: Tensor) -> Tensor:
        num_positives, num_negatives = self.counts(scores)
        fewest = torch.minimum(num_positives, num_negatives)
        of_class = torch.where(labels == 1, num_positives, num_negatives)
        margins = self.max_margin * (fewest / of_class) ** 0.25
        losses = softplus(margins - (2 * labels - 1) * scores)
        if self.progress >= self.defer:
            of_positives, of_negatives = class_weights(num_positives, num_negatives, self.weighting, self.decay)
            losses = losses * torch.where(labels == 1, of_positives, of_negatives)
        return mean_over(losses, present)
