"""Average precision with the ranks smoothed by a sigmoid."""

from __future__ import annotations

import torch
from torch import Tensor

from metricopt._validation import check_positive
from metricopt.losses.base import Loss


class SmoothAP(Loss):
    r"""1 - average precision of the batch, each indicator of a rank a sigmoid.

    .. math::
        1 - \frac{1}{|P|} \sum_{i \in P}
        \frac{1 + \sum_{j \in P, j \ne i} G(z_j - z_i)}{1 + \sum_{j \in P \cup N, j \ne i} G(z_j - z_i)},
        \qquad G(d) = \sigma(d / \tau),

    the mean over labels; 0 for a label without positives. Shifting all scores changes nothing. Holds a matrix of
    :math:`|P| \times B` per label.

    Parameters
    ----------
    temperature : float, > 0
        :math:`\tau`. The paper's .01 is for cosine similarities, which span 2; .1 is about the same share of the span
        of logits.

    References
    ----------
    A. Brown, W. Xie, V. Kalogeiton, A. Zisserman (2020). Smooth-AP: smoothing the path towards large-scale image
    retrieval. ECCV. Here with the model's own scores in place of similarities to a query.

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
        """Return how many others lie above each score, softly, shape (len(scores),)."""
        return torch.sigmoid((others - scores[:, None]) / self.temperature).sum(dim=1)
