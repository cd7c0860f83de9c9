r"""The exact penalty method with explicit slacks: each broken link costs, and costs more while it stays broken.

.. math::
    \sum_i w_i \bigl(1 - r_i + S_i\,[g(r_i, u_i)]_\pm\bigr),
    \qquad S_i \leftarrow \min(\gamma S_i, S_{\max}) \text{ where } [g_i]_\pm > \epsilon

with :math:`[g]_\pm = |g|` in equality form and :math:`[g]_+` in inequality form, r and u in each sample's own direction
(:func:`~metricopt.solvers.reformulation.closed_form_slack`). Beyond a finite S the minimisers satisfy the links
exactly, hence the name. The loss is normalised once, by the positives that a batch should hold.

Differs from the paper: the bound has a multiplier, as in the other solvers, so that they differ in the links alone; the
growth factor follows from the number of visits that a path has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricopt.solvers.class_weighting import MULTIPLIER_STEP
from metricopt.solvers.explicit import ExplicitSlack

TOLERANCE = 1e-3


class ExactPenalty(ExplicitSlack):
    """The solver with a growing penalty for each sample and label; see the module's text."""

    name = "exact_penalty"

    def _restart_links(self, bound_multiplier: np.ndarray, num_visits: int) -> None:
        first, last = self._position.path.strength(0.0), self._position.path.strength(1.0)
        self._penalties = torch.full((len(self._slacks.values),), first)
        self._growth, self._max_penalty = (last / first) ** (1 / max(num_visits - 1, 1)), last
        self._of_bound = bound_multiplier
        self._broken = torch.empty(0, dtype=torch.int64)

    def _bound_multiplier(self) -> np.ndarray:
        return self._of_bound

    def _link_terms(self, flat: np.ndarray) -> dict[str, Any]:
        return {} if self._terms == "anchor" else {"penalty": self._penalties.numpy()[flat]}

    def _link_cost(self, violation: Tensor, flat: Tensor) -> Tensor:
        excess = violation.abs() if self._form == "equality" else violation.clamp(min=0)
        self._broken = flat[excess.detach() > TOLERANCE]
        return (self._penalties[flat] * excess).sum()

    def _move_links(self) -> None:
        self._penalties[self._broken] = (self._penalties[self._broken] * self._growth).clamp(max=self._max_penalty)
        moved = self._of_bound + MULTIPLIER_STEP * self._slacks.violation()
        self._of_bound = np.clip(moved, 0, self._slacks.max_multiplier)

    def state_dict(self) -> dict[str, Any]:
        moving = {"penalties": self._penalties.clone(), "of_bound": torch.from_numpy(self._of_bound.copy())}
        return {**super().state_dict(), **moving, "growth": self._growth, "most": self._max_penalty}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._penalties, self._of_bound = state["penalties"].clone(), state["of_bound"].numpy().copy()
        self._growth, self._max_penalty = state["growth"], state["most"]
