"""Several solvers, each on columns of its own: replicas that train side by side, each as if it were alone.

This file decides how a solver is applied to the columns of several replicas. It leaves every algorithm to the solver.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy, deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metricopt.problem.label_programs import LabelPrograms
from metricopt.problem.objectives import Objective
from metricopt.solvers.base import Solver, Stage


class SideBySide(Solver):
    r"""R copies of a solver on R blocks of columns; the loss is the sum of theirs.

    .. math:: \ell(z, y) = \sum_{r=1}^{R} \ell_r(z_r, y_r)

    Column :math:`r L + l` belongs to replica r and label l. The gradient in a replica's scores is then what it would be
    if the replica were trained alone on the same batches.

    Parameters
    ----------
    solver : Solver
        The solver that is copied. One that can be given all columns at once (:attr:`~Solver.is_columnwise`) is, which
        is faster and the same up to rounding.
    number : int
        R.
    """

    def __init__(self, solver: Solver, number: int) -> None:
        self.name, self.needs_index, self.warms_up = solver.name, solver.needs_index, solver.warms_up
        self.takes_logits, self.keeps_its_scale = solver.takes_logits, solver.keeps_its_scale
        self._number = self.num_replicas = number
        # A loss that is prepared with labels keeps what it learnt of them, so each replica has one of its own.
        self._solvers = [copy(solver)] if solver.is_columnwise else [deepcopy(solver) for _ in range(number)]
        if solver.is_columnwise:
            self._solvers[0].num_replicas = number

    def __repr__(self) -> str:
        return f"{self._solvers[0]!r} x {self._number}"

    def prepare(self, objective: Objective, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        self._width = labels.shape[1] // len(self._solvers)
        for solver, columns in self._blocks():
            own = _of_columns(objective, columns)
            solver.subgroups = self.subgroups
            solver.prepare(own, labels[:, columns], None if sample_weight is None else sample_weight[:, columns])
        self.needs_index = self._solvers[0].needs_index
        self.works_on_device = len(self._solvers) == 1 and self._solvers[0].works_on_device

    @property
    def losses(self) -> list[nn.Module]:
        return [loss for solver in self._solvers for loss in solver.losses]

    def stages(self, epochs: int, is_linear: bool = True) -> Sequence[Stage]:
        return self._solvers[0].stages(epochs, is_linear)

    def beside(self, other: Solver) -> Solver:
        return SideBySide(other, self._number)

    def start(self, stage: Stage, num_steps: int) -> None:
        for solver in self._solvers:
            solver.start(stage, num_steps)

    def refresh(self, scores: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        for solver, columns in self._blocks():
            own_weight = None if sample_weight is None else sample_weight[:, columns]
            solver.refresh(scores[:, columns], labels[:, columns], own_weight)

    def refresh_on_device(self, scores: Tensor, labels: Tensor, sample_weight: Tensor | None) -> None:
        self._solvers[0].refresh_on_device(scores, labels, sample_weight)

    def loss(self, scores: Tensor, labels: Tensor, weight: Tensor | None = None, index: Tensor | None = None) -> Tensor:
        losses = [
            solver.loss(scores[:, columns], labels[:, columns], None if weight is None else weight[:, columns], index)
            for solver, columns in self._blocks()
        ]
        # The loss of one solver on all columns is the mean over the replicas, as each of them has as many labels.
        return losses[0] * self._number if len(losses) == 1 else torch.stack(losses).sum()

    def step(self) -> None:
        for solver in self._solvers:
            solver.step()

    def multiplier(self) -> np.ndarray | None:
        found = [multiplier for solver in self._solvers if (multiplier := solver.multiplier()) is not None]
        return np.concatenate(found, axis=-1) if found else None

    def state_dict(self) -> dict[str, Any]:
        return {"solvers": [solver.state_dict() for solver in self._solvers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for solver, own in zip(self._solvers, state["solvers"], strict=True):
            solver.load_state_dict(own)

    def _blocks(self) -> Iterator[tuple[Solver, slice]]:
        """Yield each solver with the columns that are its own."""
        for position, solver in enumerate(self._solvers):
            yield solver, slice(position * self._width, (position + 1) * self._width)


def _of_columns(objective: Objective, columns: slice) -> Objective:
    """Return what is asked of some of the labels."""
    if isinstance(objective, LabelPrograms):
        return objective.some(columns)
    return objective.with_bound(objective.bound[columns]) if isinstance(objective.bound, tuple) else objective


def of_replicas(objective: Objective, number: int) -> Objective:
    """Return the objective for as many replicas, with what is asked of each label once for each."""
    if isinstance(objective, LabelPrograms):
        return objective.times(number)
    return objective.with_bound(objective.bound * number) if isinstance(objective.bound, tuple) else objective
