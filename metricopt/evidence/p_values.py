r"""How probable rows as good as these are at most, if a bound were missed: the p-value of a bound at a fixed threshold.

Whatever the metric, a bound is a linear form in the counts, which adds up over independent rows: each row is worth a
number :math:`z` that depends on its cell of the confusion matrix, and the bound holds on new rows where
:math:`E[z] \ge 0`. Precision of at least :math:`\alpha`, for example, is worth :math:`1 - \alpha` for a right alarm,
:math:`-\alpha` for a wrong one and 0 for all other rows.

- Where all rows that are not worth 0 are drawn alike and worth one of two numbers, :math:`a > 0 > b`, the bound says
  that at least a fraction :math:`-b / (a - b)` of them is worth :math:`a`. Given their number, that is binomial: the
  exact tail. So it is for rates, precision, negative predictive value, accuracy, F1, the Jaccard index, the fraction
  flagged and the number needed to evaluate, over all rows or in a subgroup.
- Elsewhere (balanced accuracy, net benefit, expected cost, F-beta, precision at another prevalence) :math:`E[z]` is a
  constant plus a multiple of the probability of each cell whose worth differs from the usual one, that of the quiet
  rows. Each of these m probabilities gets its exact limit on the side where it harms (Clopper and Pearson 1934) with
  the error :math:`e / m`, and p is the least :math:`e` at which :math:`E[z] \ge 0` at all limits together. If the bound
  is missed, that takes a limit that is wrong, so :math:`P(p \le u) \le u`.

This file decides p-values. What is tested, and in which order, is decided in
:mod:`metricopt.evidence.certification` and :mod:`metricopt.evidence.program_certification`.

References
----------
C. J. Clopper, E. S. Pearson (1934). The use of confidence or fiducial limits illustrated in the case of the binomial.
Biometrika 26.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metricopt.problem.bounds import MetricBound
from metricopt.problem.ratios import Counts

LEAST = 1e-12
"""No p-value that is made of several limits is smaller."""

NUM_HALVINGS = 26
"""Of the bracket in which the logarithm of such a p-value lies: it is exact to 1e-6."""

ROUNDING = 1e-12
"""A worth nearer to 0 than this is 0."""


def p_values(
    bound: MetricBound, counts: Counts, prevalence: float | None = None, sizes: tuple[float, float] | None = None
) -> NDArray[np.float64]:
    r"""Return how probable counts as good as these are at most, if the bound were missed.

    For any data that miss the bound, :math:`P(p \le u) \le u` for all u.

    Parameters
    ----------
    bound : MetricBound
        One number, for one label.
    counts : Counts
        Unweighted counts of the rows that the bound speaks of, at each of some fixed thresholds, shape (m,).
    prevalence : float, optional
        The prevalence that the metric is meant at, in all data. The default is that of the data.
    sizes : (float, float), optional
        How many positives and negatives there are in all, where a prevalence is given and the rows are those of a
        subgroup. By default the rows are all there are.

    Returns
    -------
    ndarray, shape (m,), float64
        The probability of each threshold; it is 1 where the metric speaks of no row.

    Examples
    --------
    >>> counts = Counts(*map(np.array, ([22.0, 21.0], [0.0, 1.0], [8.0, 9.0], [70.0, 69.0])))
    >>> p_values(MetricBound("precision", ">=", 0.9), counts).round(3)
    array([0.098, 0.339])
    """
    from scipy.special import betainc

    strata = _strata(bound, counts, prevalence, sizes)
    only = _only_rate(strata)
    if only is not None:
        tail = betainc(np.maximum(only.good, 1.0), only.bad + 1, only.least)  # P(Binomial >= good)
        return np.where(only.good > 0, tail, 1.0)
    return _of_limits(strata)


def num_decisive(
    bound: MetricBound, counts: Counts, prevalence: float | None = None, sizes: tuple[float, float] | None = None
) -> NDArray[np.float64]:
    """Return how many rows decide on a bound at each threshold: the alarms for precision, the positives for recall.

    Of a metric that is no single rate, all rows that it speaks of do.
    """
    only = _only_rate(_strata(bound, counts, prevalence, sizes))
    return counts.positives + counts.negatives if only is None else only.good + only.bad


def num_needed(bound: MetricBound, counts: Counts, error: float, prevalence: float | None = None) -> int | None:
    """Return how many of the decisive rows are enough if none of them is an error; None where that is not known."""
    only = _only_rate(_strata(bound, counts, prevalence, None))
    return None if only is None else math.ceil(math.log(error) / math.log(only.least))


@dataclass(frozen=True)
class _Cell:
    """Rows of one cell of the confusion matrix: what each is worth, and how many there are at each threshold."""

    worth: float
    number: NDArray[np.float64]


@dataclass(frozen=True)
class _Stratum:
    """Rows that are drawn from one distribution.

    Attributes
    ----------
    weight : float
        How much the mean worth of these rows counts.
    size : ndarray, shape (m,)
        How many rows there are.
    cells : tuple of _Cell
        Rows that are in none of them are worth 0.
    usual : float
        What rows are worth that count as no term of their own.
    """

    weight: float
    size: NDArray[np.float64]
    cells: tuple[_Cell, ...]
    usual: float

    def by_worth(self) -> list[_Cell]:
        """Return the cells of equal worth together."""
        found: list[_Cell] = []
        for cell in self.cells:
            same = next((at for at, each in enumerate(found) if math.isclose(each.worth, cell.worth)), None)
            if same is None:
                found.append(cell)
            else:
                found[same] = _Cell(found[same].worth, found[same].number + cell.number)
        return found


@dataclass(frozen=True)
class _Rate:
    """Good and bad rows at each threshold, and the least fraction of good ones at which the bound holds."""

    good: NDArray[np.float64]
    bad: NDArray[np.float64]
    least: float


def _strata(
    bound: MetricBound, counts: Counts, prevalence: float | None, sizes: tuple[float, float] | None
) -> list[_Stratum]:
    """Return what rows are worth to the bound: of both classes together, or of each where they are drawn apart."""
    form = bound.excess(np.zeros(()))
    alarm, quiet, wrong, right = (
        0.0 if abs(float(worth)) < ROUNDING else -float(worth)
        for worth in (form.tp + form.positives, form.positives, form.fp + form.negatives, form.negatives)
    )
    of_positives = (_Cell(alarm, counts.true_positives), _Cell(quiet, counts.false_negatives))
    of_negatives = (_Cell(wrong, counts.false_positives), _Cell(right, counts.true_negatives))
    if bound.metric.by_class:
        of_both = ((counts.positives, of_positives, quiet), (counts.negatives, of_negatives, right))
        return [_Stratum(1.0, *each) for each in of_both]
    if prevalence is None:
        cells = tuple(cell for cell in (*of_positives, *of_negatives) if cell.worth)  # the others say nothing
        size = sum((cell.number for cell in cells), 0 * counts.positives)
        return [_Stratum(1.0, size, cells, right or quiet)]
    # Rows of other subgroups are worth 0, and they are what is usual.
    positives, negatives = sizes or (counts.positives, counts.negatives)
    usual = (quiet, right) if sizes is None else (0.0, 0.0)
    return [
        _Stratum(prevalence, positives + 0 * counts.positives, of_positives, usual[0]),
        _Stratum(1 - prevalence, negatives + 0 * counts.negatives, of_negatives, usual[1]),
    ]


def _only_rate(strata: list[_Stratum]) -> _Rate | None:
    """Return the one rate that the bound is about, None where it is about several."""
    telling = [cells for each in strata if (cells := [cell for cell in each.by_worth() if cell.worth])]
    if len(telling) != 1 or len(telling[0]) != 2:
        return None
    bad, good = sorted(telling[0], key=lambda cell: cell.worth)
    if not bad.worth < 0 < good.worth:
        return None
    return _Rate(good.number, bad.number, -bad.worth / (good.worth - bad.worth))


def _of_limits(strata: list[_Stratum]) -> NDArray[np.float64]:
    """Return the least error at which all limits together give the bound, at each threshold."""
    constant = sum(each.weight * each.usual for each in strata)
    terms = [
        (each.weight * (cell.worth - each.usual), cell.number, each.size)
        for each in strata
        for cell in each.by_worth()
        if not math.isclose(cell.worth, each.usual)
    ]

    def holds(log_error: NDArray[np.float64], at: NDArray[np.intp]) -> NDArray[np.bool_]:
        worst = np.full(len(at), constant)
        for slope, number, size in terms:
            worst += slope * _limit(number[at], size[at], np.exp(log_error) / len(terms), from_below=slope > 0)
        return np.asarray(worst >= 0)

    everywhere = np.arange(len(strata[0].size))
    p = np.where(holds(np.full(len(everywhere), math.log(LEAST)), everywhere), LEAST, 1.0)
    between = everywhere[(p == 1.0) & holds(np.zeros(len(everywhere)), everywhere)]
    low, high = np.full(len(between), math.log(LEAST)), np.zeros(len(between))
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        passes = holds(middle, between)
        low, high = np.where(passes, low, middle), np.where(passes, middle, high)
    p[between] = np.exp(high)  # the upper end of the bracket, so that rounding never makes p smaller than it is
    return p


def _limit(
    number: NDArray[np.float64], size: NDArray[np.float64], error: NDArray[np.float64], *, from_below: bool
) -> NDArray[np.float64]:
    """Return the Clopper-Pearson limit of a probability."""
    from scipy.special import betaincinv

    hits = number if from_below else size - number
    inside = np.where(hits > 0, betaincinv(np.maximum(hits, 1e-300), size - hits + 1, error), 0.0)
    return inside if from_below else 1 - inside
