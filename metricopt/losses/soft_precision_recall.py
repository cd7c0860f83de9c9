"""Recall at a precision, and precision at a recall, from soft counts."""

from __future__ import annotations

from torch import Tensor

from metricopt._validation import check_positive
from metricopt.losses.bounded import PrecisionAtRecall, RecallAtPrecision
from metricopt.losses.soft_counts import SoftCounts, soft_alarms, soft_counts


class SoftRecallAtPrecision(RecallAtPrecision):
    r"""The loss maximises recall at a precision, and counts each alarm as the sigmoid of its logit.

    .. math:: \max \; TP \quad \text{s.t.} \quad \alpha \, FP \le (1 - \alpha) \, TP, \qquad
        TP = \sum_P \sigma_i, \quad FP = \sum_N \sigma_i

    by the Lagrangian of :mod:`metricopt.losses.bounded`, with :math:`\sigma_i = \sigma(\text{slope} \cdot (z_i -
    \text{offset}))`. Call :meth:`prepare` first. The threshold is 0, and the model's bias moves in its place.

    Parameters
    ----------
    min_precision : float, in (0, 1]
        The bound :math:`\alpha`.
    slope, offset : float
        The steepness and the place of the sigmoid, as in :class:`metricopt.losses.SoftFBeta`.
    multiplier_step : float, > 0
        How far the multiplier moves for one unit of violation.

    References
    ----------
    G. Bénédict, V. Koops, D. Odijk, M. de Rijke (2021). sigmoidF1: a smooth F1 score surrogate loss for multilabel
    classification. The counts are from there; the program is that of Eban et al. (2017).

    Examples
    --------
    >>> import torch
    >>> labels = torch.tensor([1.0, 0.0])
    >>> loss = SoftRecallAtPrecision(0.75).prepare(labels)
    >>> round(loss(torch.zeros(2), labels).item(), 4)  # -1/2 + 1 * (3/4 - 1/4) / 2
    -0.25
    >>> round(loss.multiplier.item(), 4)
    1.0125
    """

    def __init__(
        self, min_precision: float, slope: float = 1.0, offset: float = 0.0, multiplier_step: float = 0.05
    ) -> None:
        super().__init__(min_precision, multiplier_step)
        check_positive("slope", slope)
        self.slope, self.offset = slope, offset

    def estimates(self, scores: Tensor, labels: Tensor, present: Tensor) -> SoftCounts:
        return soft_counts(soft_alarms(scores, self.slope, self.offset), labels, present)


class SoftPrecisionAtRecall(PrecisionAtRecall):
    r"""The loss maximises precision at a recall, and counts each alarm as the sigmoid of its logit.

    .. math:: \min \; FP \quad \text{s.t.} \quad TP \ge \alpha \, n_+

    with :math:`n_+` positives. In all else it is like :class:`SoftRecallAtPrecision`.

    Parameters
    ----------
    min_recall : float, in (0, 1]
        The bound :math:`\alpha`.
    slope, offset : float
        The steepness and the place of the sigmoid, as in :class:`metricopt.losses.SoftFBeta`.
    multiplier_step : float, > 0
        How far the multiplier moves for one unit of violation.

    Examples
    --------
    >>> import torch
    >>> labels = torch.tensor([1.0, 0.0])
    >>> round(SoftPrecisionAtRecall(0.75).prepare(labels)(torch.zeros(2), labels).item(), 4)  # 1/2 + 1 * (3/4 - 1/2)
    0.75
    """

    def __init__(
        self, min_recall: float, slope: float = 1.0, offset: float = 0.0, multiplier_step: float = 0.05
    ) -> None:
        super().__init__(min_recall, multiplier_step)
        check_positive("slope", slope)
        self.slope, self.offset = slope, offset

    def estimates(self, scores: Tensor, labels: Tensor, present: Tensor) -> SoftCounts:
        return soft_counts(soft_alarms(scores, self.slope, self.offset), labels, present)
