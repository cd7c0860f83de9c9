"""What moves a solver between batches: the latest scores of all samples, the schedule, and the exact threshold.

This file decides at which moments the warm-up ends, a path begins, and thresholds are taken from all scores. It leaves
every algorithm to :mod:`metricopt.solvers`, and what a user may pass to :mod:`metricopt.training.loss`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricopt import _arrays
from metricopt._validation import message, reject
from metricopt.evidence.subgroups import SubgroupColumn
from metricopt.evidence.thresholds import choose_threshold
from metricopt.problem.objectives import Objective
from metricopt.processes import processes_of_group
from metricopt.solvers import Solver, Stage, Surrogate
from metricopt.training.hand_over import has_begun_to_learn, scales_at_hand_over, with_rescaled_gradient
from metricopt.training.schedule import Schedule
from metricopt.training.score_memory import DeviceScoreMemory, ScoreMemory


class DivergedError(ArithmeticError):
    """Scores or losses became NaN or infinite."""


class Driver:
    """Drives a solver through the warm-up and along its paths, batch by batch.

    Parameters
    ----------
    objective : Objective
    solver : Solver
        It is prepared here for these labels.
    labels : ndarray, shape (n, L), float32
        Those of all training samples; NaN marks a missing one.
    sample_weight : ndarray, shape (n, L), or None
    subgroups : mapping of str to SubgroupColumn
        The columns that the objective names.
    schedule : Schedule

    Attributes
    ----------
    solver : Solver
    schedule : Schedule
    memory : ScoreMemory
        The latest scores of all training samples.
    needs_index : bool
        Whether batches must name their rows.
    """

    def __init__(
        self,
        objective: Objective,
        solver: Solver,
        labels: np.ndarray,
        sample_weight: np.ndarray | None,
        subgroups: Mapping[str, SubgroupColumn],
        schedule: Schedule,
    ) -> None:
        self.solver, self.schedule, self._objective = solver, schedule, objective
        self._sample_weight, self._subgroups = sample_weight, subgroups
        solver.subgroups = subgroups or None
        solver.prepare(objective, labels, sample_weight)
        self._warm_up = solver.beside(Surrogate())
        self._warm_up.prepare(objective, labels, sample_weight)
        self.memory: ScoreMemory = ScoreMemory(labels)
        self._weight = None if sample_weight is None else torch.from_numpy(np.array(sample_weight)).float()
        self.needs_index = solver.needs_index or sample_weight is not None or bool(subgroups)

    def step(self, scores: Tensor, labels: Tensor, index: Tensor | None, path: Stage) -> Tensor:
        """Return the loss of a batch, and go one step on; the path begins with the first batch after the warm-up.

        Parameters
        ----------
        scores, labels : Tensor, shape (B, L)
        index : Tensor, shape (B,), int, or None
        path : Stage
        """
        if index is None and self.needs_index:
            what = "sample_weight" if self._weight is not None else self.solver.name
            what = "bounds in subgroups" if self._subgroups else what
            reject("index", f"given for {what}", None, "pass the row of each sample of the batch")
        schedule, stays = self.schedule, self.solver.works_on_device and not _arrays.is_on_host(scores)
        index = index if index is None or stays else index.cpu()
        self._keep_memory_at(scores.device if stays else None)
        if not stays or not schedule.batches:
            self.memory.check(labels, None if index is None else index.cpu())
        if not schedule.is_on_path and self.is_warm:
            if self.memory.is_empty and self.solver.warms_up:
                remedy = "call loss.update(scores) with those of the training samples, or give warmup_epochs"
                reject("scores", "known before a training without warm-up", "none", remedy)
            self.start(path, max(schedule.num_batches - schedule.batches, 1))
        loss = self.loss_of(scores, labels, self._weights_of(index, scores.device), index)
        if stays or math.isfinite(loss.item()):  # there the state of a batch that is not finite is left out by itself
            self._move(scores, labels, index)
        return loss

    def loss_of(
        self, scores: Tensor, labels: Tensor, weight: Tensor | None = None, index: Tensor | None = None
    ) -> Tensor:
        """Return the loss of a batch, on the scale of cross-entropy; nothing moves."""
        schedule = self.schedule
        if not schedule.is_on_path:
            return self._warm_up.loss(scores, labels, weight, index)
        scales = schedule.scales
        if len(scales) == 1:
            if not self.solver.scales_itself:
                return self.solver.loss(scores, labels, weight, index) * scales[0]
            self.solver.scale = scales[0]
            return self.solver.loss(scores, labels, weight, index)
        loss = self.solver.loss(with_rescaled_gradient(scores, scales), labels, weight, index)
        return loss + (sum(scales) / len(scales) - 1) * loss.detach()

    def start(self, path: Stage, num_steps: int) -> None:
        """Begin a path of so many batches, at the scale at which the gradient of cross-entropy ends.

        Raises
        ------
        DivergedError
            If a score is NaN or infinite.
        """
        self.solver.start(path, num_steps)
        self.schedule.is_on_path = True
        self.refresh()
        memory, solver = self.memory, self.solver
        if not memory.is_empty and not solver.keeps_its_scale:
            known = memory.scores, memory.labels, self._sample_weight
            knows_rows = memory.is_in_order_of_rows
            self.schedule.scales = scales_at_hand_over(solver, self._warm_up, *known, knows_rows=knows_rows)

    def refresh(self) -> None:
        """Let the solver see the latest scores of all training samples.

        Raises
        ------
        DivergedError
            If a score is NaN or infinite.
        """
        memory = self.memory
        if memory.is_empty:
            return
        if isinstance(memory, DeviceScoreMemory):
            weight = None
            if self._sample_weight is not None:
                weight = self._weights_of(torch.arange(len(self._sample_weight)), memory.device)
            self.solver.refresh_on_device(*memory.tensors(), weight)
            return
        scores = memory.scores
        if not np.isfinite(scores).all():
            steps, remedy = self.schedule.batches, "lower the learning rate or clip the gradient"
            raise DivergedError(message("scores", "finite", f"NaN or infinity after {steps} batches", remedy))
        self.solver.refresh(scores, memory.labels, self._sample_weight)

    @property
    def is_warm(self) -> bool:
        """Whether the warm-up is over, or one of less than an epoch is not needed as the model is trained already."""
        schedule, knows_scores = self.schedule, not self.memory.is_empty
        if schedule.may_skip_warmup and knows_scores and (schedule.is_warmup_alone or self._has_begun_to_learn):
            return True
        return schedule.is_warm

    @property
    def threshold(self) -> np.ndarray:
        """The exact threshold for the latest scores, shape (L,)."""
        scores, labels = self.memory.scores, self.memory.labels
        weight, subgroups = self._sample_weight, self._subgroups
        return choose_threshold(scores, labels, self._objective, sample_weight=weight, subgroups=subgroups).threshold

    def state_dict(self) -> dict[str, Any]:
        """Return everything that moves, as tensors and numbers."""
        memory, solver = self.memory.state_dict(), self.solver.state_dict()
        return {"progress": self.schedule.state_dict(), "memory": memory, "solver": solver}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""
        self.schedule.load_state_dict(state["progress"])
        self.memory.load_state_dict(state["memory"])
        self.solver.load_state_dict(state["solver"])

    def _keep_memory_at(self, device: torch.device | None) -> None:
        """Keep the latest scores on an accelerator, or on the host (None)."""
        memory = self.memory
        if device is None:
            self.memory = memory.fetch() if isinstance(memory, DeviceScoreMemory) else memory
        elif not isinstance(memory, DeviceScoreMemory) or memory.device != device:
            self.memory = DeviceScoreMemory(memory, device)

    def _weights_of(self, index: Tensor | None, device: torch.device) -> Tensor | None:
        """Return the weights of the samples of a batch, on a device."""
        if self._weight is None or index is None:
            return None
        if self._weight.device != device:
            self._weight = self._weight.to(device)
        return self._weight[index.to(device, non_blocking=True)]

    def _move(self, scores: Tensor, labels: Tensor, index: Tensor | None) -> None:
        """Go one step on, after the loss of a batch."""
        schedule = self.schedule
        if schedule.is_on_path:
            self.solver.step()
        self.memory.put(scores, labels, index)
        if schedule.advance():
            self.refresh()
        elif schedule.is_at_end_of_warmup and schedule.can_extend and not self._has_begun_to_learn:
            if schedule.has_room_to_extend:
                schedule.extend_warmup()
            elif schedule.is_warmup_extended and processes_of_group().is_main:
                warnings.warn(_COLD_START.format(schedule.warmup_epochs), UserWarning, stacklevel=2)

    @property
    def _has_begun_to_learn(self) -> bool:
        memory = self.memory
        return has_begun_to_learn(memory.scores, memory.labels, self._sample_weight)


_COLD_START = (
    "After a warm-up that was extended to {} epochs, the model is hardly better than one that gives every sample the "
    "same score, so that the training on the objective begins with thresholds that mean little. Train for more epochs, "
    "try another learning rate, or look at the inputs: are they scaled, and do rows and labels belong together? Where "
    "the inputs say little about the labels, this is to be expected."
)
