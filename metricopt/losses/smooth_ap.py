"""Average precision, with ranks that a sigmoid makes smooth."""

from __future__ import annotations

import torch
from torch import Tensor

from metricopt._validation import check_positive
from metricopt.losses.base import Loss


class SmoothAP(Loss):
    r"""The loss is 1 - average precision of the batch, with a sigmoid in the place of each comparison of two scores.

    .. math::
        1 - \frac{1}{|P|} \sum_{i \in P}
        \frac{1 + \sum_{j \in P, j \ne i} G(z_j - z_i)}{1 + \sum_{j \in P \cup N, j \ne i} G(z_j - z_i)},
        \qquad G(d) = \sigma(d / \tau),

    averaged over the labels, of which one without positives counts as 0. A constant that is added to all scores changes
    nothing. The loss holds a matrix of :math:`|P| \times B` for each label.

    Parameters
    ----------
    temperature : float, > 0
        The width :math:`\tau` of the sigmoid. The paper's .01 is for cosine similarities, which span 2. For logits,
        which span about ten times as much, the default is ten times as wide.

    References
    ----------
    A. Brown, W. Xie, V. Kalogeiton, A. Zisserman (2020). Smooth-AP: smoothing the path towards large-scale image
    retrieval. ECCV. Differs from the paper: the model's own scores stand in the place of similarities to a query.

    Examples
    --------
    >>> round(SmoothAP()(torch.tensor([0.0, 9.0, -9.0]), torch.tensor([1.0, 0.0, 0.0])).item(), 4)
    0.5
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        check_positive("temperature", temperature)
        self.temperature = temperature

    def of_columns(self, scores: Tensor, labels: Tensor, present: Tensor) -> Tensor:
        losses = []
        for column, truth, here in zip(scores.T, labels.T, present.T, strict=True):
            positives, negatives = column[truth == 1], column[here > truth]
            # A positive's own G is 1/2, without gradient: 1 + sum over the others = 1/2 + sum over all.
            among_positives = 0.5 + self._soft_ranks(positives, positives)
            ratios = among_positives / (among_positives + self._soft_ranks(positives, negatives))
            losses.append((1 - ratios).sum() / max(len(positives), 1))
        return torch.stack(losses).mean()

    def _soft_ranks(self, scores: Tensor, others: Tensor) -> Tensor:
        """Return how many others lie above each score, counted by the sigmoid, shape (len(scores),)."""
        return torch.sigmoid((others - scores[:, None]) / self.temperature).sum(dim=1)
