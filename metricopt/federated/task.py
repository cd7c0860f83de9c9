"""What the server asks of all sites alike: objective, labels and solver, as every question holds it.

This file decides how these are written down. It leaves objectives to :mod:`metricopt.problem.registry`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metricopt.federated.guidance import solver_at_site, solver_to_dict
from metricopt.problem.objectives import Objective
from metricopt.problem.registry import objective_from_dict, objective_to_dict
from metricopt.solvers import Solver


@dataclass(frozen=True)
class Task:
    """What is trained for.

    Attributes
    ----------
    objective : Objective
    label_names : tuple of str
    solver : Solver
    confidence : float or None
    """

    objective: Objective
    label_names: tuple[str, ...]
    solver: Solver
    confidence: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return text and numbers alone, for JSON."""
        return {
            "objective": objective_to_dict(self.objective),
            "label_names": list(self.label_names),
            "solver": solver_to_dict(self.solver),
            "confidence": self.confidence,
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Task:
        """Return the task that :meth:`to_dict` wrote down, with the solver as a site uses it."""
        objective = objective_from_dict(saved["objective"])
        solver = solver_at_site(saved["solver"], objective)
        return cls(objective, tuple(saved["label_names"]), solver, saved["confidence"])
