"""How the programs are solved: one algorithm a file, all behind :class:`~metricopt.solvers.base.Solver`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from metricopt._validation import check_choice, reject
from metricopt.problem.label_programs import LabelPrograms
from metricopt.problem.objectives import CountObjective, Objective
from metricopt.solvers.base import WARMUP, Solver, Stage
from metricopt.solvers.exact_penalty import ExactPenalty
from metricopt.solvers.grouped_head import GroupedHead
from metricopt.solvers.label_by_label import LabelByLabel
from metricopt.solvers.paths import PathSolver
from metricopt.solvers.profiled import Profiled
from metricopt.solvers.profiled_ranking import ProfiledRanking
from metricopt.solvers.regrouping import Regrouping
from metricopt.solvers.surrogate import Surrogate

__all__ = [
    "WARMUP",
    "ExactPenalty",
    "GroupedHead",
    "Profiled",
    "ProfiledRanking",
    "Regrouping",
    "Solver",
    "Stage",
    "Surrogate",
    "get_solver",
]


def __getattr__(name: str) -> Any:
    if name in ("AugmentedLagrangian", "Lagrangian"):  # cooper is imported when it is used
        from metricopt.solvers import lagrangian

        return getattr(lagrangian, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


REGISTRY: dict[str, Callable[[], Solver]] = {
    "profiled": Profiled,
    "augmented_lagrangian": lambda: __getattr__("AugmentedLagrangian")(),
    "lagrangian": lambda: __getattr__("Lagrangian")(),
    "exact_penalty": ExactPenalty,
    "cross_entropy": Surrogate,
}
FOR_RANKINGS: dict[str, Callable[[], Solver]] = {"profiled": ProfiledRanking}
"""The solvers that some names stand for instead, where the objective is a metric of the ranking."""


def get_solver(solver: str | Solver | Callable[[Tensor, Tensor], Tensor], objective: Objective) -> Solver:
    """Return the solver that a name, an instance or a loss stands for.

    Parameters
    ----------
    solver : str, Solver or callable
        A name of :data:`REGISTRY`; an instance; or a loss ``(scores, labels) -> scalar``, such as a torch loss module.
    objective : Objective
        The objective that the solver is for. What a name stands for depends on it.

    Raises
    ------
    InvalidInputError
        If the name is unknown, or ``solver`` is none of the three.

    Examples
    --------
    >>> from metricopt.problem.objectives import FPOR, OAP
    >>> type(get_solver("profiled", FPOR(0.9))).__name__, type(get_solver("profiled", OAP())).__name__
    ('Profiled', 'ProfiledRanking')
    """
    if isinstance(solver, Solver):
        is_for_one = isinstance(objective, LabelPrograms) and isinstance(solver, PathSolver)
        return LabelByLabel(solver) if is_for_one else solver
    if isinstance(solver, str):
        check_choice("solver", solver, REGISTRY)
        counts = isinstance(objective, (CountObjective, LabelPrograms))
        return get_solver((REGISTRY if counts else REGISTRY | FOR_RANKINGS)[solver](), objective)
    if isinstance(solver, type) or not callable(solver):
        reject("solver", "a name, a Solver or a loss (scores, labels) -> scalar", repr(solver), "create an instance")
    return Surrogate(solver)
