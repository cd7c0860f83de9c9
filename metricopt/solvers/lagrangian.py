r"""Lagrangian and augmented Lagrangian with explicit slacks: a multiplier for every link and one for the bound.

With the samples seen in their own direction (:func:`~metricopt.solvers.reformulation.closed_form_slack`: r "counted as
right", u the distance to the threshold, margin subtracted, w the class weights at the bound's multiplier) the
Lagrangian is

.. math::
    L(\theta, r, \lambda) = \sum_i w_i \bigl(1 - r_i + \lambda_i\, g(r_i, u_i)\bigr)

and the augmented Lagrangian

.. math::
    L_\rho(\theta, r, \lambda) = \sum_i w_i \Bigl(1 - r_i + \lambda_i\, g(r_i, u_i) + \frac{\rho}{2} g(r_i, u_i)^2\Bigr)

in equality form; in inequality form (g <= 0) :math:`\lambda \ge 0` and the last two terms of the augmented one become
:math:`\bigl([\lambda_i + \rho g_i]_+^2 - \lambda_i^2\bigr) / 2\rho`. Each is minimised over r exactly and over
:math:`\theta` by the optimizer's step, then

.. math::
    \lambda_i \leftarrow \lambda_i + \eta\, g(r_i, u_i), \qquad
    \mu \leftarrow \bigl[\mu + \eta_\mu v(s)\bigr]_0^{\mu_{\max}}

for the links of the batch, with :math:`\eta = 4 \cdot 2 \kappa^2` over the visits that the path pays each sample, and
for the bound, whose violation v counts all slacks. Here :math:`\kappa` is the slope of the path's ramps, brought to
height 1. Multipliers are per unit of weight, so that a bound that tightens does not rescale them.

The two differ in where the pressure on a broken link comes from. In the Lagrangian it is the multiplier alone: it
starts at the path's first :math:`\kappa` and grows while its link stays broken. In the augmented Lagrangian multipliers
start at zero and the penalty :math:`\rho = 2 \kappa^2`, under which a sample is given up at the distance
:math:`1/\kappa` of the path's ramps, rises to that of the path's last slope; the bound's multiplier is augmented too.

This file is the only one that uses cooper: its multipliers, its formulations and its dual gradients.

References
----------
J. Gallego-Posada, J. Ramirez, M. Hashemizadeh, S. Lacoste-Julien (2025). Cooper: a library for constrained optimization
in deep learning. J. Nocedal, S. Wright (2006). Numerical Optimization, equations 17.36 and 17.65.
"""

from __future__ import annotations

from typing import Any

import cooper
import numpy as np
import torch
from cooper.formulations import AugmentedLagrangian as AugmentedFormulation
from cooper.formulations import Lagrangian as LagrangianFormulation
from cooper.multipliers import DenseMultiplier, IndexedMultiplier
from cooper.penalty_coefficients import DensePenaltyCoefficient
from torch import Tensor

from metricopt.solvers.class_weighting import MULTIPLIER_STEP
from metricopt.solvers.explicit import ExplicitSlack

DUAL_GROWTH = 4.0
"""What a link's multiplier gains along a path, in :math:`2 kappa^2`, if the link is broken by 1 all the time."""
BOUND_PENALTY = 1.0


class Lagrangian(ExplicitSlack):
    """The solver that ties slacks to scores by multipliers alone; see the module's text."""

    name = "lagrangian"
    is_augmented = False

    def _restart_links(self, bound_multiplier: np.ndarray, num_visits: int) -> None:
        self._num_visits = num_visits
        start = 0.0 if self.is_augmented else self._strength
        self._of_links = IndexedMultiplier(init=torch.full((len(self._slacks.values),), start))
        flat = bound_multiplier.ravel()  # of each bound and label
        self._of_bound = DenseMultiplier(init=torch.from_numpy(flat), dtype=torch.float64)
        form = cooper.ConstraintType.EQUALITY if self._form == "equality" else cooper.ConstraintType.INEQUALITY
        if self.is_augmented:
            self._penalty = DensePenaltyCoefficient(init=torch.tensor(self._quadratic))  # 0-dim: one for all links
            self._links = cooper.Constraint(form, AugmentedFormulation, self._of_links, self._penalty)
        else:
            self._links = cooper.Constraint(form, LagrangianFormulation, self._of_links)
        self._bound = cooper.Constraint(cooper.ConstraintType.INEQUALITY, LagrangianFormulation, self._of_bound)
        # Stateless, and the only kind that takes sparse gradients without touching every multiplier.
        self._link_ascent = torch.optim.SGD([self._of_links.weight], lr=0.0, maximize=True)  # set before each step
        self._bound_ascent = torch.optim.SGD([self._of_bound.weight], lr=MULTIPLIER_STEP, maximize=True)
        self._observed: dict[Any, Any] = {}

    def _bound_multiplier(self) -> np.ndarray:
        multiplier = self._of_bound.weight.detach().numpy().reshape(self._slacks.max_multiplier.shape)
        if not self.is_augmented:
            return multiplier
        return np.clip(multiplier + BOUND_PENALTY * self._slacks.violation(), 0, self._slacks.max_multiplier)

    def _link_terms(self, flat: np.ndarray) -> dict[str, Any]:
        if self._terms == "anchor":
            return {}
        multiplier = self._of_links.weight.detach().numpy()[flat, 0]
        return {"multiplier": multiplier, "quadratic": self._quadratic if self.is_augmented else 0.0}

    def _link_cost(self, violation: Tensor, flat: Tensor) -> Tensor:
        if self.is_augmented:
            self._penalty.value = torch.tensor(self._quadratic)
        self._observed = {self._links: cooper.ConstraintState(violation, constraint_features=flat)}
        cost = cooper.CMPState(observed_constraints=self._observed).compute_primal_lagrangian().lagrangian
        assert cost is not None
        return cost

    def _move_links(self) -> None:
        # What the bound costs is in the weights of the samples already.
        of_bound = cooper.ConstraintState(
            torch.from_numpy(self._slacks.violation().ravel()), contributes_to_primal_update=False
        )
        state = cooper.CMPState(observed_constraints={**self._observed, self._bound: of_bound})
        self._link_ascent.param_groups[0]["lr"] = DUAL_GROWTH * self._quadratic / self._num_visits
        for ascent in (self._link_ascent, self._bound_ascent):
            ascent.zero_grad()
        state.compute_dual_lagrangian().backward()
        for ascent in (self._link_ascent, self._bound_ascent):
            ascent.step()
        with torch.no_grad():
            if self._form == "inequality" and self._observed:
                flat = self._observed[self._links].constraint_features
                self._of_links.weight[flat] = self._of_links.weight[flat].clamp(min=0)  # post_step_ touches them all
            self._of_bound.weight.copy_(
                self._of_bound.weight.clamp(min=0).minimum(torch.from_numpy(self._slacks.max_multiplier.ravel()))
            )
        self._observed = {}

    def state_dict(self) -> dict[str, Any]:
        multipliers = {"of_links": self._of_links.weight, "of_bound": self._of_bound.weight}
        moving = {name: weight.detach().clone() for name, weight in multipliers.items()}  # never an alias
        return {**super().state_dict(), **moving, "num_visits": self._num_visits}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._restart_links(state["of_bound"].numpy().copy(), state["num_visits"])
        with torch.no_grad():
            self._of_links.weight.copy_(state["of_links"])

    @property
    def _quadratic(self) -> float:
        return 2 * self._strength**2


class AugmentedLagrangian(Lagrangian):
    """The solver that ties slacks to scores by multipliers and a quadratic penalty; see the module's text."""

    name = "augmented_lagrangian"
    is_augmented = True
