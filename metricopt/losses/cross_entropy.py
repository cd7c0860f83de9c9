"""Binary cross-entropy, plain and with class weights."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def cross_entropy(scores: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean binary cross-entropy of logits over the labels that are present.

    Parameters
    ----------
    scores, labels : Tensor, shape (B, L), float
        Labels are 0, 1 or NaN (missing).
    weight : Tensor, shape (B, L), float, optional

    Returns
    -------
    Tensor, scalar
        The weighted sum over the number of labels present; 0 if there is none.

    Examples
    --------
    >>> import torch
    >>> round(cross_entropy(torch.zeros(2, 1), torch.tensor([[1.0], [torch.nan]])).item(), 4)
    0.6931
    """
    present = ~labels.isnan()
    if present.all():
        return binary_cross_entropy_with_logits(scores, labels, weight)
    held = None if weight is None else weight[present]
    total = binary_cross_entropy_with_logits(scores[present], labels[present], held, reduction="sum")
    return total / max(int(present.sum()), 1)
