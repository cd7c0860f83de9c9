"""What errors weigh: the class weights of an objective at a multiplier, and what errors add to the bound's violation.

This file decides how counts become weights of single samples. The algebra of the metrics comes from
:mod:`metricopt.problem.objectives`; how the weights are used is up to each solver.
"""

from __future__ import annotations

import numpy as np

from metricopt.problem.objectives import CountObjective
from metricopt.problem.ratios import Counts

MULTIPLIER_STEP = 0.05
"""How far the bound's multiplier moves after a batch, per unit of violation."""
MAX_MULTIPLIER = 1000.0


class ClassWeighting:
    r"""What an error of each class weighs, so that a solver can count errors instead of computing the metric.

    At a multiplier of its bound and a current value an objective asks for the largest :math:`w_+ TP - w_- FP`. This
    class gives the two weights, and the bound's violation by errors. All arrays of two rows speak of (negatives,
    positives).

    Parameters
    ----------
    objective : CountObjective
    labels : ndarray, shape (n, L), float
        The labels of all training samples; NaN marks a missing one.
    sample_weight : ndarray, shape (n, L), float, or None

    Attributes
    ----------
    samples_per_positive : ndarray, shape (L,)
        One over the prevalence. It is 0 for a label without positives or negatives, whose errors weigh nothing.
    num_learnable : int
        The number of labels that have positives and negatives, at least 1.
    max_multiplier : ndarray, shape (L,)
        The largest multiplier: the one at which a class loses all its weight, or :data:`MAX_MULTIPLIER`.
    """

    def __init__(self, objective: CountObjective, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        self.objective = objective
        self._positives, self._negatives = class_totals(labels, sample_weight)
        learnable = (self._positives > 0) & (self._negatives > 0)
        empty = np.zeros_like(self._positives)
        self.samples_per_positive = np.divide(len(labels), self._positives, out=empty, where=learnable)
        self.num_learnable = max(int(learnable.sum()), 1)
        self._set_violation_of_errors()
        self.set_value(np.zeros_like(self._positives))

    def set_value(self, value: np.ndarray) -> None:
        """Take over the objective's current value, shape (L,), on which the weights of a fraction depend."""
        # The weights are linear in the multiplier: two coefficients of shape (2, L).
        without, with_one = (
            np.stack(self.objective.class_weights(np.full_like(value, multiplier), value)[::-1])
            for multiplier in (0.0, 1.0)
        )
        self._weights_without_bound, self._weights_of_bound = without, with_one - without
        falls = self._weights_of_bound < 0
        used_up = np.divide(-without, self._weights_of_bound, out=np.full_like(without, MAX_MULTIPLIER), where=falls)
        self.max_multiplier = used_up.min(axis=0)

    def class_weights(self, multiplier: np.ndarray) -> np.ndarray:
        """Return what an error of each class weighs, shape (2, L); the heavier class weighs 1."""
        weights = np.maximum(self._weights_without_bound + multiplier * self._weights_of_bound, 0)
        return weights / weights.max(axis=0)

    def coefficients(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return a, b and c, each (2, L), of the weights a + b * value + c * multiplier before they are scaled."""
        zero, one = np.zeros_like(self._positives), np.ones_like(self._positives)
        at = [np.stack(self.objective.class_weights(*own)[::-1]) for own in ((zero, zero), (zero, one), (one, zero))]
        return at[0], at[1] - at[0], at[2] - at[0]

    def violation_coefficients(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the bound's violation without an error, shape (L,), and what an error per positive adds, (2, L)."""
        return self._violation_at_no_error, self._violation_per_error

    def error_scale(self, batch_size: int) -> np.ndarray:
        """Return what an error counts in the loss of a batch, shape (L,): one over the positives it should hold."""
        return self.samples_per_positive / (batch_size * self.num_learnable)

    def violation(self, errors: np.ndarray, num_samples: int) -> np.ndarray:
        """Return the bound's violation per positive, shape (L,), of errors (2, L) among ``num_samples``.

        Errors may be fractions, of a batch or of all samples; see :meth:`CountObjective.violation`.
        """
        per_positive = self.samples_per_positive / num_samples
        return self._violation_at_no_error + (self._violation_per_error * errors).sum(axis=0) * per_positive

    def _set_violation_of_errors(self) -> None:
        """Store the bound's violation, linear in the errors per positive, as coefficients."""
        positives, negatives, none = self._positives, self._negatives, np.zeros_like(self._positives)
        perfect = self.objective.violation(Counts(positives, none, none, negatives))
        all_alarms = self.objective.violation(Counts(positives, negatives, none, none))
        no_alarms = self.objective.violation(Counts(none, none, positives, negatives))
        with np.errstate(invalid="ignore", divide="ignore"):  # labels without negatives
            per_error = np.stack([(all_alarms - perfect) * positives / negatives, no_alarms - perfect])
        self._violation_at_no_error = np.nan_to_num(perfect)
        self._violation_per_error = np.nan_to_num(per_error, posinf=0, neginf=0)


def class_totals(labels: np.ndarray, sample_weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the weight of the positives and of the negatives by label, shape (L,), float64."""
    weight = np.ones_like(labels) if sample_weight is None else sample_weight
    positives, negatives = (np.where(labels == truth, weight, 0).sum(axis=0, dtype=np.float64) for truth in (1, 0))
    return positives, negatives
