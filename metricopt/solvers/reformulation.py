r"""From indicators to slacks and back: what stands for 1{u > 0} while a model is trained.

Everything here is elementwise in :math:`u = (z - t) / \sigma`, the score's distance to the threshold in spreads of the
scores. What a training step needs of them, sums by class and derivatives, is in :mod:`metricopt.solvers.array_steps`.

This file decides the surrogates; which class weighs how much comes from :mod:`metricopt.problem.objectives`, and when
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
        The distance to the threshold.

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


def closed_form_slack(
    u: np.ndarray,
    *,
    gain: np.ndarray | float = 1.0,
    multiplier: np.ndarray | float = 0.0,
    penalty: np.ndarray | float = 0.0,
    quadratic: np.ndarray | float = 0.0,
) -> np.ndarray:
    r"""Return the slacks that minimise each sample's term of the (augmented) Lagrangian, given its score: exactly.

    .. math:: \arg\min_{r \in [0, 1]} \; -w\,r + \lambda\,g(r, u) + S\,|g(r, u)| + \frac{\rho}{2}\,g(r, u)^2

    Every sample is seen in its own direction: u is :math:`u - m` on positives and :math:`-(u + m)` on negatives,
    positive where the model is right by the margin m; and r, "counted as right", is :math:`s` on positives and
    :math:`1 - s` on negatives. The link then reads the same for both, since :math:`g(1 - s, -u) = -g(s, u)`:
    g(r, u) = 0 in equality form, g(r, u) <= 0 in inequality form.

    With d the distance of r from :math:`1\{u > 0\}` the link is :math:`\pm\min(d, |u|)`, so the term is a quadratic
    in d up to :math:`|u|` and linear beyond: the minimum is inside the first piece or at d = 1. The same slack
    minimises the inequality form, whose terms differ only where no minimum lies. Not differentiable.

    Parameters
    ----------
    u : ndarray, any shape
        The distance to the threshold in the sample's own direction, with the margin subtracted.
    gain : float or ndarray
        The gain :math:`w` of counting the sample as right.
    multiplier : float or ndarray
        The multiplier :math:`\lambda` of the link.
    penalty, quadratic : float or ndarray, >= 0
        The penalty :math:`S` on the size of the link and the penalty :math:`\rho` on its square.

    Returns
    -------
    ndarray, shape of ``u``
        r, in [0, 1].

    Examples
    --------
    >>> closed_form_slack(np.array([-2.0, -0.5, 0.5]), penalty=1.0)  # a broken link of 2 costs more than it gains
    array([0., 1., 1.])
    >>> closed_form_slack(np.array([-2.0]), quadratic=4.0)
    array([0.25])
    """
    is_right, room = u > 0, np.minimum(np.abs(u), 1)
    slope = np.where(is_right, gain - multiplier, multiplier - gain) + penalty  # of the first piece, at d = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        bottom = np.where(np.asarray(quadratic) > 0, -slope / quadratic, np.where(slope < 0, np.inf, 0.0))
    inside = np.clip(bottom, 0, room)
    at_inside = (slope + quadratic * inside / 2) * inside
    drift = np.where(is_right, gain, -np.asarray(gain))  # of the second piece, where the link is at its end
    at_one = (slope - drift + quadratic * room / 2) * room + drift
    distance = np.where(at_one < at_inside, 1.0, inside)
    return np.where(is_right, 1 - distance, distance)


def eliminated_penalty(u: Tensor, labels: Tensor, weight: PerSample, steepness: PerSample) -> Tensor:
    r"""Return a sample's term of the program with its slack minimised away, per unit of weight: a centred ramp.

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
        The same as in :func:`closed_form_slack`, whose margin is then :func:`tie_margin`.

    Returns
    -------
    Tensor, shape of ``u``
        The number of errors that a sample counts: 0 is right, 1 is wrong; 0 where the label is missing.

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
        The same as in :func:`closed_form_slack`.
    cap : float or Tensor, >= 1
        :math:`c`, in errors.

    Returns
    -------
    Tensor, shape of ``u``
        The number of errors that a sample counts; 0 where the label is missing.
    """
    return ramp(u, labels, offset=1.0, slope=steepness, height=cap)


def ramp(u: Tensor, labels: Tensor, *, offset: float, slope: PerSample, height: PerSample) -> Tensor:
    """Return ``min(height, max(0, offset - slope * u))`` on positives, its mirror image on negatives, 0 where missing.

    This is the common form of both surrogates; ``offset`` is the value at the threshold.
    """
    sign = torch.nan_to_num(2 * labels - 1)
    clipped = (offset - slope * sign * u).clamp(min=0).clamp(max=height)
    return torch.where(labels.isnan(), torch.zeros_like(u), clipped)
