r"""The best value at every pair of two bounds: what relaxing one of them, or the other, would bring.

.. math:: v(\alpha, \beta) = \max_t \; \text{value}(t) \quad \text{s.t.} \quad m_1(t) \ge \alpha, \; m_2(t) \ge \beta
          \;\; (\text{or} \le)

over all thresholds of given scores: exact at each pair, from one sort. This file decides these numbers; the picture is
:func:`metricopt.plots.plot_two_bounds`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metricopt._arrays import Array
from metricopt._validation import check_finite, reject
from metricopt.evidence.rows import LabelRows, Rows
from metricopt.evidence.rule import MIN_ALARMS, Rule, check_confidence
from metricopt.evidence.support import Support, cuts_to_support
from metricopt.problem.bounds import MetricBound
from metricopt.problem.cuts import Cuts
from metricopt.problem.program import Program

NUM_VALUES = 60
"""So many numbers of each bound are tried."""

RELAXED = 4.0
"""A largest value is tried up to so many times what was asked."""


@dataclass(frozen=True, eq=False)
class TwoBounds:
    """The best value at every pair of two bounds.

    Attributes
    ----------
    program : Program
    first, second : ndarray, shape (k,)
        The numbers that are tried for either bound, ascending.
    value : ndarray, shape (k, k), float64
        The best value at each pair, the first bound along the columns; NaN where no threshold meets both.
    asked : float
        The best value at the bounds that the program asks for; NaN where no threshold meets both.
    """

    program: Program
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    value: NDArray[np.float64]
    asked: float

    @classmethod
    def of(
        cls,
        scores: Array,
        labels: Array,
        program: Program,
        *,
        confidence: float | None = None,
        sample_weight: Array | None = None,
    ) -> TwoBounds:
        """Compute the map.

        Parameters
        ----------
        scores, labels : array, shape (n,)
            The scores, and labels that are 0, 1 or NaN (missing).
        program : Program
            With two bounds, each over all rows.
        confidence : float, in (0, 1), optional
            How sure both bounds must be on new rows, as for :func:`metricopt.choose_threshold`; by default they need
            only hold on these.
        sample_weight : array, shape (n,), optional

        Raises
        ------
        InvalidInputError
            If the program has other bounds, or a shape or value is not as above.

        Examples
        --------
        >>> program = Program("recall", ["precision >= 0.6", "alarm_rate <= 0.5"])
        >>> TwoBounds.of([4.0, 3.0, 2.0, 1.0], [1, 0, 1, 0], program).asked
        0.5
        """
        bounds = program.bounds if isinstance(program, Program) else ()
        if len(bounds) != 2 or program.columns:
            rule = "a Program with two bounds over all rows"
            reject("program", rule, str(program), 'give e.g. Program("recall", ["precision >= 0.8", "fpr <= 0.1"])')
        if confidence is not None:
            check_confidence(confidence)
        rows = Rows.read(scores, labels, sample_weight=sample_weight, groups=None, prevalence=None)
        if rows.samples.has_label_axis:
            reject("scores", "of shape (n,)", f"shape {rows.samples.scores.shape}", "give one label at a time")
        check_finite("scores", rows.samples.scores)
        (own,) = rows.of_labels()
        if not (len(own.ranking.positives.scores) and len(own.ranking.negatives.scores)):
            reject("labels", "of both classes", "one class", "give positives and negatives")
        value, reached = _reached(own, program, confidence)
        grids = [_grid(bound, values) for bound, values in zip(bounds, reached, strict=True)]
        tightest = [_tightest(bound, grid, values) for bound, grid, values in zip(bounds, grids, reached, strict=True)]
        best = np.full((NUM_VALUES + 1, NUM_VALUES + 1), -np.inf)  # by how many numbers of either bound a cut meets
        np.maximum.at(best, (tightest[1], tightest[0]), np.where(np.isnan(value), -np.inf, value))
        for axis in (0, 1):
            best = np.flip(np.maximum.accumulate(np.flip(best, axis), axis), axis)
        best = best[1:, 1:]
        for axis, bound in ((1, bounds[0]), (0, bounds[1])):
            best = np.flip(best, axis) if bound.relation == "<=" else best
        meets = np.logical_and(*(bound.holds(values) for bound, values in zip(bounds, reached, strict=True)))
        at_asked = np.max(value[meets], initial=-np.inf)
        ends = (np.where(np.isinf(each), np.nan, each) for each in (best, at_asked))
        table, asked = ends
        return cls(program, grids[0], grids[1], table, float(asked))


def _reached(
    rows: LabelRows, program: Program, confidence: float | None
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Return the value of each cut, and what each bounded metric reaches there, or its limit at a confidence."""
    cuts = Cuts.of(rows.ranking, program)
    if confidence is None:
        return cuts.value, [each.value for each in cuts.bounds]
    rule = Rule(confidence, every_fold=False)
    support = Support.of(rows, cuts_to_support(cuts, rows.evidence(cuts.lowest_flagged[:0]).is_by_row, {}), rule)
    at = np.arange(len(support.cuts.value))
    enough = support.evidence.num_alarms >= MIN_ALARMS
    limits = [np.where(enough, each.limits(at), np.nan) for each in support.bounds]
    return support.cuts.value, limits


def _grid(bound: MetricBound, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the numbers that are tried for a bound: from the loosest that is worth a look to the best reached."""
    asked, known = float(np.asarray(bound.bound)), values[np.isfinite(values)]
    ends = (float(known.min()), float(known.max())) if len(known) else (bound.metric.low, bound.metric.high)
    if bound.relation == "<=":
        low, high = min(ends[0], asked), max(min(ends[1], RELAXED * asked), asked)
    else:
        low, high = min(ends[0], asked), max(ends[1], asked)
    return np.linspace(low, high if high > low else low + 1.0, NUM_VALUES)


def _tightest(bound: MetricBound, grid: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return how many numbers of the grid each value meets, counted from the loosest one."""
    if bound.relation == ">=":
        met = np.searchsorted(grid, values, side="right")
    else:
        met = len(grid) - np.searchsorted(grid, values, side="left")
    return np.where(np.isnan(values), 0, met)
