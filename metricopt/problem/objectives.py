"""What to optimize: each objective is a metric to maximise and, for some, a bound on a second metric.

This file holds the algebra of the metrics programs and nothing else; every solver, threshold and report asks it. An
objective whose metrics are ratios of linear forms in the counts (:class:`CountObjective`) is a few lines: name the two
ratios and the bound, and its class weights, violation and feasibility follow.

References
----------
L. Peng, Y. Travadi, C. He, Y. Cui, J. Sun (2025). Exact reformulation and optimization for direct metric optimization
in binary imbalanced classification. It defines the programs FPOR, FROP and OFBS.
W. Dinkelbach (1967). On nonlinear fractional programming. Management Science 13.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from inspect import get_annotations
from typing import Any, ClassVar, Literal

import numpy as np

from metricopt._arrays import Array
from metricopt._validation import check_fraction, check_positive, reject
from metricopt.problem import ratios
from metricopt.problem.bounds import Bound, MetricBound
from metricopt.problem.ranking import Ranking
from metricopt.problem.ratios import Counts, LinearForm, Ratio


class Objective(ABC):
    """A metric to maximise over the scores of a model.

    A subclass is a frozen dataclass. Where its metric is bounded, one of its fields is the bound, and the name of that
    field says in which direction: ``min_precision`` is the least value allowed, ``max_alarm_rate`` the largest.

    Attributes
    ----------
    bounded : Ratio or None
        The metric that the bound restricts; None without a bound.
    bound_parameter : str or None
        The name of the field that holds the bound, e.g. ``"min_precision"``.
    bound_direction : "min" or "max"
        Whether the bound is the least or the largest value allowed.
    """

    bounded: ClassVar[Ratio | None] = None
    bound_parameter: ClassVar[str | None] = None
    bound_direction: ClassVar[Literal["min", "max"]] = "min"

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        for field in get_annotations(cls):
            if field.startswith(("min_", "max_")):
                cls.bound_parameter = field
                cls.bound_direction = "min" if field.startswith("min_") else "max"

    def __post_init__(self) -> None:
        """Check the bound, and store it hashable: a float, or a tuple with one float per label."""
        if self.bound_parameter is None:
            return
        bound: Any = getattr(self, self.bound_parameter)
        if isinstance(bound, (np.ndarray, list)):
            bound = tuple(np.asarray(bound).tolist()) if np.ndim(bound) else float(np.asarray(bound))
        check_fraction(self.bound_parameter, bound)
        stored = tuple(float(b) for b in bound) if isinstance(bound, tuple) else float(bound)
        object.__setattr__(self, self.bound_parameter, stored)

    @property
    def name(self) -> str:
        """The name under which the objective is registered."""
        return type(self).__name__

    @classmethod
    def short_arguments(cls) -> dict[str, str]:
        """Return which of ``alpha`` and ``beta`` belong beside the name of the objective, and the fields they fill."""
        beta = next((field.name for field in fields(cls) if field.name == "beta"), None)  # type: ignore[arg-type]
        return {short: field for short, field in (("alpha", cls.bound_parameter), ("beta", beta)) if field}

    @property
    @abstractmethod
    def metric_name(self) -> str:
        """The name of the metric that is maximised, e.g. ``"recall"``."""

    @property
    @abstractmethod
    def threshold_objective(self) -> CountObjective:
        """The objective that chooses the threshold: this one, if its metric depends on a threshold."""

    @abstractmethod
    def measure(self, ranking: Ranking, counts: Counts) -> float:
        """Return the metric of samples with this ranking and these counts at the threshold; NaN where undefined."""

    @property
    def bound(self) -> Bound | None:
        """The bound on :attr:`bounded`, None where there is none."""
        return getattr(self, self.bound_parameter) if self.bounded is not None and self.bound_parameter else None

    @property
    def bounds(self) -> tuple[MetricBound, ...]:
        """All bounds, each with the metric that it restricts."""
        if self.bounded is None or self.bound is None:
            return ()
        return (MetricBound(self.bounded, ">=" if self.bound_direction == "min" else "<=", self.bound),)

    @property
    def only_bound(self) -> MetricBound | None:
        """The bound, where there is one and it speaks of all rows; None where there is none, or more than that."""
        bounds = self.bounds
        return bounds[0] if len(bounds) == 1 and bounds[0].within is None else None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of subgroups that the objective speaks of."""
        return ()

    def with_bound(self, bound: Bound) -> Objective:
        """Return the same objective with another bound."""
        if self.bound is None or self.bound_parameter is None:
            reject("objective", "one with a bound", self.name, "choose a threshold for another objective instead")
        return replace(self, **{self.bound_parameter: bound})  # type: ignore[type-var]

    def for_labels(self, num_labels: int) -> tuple[Objective, ...]:
        """Return one objective per label, each with a single bound.

        Raises
        ------
        InvalidInputError
            If the bounds are given per label, but not for this number of labels.
        """
        bound = self.bound
        if not isinstance(bound, tuple):
            return (self,) * num_labels
        if len(bound) != num_labels:
            assert self.bound_parameter is not None
            rule = f"one number or one per label ({num_labels})"
            reject(self.bound_parameter, rule, f"{len(bound)} numbers", "give as many bounds as there are labels")
        return tuple(self.with_bound(b) for b in bound)

    def __str__(self) -> str:
        """Say in words what is asked, e.g. ``maximise recall subject to precision >= 0.9``."""
        text, bounds = f"maximise {self.metric_name}", self.bounds
        return f"{text} subject to {' and '.join(map(str, bounds))}" if bounds else text


class CountObjective(Objective):
    r"""Maximise one ratio of counts, subject to a bound on another.

    .. math:: \max_{\theta, t} \; \frac{a(c)}{b(c)} \quad \text{s.t.} \quad \frac{p(c)}{q(c)} \ge \alpha
              \;\; (\text{or} \le \alpha)

    where :math:`c` are the confusion counts, the first ratio is ``maximised``, the second ``bounded``, and
    :math:`\alpha` is ``bound``. With a multiplier :math:`\mu \ge 0` for the bound and the current value :math:`\tau`
    of the objective (Dinkelbach 1967) the program becomes :math:`\max w_+ TP - w_- FP`: see :meth:`class_weights`.
    """

    @property
    @abstractmethod
    def maximised(self) -> Ratio:
        """The metric to maximise."""

    @property
    def metric_name(self) -> str:
        """The name of the metric that is maximised, e.g. ``"recall"``."""
        return self.maximised.name

    @property
    def threshold_objective(self) -> CountObjective:
        """The objective itself."""
        return self

    def measure(self, ranking: Ranking, counts: Counts) -> float:
        return float(self.value(counts))

    def value(self, counts: Counts) -> Array:
        """Return the metric to maximise, NaN where it is undefined."""
        return self.maximised(counts)

    def bounded_value(self, counts: Counts) -> Array | None:
        """Return the metric that the bound restricts, NaN where it is undefined; None without a bound."""
        return None if self.bounded is None else self.bounded(counts)

    def feasible(self, counts: Counts) -> Array:
        """Say whether the bound holds for the ratio that users compute; an undefined ratio is never feasible.

        Without a bound, feasible means that the metric to maximise is defined.
        """
        only = self.only_bound
        if only is None:
            value = self.value(counts)
            return value == value
        return only.holds(only.metric(counts))

    def excess(self, array: Array) -> LinearForm | None:
        """Return the only bound as a linear form, positive where it is missed; None without one.

        Its coefficients are of the kind of array that ``array`` is. See
        :meth:`metricopt.problem.bounds.MetricBound.excess`.
        """
        only = self.only_bound
        return None if only is None else only.excess(array)

    def violation(self, counts: Counts) -> Array:
        """Return how far the only bound is missed, per positive: > 0 infeasible, <= 0 feasible; 0 without one.

        The violation is NaN without positives. Without alarms, a bound on precision has the violation 0, though
        :meth:`feasible` is False.
        """
        only = self.only_bound
        return counts.positives * 0.0 if only is None else only.violation(counts)

    def class_weights(self, multiplier: Array, value: Array) -> tuple[Array, Array]:
        r"""Return ``(w_plus, w_minus)`` of the equivalent program "maximise w_plus TP - w_minus FP".

        They are the derivatives of :math:`a - \tau b - \mu e` in TP and (negated) in FP, with :math:`e` the excess.
        An alarm budget charges right alarms too, so there :math:`w_+ = 1 - \mu` turns negative beyond :math:`\mu = 1`.

        Parameters
        ----------
        multiplier : array, shape (L,)
            The multiplier :math:`\mu \ge 0` of the bound.
        value : array, shape (L,)
            The current value :math:`\tau` of the objective. It matters only where the denominator of the metric depends
            on the prediction.
        """
        gain = self.maximised.numerator - self.maximised.denominator * value
        excess = self.excess(multiplier)
        if excess is not None:
            gain = gain - excess * multiplier
        return gain.tp + 0.0 * multiplier, -(gain.fp + 0.0 * multiplier)


@dataclass(frozen=True)
class FPOR(CountObjective):
    """Fix precision, optimize recall.

    Parameters
    ----------
    min_precision : float or tuple of float, in (0, 1]
        The fraction of the alarms that must be right: one number, or one per label.
    """

    min_precision: Bound
    maximised = ratios.RECALL
    bounded = ratios.PRECISION


@dataclass(frozen=True)
class FROP(CountObjective):
    """Fix recall, optimize precision.

    Parameters
    ----------
    min_recall : float or tuple of float, in (0, 1]
        The fraction of the positives that must be found: one number, or one per label.
    """

    min_recall: Bound
    maximised = ratios.PRECISION
    bounded = ratios.RECALL


@dataclass(frozen=True)
class OFBS(CountObjective):
    """Optimize the F-beta score.

    Parameters
    ----------
    beta : float, > 0
        How many times recall matters more than precision.
    """

    beta: float = 1.0

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)

    @property
    def maximised(self) -> Ratio:
        """F-beta as a ratio of counts."""
        return ratios.f_beta_ratio(self.beta)


@dataclass(frozen=True)
class RecallAtFPR(CountObjective):
    """Optimize recall at a bound on the false-positive rate.

    Parameters
    ----------
    max_false_positive_rate : float or tuple of float, in (0, 1]
        The largest fraction of the negatives that may raise an alarm: one number, or one per label.
    """

    max_false_positive_rate: Bound
    maximised = ratios.RECALL
    bounded = ratios.FALSE_POSITIVE_RATE


@dataclass(frozen=True)
class RecallAtAlarmRate(CountObjective):
    """Optimize recall within an alarm budget.

    Parameters
    ----------
    max_alarm_rate : float or tuple of float, in (0, 1]
        The largest fraction of all samples that may raise an alarm: one number, or one per label.
    """

    max_alarm_rate: Bound
    maximised = ratios.RECALL
    bounded = ratios.ALARM_RATE


@dataclass(frozen=True)
class OAP(Objective):
    r"""Optimize average precision.

    .. math:: AP = \frac{1}{n_+} \sum_{i \in P} \frac{a_i}{b_i}

    with :math:`a_i` the number of positives and :math:`b_i` that of all samples that score at least as high as positive
    i, itself included (:func:`metricopt.problem.metrics.average_precision`). The metric belongs to the ranking and
    needs no threshold. Predictions and reports need one: **it is that of the best F1 score**.
    """

    metric_name = "average_precision"

    @property
    def threshold_objective(self) -> CountObjective:
        """The objective of the best F1 score."""
        return OFBS(1.0)

    def measure(self, ranking: Ranking, counts: Counts) -> float:
        return ranking.average_precision()
