r"""A threshold for each subgroup: the best product of cuts by a program, subject to all of its bounds at once.

.. math:: \max_{t_1, \dots, t_G} \; \frac{\sum_g a_g(t_g)}{\sum_g b_g(t_g)} \quad \text{s.t.} \quad
          \sum_g e_{kg}(t_g) \le 0 \;\; \text{for all bounds } k

where the counts of all rows are sums over the subgroups :math:`g`, and a bound is linear in them
(:meth:`~metricopt.problem.bounds.MetricBound.excess`). A bound in every subgroup of the same column speaks of one cut
alone, so it only says which cuts of its subgroup may be used.

- Where the products of all cuts that may be best are at most :data:`MOST_PRODUCTS`, they are tried: exact.
- Elsewhere multipliers divide the program into one for each subgroup. Their least upper bound
  (:mod:`metricopt.evidence.lagrangian_bound`) says how good a product can be at most, and the feasible products met on
  the way are improved by exchanging the cut of one subgroup, or of two, as long as that gains: never a grid to the
  power of the number of subgroups. Cuts that the bound excludes are dropped, and where few products are left they are
  all tried: exact again. Else the :attr:`~JointChoice.gap` says how much better the best product can be at most.

This file decides these thresholds. What supports them is judged as for one threshold
(:mod:`metricopt.evidence.support`), on the alarms that they raise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from metricopt.evidence.lagrangian_bound import SeparableProgram, UpperBound
from metricopt.problem.bounds import MetricBound
from metricopt.problem.ratios import Counts, LinearForm, Ratio

MOST_PRODUCTS = 20_000
"""So many products of cuts are tried, all of them, and no more."""
WINDOW = 24
"""So many neighbours on either side of a cut, and twice as many from end to end, are tried when the cuts of two
subgroups are exchanged together."""
MOST_PAIRS = 200
"""So many pairs of subgroups exchange cuts at most."""
NEGLIGIBLE = 1e-9
"""A gap of no more than this is rounding."""


@dataclass(frozen=True)
class SubgroupCuts:
    """The cuts of one subgroup that may be used, and what each counts.

    Attributes
    ----------
    lowest_flagged : ndarray, shape (m,), ascending
    counts : ndarray, shape (c, 2, m)
        Right and wrong alarms in each of c sets of rows; the first set is all rows of the subgroup.
    """

    lowest_flagged: np.ndarray
    counts: np.ndarray

    def take(self, at: np.ndarray) -> SubgroupCuts:
        """Return some of the cuts."""
        return SubgroupCuts(self.lowest_flagged[at], self.counts[:, :, at])


@dataclass(frozen=True)
class JointChoice:
    """The cuts of all subgroups together.

    Attributes
    ----------
    lowest_flagged : ndarray, shape (G,)
    feasible : bool
        Whether all bounds hold there.
    value : float
        The metric there.
    gap : float
        No feasible product has a value that is larger by more than this; 0 where this one is the best, or where it is
        shown that none is feasible. Infinity where none was found, and it is not shown that there is none.
    """

    lowest_flagged: np.ndarray
    feasible: bool
    value: float
    gap: float

    def gap_above(self, value: float) -> float:
        """Return by how much the best feasible product exceeds a value at most."""
        gap = self.value + self.gap - value
        return gap if gap > NEGLIGIBLE else 0.0


@dataclass(frozen=True)
class JointProgram:
    """A program over the cuts of several subgroups.

    Attributes
    ----------
    metric : Ratio
        To maximise, over all rows.
    bounds : sequence of (MetricBound, int)
        Each with the position of the set of rows that it speaks of.
    totals : ndarray, shape (c, 2)
        The weight of the positives and of the negatives of each set of rows.
    subgroups : sequence of SubgroupCuts
    """

    metric: Ratio
    bounds: Sequence[tuple[MetricBound, int]]
    totals: np.ndarray
    subgroups: Sequence[SubgroupCuts]

    def best(self, shared: float = np.inf) -> JointChoice:
        """Return the best product of cuts, or the best that was found with its gap.

        If none is feasible, it is the one of the least total shortfall of the bounds (the least that was found).

        Parameters
        ----------
        shared : float
            A threshold for all subgroups, from which the search starts, so that it finds none that is worse.
        """
        if self._num_products <= MOST_PRODUCTS:
            return self._choice(self._best_of(self._all_products()), 0.0)
        found = _Incumbent(self, self._product_at(shared))
        separable = self._separable()
        bound = separable.least_bound(found.offer, self.metric.low)
        if not self._is_feasible(found.product):
            found.offer(self._exchanged(found.product)[:, np.newaxis])
        if not self._is_feasible(found.product):
            return self._choice(found.product, 0.0 if bound.value == -np.inf else np.inf)
        return self._improved(found.product, separable, bound)

    def tightened(self, margins: np.ndarray) -> JointProgram:
        """Return the program with each bound moved to the safe side, at most to the best value of its metric."""
        bounds = zip(self.bounds, margins, strict=True)
        return replace(self, bounds=[(_tightened(bound, margin), rows) for (bound, rows), margin in bounds])

    def _improved(self, product: np.ndarray, separable: SeparableProgram, bound: UpperBound) -> JointChoice:
        """Return what is better than a feasible product, among the cuts that the bound leaves."""
        value = self._value_of(product)
        left = map(np.union1d, separable.may_be_better(bound.multipliers, value), product)
        kept = [np.asarray(each, dtype=int) for each in left]
        smaller = replace(self, subgroups=[own.take(at) for own, at in zip(self.subgroups, kept, strict=True)])
        if smaller._num_products <= MOST_PRODUCTS:
            return smaller._choice(smaller._best_of(smaller._all_products()), 0.0)
        here = np.array([np.searchsorted(at, old) for at, old in zip(kept, product, strict=True)])
        better = smaller._exchanged(here)
        if (reached := smaller._value_of(better)) > value:
            return smaller._improved(better, separable.take(kept), bound)
        choice = smaller._choice(better, bound.value - reached)
        return replace(choice, gap=choice.gap_above(reached))

    def _product_at(self, threshold: float) -> np.ndarray:
        places = [np.searchsorted(own.lowest_flagged, threshold) for own in self.subgroups]
        last = [len(own.lowest_flagged) - 1 for own in self.subgroups]
        return np.minimum(places, last)

    @property
    def _num_products(self) -> float:
        return float(np.prod([float(len(each.lowest_flagged)) for each in self.subgroups]))

    def _all_products(self) -> np.ndarray:
        sizes = [len(each.lowest_flagged) for each in self.subgroups]
        return np.indices(sizes).reshape(len(sizes), -1)

    def _choice(self, product: np.ndarray, gap: float) -> JointChoice:
        lowest = [own.lowest_flagged[at] for own, at in zip(self.subgroups, product, strict=True)]
        return JointChoice(np.array(lowest), self._is_feasible(product), self._value_of(product), gap)

    def _judge(self, products: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return feasibility, value and total shortfall of products, (G, k) positions of cuts: each of shape (k,)."""
        counted = np.zeros((len(self.totals), 2, products.shape[1]))
        for own, at in zip(self.subgroups, products, strict=True):
            counted += own.counts[:, :, at]
        value = _value(self.metric, counted[0], self.totals[0])
        feasible, shortfall = np.ones(products.shape[1], bool), np.zeros(products.shape[1])
        for bound, rows in self.bounds:
            reached = _value(bound.metric, counted[rows], self.totals[rows])
            feasible &= bound.holds(reached)
            shortfall += bound.shortfall(reached)
        if not self.bounds:
            feasible = ~np.isnan(value)
        return feasible, np.where(np.isnan(value), -np.inf, value), shortfall

    def _is_feasible(self, product: np.ndarray) -> bool:
        return bool(self._judge(product[:, np.newaxis])[0][0])

    def _value_of(self, product: np.ndarray) -> float:
        return float(self._judge(product[:, np.newaxis])[1][0])

    def _best_of(self, products: np.ndarray) -> np.ndarray:
        feasible, value, shortfall = self._judge(products)
        order = np.lexsort((value, -shortfall, np.where(feasible, value, -np.inf), feasible))
        return np.asarray(products[:, order[-1]])

    def _exchanged(self, product: np.ndarray) -> np.ndarray:
        """Return a product that no exchange of one cut, nor of two near by, makes better."""
        pairs = list(combinations(range(len(self.subgroups)), 2))
        pairs = pairs[:: 1 + len(pairs) // MOST_PAIRS]
        while True:
            key = self._key(product)
            for g, own in enumerate(self.subgroups):
                tried = np.repeat(product[:, np.newaxis], len(own.lowest_flagged), axis=1)
                tried[g] = np.arange(len(own.lowest_flagged))
                product = self._best_of(np.column_stack([tried, product]))
            for g, h in pairs:
                near = [self._window(each, product[each]) for each in (g, h)]
                tried = np.repeat(product[:, np.newaxis], len(near[0]) * len(near[1]), axis=1)
                tried[[g, h]] = np.array(np.meshgrid(*near)).reshape(2, -1)
                product = self._best_of(np.column_stack([tried, product]))
            if self._key(product) <= key:
                return product

    def _window(self, subgroup: int, at: int) -> np.ndarray:
        last = len(self.subgroups[subgroup].lowest_flagged) - 1
        near = np.arange(max(at - WINDOW, 0), min(at + WINDOW, last) + 1)
        return np.union1d(near, np.linspace(0, last, 2 * WINDOW).astype(int))

    def _key(self, product: np.ndarray) -> tuple[bool, float, float]:
        feasible, value, shortfall = (float(each[0]) for each in self._judge(product[:, np.newaxis]))
        return bool(feasible), value if feasible else -shortfall, value

    def _separable(self) -> SeparableProgram:
        """Return the program as sums over subgroups, of which each is a fraction of all rows."""
        rows = [0, 0, *(rows for _, rows in self.bounds)]
        ratios = [self.metric, self.metric, *(bound.metric for bound, _ in self.bounds)]
        excesses = (bound.excess(np.zeros(())) for bound, _ in self.bounds)
        forms = [self.metric.numerator, self.metric.denominator, *excesses]
        each = list(zip(forms, rows, [ratio.by_class for ratio in ratios], strict=True))
        size = np.array([1.0 if by_class else self.totals[0].sum() for _, _, by_class in each])
        own = [
            np.array([_linear(form, cuts.counts[of], self.totals[of], by_class) for form, of, by_class in each])
            for cuts in self.subgroups
        ]
        constant = np.array([_constant(form, self.totals[of], by_class) for form, of, by_class in each])
        return SeparableProgram([one / size[:, np.newaxis] for one in own], constant / size)


@dataclass
class _Incumbent:
    """The best product that is known."""

    program: JointProgram
    product: np.ndarray

    def offer(self, products: np.ndarray) -> float:
        """Keep the best of some products; return the value of the best feasible one, minus infinity without any."""
        self.product = self.program._best_of(np.column_stack([products, self.product]))
        return self.program._value_of(self.product) if self.program._is_feasible(self.product) else -np.inf


def _tightened(bound: MetricBound, margin: float) -> MetricBound:
    number = float(np.asarray(bound.bound)) + bound.sign * margin
    return replace(bound, bound=float(np.clip(number, bound.metric.low, bound.metric.high)))


def _value(ratio: Ratio, counted: np.ndarray, totals: np.ndarray) -> np.ndarray:
    tp, fp = counted
    return np.asarray(ratio(Counts(tp, fp, totals[0] - tp, totals[1] - fp)))


def _linear(form: LinearForm, counted: np.ndarray, totals: np.ndarray, by_class: bool) -> np.ndarray:
    """Return what counts of right and wrong alarms add to a linear form."""
    sizes = totals if by_class else np.ones(2)
    tp, fp = (np.divide(each, size) if size else 0 * each for each, size in zip(counted, sizes, strict=True))
    return np.asarray(float(np.asarray(form.tp).item()) * tp + float(np.asarray(form.fp).item()) * fp)


def _constant(form: LinearForm, totals: np.ndarray, by_class: bool) -> float:
    """Return what the numbers of positives and negatives add to a linear form."""
    sizes = np.ones(2) if by_class else totals
    coefficients = (float(np.asarray(each).item()) for each in (form.positives, form.negatives))
    return float(sum(coefficient * size for coefficient, size in zip(coefficients, sizes, strict=True)))
