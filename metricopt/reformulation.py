r"""From indicators to slacks and back: what stands for 1{u > 0} while a model is trained.

Everything here is elementwise in :math:`u = (z - t) / \sigma`, the score's distance to the threshold in spreads of the
scores. The link, the closed-form slack and the elementwise surrogates are the definitions; :func:`class_errors` is the
same summed for a training step, which is all that the profiled solver needs.

This file decides the surrogates; which class weighs how much comes from :mod:`metricopt.objectives`, and when
to use which surrogate from :mod:`metricopt.solvers`.

References
----------
L. Peng, Y. Travadi, C. He, Y. Cui, J. Sun (2025). Exact reformulation and optimization for direct metric optimization
in binary imbalanced classification. The link g and the constrained programs.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

PerSample: TypeAlias = "Tensor | float"
"""A number for all samples, or a tensor that broadcasts against them."""


def link(slack: Tensor, u: Tensor) -> Tensor:
    r"""Tie a slack to the indicator that it stands for: zero exactly where ``slack = 1{u > 0}``, for u != 0.

    .. math:: g(s, u) = \max(s + u - 1, 0) - \max(-s, u)

    For s in [0, 1] and u != 0: :math:`|g(s, u)| = \min(|s - 1\{u > 0\}|, |u|)`, with g <= 0 where u > 0 and g >= 0
    where u < 0. So g = 0 is the equality form; g <= 0 on positives and g >= 0 on negatives is the inequality form,
    enough at the optimum because every metric is monotone in s.

    **Ties break it**: at u = 0, g = 0 for every s, so a constant model at the threshold "satisfies" any slacks. Pass
    ``u - margin`` on positives and ``u + margin`` on negatives with a positive margin: see :func:`tie_margin`.

    Differentiable in both arguments (almost everywhere).

    Parameters
    ----------
    slack : Tensor, any shape, in [0, 1]
    u : Tensor, shape of ``slack``
        Distance to the threshold.

    Returns
    -------
    Tensor, shape of ``slack``

    Examples
    --------
    >>> link(torch.tensor([1.0, 0.0, 1.0, 0.5]), torch.tensor([2.0, -2.0, -0.25, 0.0]))
    tensor([0.0000, 0.0000, 0.2500, 0.0000])
    """
    return (slack + u - 1).clamp(min=0) - torch.maximum(-slack, u)


def tie_margin(weight: PerSample, steepness: PerSample) -> PerSample:
    """Return the margin ``weight / (2 * steepness)`` that centres the eliminated ramp on the threshold."""
    return weight / (2 * steepness)


def closed_form_slack(u: Tensor, labels: Tensor, weight: PerSample, steepness: PerSample, margin: PerSample) -> Tensor:
    r"""Return the slack that minimises a sample's penalised share of the program, given its score.

    .. math::
        \text{positive: } \arg\min_{s \in [0, 1]} -w s + S\,[g(s, u - m)]_+ \qquad
        \text{negative: } \arg\min_{s \in [0, 1]} w s + S\,[-g(s, u + m)]_+

    Both are piecewise linear in s with the minimum at an end: 1 where giving up the sample would cost more than the
    broken link, else 0. A tie goes to the slack that agrees with the margin.

    Parameters
    ----------
    u : Tensor, shape (B, L)
        Distance to the threshold.
    labels : Tensor, shape (B, L), 0 or 1
    weight : float or Tensor, > 0
        :math:`w`, what one sample of this class is worth (``w_plus`` or ``w_minus``).
    steepness : float or Tensor, > 0
        :math:`S`, the penalty on a broken link.
    margin : float or Tensor, >= 0
        :math:`m`.

    Returns
    -------
    Tensor, shape (B, L), 0 or 1
    """
    is_positive = labels == 1
    short = torch.where(is_positive, margin - u, margin + u).clamp(0, 1)
    kept = steepness * short < weight  # the sample's own indicator is worth its broken link
    return torch.where(is_positive, kept, ~kept).to(u.dtype)


def eliminated_penalty(u: Tensor, labels: Tensor, weight: PerSample, steepness: PerSample) -> Tensor:
    r"""Return a sample's share of the program with its slack minimised away, per unit of weight: a centred ramp.

    .. math::
        \text{positive: } \tfrac{1}{w} \min(w, S\,[m - u]_+) \qquad
        \text{negative: } \tfrac{1}{w} \min(w, S\,[m + u]_+), \qquad m = \frac{w}{2 S}

    which is what :func:`closed_form_slack` leaves of the penalised program where :math:`S \ge w` (up to a constant); a
    smaller S gives a wider ramp of the same height. It is the indicator of an error, given a slope: raising S is a
    homotopy from "every sample pulls" to the exact 0/1 metric. The *width* follows the weight, the slope of
    ``weight * eliminated_penalty`` is S for both classes. Differentiable in ``u``.

    Parameters
    ----------
    u, labels, weight, steepness
        As in :func:`closed_form_slack`, whose margin is then :func:`tie_margin`.

    Returns
    -------
    Tensor, shape of ``u``
        In errors: 0 is right, 1 is wrong; 0 where the label is missing.

    Examples
    --------
    >>> u = torch.tensor([-2.0, 0.0, 2.0])
    >>> eliminated_penalty(u, torch.ones(3), weight=1.0, steepness=1.0)
    tensor([1.0000, 0.5000, 0.0000])
    """
    return ramp(u, labels, offset=0.5, slope=steepness / weight, height=1.0)


def hinge_to_ramp(u: Tensor, labels: Tensor, steepness: PerSample, cap: PerSample) -> Tensor:
    r"""Return a hinge that is cut off at ``cap``: it feels every sample first and is a tight bound in the end.

    .. math::
        \text{positive: } \min(c, [1 - S u]_+) \qquad \text{negative: } \min(c, [1 + S u]_+)

    Not the eliminated penalty while :math:`c > 1`. With a large cap and a small S it is convex where the data lie; with
    c = 1 it bounds the indicator of an error from above, and exceeds it within 1/S of the threshold only.
    Differentiable in ``u``.

    Parameters
    ----------
    u, labels, steepness
        As in :func:`closed_form_slack`.
    cap : float or Tensor, >= 1
        :math:`c`, in errors.

    Returns
    -------
    Tensor, shape of ``u``
        In errors; 0 where the label is missing.
    """
    return ramp(u, labels, offset=1.0, slope=steepness, height=cap)


def class_errors(
    u: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None,
    *,
    offset: float,
    slopes: np.ndarray,
    height: float,
    class_weights: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ramps of a batch summed by class, and the derivatives of their weighted sum.

    The same as :func:`ramp` and its gradient: all that a training step needs of them. On NumPy arrays, because a batch
    has few scores, and this takes a fraction of the time that as many torch operations with autograd take.

    Parameters
    ----------
    u, labels : ndarray, shape (B, L), float
        Labels are 0, 1 or NaN (missing).
    weight : ndarray, shape (B, L), float, or None
        Sample weights.
    offset, height : float
        As in :func:`ramp`.
    slopes : ndarray, shape (2, L)
        Of the negatives' ramp and of the positives'.
    class_weights : ndarray, shape (2, L)
        What an error of a negative weighs, and one of a positive.

    Returns
    -------
    errors : ndarray, shape (2, L)
        Sums over the negatives and over the positives.
    derivatives : ndarray, shape (B, L)
        Of ``(class_weights * errors).sum()`` in ``u``.
    """
    is_positive = labels == 1
    rise = np.where(is_positive, -slopes[1], slopes[0])
    lifted = offset + rise * u
    errors = np.minimum(np.maximum(lifted, 0), height)
    derivatives = np.where(is_positive, -slopes[1] * class_weights[1], slopes[0] * class_weights[0])
    derivatives *= lifted == errors
    present = labels == labels
    if not present.all():
        weight = present if weight is None else present * weight
    if weight is not None:
        errors, derivatives = errors * weight, derivatives * weight
    of_positives = (errors * is_positive).sum(axis=0)
    return np.stack([errors.sum(axis=0) - of_positives, of_positives]), derivatives


def ramp(u: Tensor, labels: Tensor, *, offset: float, slope: PerSample, height: PerSample) -> Tensor:
    """Return ``min(height, max(0, offset - slope * u))`` on positives, its mirror image on negatives, 0 where missing.

    The common form of both surrogates; ``offset`` is the value at the threshold.
    """
    sign = torch.nan_to_num(2 * labels - 1)
    clipped = (offset - slope * sign * u).clamp(min=0).clamp(max=height)
    return torch.where(labels.isnan(), torch.zeros_like(u), clipped)
