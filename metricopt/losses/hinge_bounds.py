r"""Bounds of the counts by hinges, and losses made of them, which are convex in the scores at any fixed multiplier.

.. math::
    TP \ge \sum_P \bigl(1 - \max(0, 1 - z_i)\bigr), \qquad FP \le \sum_N \max(0, 1 + z_i).

If precision or recall computed from these meets a bound, so do the exact ones at threshold 0. The threshold stays
there, and the model's bias moves in its place.

References
----------
E. Eban, M. Schain, A. Mackey, A. Gordon, R. Rifkin, G. Elidan (2017). Scalable learning of non-decomposable
objectives. AISTATS.
"""

from __future__ import annotations

from torch import Tensor

from metricopt._validation import check_positive
from metricopt.losses.base import Loss
from metricopt.losses.bounded import PrecisionAtRecall, RecallAtPrecision
from metricopt.losses.soft_counts import SoftCounts, f_beta_loss


def hinge_counts(scores: Tensor, labels: Tensor, present: Tensor) -> SoftCounts:
    """Return a lower bound of TP and upper bounds of FP and FN, of shape (L,) each, at threshold 0.

    Examples
    --------
    >>> import torch
    >>> scores, labels = torch.tensor([[0.5], [-3.0], [-0.5]]), torch.tensor([[1.0], [1.0], [0.0]])
    >>> counts = hinge_counts(scores, labels, torch.ones(3, 1))
    >>> [count.item() for count in counts]
    [-2.5, 0.5, 4.5]
    """
    missed = ((1 - scores).clamp(min=0) * labels).sum(dim=0)
    alarmed = ((1 + scores).clamp(min=0) * (present - labels)).sum(dim=0)
    return SoftCounts(labels.sum(dim=0) - missed, alarmed, missed)


class HingeRecallAtPrecision(RecallAtPrecision):
    r"""The loss maximises recall at a precision, with hinges in the place of the counts.

    .. math:: \max \; TP^{l} \quad \text{s.t.} \quad \alpha \, FP^{u} \le (1 - \alpha) \, TP^{l}

    by the Lagrangian of :mod:`metricopt.losses.bounded`, where :math:`TP^{l}` and :math:`FP^{u}` are the bounds of
    :mod:`metricopt.losses.hinge_bounds`. Call :meth:`prepare` first.

    Parameters
    ----------
    min_precision : float, in (0, 1]
        The bound :math:`\alpha`.
    multiplier_step : float, > 0
        How far the multiplier moves for one unit of violation.

    References
    ----------
    E. Eban et al. (2017), as in :mod:`metricopt.losses.hinge_bounds`. Differs from the paper: counts are divided by the
    expected positives, and the multiplier has a step of its own in place of the model's learning rate.

    Examples
    --------
    >>> import torch
    >>> labels = torch.tensor([1.0, 0.0])
    >>> HingeRecallAtPrecision(0.75).prepare(labels)(torch.tensor([2.0, -2.0]), labels).item()  # -1 - 1 * 1/4
    -1.25
    """

    def __init__(self, min_precision: float, multiplier_step: float = 0.05) -> None:
        super().__init__(min_precision, multiplier_step)

    def estimates(self, scores: Tensor, labels: Tensor, present: Tensor) -> SoftCounts:
        return hinge_counts(scores, labels, present)


class HingePrecisionAtRecall(PrecisionAtRecall):
    r"""The loss maximises precision at a recall, with hinges in the place of the counts.

    .. math:: \min \; FP^{u} \quad \text{s.t.} \quad TP^{l} \ge \alpha \, n_+

    with :math:`n_+` positives. In all else it is like :class:`HingeRecallAtPrecision`.

    Parameters
    ----------
    min_recall : float, in (0, 1]
        The bound :math:`\alpha`.
    multiplier_step : float, > 0
        How far the multiplier moves for one unit of violation.

    Examples
    --------
    >>> import torch
    >>> labels = torch.tensor([1.0, 0.0])
    >>> HingePrecisionAtRecall(0.75).prepare(labels)(torch.tensor([2.0, -2.0]), labels).item()  # 0 + 1 * (3/4 - 1)
    -0.25
    """

    def __init__(self, min_recall: float, multiplier_step: float = 0.05) -> None:
        super().__init__(min_recall, multiplier_step)

    def estimates(self, scores: Tensor, labels: Tensor, present: Tensor) -> SoftCounts:
        return hinge_counts(scores, labels, present)


class HingeFBeta(Loss):
    r"""The loss is 1 - F-beta with hinges in the place of the counts, and never below 1 - F-beta at threshold 0.

    .. math:: 1 - \frac{(1 + \beta^2) \, TP^{l}}{\beta^2 n_+ + \max(TP^{l}, 0) + FP^{u}}

    of the batch, averaged over the labels. A batch without positives gives 1 and no gradient.

    Parameters
    ----------
    beta : float, > 0
        How many times recall outweighs precision.

    References
    ----------
    E. Eban et al. (2017), as in :mod:`metricopt.losses.hinge_bounds`. Differs from the paper: the ratio itself is
    minimised. A negative bound of TP is left out of the denominator, which could reach 0 with it.

    Examples
    --------
    >>> import torch
    >>> HingeFBeta()(torch.tensor([0.5, -2.0]), torch.tensor([1.0, 0.0])).item()  # 1 - 2 * 1/2 / (1 + 1/2)
    0.3333333134651184
    """

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        check_positive("beta", beta)
        self.beta = beta

    def of_columns(self, scores: Tensor, labels: Tensor, present: Tensor) -> Tensor:
        return f_beta_loss(hinge_counts(scores, labels, present), present, self.beta)
