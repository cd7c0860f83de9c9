r"""Counts bounded by hinges, and the programs on them: convex in the scores at any fixed multiplier.

.. math::
    TP \ge \sum_P \bigl(1 - \max(0, 1 - z_i)\bigr), \qquad FP \le \sum_N \max(0, 1 + z_i).

A bound that holds for these holds for the counts at threshold 0; the threshold stays there, and the model's bias moves
instead.

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
    r"""Recall subject to a precision, on hinge bounds of the counts.

    .. math:: \max \; TP^{l} \quad \text{s.t.} \quad \alpha \, FP^{u} \le (1 - \alpha) \, TP^{l}

    by the Lagrangian of :mod:`metricopt.losses.bounded`. Needs :meth:`prepare`.

    Parameters
    ----------
    min_precision : float, in (0, 1]
        :math:`\alpha`.
    multiplier_step : float, > 0

    References
    ----------
    As of this file. Differs from the paper: counts are per expected positive, and the multiplier has a step of its own
    in place of the model's learning rate.

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
    r"""Precision subject to a recall, on hinge bounds of the counts.

    .. math:: \min \; FP^{u} \quad \text{s.t.} \quad TP^{l} \ge \alpha \, n_+

    otherwise as :class:`HingeRecallAtPrecision`.

    Parameters
    ----------
    min_recall : float, in (0, 1]
        :math:`\alpha`.
    multiplier_step : float, > 0

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
    r"""1 - F-beta, from the hinge bounds of the counts: never below 1 - F-beta at threshold 0.

    .. math:: 1 - \frac{(1 + \beta^2) \, TP^{l}}{\beta^2 n_+ + \max(TP^{l}, 0) + FP^{u}}

    of the batch, the mean over labels. A batch without positives gives 1 and no gradient.

    Parameters
    ----------
    beta : float, > 0

    References
    ----------
    As of this file. The ratio is descended as it is; a negative bound of TP stays out of the denominator, which might
    reach 0 with it.

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
