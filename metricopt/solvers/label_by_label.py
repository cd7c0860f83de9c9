"""A solver for several labels that are asked for different things: a copy of it for each label.

This file decides how the copies are driven together. It leaves every algorithm to the solver.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricopt.problem.labels import has_both_classes
from metricopt.problem.objectives import Objective
from metricopt.solvers.base import Solver, Stage


class LabelByLabel(Solver):
    """Copies of a solver, one for each label; the loss is the mean of theirs over the labels that have both classes.

    Parameters
    ----------
    solver : Solver
        What is copied; it stays as it is.
    """

    def __init__(self, solver: Solver) -> None:
        self._solver, self.name, self.warms_up = solver, solver.name, solver.warms_up
        self.needs_index, self.takes_logits = solver.needs_index, solver.takes_logits
        self.keeps_its_scale = solver.keeps_its_scale

    def __repr__(self) -> str:
        return f"{self._solver!r} label by label"

    def prepare(self, objective: Objective, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        num_labels = labels.shape[1]
        self._solvers = [deepcopy(self._solver) for _ in range(num_labels)]
        self._num_learnable = max(int(has_both_classes(labels, sample_weight).sum()), 1)
        for label, single in enumerate(objective.for_labels(num_labels)):
            solver, own = self._solvers[label], slice(label, label + 1)
            solver.subgroups = self.subgroups if single.columns else None
            solver.prepare(single, labels[:, own], None if sample_weight is None else sample_weight[:, own])
        self.needs_index = any(solver.needs_index for solver in self._solvers)

    def stages(self, epochs: int, is_linear: bool = True) -> Sequence[Stage]:
        return self._solver.stages(epochs, is_linear)

    def start(self, stage: Stage, num_steps: int) -> None:
        for solver in self._solvers:
            solver.start(stage, num_steps)

    def refresh(self, scores: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        for label, solver in enumerate(self._solvers):
            own = slice(label, label + 1)
            solver.refresh(scores[:, own], labels[:, own], None if sample_weight is None else sample_weight[:, own])

    def loss(self, scores: Tensor, labels: Tensor, weight: Tensor | None = None, index: Tensor | None = None) -> Tensor:
        losses = []
        for label, solver in enumerate(self._solvers):
            own = slice(label, label + 1)
            losses.append(
                solver.loss(scores[:, own], labels[:, own], None if weight is None else weight[:, own], index)
            )
        return torch.stack(losses).sum() / self._num_learnable

    def step(self) -> None:
        for solver in self._solvers:
            solver.step()

    def multiplier(self) -> np.ndarray | None:
        """Return the multipliers of each label, shape (K, L) with the largest K; NaN where a label has fewer bounds."""
        found = [solver.multiplier() for solver in self._solvers]
        most = max((1 if each.ndim == 1 else len(each) for each in found if each is not None), default=0)
        if not most:
            return None
        together = np.full((most, len(found)), np.nan)
        for label, each in enumerate(found):
            if each is not None:
                own = each.ravel()
                together[: len(own), label] = own
        return together

    def state_dict(self) -> dict[str, Any]:
        return {"solvers": [solver.state_dict() for solver in self._solvers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for solver, own in zip(self._solvers, state["solvers"], strict=True):
            solver.load_state_dict(own)
