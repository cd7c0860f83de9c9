r"""The hand-over from cross-entropy to the objective: when it is due, and on what scale the loss of a solver goes on.

Solvers count errors, divided by the positives that a batch should hold, so that their loss is about one over the
prevalence larger than mean cross-entropy. Adam does not mind; other optimizers take steps that are as much too long,
and a limit on the gradient's norm means something else after the hand-over. So a path begins with a gradient as long as
that of cross-entropy,

.. math::
    s = \frac{\sqrt{\sum_i (\partial \ell_{CE} / \partial z_i)^2}}{\sqrt{\sum_i (\partial \ell / \partial z_i)^2}}

over the latest scores z of all training samples, and its loss is :math:`s \ell` to its end. A model that has learnt its
training rows by heart has hardly any gradient of cross-entropy left, which is no scale to go on with. It then counts as
a tenth of that of a constant model.

A network that has not begun to learn ranks its samples at random, and the best threshold of such scores says nothing
about where ramps should lie. It has begun if cross-entropy lies clearly below that of the best constant.

This file decides both. It leaves what follows from them to :mod:`metricopt.training.driver`.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricopt.solvers import Solver

CHUNK = 4096
LEAST_GRADIENT = 0.1
"""The least gradient of cross-entropy that counts, in that of a model which gives every sample the same score."""
LEAST_GAIN = 0.05
"""How far, in fractions, cross-entropy must lie below that of a constant model that has begun to learn."""


def has_begun_to_learn(scores: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray | None) -> bool:
    """Say whether scores are clearly better than the best constant, by their cross-entropy, averaged over the labels.

    Parameters
    ----------
    scores, labels, sample_weight : ndarray, shape (n, L)
        Logits, and labels that are 0, 1 or NaN (missing).

    Examples
    --------
    >>> labels = np.array([[1.0], [0.0], [0.0], [0.0]])
    >>> [has_begun_to_learn(logit * (2 * labels - 1), labels, None) for logit in (0.0, 1.0, -1.0)]
    [False, True, False]
    """
    weight = np.where(labels == labels, 1.0 if sample_weight is None else sample_weight, 0.0)
    total = weight.sum(axis=0)
    positives = (weight * (labels == 1)).sum(axis=0)
    known = (positives > 0) & (positives < total)
    if not known.any():
        return True  # there is nothing to learn
    fraction = positives[known] / total[known]
    of_constant = -fraction * np.log(fraction) - (1 - fraction) * np.log1p(-fraction)
    losses = np.logaddexp(0, np.where(labels == 1, -scores, scores)[:, known])
    reached = (weight[:, known] * losses).sum(axis=0) / total[known]
    return bool((reached / of_constant).mean() < 1 - LEAST_GAIN)


def scales_at_hand_over(
    solver: Solver,
    cross_entropy: Solver,
    scores: np.ndarray,
    labels: np.ndarray,
    sample_weight: np.ndarray | None,
    *,
    knows_rows: bool = True,
) -> list[float]:
    """Return the factor of the loss of each replica, with which its gradient is as long as that of cross-entropy.

    Parameters
    ----------
    solver : Solver
        At the start of a path. Its state stays as it is.
    cross_entropy : Solver
        What trained so far.
    scores, labels, sample_weight : ndarray, shape (n, R * L)
        Those of all training samples.
    knows_rows : bool
        Whether they are in the order of the labels that the solver was prepared with.
    """
    num_replicas = solver.num_replicas
    solver = deepcopy(solver)  # some move with every loss
    squares = np.zeros((3, num_replicas))  # of the solver, of cross-entropy, of cross-entropy of a constant model
    num_chunks = -(-len(scores) // CHUNK)
    prevalence = _prevalence(labels, sample_weight)
    constant = np.log(prevalence / (1 - prevalence)).astype(np.float32)
    for first in range(num_chunks):
        rows = np.arange(first, len(scores), num_chunks)  # spread, as the rows may be sorted by class
        weight = None if sample_weight is None else sample_weight[rows]
        own, truth = scores[rows], labels[rows]
        gradients = [
            _gradient(solver, own, truth, weight, torch.from_numpy(rows) if knows_rows else None),
            _gradient(cross_entropy, own, truth, weight, None),
            _gradient(cross_entropy, np.zeros_like(own) + constant, truth, weight, None),
        ]
        squares += [(gradient.reshape(len(rows), num_replicas, -1) ** 2).sum(axis=(0, 2)) for gradient in gradients]
    of_solver, of_cross_entropy, of_constant = np.sqrt(squares)
    wanted = np.maximum(of_cross_entropy, LEAST_GRADIENT * of_constant)
    # Where nothing pulls so far, positives weigh as in cross-entropy.
    otherwise = prevalence.reshape(num_replicas, -1).mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        scales = np.where(of_solver > 0, wanted / of_solver, otherwise)
    return [float(scale) if np.isfinite(scale) and scale > 0 else 1.0 for scale in scales]


class _Rescaled(torch.autograd.Function):
    """Scores as they are, whose derivatives are multiplied by a factor a column."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, factors: Tensor) -> Tensor:
        ctx.save_for_backward(factors)
        return scores.view_as(scores)

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None]:
        (factors,) = ctx.saved_tensors
        return outer * factors, None


def with_rescaled_gradient(scores: Tensor, scales: list[float]) -> Tensor:
    """Return scores (B, R * L) whose derivatives are multiplied by the factor of each replica, R of them."""
    factors = scores.new_tensor(scales).repeat_interleave(scores.shape[1] // len(scales))
    rescaled: Tensor = _Rescaled.apply(scores, factors)
    return rescaled


def _prevalence(labels: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray:
    """Return the share of positives in each column by weight, shape (C,), kept off 0 and 1."""
    weight = np.where(np.isnan(labels), 0.0, 1.0 if sample_weight is None else sample_weight)
    total = weight.sum(axis=0)
    share = (weight * (labels == 1)).sum(axis=0) / np.where(total > 0, total, 1.0)
    return np.asarray(np.clip(share, 1e-6, 1 - 1e-6))


def _gradient(
    solver: Solver, scores: np.ndarray, labels: np.ndarray, weight: np.ndarray | None, index: Tensor | None
) -> np.ndarray:
    """Return the derivatives of the loss of a batch, times its size.

    A row of weight w counts in their length as w rows: its derivative is w times as large, and shortened by the root.
    """
    leaf = torch.from_numpy(np.ascontiguousarray(scores)).requires_grad_()
    loss = solver.loss(
        leaf, torch.from_numpy(labels), None if weight is None else torch.from_numpy(weight).float(), index
    )
    if not loss.requires_grad:
        return np.zeros_like(scores)
    (gradient,) = torch.autograd.grad(loss, leaf)
    every = gradient.numpy() * len(scores)
    return every if weight is None else every / np.sqrt(np.where(weight > 0, weight, 1.0))
