r"""The default solver: slacks eliminated in closed form, the threshold solved exactly, a multiplier for the bound.

Each sample's slack is minimised away, which leaves a ramp (:mod:`metricopt.solvers.reformulation`), so there is no
state per sample and a step costs O(batch). The program becomes

.. math::
    \min_\theta \; w_+ \sum_{i \in P} r(u_i) + w_- \sum_{i \in N} r(-u_i), \qquad u_i = \frac{f_\theta(x_i) - t}{\sigma}

with :math:`r` the soft error and the class weights :math:`w_\pm` of the objective at the current multiplier
:math:`\mu` and value :math:`\tau`. Threshold t, spread :math:`\sigma` and :math:`\tau` are refreshed from the latest
scores of the whole training set; :math:`\mu` follows the batch's own violation after every step,

.. math:: \mu \leftarrow \bigl[\mu + \eta \, v(r)\bigr]_0^{\mu_{\max}}.

The ramps narrow while training goes on, along the paths of :mod:`metricopt.solvers.paths`.

Differs from the paper (Peng et al. 2025), which keeps every slack as a variable under a penalty.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricopt import _arrays
from metricopt._validation import reject
from metricopt.evidence.thresholds import choose_threshold
from metricopt.problem.labels import has_both_classes
from metricopt.problem.objectives import CountObjective, Objective
from metricopt.solvers.array_steps import Ramps, array_errors
from metricopt.solvers.base import Stage, spread_of, with_derivatives
from metricopt.solvers.class_weighting import MULTIPLIER_STEP, ClassWeighting
from metricopt.solvers.paths import PathSolver, Position
from metricopt.solvers.profiled_on_device import OnDevice
from metricopt.solvers.tensor_steps import tensor_errors

LARGE_BATCH = 16_384
"""Scores in a batch, from which on torch is faster than NumPy on the host."""
_MOVING = ("multiplier", "threshold", "spread", "value")


class Profiled(PathSolver):
    """The default solver, without slacks and with an exact threshold; see the module's text. It has its own schedule.

    Parameters
    ----------
    path : str, optional
        The name of the one path to take, from ``metricopt.solvers.paths.PATHS``; by default there are several.
    """

    name = "profiled"
    is_columnwise = True
    scales_itself = True
    works_on_device = True

    def prepare(self, objective: Objective, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        if not isinstance(objective, CountObjective):
            reject("objective", "one with counts at a threshold", objective.name, "choose another solver for it")
        self._weighting = ClassWeighting(objective, labels, sample_weight, self.subgroups)
        self._has_missing = bool(np.isnan(labels).any())
        self.needs_index = self.subgroups is not None
        self._threshold, self._value = np.zeros((2, labels.shape[1]))
        self._multiplier = np.zeros_like(self._weighting.max_multiplier)
        self._spread = np.ones(labels.shape[1])
        self._position = Position()
        has_one_bound_at_most = len(objective.bounds) == (objective.bounded is not None)  # over all rows
        self.works_on_device = has_one_bound_at_most and not objective.columns
        self._there: OnDevice | None = None

    def start(self, stage: Stage, num_steps: int) -> None:
        self._fetch()
        self._position, self.scale = Position(stage.name, num_steps), 1.0
        self._multiplier = np.minimum(self._position.path.multiplier, 0.9 * self._weighting.max_multiplier)

    def refresh_on_device(self, scores: Tensor, labels: Tensor, sample_weight: Tensor | None) -> None:
        self._on(scores.device).refresh(scores, labels, sample_weight)

    def refresh(self, scores: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        self._fetch()
        objective = self._weighting.objective
        choice = choose_threshold(scores, labels, objective, sample_weight=sample_weight, subgroups=self.subgroups)
        threshold = self._weighting.cells.thresholds(choice, objective, self.subgroups)
        found = threshold, choice.value, spread_of(scores, sample_weight)
        before, is_judged = (self._threshold, self._value, self._spread), has_both_classes(labels, sample_weight)
        self._threshold, self._value, self._spread = (
            np.where(is_judged, now, old) for now, old in zip(found, before, strict=True)
        )
        self._weighting.set_value(self._value)

    def loss(self, scores: Tensor, labels: Tensor, weight: Tensor | None = None, index: Tensor | None = None) -> Tensor:
        path, progress = self._position.path, self._position.progress
        if self.works_on_device and not _arrays.is_on_host(scores):
            return self._on(scores.device).loss(scores, labels, weight, path, progress, self.scale)
        self._fetch()
        cell, size = self._cells_of(index), len(scores)
        ramps = self._ramps(size)
        if cell is None and scores.numel() >= LARGE_BATCH and _arrays.is_on_host(scores):
            return self._loss_of_large(scores, labels, weight, ramps)
        own_weight = None if weight is None else weight.cpu().numpy()
        counted = self._count(scores.detach().cpu().numpy(), labels.cpu().numpy(), own_weight, ramps, cell)
        errors, loss, derivatives = counted
        self._violation = self._weighting.violation(errors, size)
        return with_derivatives(scores, loss, derivatives)

    def step(self) -> None:
        self._position.advance()
        if self._there is not None:
            self._there.step()
            return
        moved = self._multiplier + MULTIPLIER_STEP * self._violation
        self._multiplier = np.minimum(np.maximum(moved, 0), self._weighting.max_multiplier)  # half of np.clip's time

    def multiplier(self) -> np.ndarray | None:
        self._fetch()
        return self._multiplier.copy() if self._weighting.objective.bounds else None

    def state_dict(self) -> dict[str, Any]:
        self._fetch()
        arrays = {name: torch.from_numpy(getattr(self, "_" + name).copy()) for name in _MOVING}
        return {**arrays, **self._position.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._there = None
        self._position = Position.from_state(state)
        for name in _MOVING:
            setattr(self, "_" + name, state[name].numpy().copy())
        self._weighting.set_value(self._value)

    def _on(self, device: torch.device) -> OnDevice:
        """Return the state on a device, where it stays until someone asks for it on the host."""
        if self._there is None or self._there.device != device:
            self._fetch()
            state = {name: getattr(self, "_" + name) for name in _MOVING}
            self._there = OnDevice(self._weighting, state, device)
        return self._there

    def _fetch(self) -> None:
        """Take the state back from a device."""
        if self._there is None:
            return
        for name, array in self._there.to_host().items():
            setattr(self, "_" + name, array)
        self._there = None
        self._weighting.set_value(self._value)

    def _cells_of(self, index: Tensor | None) -> np.ndarray | None:
        """Return the cell of each row of a batch; None where all rows weigh alike."""
        cells = self._weighting.cells
        if cells.is_one:
            return None
        if index is None:
            reject("index", "given for bounds in subgroups", None, "pass the row of each sample")
        return cells.of_row[index.cpu().numpy()]

    def _ramps(self, size: int) -> Ramps:
        """Return the ramps of the next step, on a batch of a size."""
        path, progress = self._position.path, self._position.progress
        weights = self._weighting.class_weights(self._multiplier)
        of_error = self._weighting.error_scale(size) * self.scale
        slope = path.slope(progress) / self._spread
        is_ramp = path.surrogate == "ramp"
        return Ramps(
            threshold=self._threshold,
            slopes=slope / np.maximum(weights, 1e-6) if is_ramp else np.broadcast_to(slope, weights.shape),
            cost=path.weight(progress) * weights * of_error,
            anchor=path.anchor * of_error if path.anchor else None,
            offset=0.5 if is_ramp else 1.0,
            height=path.height(progress),
        )

    def _count(
        self,
        scores: np.ndarray,
        labels: np.ndarray,
        weight: np.ndarray | None,
        ramps: Ramps,
        cell: np.ndarray | None,
    ) -> tuple[np.ndarray, float, np.ndarray]:
        """Return errors, loss and derivatives of a batch; see :func:`array_errors`."""
        sums = None if cell is None else self._weighting.cells.sums
        return array_errors(scores, labels, weight, ramps, cell, sums)

    def _loss_of_large(self, scores: Tensor, labels: Tensor, weight: Tensor | None, ramps: Ramps) -> Tensor:
        """Return the loss of a large batch on the host, where torch is faster than NumPy."""
        own = scores.detach()
        count = partial(
            tensor_errors,
            own,
            labels.to(own.dtype),
            None if weight is None else weight.to(own.dtype),
            threshold=torch.from_numpy(ramps.threshold).to(own.dtype),
            slopes=torch.from_numpy(np.array(ramps.slopes)).to(own.dtype),  # a copy: it may be a view
            cost=torch.from_numpy(ramps.cost).to(own.dtype),
            offset=ramps.offset,
            height=ramps.height,
            anchor=None if ramps.anchor is None else torch.from_numpy(ramps.anchor).to(own.dtype),
        )
        errors, loss, derivatives = count(has_missing=self._has_missing)
        if math.isnan(loss.item()) and not self._has_missing:  # labels of other samples may be missing
            errors, loss, derivatives = count(has_missing=True)
        self._violation = self._weighting.violation(errors.numpy().astype(np.float64), len(scores))
        return with_derivatives(scores, loss, derivatives)
