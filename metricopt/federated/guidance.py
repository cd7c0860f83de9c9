r"""What guides training at a site: threshold, value, spread and multipliers, by the rows of all sites.

A solver learns these from the scores of its training rows. In a federation nobody has these, so the server finds them
from summed histograms (:mod:`metricopt.federated.guide`) and tells each site, whose solver then counts errors as if it
knew all rows. They stay as they are for a round. For average precision the histograms themselves are the guidance: each
site's pairs are those with all rows of all sites.

A federation of one site needs no guidance: its solver sees all rows (:mod:`metricopt.federated.alone`).

This file decides how a solver works under guidance. It leaves every algorithm to :mod:`metricopt.solvers`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from metricopt._validation import reject
from metricopt.federated.histograms import PseudoRows
from metricopt.federated.message import Message, under
from metricopt.problem.objectives import Objective
from metricopt.solvers import Profiled, Solver, Stage, Surrogate, get_solver
from metricopt.solvers.paths import PathSolver
from metricopt.solvers.profiled_ranking import ProfiledRanking

Loss: TypeAlias = "Callable[[Tensor, Tensor, Tensor | None], Tensor]"
"""The loss of a batch by scores, labels and index."""

MOVING = ("multiplier", "threshold", "spread", "value")
"""What moves in the solver of counts, apart from its position on the path."""


class Guided(Profiled):
    """The default solver, whose threshold and multiplier are set from outside and stay."""

    def prepare(self, objective: Objective, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        super().prepare(objective, labels, sample_weight)
        self.works_on_device = False  # there, multipliers move with the batches

    def step(self) -> None:
        self._position.advance()


def solver_for(solver: str | Solver, objective: Objective) -> Solver:
    """Return the solver that is asked for, if histograms can guide it.

    Raises
    ------
    InvalidInputError
        If it keeps something for each row, or is a loss of the user's own.
    """
    found = get_solver(solver, objective)
    if type(found) not in (Profiled, ProfiledRanking) and found.name != "cross_entropy":
        remedy = "give 'profiled', an instance of Profiled with a path, or 'cross_entropy'"
        reject("solver", "one that histograms can guide", found.name, remedy)
    return found


def solver_to_dict(solver: Solver) -> dict[str, Any]:
    """Return name and path of a solver, for JSON."""
    return {"name": solver.name, "path": solver.path if isinstance(solver, PathSolver) else None}


def solver_from_dict(saved: Mapping[str, Any], objective: Objective) -> Solver:
    """Return the solver that :func:`solver_to_dict` wrote down."""
    if saved["name"] == "cross_entropy":
        return Surrogate()
    return (ProfiledRanking if type(get_solver("profiled", objective)) is ProfiledRanking else Profiled)(saved["path"])


def prepared(
    solver: Solver, objective: Objective, labels: np.ndarray, weight: np.ndarray, num_rows: int
) -> tuple[Solver, np.ndarray]:
    """Return a copy of a solver that knows all rows of all sites, and the weights by which it knows them.

    Solvers take the number of rows that they see as that of all rows, so the weights sum to that here.

    Parameters
    ----------
    solver : Solver
    objective : Objective
    labels : ndarray, shape (m, L), float32
    weight : ndarray, shape (m, L)
        How many rows each stands for.
    num_rows : int
        How many there are, with those that lack some labels.
    """
    own, scaled = copy.copy(solver), weight * (len(labels) / num_rows)
    own.prepare(objective, labels, scaled)
    return own, scaled


@dataclass(frozen=True)
class Guidance:
    """What a site is told, so that its loss is that of all rows.

    Attributes
    ----------
    is_direct : bool
        Whether the round trains on the objective; if not, on cross-entropy.
    path : str
        The path of the solver.
    progress : (float, float)
        How far along its path training is at the beginning and at the end of the round, from 0 to 1.
    scale : float
        The factor of the loss.
    num_rows : int
        The number of training rows of all sites.
    arrays : dict of str to ndarray
        ``totals``, (L, 2): negatives and positives among them; and what moves in the solver, or for average precision
        ``counts``, (L, 2, B), and ``edges``, (L, B + 1). A site that is the only one is told the multiplier alone.
    """

    is_direct: bool = False
    path: str = ""
    progress: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    num_rows: int = 0
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    def to_message(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return arrays and words of a message."""
        words = {
            "is_direct": self.is_direct,
            "path": self.path,
            "progress": list(self.progress),
            "scale": self.scale,
            "num_rows": self.num_rows,
        }
        return under("guidance", self.arrays), {"guidance": words}

    @classmethod
    def from_message(cls, message: Message) -> Guidance:
        """Return what :meth:`to_message` put into a message."""
        words = dict(message.info["guidance"])
        return cls(progress=tuple(words.pop("progress")), arrays=message.under("guidance"), **words)

    def steps_of_path(self, num_steps: int) -> int:
        """Return the number of steps of the whole path, if each of its rounds takes ``num_steps``."""
        first, last = self.progress
        return max(round(num_steps / max(last - first, 1e-9)), 1)

    def loss(self, solver: Solver, objective: Objective, labels: np.ndarray, num_steps: int) -> Loss:
        """Return the loss of the batches of a round of so many steps; each call goes one step on.

        Parameters
        ----------
        solver : Solver
        objective : Objective
        labels : ndarray, shape (n, L), float32
            The labels of the site's training rows.
        num_steps : int
        """
        if self.is_direct:
            own = self.applied(solver, objective, num_steps)
        else:
            own = Surrogate()
            own.prepare(objective, labels, None)

        def of_batch(scores: Tensor, labels: Tensor, index: Tensor | None) -> Tensor:
            found = own.loss(scores, labels)
            own.step()
            return found if self.scale == 1.0 else found * self.scale

        return of_batch

    def applied(self, solver: Solver, objective: Objective, num_steps: int) -> Solver:
        """Return the solver as it trains at a site in this round, which takes ``num_steps``."""
        whole = self.steps_of_path(num_steps)
        begun = round(self.progress[0] * whole)
        if isinstance(solver, ProfiledRanking):
            rows = PseudoRows.of({"": self.arrays["counts"]}, self.arrays["edges"], "middle")
            own, scaled = prepared(solver, objective, rows.labels, rows.weight, self.num_rows)
            own.refresh(rows.scores, rows.labels, scaled)
            own.start(Stage(self.path, 1), whole)
            for _ in range(begun):
                own.step()
            return own
        totals = self.arrays["totals"].T.astype(np.float64)  # (L, 2) -> (2, L)
        labels = np.repeat(np.array([[0.0], [1.0]], np.float32), totals.shape[1], axis=1)
        assert isinstance(solver, Profiled)
        own, _ = prepared(Guided(solver.path), objective, labels, totals, self.num_rows)
        moving = {name: torch.from_numpy(self.arrays[name].copy()) for name in MOVING}
        own.load_state_dict({**moving, "path": self.path, "step": begun, "num_steps": whole})
        return own
