r"""Losses with a bound: a Lagrangian of relaxed counts, and a multiplier that climbs while the bound is violated.

.. math:: \min_\theta \max_{\mu \ge 0} \; \frac1L \sum_l \bigl[ f_l(\theta) + \mu_l \, v_l(\theta) \bigr]

with the objective f and the violation v (positive = infeasible) of each label, both linear in TP and FP and per
*expected* positive of the batch, :math:`E` = (share of positives in the training set) x (labels present):

=====================  ==============  ====================================================
program                f               v
=====================  ==============  ====================================================
recall at precision    :math:`-TP/E`   :math:`[\alpha FP - (1 - \alpha) TP] / E`
precision at recall    :math:`FP/E`    :math:`\alpha - TP/E`
=====================  ==============  ====================================================

So both are defined, and on average right, on batches with few positives or none. Where the bound on recall is met with
equality, precision is a falling function of FP alone; that is why FP stands for it.

This file decides the two programs and the ascent of the multiplier; what is put in the place of TP and FP is decided
by subclasses. The threshold is 0 in all of them: the model's bias moves instead.

References
----------
E. Eban, M. Schain, A. Mackey, A. Gordon, R. Rifkin, G. Elidan (2017). Scalable learning of non-decomposable
objectives. AISTATS.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from metricopt._validation import check_fraction, check_positive
from metricopt.losses.base import CountingLoss
from metricopt.losses.soft_counts import SoftCounts

FIRST_MULTIPLIER = 1.0
MAX_MULTIPLIER = 1000.0


class BoundedLoss(CountingLoss):
    r"""A Lagrangian of counts; see the module's text.

    Each call in training mode with gradients enabled moves the multiplier once, after the loss was computed:
    :math:`\mu \leftarrow [\mu + \eta v]_0^{1000}`. In evaluation mode or under ``no_grad`` it stays as it is. No draw
    is random.

    Parameters
    ----------
    multiplier_step : float, > 0
        :math:`\eta`, how far the multiplier moves per unit of violation.

    Attributes
    ----------
    multiplier : Tensor, shape (L,), float32
        :math:`\mu`, a buffer; 1 after :meth:`prepare`, which must come before ``load_state_dict``.
    """

    multiplier: Tensor | None

    def __init__(self, multiplier_step: float) -> None:
        super().__init__()
        check_positive("multiplier_step", multiplier_step)
        self.multiplier_step = multiplier_step
        self.register_buffer("multiplier", None)

    def prepare(self, labels: Any) -> BoundedLoss:
        super().prepare(labels)
        assert self.num_positives is not None
        self.multiplier = torch.full_like(self.num_positives, FIRST_MULTIPLIER)
        return self

    def of_columns(self, scores: Tensor, labels: Tensor, present: Tensor) -> Tensor:
        expected = expected_positives(self, scores, present)
        counts = self.estimates(scores, labels, present)
        objective, violation = self.program(counts.true_positives / expected, counts.false_positives / expected)
        seen = present.amax(dim=0)  # a label that is missing throughout says nothing, not that its recall is 0
        assert self.multiplier is not None
        multiplier = self.multiplier.to(scores.device)
        if self.training and torch.is_grad_enabled():
            step = self.multiplier_step * (violation * seen).detach()
            self.multiplier = (multiplier + step.to(multiplier.dtype)).clamp(0, MAX_MULTIPLIER)
        return ((objective + multiplier * violation) * seen).mean()

    @abstractmethod
    def estimates(self, scores: Tensor, labels: Tensor, present: Tensor) -> SoftCounts:
        """Return what stands for the counts; arguments as for :meth:`of_columns`."""

    @abstractmethod
    def program(self, true_positives: Tensor, false_positives: Tensor) -> tuple[Tensor, Tensor]:
        """Return objective and violation, of shape (L,) each, from counts per expected positive."""


class RecallAtPrecision(BoundedLoss):
    """Recall subject to precision >= ``min_precision``, a number in (0, 1] for all labels."""

    def __init__(self, min_precision: float, multiplier_step: float) -> None:
        super().__init__(multiplier_step)
        check_fraction("min_precision", [min_precision])
        self.min_precision = min_precision

    def program(self, true_positives: Tensor, false_positives: Tensor) -> tuple[Tensor, Tensor]:
        alpha = self.min_precision
        return -true_positives, alpha * false_positives - (1 - alpha) * true_positives


class PrecisionAtRecall(BoundedLoss):
    """Few false positives subject to recall >= ``min_recall``, a number in (0, 1] for all labels."""

    def __init__(self, min_recall: float, multiplier_step: float) -> None:
        super().__init__(multiplier_step)
        check_fraction("min_recall", [min_recall])
        self.min_recall = min_recall

    def program(self, true_positives: Tensor, false_positives: Tensor) -> tuple[Tensor, Tensor]:
        return false_positives, self.min_recall - true_positives


def expected_positives(loss: CountingLoss, scores: Tensor, present: Tensor) -> Tensor:
    """Return how many positives a batch has on average, shape (L,), by the prevalence that ``loss`` was prepared with.

    At least that of one sample, so that nothing is divided by 0.
    """
    num_positives, num_negatives = loss.counts(scores)
    return num_positives / (num_positives + num_negatives) * present.sum(dim=0).clamp(min=1)
