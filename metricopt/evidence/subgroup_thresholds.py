r"""A threshold for each subgroup: the best product of cuts by a program, subject to all of its bounds at once.

.. math:: \max_{t_1, \dots, t_G} \; \frac{\sum_g a_g(t_g)}{\sum_g b_g(t_g)} \quad \text{s.t.} \quad
          \sum_g e_{kg}(t_g) \le 0 \;\; \text{for all bounds } k

where the counts of all rows are sums over the subgroups :math:`g`, and a bound is linear in them
(:meth:`~metricopt.problem.bounds.MetricBound.excess`). A bound in every subgroup of the same column speaks of one cut
alone, so it only says which cuts of its subgroup may be used.

- Where the products of all cuts that may be best are at most :data:`MOST_PRODUCTS`, they are tried: exact.
- Elsewhere multipliers divide the program into one for each subgroup: with :math:`\mu_k \ge 0` and the current value
  :math:`\tau` (Dinkelbach 1967) each subgroup takes the cut of the largest
  :math:`a_g - \tau b_g - \sum_k \mu_k e_{kg}`. The feasible products met on the way are repaired by exchanging the cut
  of one subgroup, or of two, as long as that gains: never a grid to the power of the number of subgroups.

This file decides these thresholds. What supports them is judged as for one threshold
(:mod:`metricopt.evidence.support`), on the alarms that they raise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from metricopt.problem.bounds import MetricBound
from metricopt.problem.ratios import Counts, LinearForm, Ratio

MOST_PRODUCTS = 20_000
"""So many products of cuts are tried, all of them, and no more."""
NUM_ROUNDS = 8
NUM_STEPS = 40
WINDOW = 24
"""Cuts on either side of the current one that are tried when those of two subgroups are exchanged together."""


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

    def best(self) -> tuple[np.ndarray, bool]:
        """Return the position of the cut of each subgroup, and whether all bounds hold there."""
        sizes = [len(each.lowest_flagged) for each in self.subgroups]
        if np.prod(np.array(sizes, dtype=np.float64)) <= MOST_PRODUCTS:
            products = np.indices(sizes).reshape(len(sizes), -1)
            return self._best_of(products)
        found = self._repaired(self._by_multipliers())
        return found, bool(self._judge(found[:, np.newaxis])[0][0])

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

    def _best_of(self, products: np.ndarray) -> tuple[np.ndarray, bool]:
        feasible, value, shortfall = self._judge(products)
        order = np.lexsort((value, -shortfall, np.where(feasible, value, -np.inf), feasible))
        return products[:, order[-1]], bool(feasible[order[-1]])

    def _by_multipliers(self) -> np.ndarray:
        """Return the best product that the subgroups take by themselves while multipliers and value move."""
        own = [self._forms_of(each) for each in self.subgroups]
        scale = np.array([max(np.abs(each[2][k]).max() for each in own) for k in range(len(self.bounds))])
        scale = np.where(scale > 0, scale, 1.0)
        multipliers, value = np.zeros(len(self.bounds)), 0.0
        best, best_key = np.array([len(each.lowest_flagged) - 1 for each in self.subgroups]), (False, -np.inf)
        for _ in range(NUM_ROUNDS):
            start, reached = multipliers.copy(), value
            for step in range(NUM_STEPS):
                taken = np.array([int(np.argmax(a - value * b - multipliers / scale @ e)) for a, b, e in own])
                feasible, now, shortfall = (each[0] for each in self._judge(taken[:, np.newaxis]))
                key = (bool(feasible), float(now if feasible else -shortfall))
                if key > best_key:
                    best, best_key = taken, key
                    if feasible and np.isfinite(now):
                        reached = float(now)
                constants = [bound.excess(np.zeros(1)) for bound, _ in self.bounds]
                excess = np.array(
                    [
                        sum(e[k][at] for (_, _, e), at in zip(own, taken, strict=True))
                        + _constant(form, self.totals[rows], bound.metric.by_class)
                        for k, ((bound, rows), form) in enumerate(zip(self.bounds, constants, strict=True))
                    ]
                )
                length = max(np.abs(each[0]).max() for each in own)
                multipliers = np.maximum(multipliers + length * excess / scale / (1 + step), 0.0)
            if abs(reached - value) < 1e-12 and np.allclose(start, multipliers):
                break
            value = reached
        return best

    def _forms_of(self, own: SubgroupCuts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what the cuts of a subgroup add to numerator, denominator and the excess of each bound."""
        numerator, denominator = (
            _linear(form, own.counts[0], self.totals[0], self.metric.by_class)
            for form in (self.metric.numerator, self.metric.denominator)
        )
        excess = [
            _linear(bound.excess(np.zeros(1)), own.counts[rows], self.totals[rows], bound.metric.by_class)
            for bound, rows in self.bounds
        ]
        return numerator, denominator, np.array(excess).reshape(len(self.bounds), len(own.lowest_flagged))

    def _repaired(self, product: np.ndarray) -> np.ndarray:
        """Return a product that no exchange of one cut, nor of two near by, makes better."""
        product = product.copy()
        while True:
            key = self._key(product)
            for g, own in enumerate(self.subgroups):
                tried = np.repeat(product[:, np.newaxis], len(own.lowest_flagged), axis=1)
                tried[g] = np.arange(len(own.lowest_flagged))
                product = self._best_of(np.column_stack([tried, product]))[0]
            for g, h in combinations(range(len(self.subgroups)), 2):
                near = [self._window(each, product[each]) for each in (g, h)]
                tried = np.repeat(product[:, np.newaxis], len(near[0]) * len(near[1]), axis=1)
                tried[[g, h]] = np.array(np.meshgrid(*near)).reshape(2, -1)
                product = self._best_of(np.column_stack([tried, product]))[0]
            if self._key(product) <= key:
                return product

    def _window(self, subgroup: int, at: int) -> np.ndarray:
        last = len(self.subgroups[subgroup].lowest_flagged) - 1
        near = np.arange(max(at - WINDOW, 0), min(at + WINDOW, last) + 1)
        return np.union1d(near, np.linspace(0, last, 2 * WINDOW).astype(int))

    def _key(self, product: np.ndarray) -> tuple[bool, float, float]:
        feasible, value, shortfall = (float(each[0]) for each in self._judge(product[:, np.newaxis]))
        return bool(feasible), value if feasible else -shortfall, value


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
