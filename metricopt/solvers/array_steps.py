r"""What a batch adds to the profiled solver, in NumPy: for usual batches, whose few scores take less time than a call.

NumPy's calls are shorter than torch's. For large batches and accelerators :mod:`metricopt.solvers.tensor_steps` does
the same in torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Ramps(NamedTuple):
    """The ramps of a step and what they cost, alike for all rows or, with C cells of rows, for those of each cell.

    Attributes
    ----------
    threshold : ndarray, shape (L,) or (C, L)
    slopes, cost : ndarray, shape (2, L) or (2, C, L)
        The slopes of the ramps of (negatives, positives), and what an error costs in the loss.
    anchor : ndarray, shape (L,), or None
        What a sample's cross-entropy weighs in the loss.
    offset, height : float
        The same as in :func:`~metricopt.solvers.reformulation.ramp`.
    """

    threshold: np.ndarray
    slopes: np.ndarray
    cost: np.ndarray
    anchor: np.ndarray | None
    offset: float
    height: float

    def of_rows(self, cell: np.ndarray) -> Ramps:
        """Return those of rows in some cells (B,): shapes (B, L) and (2, B, L)."""
        threshold = self.threshold if self.threshold.ndim == 1 else self.threshold[cell]
        return self._replace(threshold=threshold, slopes=self.slopes[:, cell], cost=self.cost[:, cell])


def array_errors(
    scores: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None,
    ramps: Ramps,
    cell: np.ndarray | None = None,
    sums: Callable[..., np.ndarray] | None = None,
) -> tuple[np.ndarray, float, np.ndarray]:
    """Return the ramps of a batch summed by class, the loss, and its derivatives in the scores.

    Parameters
    ----------
    scores, labels : ndarray, shape (B, L), float
        Labels are 0, 1 or NaN (missing).
    weight : ndarray, shape (B, L), float, or None
        The weights of the samples.
    ramps : Ramps
    cell : ndarray, shape (B,), int, optional
        The cell of each row.
    sums : callable ``(errors, is_positive, cell) -> ndarray``, optional
        What sums errors (B, L) by class and cell.

    Returns
    -------
    errors : ndarray, shape (2, L) or (2, C, L)
        Those of the negatives and of the positives.
    loss : float
    derivatives : ndarray, shape (B, L)
    """
    threshold, slopes, cost, anchor, offset, height = ramps if cell is None else ramps.of_rows(cell)
    held = weight
    if np.isnan(labels.sum()):
        present = labels == labels
        held = present if weight is None else present * weight
    if held is not None:
        scores = np.where(held > 0, scores, scores.dtype.type(0))  # those that count nowhere may be infinite
    is_positive = labels == 1
    lifted = offset + np.where(is_positive, -slopes[1], slopes[0]) * (scores - threshold)
    each = np.minimum(np.maximum(lifted, 0), height)
    derivatives = np.where(is_positive, -slopes[1] * cost[1], slopes[0] * cost[0])
    derivatives *= lifted == each
    if held is not None:
        each, derivatives = each * held, derivatives * held
    if sums is None:
        of_positives = (each * is_positive).sum(axis=0)
        errors = np.array([each.sum(axis=0) - of_positives, of_positives])
    else:
        errors = sums(each, is_positive, cell)
    loss = float((ramps.cost * errors).sum())
    if anchor is not None:
        losses, residuals = cross_entropy(scores, is_positive)
        if held is not None:
            losses, residuals = losses * held, residuals * held
        loss += float((anchor * losses).sum())
        derivatives += anchor * residuals
    return errors, loss, derivatives


def cross_entropy(scores: np.ndarray, is_positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each sample's cross-entropy, shape (B, L), and its derivative in the score."""
    wrong = np.where(is_positive, -scores, scores)
    with np.errstate(invalid="ignore"):  # infinite scores
        losses = np.logaddexp(0, wrong)
        residuals = np.exp(wrong - losses)  # the sigmoid of wrong
    return losses, np.where(is_positive, -residuals, residuals)
