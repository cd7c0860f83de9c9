r"""Losses with a bound: a Lagrangian of relaxed counts, and a multiplier that rises while the bound is violated.

.. math:: \min_\theta \max_{\mu \ge 0} \; \frac1L \sum_l \bigl[ f_l(\theta) + \mu_l \, v_l(\theta) \bigr]

with the objective f and the violation v (positive = infeasible) of each label l. Both are linear in TP and FP, and both
are divided by the number of positives that the batch has on average, :math:`E` = (prevalence in the training set) x
(number of labels present in the batch):

=====================  ==============  ====================================================
program                f               v
=====================  ==============  ====================================================
recall at precision    :math:`-TP/E`   :math:`[\alpha FP - (1 - \alpha) TP] / E`
precision at recall    :math:`FP/E`    :math:`\alpha - TP/E`
=====================  ==============  ====================================================

So both are defined, and on average right, on batches with few positives or none. Where the bound on recall is met with
equality, precision falls as FP rises and depends on nothing else, so minimising FP maximises precision.

This file decides the two programs and how the multiplier rises. Subclasses decide what is put in the place of TP and
FP. The threshold is 0 in all of them, and the model's bias moves in its place.

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
    r"""A Lagrangian of relaxed counts, with a multiplier for each label (:mod:`metricopt.losses.bounded`).

    Each call in training mode with gradients enabled moves the multiplier once, after the loss was computed:
    :math:`\mu \leftarrow [\mu + \eta v]_0^{1000}`. In evaluation mode or under ``no_grad`` it stays as it is. Nothing
    is random.

    Parameters
    ----------
    multiplier_step : float, > 0
        The step :math:`\eta`: how far the multiplier moves for one unit of violation.

    Attributes
    ----------
    multiplier : Tensor, shape (L,), float32
        The multiplier :math:`\mu`, a buffer. It is 1 after :meth:`prepare`, which must be called before
        ``load_state_dict``.
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
        """Return what stands for the counts. The arguments are those of :meth:`of_columns`."""

    @abstractmethod
    def program(self, true_positives: Tensor, false_positives: Tensor) -> tuple[Tensor, Tensor]:
        """Return the objective and the violation, of shape (L,) each, from counts divided by the expected positives."""


class RecallAtPrecision(BoundedLoss):
    """The program of the highest recall at precision >= ``min_precision``, one number in (0, 1] for all labels."""

    def __init__(self, min_precision: float, multiplier_step: float) -> None:
        super().__init__(multiplier_step)
        check_fraction("min_precision", [min_precision])
        self.min_precision = min_precision

    def program(self, true_positives: Tensor, false_positives: Tensor) -> tuple[Tensor, Tensor]:
        alpha = self.min_precision
        return -true_positives, alpha * false_positives - (1 - alpha) * true_positives


class PrecisionAtRecall(BoundedLoss):
    """The program of the fewest false positives at recall >= ``min_recall``, one number in (0, 1] for all labels."""

    def __init__(self, min_recall: float, multiplier_step: float) -> None:
        super().__init__(multiplier_step)
        check_fraction("min_recall", [min_recall])
        self.min_recall = min_recall

    def program(self, true_positives: Tensor, false_positives: Tensor) -> tuple[Tensor, Tensor]:
        return false_positives, self.min_recall - true_positives


def expected_positives(loss: CountingLoss, scores: Tensor, present: Tensor) -> Tensor:
    """Return how many positives a batch has on average, shape (L,), at the prevalence of the training set.

    ``loss`` knows the prevalence since it was prepared. A batch without labels counts as one sample, so that nothing is
    divided by 0.
    """
    num_positives, num_negatives = loss.counts(scores)
    return num_positives / (num_positives + num_negatives) * present.sum(dim=0).clamp(min=1)
