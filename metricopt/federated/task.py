"""What the server asks of all sites alike: objective, labels and solver, as every question holds it.

This file decides how these are written down. It leaves objectives to :mod:`metricopt.problem.registry`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metricopt._validation import reject
from metricopt.federated.choosing import SITE
from metricopt.federated.guidance import solver_from_dict, solver_to_dict
from metricopt.problem.objectives import Objective
from metricopt.problem.program import Program
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
        """Return the task that :meth:`to_dict` wrote down."""
        objective = objective_from_dict(saved["objective"])
        solver = solver_from_dict(saved["solver"], objective)
        return cls(objective, tuple(saved["label_names"]), solver, saved["confidence"])


def names_of(label_names: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return names of labels, checked; None where none are given.

    Raises
    ------
    InvalidInputError
        If they are no sequence of different names.
    """
    if label_names is None:
        return None
    is_many = isinstance(label_names, Sequence) and not isinstance(label_names, str) and len(label_names) > 0
    if not is_many or not all(isinstance(name, str) for name in label_names):
        reject("label_names", "a sequence of names", repr(label_names), "give e.g. ['Edema', 'Pneumonia']")
    if len(set(label_names)) < len(label_names):
        reject("label_names", "different", list(label_names), "give each label a name of its own")
    return tuple(label_names)


def check_columns(objective: Objective) -> None:
    """Reject subgroups other than sites, and thresholds that differ."""
    others = [name for name in objective.columns if name != SITE]
    if others:
        remedy = "write 'in every site', or leave the bound out"
        reject("objective", f"one whose only subgroups are those of {SITE!r}", others[0], remedy)
    if isinstance(objective, Program) and objective.threshold_per is not None:
        reject("objective", "one with one threshold for all sites", str(objective), "leave threshold_per out")
