r"""How good a product of cuts can be at most: the Lagrangian bound, minimised over its multipliers.

.. math:: \max_{t_1, \dots, t_G} \; \frac{a_0 + \sum_g a_g(t_g)}{b_0 + \sum_g b_g(t_g)} \quad \text{s.t.} \quad
          e_{k0} + \sum_g e_{kg}(t_g) \le 0 \;\; \text{for all } k

For multipliers :math:`\mu \ge 0` and a number v, let

.. math:: L(\mu, v) = a_0 - v b_0 - \sum_k \mu_k e_{k0}
          + \sum_g \max_t \Bigl[a_g(t) - v b_g(t) - \sum_k \mu_k e_{kg}(t)\Bigr].

If :math:`L(\mu, v) \le 0`, no feasible product has a value above v, because each has numerator - v denominator
:math:`\le L(\mu, v)`. So the least such v is an upper bound for each :math:`\mu`, exact by Dinkelbach's (1967)
iteration, and the least of all is sought by cutting planes: L is convex in :math:`(\mu, v)` jointly, a maximum of
linear functions of which each maximising cut is one, so a linear program with a few of them gives the next
:math:`(\mu, v)` (Kelley 1960). It is the bound of the relaxation in which each subgroup
may mix its cuts. At most as many subgroups as there are bounds do, so it is off by a few rows, however many there are.
It can be loose where few rows raise an alarm, and where numerator and denominator both vanish without alarms, as those
of precision do.

A cut whose loss against the best of its subgroup exceeds :math:`L(\mu, v)` is in no product of a value above v. Where
few cuts are left, all of their products can be tried (:mod:`metricopt.evidence.subgroup_thresholds`).

References
----------
W. Dinkelbach (1967). On nonlinear fractional programming. Management Science 13.
J. E. Kelley (1960). The cutting-plane method for solving convex programs. Journal of SIAM 8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

NUM_PLANES = 60
"""So many linear programs are solved at most."""
CONVERGED = 1e-9
"""The bound is not made smaller by less than this."""
PRECISE = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
NUM_STEPS = 30
"""Of Dinkelbach's iteration, which takes four or five."""
ROUNDING = 1e-11
"""Relative to the largest numerator, of forms that are fractions of all rows."""
LOWEST = -1e6
"""The least value of a metric that is looked at where its range has no end."""


@dataclass(frozen=True)
class UpperBound:
    """What multipliers say of all products.

    Attributes
    ----------
    value : float
        No feasible product has a larger value. Infinity where no bound was found, minus infinity where no product is
        feasible.
    multipliers : ndarray, shape (K,)
    """

    value: float
    multipliers: np.ndarray


@dataclass(frozen=True)
class SeparableProgram:
    """A ratio of sums over subgroups, with sums that may not be above 0.

    Attributes
    ----------
    forms : sequence of ndarray, each of shape (2 + K, m)
        What each cut of a subgroup adds to numerator, denominator and the excess of each of K bounds.
    constant : ndarray, shape (2 + K,)
        What is added to each whatever the cuts.
    """

    forms: Sequence[np.ndarray]
    constant: np.ndarray

    @cached_property
    def _rounding(self) -> float:
        """A Lagrangian of no more than this is 0."""
        return ROUNDING * max(1.0, *(float(np.abs(own[0]).max()) for own in self.forms))

    def worth(self, multipliers: np.ndarray, value: float) -> tuple[list[np.ndarray], float]:
        """Return what each cut is worth to the Lagrangian, and what is added to their sum."""
        factors = np.concatenate([[1.0, -value], -multipliers])
        return [factors @ own for own in self.forms], float(factors @ self.constant)

    def bound_at(self, multipliers: np.ndarray, value: float) -> tuple[float, list[np.ndarray]]:
        """Return the least v of these multipliers that is at least ``value``, and the products that led there."""
        met = []
        for _ in range(NUM_STEPS):
            worth, rest = self.worth(multipliers, value)
            taken = np.array([int(each.argmax()) for each in worth])
            met.append(taken)
            lagrangian = rest + sum(float(each[at]) for each, at in zip(worth, taken, strict=True))
            if lagrangian <= self._rounding:
                return value, met
            total = self.constant + sum(own[:, at] for own, at in zip(self.forms, taken, strict=True))
            if total[1] <= ROUNDING:
                break
            value = float((total[0] - multipliers @ total[2:]) / total[1])
        return np.inf, met

    def least_bound(self, judge: Callable[[np.ndarray], float], low: float) -> UpperBound:
        """Return the least bound over all multipliers.

        Parameters
        ----------
        judge : callable
            Is given products, positions of cuts, shape (G, k), and returns the best value of a feasible product that is
            known; minus infinity where none is.
        low : float
            The least value that the ratio can have.
        """
        from scipy.optimize import linprog

        low = max(low, LOWEST) - 1  # a bound below all values shows that no product is feasible
        num_groups, num_bounds = len(self.forms), len(self.constant) - 2
        planes = [{0, own.shape[1] - 1} for own in self.forms]
        best = UpperBound(np.inf, np.zeros(num_bounds))
        multipliers, value = best.multipliers, low
        for number in range(NUM_PLANES):
            bound, met = self.bound_at(multipliers, value)
            known = judge(np.column_stack(met))
            if bound < best.value:
                best = UpperBound(bound, multipliers)
            if best.value <= max(known, low):
                break
            num_planes = sum(map(len, planes))
            for taken in met:
                for places, at in zip(planes, taken, strict=True):
                    places.add(int(at))
            if number and sum(map(len, planes)) == num_planes:
                break
            # The variables are v, the multipliers, and what the best cut of each subgroup is worth.
            rows, limits = [np.concatenate([-self.constant[1:], np.ones(num_groups)])], [-self.constant[0]]
            for group, (own, places) in enumerate(zip(self.forms, planes, strict=True)):
                at = np.array(sorted(places))
                rows.append(np.column_stack([-own[1:, at].T, np.tile(-np.eye(num_groups)[group], (len(at), 1))]))
                limits.append(-own[0, at])
            ranges = [(max(known, low), None), *[(0, None)] * num_bounds, *[(None, None)] * num_groups]
            costs = np.eye(1, 1 + num_bounds + num_groups)[0]
            found = linprog(costs, np.vstack(rows), np.hstack(limits), bounds=ranges, options=PRECISE)
            if found.x is None or best.value - found.x[0] <= CONVERGED * max(1.0, abs(best.value)):
                break
            value, multipliers = float(found.x[0]), np.maximum(found.x[1 : 1 + num_bounds], 0.0)
        return UpperBound(-np.inf, best.multipliers) if best.value <= low else best

    def may_be_better(self, multipliers: np.ndarray, value: float) -> list[np.ndarray]:
        """Return for each subgroup the positions of the cuts that a feasible product of a larger value may have."""
        worth, rest = self.worth(multipliers, max(value, LOWEST))
        lagrangian = rest + sum(float(each.max()) for each in worth)
        return [np.flatnonzero(each.max() - each <= lagrangian + self._rounding) for each in worth]

    def take(self, kept: Sequence[np.ndarray]) -> SeparableProgram:
        """Return the program with some cuts of each subgroup."""
        return SeparableProgram([own[:, at] for own, at in zip(self.forms, kept, strict=True)], self.constant)
