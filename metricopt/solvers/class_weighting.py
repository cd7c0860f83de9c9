"""What errors weigh: the class weights of an objective at a multiplier, and what errors add to the bound's violation.

This file decides how counts become weights of single samples. The algebra of the metrics comes from
:mod:`metricopt.problem.objectives`; how the weights are used is up to each solver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from metricopt.evidence.subgroups import SubgroupColumn
from metricopt.problem.bounds import MetricBound
from metricopt.problem.objectives import CountObjective
from metricopt.problem.ratios import Counts, LinearForm
from metricopt.solvers.cells import Cells

MULTIPLIER_STEP = 0.05
"""How far the bound's multiplier moves after a batch, per unit of violation."""
MAX_MULTIPLIER = 1000.0
SMALLEST = np.finfo(np.float64).tiny
"""What is divided by where nothing weighs anything."""


class ClassWeighting:
    r"""What an error of each class weighs, so that a solver can count errors instead of computing the metric.

    At a multiplier of its bound and a current value an objective asks for the largest :math:`w_+ TP - w_- FP`. This
    class gives the two weights, and the bound's violation by errors. All arrays of two rows speak of (negatives,
    positives). With K > 1 bounds there is a multiplier for each: multipliers and violations are then of shape (K, L).

    A bound in every subgroup counts as one bound a subgroup. Its multiplier adds to the weights of the rows of that
    subgroup alone, so the weights are those of each of C cells, the rows of which lie in the same subgroups
    (:mod:`metricopt.solvers.cells`); without subgroups there is one.

    Parameters
    ----------
    objective : CountObjective
    labels : ndarray, shape (n, L), float
        The labels of all training samples; NaN marks a missing one.
    sample_weight : ndarray, shape (n, L), float, or None
    subgroups : mapping of str to SubgroupColumn, optional
        The columns that the objective names.

    Attributes
    ----------
    cells : Cells
    samples_per_positive : ndarray, shape (L,)
        One over the prevalence. It is 0 for a label without positives or negatives, whose errors weigh nothing.
    num_learnable : int
        The number of labels that have positives and negatives, at least 1.
    max_multiplier : ndarray, shape (L,) or (K, L)
        The largest multiplier: the one at which a class loses all its weight, or :data:`MAX_MULTIPLIER`.
    """

    def __init__(
        self,
        objective: CountObjective,
        labels: np.ndarray,
        sample_weight: np.ndarray | None,
        subgroups: Mapping[str, SubgroupColumn] | None = None,
    ) -> None:
        self.objective = objective
        self.cells = Cells.of(objective, subgroups or {})
        self._positives, self._negatives = class_totals(labels, sample_weight)
        of_cells = np.stack([self._negatives, self._positives])[:, np.newaxis]
        if not self.cells.is_one:
            weight = 1.0 if sample_weight is None else sample_weight
            of_cells = self.cells.sums(np.where(labels == labels, weight, 0.0), labels == 1, self.cells.of_row)
        # The rows of each bound, (K, 2, L), and whether a cell is among them, (K, C).
        self._totals = np.einsum("kc,icl->kil", self.cells.has, of_cells)
        learnable = (self._positives > 0) & (self._negatives > 0)
        empty = np.zeros_like(self._positives)
        self.samples_per_positive = np.divide(len(labels), self._positives, out=empty, where=learnable)
        self.num_learnable = max(int(learnable.sum()), 1)
        self._set_violation_of_errors(len(labels))
        self.set_value(np.zeros_like(self._positives))

    def set_value(self, value: np.ndarray) -> None:
        """Take over the objective's current value, shape (L,), on which the weights of a fraction depend."""
        # The weights are linear in the multipliers: coefficients of shape (2, L), and (2, L) for each bound.
        maximised = self.objective.maximised
        without = self._by_errors(maximised.numerator - maximised.denominator * value, maximised.by_class)
        self._weights_without_bound = without
        self._weights_of_bounds = np.array(
            [
                _by_errors(bound.excess(value) * -1.0, bound.metric.by_class, *own)
                for bound, own in zip(self.cells.bounds, self._totals, strict=True)
            ]
        ).reshape(-1, *without.shape)
        limits = [np.full(len(value), MAX_MULTIPLIER)] * (not len(self._weights_of_bounds))
        for of_bound in self._weights_of_bounds:
            used_up = np.divide(-without, of_bound, out=np.full_like(without, MAX_MULTIPLIER), where=of_bound < 0)
            limits.append(np.maximum(used_up, 0).min(axis=0))
        self.max_multiplier = self._as_given(limits)

    def _by_errors(self, gain: LinearForm, by_class: bool) -> np.ndarray:
        return _by_errors(gain, by_class, self._negatives, self._positives)

    def _as_given(self, by_bound: Sequence[np.ndarray]) -> np.ndarray:
        """Return what is known of each bound: (L,) for one bound or none, else (K, L)."""
        return by_bound[0] if len(by_bound) == 1 else np.stack(by_bound)

    def class_weights(self, multiplier: np.ndarray) -> np.ndarray:
        """Return what an error of each class weighs, shape (2, L); the heaviest weighs 1.

        With subgroups the shape is (2, C, L), and the heaviest is that of all cells.
        """
        weights, of_bounds = self._weights_without_bound, self._weights_of_bounds
        own = multiplier if len(of_bounds) < 2 else multiplier.reshape(-1, 1, multiplier.shape[-1])
        if not self.cells.is_one:
            of_cells = np.tensordot(self.cells.has.T, own * of_bounds, axes=1)  # (C, 2, L)
            weights = weights[:, np.newaxis] + of_cells.swapaxes(0, 1)
        elif len(of_bounds) == 1:
            weights = weights + own * of_bounds[0]
        elif len(of_bounds):
            weights = weights + (own * of_bounds).sum(axis=0)
        weights = np.maximum(weights, 0)
        heaviest = np.maximum.reduce(weights, axis=tuple(range(weights.ndim - 1)))
        return weights / np.maximum(heaviest, SMALLEST)

    def coefficients(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return a, b and c, each (2, L), of the weights a + b * value + c * multiplier before they are scaled.

        For an objective with one bound at most, and that over all rows.
        """
        ratio = self.objective.maximised
        alone, of_value = (
            self._by_errors(form, ratio.by_class) for form in (ratio.numerator, ratio.denominator * -1.0)
        )
        return alone, of_value, self._weights_of_bounds.sum(axis=0)

    def violation_coefficients(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the only bound's violation without an error, (L,), and what an error per positive adds, (2, L)."""
        (only,) = self._violations
        return only

    def error_scale(self, batch_size: int) -> np.ndarray:
        """Return what an error counts in the loss of a batch, shape (L,): one over the positives it should hold."""
        return self.samples_per_positive / (batch_size * self.num_learnable)

    def violation(self, errors: np.ndarray, num_samples: int) -> np.ndarray:
        """Return each bound's violation per positive, shape (L,) or (K, L), of errors among ``num_samples``.

        Errors are of shape (2, L), or with subgroups (2, C, L), and may be fractions, of a batch or of all samples; see
        :meth:`CountObjective.violation`. The violation in a subgroup is one per positive of that subgroup, so that
        the multipliers of small subgroups move as fast as those of large ones.
        """
        if self.cells.is_one:
            per_positive = self.samples_per_positive / num_samples
            return self._as_given(
                [without + (per_error * errors).sum(axis=0) * per_positive for without, per_error in self._violations]
            )
        own = np.tensordot(self.cells.has, errors, axes=(1, 1))  # (K, 2, L)
        in_all = (self._per_error * own).sum(axis=1) * (self._samples_per_positive_of_bounds / num_samples)
        return self._as_given(list(self._at_no_error + in_all))

    def _set_violation_of_errors(self, num_samples: int) -> None:
        """Store the violation of each bound, linear in the errors per positive, as coefficients."""
        none = np.zeros_like(self._positives)
        self._violations = [
            _violation_of_errors(bound, *own) for bound, own in zip(self.cells.bounds, self._totals, strict=True)
        ]
        if not self._violations:
            self._violations.append((none, np.zeros((2, len(none)))))
        if not self.cells.is_one and len(self._totals):
            self._at_no_error, self._per_error = (np.stack(each) for each in zip(*self._violations, strict=True))
            positives = self._totals[:, 1]
            self._samples_per_positive_of_bounds = np.divide(
                num_samples, positives, out=np.zeros_like(positives), where=positives > 0
            )


def _by_errors(gain: LinearForm, by_class: bool, negatives: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """Return the gain in right alarms, less that in wrong ones, as weights of (negatives, positives): (2, L).

    A form of fractions of the classes is taken per positive.
    """
    zeros = np.zeros_like(positives)
    odds = np.divide(positives, negatives, out=np.ones_like(positives), where=negatives > 0) if by_class else 1.0
    return np.stack([-(gain.fp + zeros) * odds, gain.tp + zeros])


def _violation_of_errors(
    bound: MetricBound, negatives: np.ndarray, positives: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the violation of a bound without an error, (L,), and what an error per positive adds, (2, L)."""
    none = np.zeros_like(positives)
    perfect = bound.violation(Counts(positives, none, none, negatives))
    all_alarms = bound.violation(Counts(positives, negatives, none, none))
    no_alarms = bound.violation(Counts(none, none, positives, negatives))
    with np.errstate(invalid="ignore", divide="ignore"):  # labels without negatives
        per_error = np.stack([(all_alarms - perfect) * positives / negatives, no_alarms - perfect])
    return np.nan_to_num(perfect), np.nan_to_num(per_error, posinf=0, neginf=0)


def class_totals(labels: np.ndarray, sample_weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the weight of the positives and of the negatives by label, shape (L,), float64."""
    weight = np.ones_like(labels) if sample_weight is None else sample_weight
    positives, negatives = (np.where(labels == truth, weight, 0).sum(axis=0, dtype=np.float64) for truth in (1, 0))
    return positives, negatives
