r"""Bounds of the counts by scaled sigmoids, and a loss for recall at a precision made of them, with a penalty.

With tolerances :math:`\gamma > 1`, :math:`\delta, \epsilon > 0` both curves are :math:`(1 + \gamma\delta)\, \sigma(m z
+ b)`. The upper one, for negatives, goes through :math:`(-\epsilon, \delta)` and :math:`(0, 1 + \delta)`. The lower
one, for positives, goes through :math:`(0, \delta)` and :math:`(\epsilon, 1 + \delta)`. Two points fix slope and shift:

.. math::
    \hat b = \log \frac{1 + \delta}{(\gamma - 1)\delta}, \qquad
    \tilde b = \log \frac{\delta}{1 + (\gamma - 1)\delta}, \qquad
    \hat m = \tilde m = \frac{\hat b - \tilde b}{\epsilon}.

The paper fits them numerically and reports 6.85, 1.59 and -3.54 for the tolerances used here; the closed form gives
6.851, 1.595 and -3.543. The lower curve is never negative, because it lies below the indicator *plus*
:math:`\gamma\delta`. Minus :math:`\gamma\delta` it is a lower bound of the indicator itself.

The threshold is 0, and the model's bias moves in its place.

References
----------
P. Rath, M. C. Hughes (2022). Optimizing early warning classifiers to control false alarms via a minimum precision
constraint. AISTATS.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metricopt._validation import check_fraction, check_positive, reject
from metricopt.losses.base import CountingLoss
from metricopt.losses.bounded import expected_positives

GAMMA, DELTA, EPSILON = 7.0, 0.035, 0.75
LIFT = GAMMA * DELTA
"""How far both curves end above 1, and what is subtracted from the lower one to make it a bound of the indicator."""
_UPPER_SHIFT = math.log((1 + DELTA) / ((GAMMA - 1) * DELTA))
_LOWER_SHIFT = math.log(DELTA / (1 + (GAMMA - 1) * DELTA))
_SLOPE = (_UPPER_SHIFT - _LOWER_SHIFT) / EPSILON


def upper_curve(scores: Tensor) -> Tensor:
    """Return a curve that rises from 0 to 1 + :data:`LIFT` and is nowhere below 1{z >= 0}.

    Examples
    --------
    >>> upper_curve(torch.tensor([-0.75, 0.0]))
    tensor([0.0350, 1.0350])
    """
    return (1 + LIFT) * torch.sigmoid(_SLOPE * scores + _UPPER_SHIFT)


def lower_curve(scores: Tensor) -> Tensor:
    """Return a curve that rises from 0 to 1 + :data:`LIFT` and is nowhere above 1{z >= 0} + :data:`LIFT`.

    Examples
    --------
    >>> lower_curve(torch.tensor([0.0, 0.75]))
    tensor([0.0350, 1.0350])
    """
    return (1 + LIFT) * torch.sigmoid(_SLOPE * scores + _LOWER_SHIFT)


class TightRecallAtPrecision(CountingLoss):
    r"""The loss maximises recall at a precision, with tight sigmoids in the place of the counts and a penalty.

    .. math::
        -\widetilde{TP} + \lambda \max\Bigl(0, -\bigl(\widetilde{TP} - \gamma\delta\, n_+\bigr)
        + \frac{\alpha}{1 - \alpha} \widehat{FP}\Bigr)

    with the sums of the lower curve over positives and of the upper curve over negatives. The whole is divided by the
    expected positives of the batch and averaged over the labels. Call :meth:`prepare` first. Where the second term is
    0, precision at threshold 0 is at least :math:`\alpha` on the batch, or there is no alarm. The maximum is taken
    batch by batch, which is stricter than over the whole training set, and the smaller the batches the stricter it is.

    Parameters
    ----------
    min_precision : float, in (0, 1)
        The bound :math:`\alpha`.
    penalty : float, > 0
        The weight :math:`\lambda` of the violation.

    References
    ----------
    P. Rath, M. C. Hughes (2022), as in :mod:`metricopt.losses.tight_sigmoid`. Differs from the paper: the loss is
    divided by the expected positives in place of the samples, so that the labels of a model weigh the same; and it has
    no penalty on the weights of the model, which is left to the optimizer.

    Examples
    --------
    >>> labels = torch.tensor([1.0, 0.0])
    >>> loss = TightRecallAtPrecision(0.5).prepare(labels)
    >>> round(loss(torch.tensor([9.0, -9.0]), labels).item(), 4)  # the bound holds: what is left is 1 + LIFT
    -1.245
    """

    def __init__(self, min_precision: float, penalty: float = 1000.0) -> None:
        super().__init__()
        check_fraction("min_precision", [min_precision])
        if min_precision == 1:
            reject("min_precision", "below 1 for this loss", min_precision, "give e.g. 0.99")
        check_positive("penalty", penalty)
        self.min_precision, self.penalty = min_precision, penalty

    def of_columns(self, scores: Tensor, labels: Tensor, present: Tensor) -> Tensor:
        odds = self.min_precision / (1 - self.min_precision)
        true_positives = (lower_curve(scores) * labels).sum(dim=0)
        false_positives = (upper_curve(scores) * (present - labels)).sum(dim=0)
        violation = -(true_positives - LIFT * labels.sum(dim=0)) + odds * false_positives
        loss = -true_positives + self.penalty * violation.clamp(min=0)
        return (loss / expected_positives(self, scores, present)).mean()
