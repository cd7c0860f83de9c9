r"""What a batch adds to the profiled solver, in torch: for accelerators, and for batches so large that NumPy is slower.

It is the twin of :mod:`metricopt.solvers.array_steps`: elementwise operations and sums by column, none of which waits
for a number on the host. On a CPU a vector over a few labels is slow to combine with a long batch, so there 64 samples
lie side by side in a row, and classes are told apart by arithmetic, for which torch has vector instructions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

SIDE_BY_SIDE = 64
FACTORS = 64
"""Numbers from 0.5 to 1, whose product is far from the smallest number that float32 holds."""
CHUNK = 2**18
"""Scores whose intermediate results fit into the caches of a CPU, and take much longer than the calls."""


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
    beside, chunk = (SIDE_BY_SIDE, _chunk(num_labels)) if scores.device.type == "cpu" else (1, num_rows)
    derivatives = torch.empty_like(scores, memory_format=torch.contiguous_format)
    whole = num_rows - num_rows % beside
    pulls, of_anchor = slopes * cost, cost[0] if anchor is None else anchor
    # What differs between the classes is that of negatives, and what a positive adds to it.
    by_label = torch.stack([threshold, slopes[0], -slopes.sum(dim=0), pulls[0], -pulls.sum(dim=0), of_anchor])
    sums = scores.new_zeros(3, num_labels)
    for first, last, width in ((0, whole, beside), (whole, num_rows, 1)):
        own, room = by_label.repeat(1, width), _Room(scores, min(chunk, last - first) // width, width * num_labels)
        for begin in range(first, last, chunk):
            rows, shape = slice(begin, min(begin + chunk, last)), (-1, width * num_labels)
            found = _sums(
                scores[rows].reshape(shape),
                labels[rows].reshape(shape),
                None if weight is None else weight[rows].reshape(shape),
                derivatives[rows].view(shape),
                own,
                room,
                offset,
                height,
                has_anchor=anchor is not None,
                has_missing=has_missing,
            )
            sums += found.view(3, width, num_labels).sum(dim=1)
    errors = torch.stack([sums[0] - sums[1], sums[1]])
    loss = (cost * errors).sum()
    return errors, loss if anchor is None else loss + (anchor * sums[2]).sum(), derivatives


def _chunk(num_labels: int) -> int:
    """Return the number of rows that are counted at once on a CPU, a multiple of :data:`SIDE_BY_SIDE`."""
    return max(CHUNK // (SIDE_BY_SIDE * num_labels), 1) * SIDE_BY_SIDE


class _Room:
    """Memory for what is computed of some rows, which serves the next ones too."""

    def __init__(self, scores: Tensor, num_rows: int, num_columns: int) -> None:
        self._tensors = [scores.new_empty(num_rows, num_columns) for _ in range(3)]
        self.sums = scores.new_empty(3, num_columns)
        self.offset = scores.new_empty(())

    def of(self, num_rows: int) -> list[Tensor]:
        return [tensor[:num_rows] for tensor in self._tensors]


def _sums(
    scores: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    derivatives: Tensor,
    by_label: Tensor,
    room: _Room,
    offset: float,
    height: float,
    *,
    has_anchor: bool,
    has_missing: bool,
) -> Tensor:
    """Return sums by column of all errors, of the positives' errors and of cross-entropy; write the derivatives."""
    threshold, slope, slope_of_positive, pull, pull_of_positive, anchor = by_label.unbind()
    present, held = None, weight
    if has_missing:
        scores, labels, present = _without_missing(scores, labels)
        held = present if weight is None else present * weight
    first, second, third = room.of(len(scores))
    distance = torch.sub(scores, threshold, out=first)
    slopes = torch.addcmul(slope, slope_of_positive, labels, out=second)
    lifted = torch.addcmul(room.offset.fill_(offset), distance, slopes, out=first)
    errors = torch.clamp(lifted, 0, height, out=second)
    is_inside = lifted.eq_(errors)
    torch.addcmul(pull, pull_of_positive, labels, out=derivatives).mul_(is_inside)
    if held is not None:
        errors.mul_(held)
        derivatives.mul_(held)
    torch.sum(errors, dim=0, out=room.sums[0])
    torch.sum(torch.mul(errors, labels, out=first), dim=0, out=room.sums[1])
    room.sums[2].zero_()
    if not has_anchor:
        return room.sums
    sign = torch.mul(labels, -2, out=first).add_(1)
    wrong = torch.mul(scores, sign, out=second)
    if weight is not None:
        assert held is not None
        # Not a product with 0 alone, which an infinite loss would turn into NaN.
        torch.sum(torch.where(held > 0, softplus(wrong), 0).mul_(held), dim=0, out=room.sums[2])
        residual = wrong.sigmoid_().mul_(held)
    else:
        torch.sum(torch.clamp(wrong, min=0, out=third), dim=0, out=room.sums[2])
        residual = wrong.sigmoid_()
        beyond_half = torch.sub(residual, 0.5, out=third).abs_()
        larger = beyond_half.add_(0.5) if present is None else beyond_half.sub_(present, alpha=0.5).add_(1)
        room.sums[2] -= _sum_of_logs(larger)
    derivatives.addcmul_(residual.mul_(sign), anchor)
    return room.sums


def _without_missing(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return scores, labels and whether each label is there, as 0 or 1.

    Missing labels count as half a positive, so that their sign is 0, and their scores, which may be infinite, as 0: all
    bits are. For that torch has vector instructions on a CPU, and none for a choice of one of two numbers.
    """
    integers = torch.int64 if scores.dtype == torch.float64 else torch.int32
    bits = torch.eq(labels, labels, out=torch.empty_like(labels, dtype=integers)).neg_()
    bits.bitwise_and_(scores.view(integers))
    present = torch.eq(labels, labels, out=torch.empty_like(labels))
    return bits.view(scores.dtype), labels.nan_to_num(0.5), present


def _sum_of_logs(factors: Tensor) -> Tensor:
    """Return the sum by column of the logarithms of numbers between 0.5 and 1, shape (n, C).

    With the larger of the sigmoids of w and of -w, softplus(w) is max(w, 0) less its logarithm: one logarithm of a
    product takes the place of many, and cross-entropy half of its time.
    """
    whole = len(factors) - len(factors) % FACTORS
    products = factors[:whole].view(-1, FACTORS, factors.shape[1]).prod(dim=1)
    return products.log().sum(dim=0) + factors[whole:].prod(dim=0).log()
