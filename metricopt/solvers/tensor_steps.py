r"""What a batch adds to the profiled solver, in torch: for accelerators, and for batches so large that NumPy is slower.

It is the twin of :func:`~metricopt.solvers.reformulation.class_errors` with cross-entropy beside it: elementwise
operations and sums by column, none of which waits for a number on the host. On a CPU a vector over a few labels is
slow to combine with a long batch, so there 64 samples lie side by side in a row, and classes are told apart by
arithmetic, for which torch has vector instructions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

SIDE_BY_SIDE = 64
CHUNK = 8192
"""Rows whose intermediate results fit into the caches of a CPU."""


@torch.no_grad()
def tensor_errors(
    scores: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    *,
    threshold: Tensor,
    slopes: Tensor,
    cost: Tensor,
    offset: float,
    height: float,
    anchor: Tensor | None,
    has_missing: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the ramps of a batch summed by class, the loss, and its derivatives in the scores.

    Parameters
    ----------
    scores, labels : Tensor, shape (B, L), float
        Labels are 0, 1 or NaN (missing).
    weight : Tensor, shape (B, L), float, or None
    threshold : Tensor, shape (L,)
    slopes, cost : Tensor, shape (2, L)
        The slopes of the ramps of (negatives, positives), and what an error costs in the loss.
    offset, height : float
        The same as in :func:`~metricopt.solvers.reformulation.ramp`.
    anchor : Tensor, shape (L,), or None
        What a sample's cross-entropy weighs in the loss.
    has_missing : bool
        Whether labels may be missing.

    Returns
    -------
    errors : Tensor, shape (2, L)
    loss : Tensor, scalar
    derivatives : Tensor, shape (B, L)
    """
    num_rows, num_labels = scores.shape
    width, chunk = (SIDE_BY_SIDE, CHUNK) if scores.device.type == "cpu" else (1, num_rows)
    derivatives = torch.empty_like(scores, memory_format=torch.contiguous_format)
    whole = num_rows - num_rows % width
    by_label = torch.stack([threshold, *slopes, *(slopes * cost), cost[0] if anchor is None else anchor])
    sums = scores.new_zeros(3, num_labels)
    stretches = [(slice(first, min(first + chunk, whole)), width) for first in range(0, whole, chunk)]
    if whole < num_rows:
        stretches.append((slice(whole, num_rows), 1))
    for rows, beside in stretches:
        shape = (-1, beside * num_labels)
        found = _sums(
            scores[rows].reshape(shape),
            labels[rows].reshape(shape),
            None if weight is None else weight[rows].reshape(shape),
            derivatives[rows].view(shape),
            by_label.repeat(1, beside),
            offset,
            height,
            has_anchor=anchor is not None,
            has_missing=has_missing,
        )
        sums += found.view(3, beside, num_labels).sum(dim=1)
    errors = torch.stack([sums[0] - sums[1], sums[1]])
    loss = (cost * errors).sum()
    return errors, loss if anchor is None else loss + (anchor * sums[2]).sum(), derivatives


def _sums(
    scores: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    derivatives: Tensor,
    by_label: Tensor,
    offset: float,
    height: float,
    *,
    has_anchor: bool,
    has_missing: bool,
) -> Tensor:
    """Return sums by column of all errors, of the positives' errors and of cross-entropy; write the derivatives."""
    threshold, slope_of_negatives, slope_of_positives, pull_of_negatives, pull_of_positives, anchor = by_label
    if has_missing:  # which count as half a positive, so that their sign is 0
        present = ~labels.isnan()
        labels, scores = labels.nan_to_num(0.5), torch.where(present, scores, 0)
        weight = present.to(scores.dtype) if weight is None else torch.where(present, weight, 0)
    half = labels - 0.5  # of the sign: each product with it is taken twice
    slope = torch.addcmul(-2 * slope_of_negatives, -2 * (slope_of_positives - slope_of_negatives), labels)
    lifted = (scores - threshold).mul_(half).mul_(slope).add_(offset)
    errors = lifted.clamp(0, height)
    pull = torch.addcmul(-2 * pull_of_negatives, -2 * (pull_of_positives - pull_of_negatives), labels, out=slope)
    torch.mul(lifted.eq_(errors), half, out=derivatives).mul_(pull)
    if weight is not None:
        errors.mul_(weight)
        derivatives.mul_(weight)
    sums = [errors.sum(dim=0), torch.mul(errors, labels, out=lifted).sum(dim=0), torch.zeros_like(threshold)]
    if has_anchor:
        wrong = torch.mul(scores, half, out=slope).mul_(-2)
        cross_entropy = softplus(wrong)
        residual = wrong.sigmoid_().mul_(half)
        if weight is not None:
            # Not a product with 0 alone, which an infinite loss would turn into NaN.
            cross_entropy = torch.where(weight > 0, cross_entropy, 0).mul_(weight)
            residual.mul_(weight)
        derivatives.addcmul_(residual, anchor, value=-2)
        sums[2] = cross_entropy.sum(dim=0)
    return torch.stack(sums)
