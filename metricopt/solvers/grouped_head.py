r"""A last layer that tells several groups of negatives apart, and gives one score for all of them.

With :math:`z_0` the logit of the positives and :math:`z_1, \ldots, z_K` those of the groups, softmax over all of them
gives the positives the probability :math:`\sigma(s)` at the score

.. math:: s = z_0 - \log \sum_{k=1}^{K} e^{z_k}

so that to everyone else the layer is one with a single logit. This file decides the layer; what trains its groups is in
:mod:`metricopt.solvers.regrouping`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metricopt._validation import Faults


class GroupedHead(nn.Module):
    """A linear layer of K + 1 logits inside and one score outside; see the module's text.

    Parameters
    ----------
    in_features : int
        The width of the features, which have shape (B, in_features).
    num_groups : int, >= 2
        The largest number of groups, K.

    Attributes
    ----------
    features, logits : Tensor or None
        What the latest batch with gradients brought, of shape (B, in_features), detached, and (B, K + 1).

    Examples
    --------
    >>> head = GroupedHead(5, num_groups=3)
    >>> head(torch.zeros(2, 5)).shape
    torch.Size([2, 1])
    """

    in_use: Tensor

    def __init__(self, in_features: int, num_groups: int = 8) -> None:
        super().__init__()
        faults = Faults()
        faults.check_integer("in_features", in_features, 1)
        faults.check_integer("num_groups", num_groups, 2)
        faults.raise_if_any()
        self.in_features, self.num_groups = int(in_features), int(num_groups)
        self.linear = nn.Linear(self.in_features, self.num_groups + 1)
        self.register_buffer("in_use", torch.tensor(self.num_groups))
        self.features: Tensor | None = None
        self.logits: Tensor | None = None

    def forward(self, features: Tensor) -> Tensor:
        """Return the scores, shape (B, 1)."""
        logits = self.linear(features)
        is_left_out = torch.arange(self.num_groups, device=logits.device) >= self.in_use
        of_groups = logits[:, 1:].masked_fill(is_left_out, -torch.inf)
        if logits.requires_grad and self.training:
            self.features, self.logits = features.detach(), torch.cat([logits[:, :1], of_groups], dim=1)
        score: Tensor = logits[:, :1] - of_groups.logsumexp(dim=1, keepdim=True)
        return score

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, num_groups={self.num_groups}"
