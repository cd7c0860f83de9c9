"""A bound on a metric, over all rows or in every subgroup of them.

This file decides when a bound holds and by how much it is missed. How bounds are read from text is decided in
:mod:`metricopt.problem.sentences`; which subgroups there are is for :mod:`metricopt.evidence.rows`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch

from metricopt._arrays import Array
from metricopt._validation import Faults, check_choice, reject
from metricopt.problem.ratios import RECALL, Counts, LinearForm, Ratio
from metricopt.problem.text import read_metric

Bound: TypeAlias = "float | tuple[float, ...]"
"""One bound for all labels, or one per label."""


@dataclass(frozen=True)
class MetricBound:
    """A least or a largest value of a metric.

    Parameters
    ----------
    metric : Ratio or str
        A metric, or its name in :mod:`metricopt.problem.catalogue`.
    relation : ">=" or "<="
    bound : float or tuple of float
        One number, or one per label.
    within : str, optional
        The name of a column: the bound must hold in every subgroup of rows of equal value there. By default it must
        hold over all rows.

    Raises
    ------
    InvalidInputError
        If there is no such metric or relation. Whether the metric can have such values is checked by a program.

    Examples
    --------
    >>> print(MetricBound("recall", ">=", 0.85, within="site"))
    recall >= 0.85 in every site
    """

    metric: Ratio
    relation: Literal[">=", "<="]
    bound: Bound
    within: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.metric, str):
            object.__setattr__(self, "metric", read_metric(self.metric))
        check_choice("relation", self.relation, (">=", "<="))
        if self.within is not None and not (isinstance(self.within, str) and self.within):
            reject("within", "the name of a column", repr(self.within), "give e.g. 'site'")

    @property
    def direction(self) -> Literal["min", "max"]:
        """Whether the bound is the least or the largest value allowed."""
        return "min" if self.relation == ">=" else "max"

    @property
    def sign(self) -> float:
        """1 for a least value, -1 for a largest."""
        return 1.0 if self.relation == ">=" else -1.0

    def holds(self, value: Array) -> Array:
        """Say whether values of the metric meet the bound; an undefined one never does."""
        bound = like(value, self.bound)
        return value >= bound if self.relation == ">=" else value <= bound

    def shortfall(self, value: np.ndarray) -> np.ndarray:
        """Return by how much values of the metric miss the bound, >= 0, in its own units; infinity where undefined."""
        missed = np.maximum(self.sign * (np.asarray(self.bound) - value), 0.0)
        return np.where(np.isnan(missed), np.inf, missed)

    def excess(self, array: Array) -> LinearForm:
        """Return the bound as a linear form in the counts, positive where it is missed.

        That is ``bound * q - p`` (or its negative), with coefficients of the kind of array that ``array`` is. For a
        metric whose counts are fractions of their class, so are those of the form.
        """
        form = self.metric.denominator * like(array, self.bound) - self.metric.numerator
        return form if self.relation == ">=" else form * -1.0

    def violation(self, counts: Counts) -> Array:
        """Return how far the bound is missed, per positive: > 0 infeasible, <= 0 feasible; NaN without positives."""
        form = self.excess(counts.positives)
        return Ratio("violation", form, RECALL.denominator, by_class=self.metric.by_class)(counts)

    def of(self, subgroup: str | None) -> str:
        """Return how the bound in one subgroup is called, or that over all rows."""
        return f"{self}" if subgroup is None else f"{self} ({subgroup})"

    def __str__(self) -> str:
        bound = np.asarray(self.bound)
        shown = f"{float(bound):g}" if bound.ndim == 0 else f"({', '.join(f'{b:g}' for b in bound)})"
        text = f"{self.metric.name} {self.relation} {shown}"
        return text if self.within is None else f"{text} in every {quoted(self.within)}"


def quoted(column: str) -> str:
    """Return the name of a column as a sentence holds it: in quotes unless it is one word."""
    return column if re.fullmatch(r"[^\s\"',;]+", column) else f'"{column}"'


def check_range(metric: Ratio, relation: str, bound: Any) -> None:
    """Reject a bound that no value of the metric can miss, or none can meet.

    Raises
    ------
    InvalidInputError
    """
    faults = Faults()
    for number in bound if isinstance(bound, Sequence) and not isinstance(bound, str) else [bound]:
        is_number = isinstance(number, (int, float, np.number)) and not isinstance(number, bool)
        low, high = metric.low, metric.high
        inside = is_number and (low < number <= high if relation == ">=" else low <= number < high)
        shown = f"in ({low:g}, {high:g}]" if relation == ">=" else f"in [{low:g}, {high:g})"
        remedy = "give e.g. 0.8 or '80 %'" if (low, high) == (0, 1) else "no other value can be met, and missed"
        faults.check(bool(inside), f"the bound on {metric.name}", shown, repr(number), remedy)
    faults.raise_if_any()


def check_bounds(bounds: Sequence[MetricBound]) -> None:
    """Reject bounds of which two say the same metric of the same rows twice, or contradict each other.

    Raises
    ------
    InvalidInputError
    """
    faults = Faults()
    for position, one in enumerate(bounds):
        for other in bounds[:position]:
            got, is_same = f"{other} and {one}", one.within == other.within
            if one.metric != other.metric:
                clash = (is_same or not one.metric.by_class) and _never_together(one, other)
                faults.check(not clash, "subject_to", "bounds that can hold together", got, "relax one of them")
                continue
            if one.relation == other.relation:
                faults.check(not is_same, "subject_to", "one bound a metric", got, "give the stricter one alone")
            elif is_same or not one.metric.by_class:  # a ratio of all rows lies between those of their subgroups
                least, largest = (one, other) if one.relation == ">=" else (other, one)
                can_hold = bool(np.all(np.asarray(least.bound) <= np.asarray(largest.bound)))
                faults.check(can_hold, "subject_to", "bounds that can hold together", got, "relax one of them")
    faults.raise_if_any()


def _never_together(one: MetricBound, other: MetricBound) -> bool:
    """Say whether some positive sum of two excesses is positive for every row, such as those of FPR and specificity."""
    if one.metric.by_class != other.metric.by_class or np.ndim(one.bound) or np.ndim(other.bound):
        return False
    forms = [bound.excess(np.zeros(())) for bound in (one, other)]
    cells = [(form.tp + form.positives, form.positives, form.fp + form.negatives, form.negatives) for form in forms]
    worth, its_worth = np.array(cells, dtype=float)
    telling = (np.abs(worth) > 1e-12) | (np.abs(its_worth) > 1e-12)
    worth, its_worth = worth[telling], its_worth[telling]
    least, most = 0.0, np.inf  # of the factor by which the second excess is multiplied
    for own, its in zip(worth, its_worth, strict=True):
        if its > 0:
            least = max(least, -own / its)
        elif its < 0:
            most = min(most, -own / its)
        elif own <= 0:
            return False
    return bool(least * (1 + 1e-9) < most)


def like(array: Array, values: Any) -> Array:
    """Return ``values`` as the kind of array that ``array`` is."""
    if isinstance(array, torch.Tensor):
        return array.new_tensor(values, dtype=torch.result_type(array, 1.0))  # never rounded to an integer
    return np.asarray(values)
