r"""The default solver: slacks eliminated in closed form, the threshold solved exactly, a multiplier for the bound.

Each sample's slack is minimised away, which leaves a ramp (:mod:`metricopt.reformulation`), so there is no state per
sample and a step costs O(batch). The program becomes

.. math::
    \min_\theta \; w_+ \sum_{i \in P} r(u_i) + w_- \sum_{i \in N} r(-u_i), \qquad u_i = \frac{f_\theta(x_i) - t}{\sigma}

with :math:`r` the soft error and the class weights :math:`w_\pm` of the objective at the current multiplier
:math:`\mu` and value :math:`\tau`. Threshold t, spread :math:`\sigma` and :math:`\tau` are refreshed from the latest
scores of the whole training set; :math:`\mu` follows the batch's own violation after every step,

.. math:: \mu \leftarrow \bigl[\mu + \eta \, v(r)\bigr]_0^{\mu_{\max}}.

The ramps narrow while training goes on, from "every sample pulls" to the exact count of errors. One such path can end
in a poor local optimum, so several run one after the other from the warm start, and shorter ones from the best model
found; the training loop keeps the best by the exact metric.

Differs from the paper (Peng et al. 2025), which keeps every slack as a variable under a penalty: see
:mod:`metricopt.solvers` for the solvers that do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from metricopt._validation import reject
from metricopt.metrics import Counts
from metricopt.objectives import CountObjective, Objective
from metricopt.reformulation import class_errors
from metricopt.solvers.base import Solver, Stage
from metricopt.thresholds import choose_threshold

MULTIPLIER_STEP = 0.05
MAX_MULTIPLIER = 1000.0
MIN_EPOCHS_A_STAGE = 4
"""Fewer epochs are too few for a path to narrow its ramps: short trainings run fewer paths."""


@dataclass(frozen=True)
class Path:
    """How one path narrows its ramps; steepness and cap change geometrically.

    Attributes
    ----------
    surrogate : "hinge" or "ramp"
        :func:`~metricopt.reformulation.hinge_to_ramp` or :func:`~metricopt.reformulation.eliminated_penalty`.
    steepness, cap : (first, last)
    multiplier : float
        Where the multiplier starts: a large one asks for the bound first and for the objective later.
    start : "warm" or "best"
    share : int
        Its part of the epochs, relative to the other paths'.
    """

    surrogate: Literal["hinge", "ramp"]
    steepness: tuple[float, float]
    multiplier: float
    cap: tuple[float, float] = (20.0, 1.0)
    start: Literal["warm", "best"] = "warm"
    share: int = 4


# In the order in which short trainings take them. No single path is best on all problems: a wide hinge finds far
# optima, a strict start finds bounds that the warm model misses by far, narrow ramps polish.
PATHS = {
    "ramp": Path("ramp", (0.5, 16.0), multiplier=1.0),
    "strict hinge": Path("hinge", (1.2, 8.0), multiplier=20.0),
    "hinge": Path("hinge", (1.0, 8.0), multiplier=1.0),
    "wide hinge": Path("hinge", (0.3, 8.0), multiplier=5.0),
    "polish": Path("ramp", (4.0, 32.0), multiplier=1.0, start="best", share=3),
    "wide polish": Path("ramp", (1.0, 16.0), multiplier=1.0, start="best", share=3),
}


class Profiled(Solver):
    """Slack eliminated, threshold exact, multiplier for the bound; see the module's text. Chooses its own schedule."""

    name = "profiled"

    def prepare(self, objective: Objective, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        if not isinstance(objective, CountObjective):
            reject("objective", "one with counts at a threshold", objective.name, "choose another solver for it")
        self._objective = objective
        weight = np.ones_like(labels) if sample_weight is None else sample_weight
        positives, negatives = (
            torch.from_numpy(np.where(labels == truth, weight, 0).sum(axis=0)).float() for truth in (1, 0)
        )
        # A label without positives or negatives has nothing to learn from: its errors weigh nothing.
        learnable = (positives > 0) & (negatives > 0)
        self._samples_per_positive = torch.where(learnable, len(labels) / positives, 0)
        self._num_learnable = max(int(learnable.sum()), 1)
        self._multiplier, self._threshold, self._value = torch.zeros(3, labels.shape[1])
        self._spread = torch.ones(labels.shape[1])
        self._path, self._step, self._num_steps = PATHS["ramp"], 0, 1
        self._set_violation_of_errors(positives, negatives)
        self._set_class_weights()

    def stages(self, epochs: int) -> Sequence[Stage]:
        chosen = list(PATHS.items())[: max(1, epochs // MIN_EPOCHS_A_STAGE)]
        ends = np.cumsum([path.share for _, path in chosen])
        lengths = np.diff(np.round(ends * epochs / ends[-1]).astype(int), prepend=0)
        return [Stage(name, int(length), path.start) for (name, path), length in zip(chosen, lengths, strict=True)]

    def start(self, stage: Stage, num_steps: int) -> None:
        self._path, self._step, self._num_steps = PATHS[stage.name], 0, num_steps
        self._multiplier = torch.full_like(self._multiplier, self._path.multiplier).minimum(0.9 * self._most)

    def refresh(self, scores: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        choice = choose_threshold(scores, labels, self._objective, sample_weight)
        self._threshold = self._threshold.new_tensor(np.nan_to_num(choice.threshold))
        self._value = self._value.new_tensor(np.nan_to_num(choice.value))
        self._spread = self._spread.new_tensor(scores.std(axis=0) + 1e-12)
        self._set_class_weights()

    def loss(self, scores: Tensor, labels: Tensor, weight: Tensor | None = None, index: Tensor | None = None) -> Tensor:
        self._move_to(scores.device)
        weights = (self._weights_without_bound + self._multiplier * self._weights_of_bound).clamp(min=0)
        weights = weights / weights.amax(dim=0)  # to a maximum of 1: the steepness then means the same everywhere
        offset, slopes, height = self._ramp(weights)
        u = (scores - self._threshold) / self._spread
        errors = class_errors(u, labels, weight, offset=offset, slopes=slopes, height=height)
        errors = errors * (self._samples_per_positive / len(scores))  # per positive that a batch is expected to hold
        self._violation = self._violation_at_no_error + (self._violation_per_error * errors.detach()).sum(dim=0)
        return (weights * errors).sum() / self._num_learnable

    def step(self) -> None:
        self._multiplier = (self._multiplier + MULTIPLIER_STEP * self._violation).clamp(min=0).minimum(self._most)
        self._step += 1

    def multiplier(self) -> np.ndarray | None:
        return None if self._objective.bounded is None else self._multiplier.cpu().numpy().astype(np.float64)

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, "_" + name) for name in ("multiplier", "threshold", "spread", "value", "step")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, "_" + name, value)
        self._set_class_weights()

    def _set_class_weights(self) -> None:
        """Store the weights of (negatives, positives), linear in the multiplier, as coefficients of shape (2, L)."""
        without, with_one = (
            torch.stack(self._objective.class_weights(torch.full_like(self._value, multiplier), self._value)[::-1])
            for multiplier in (0.0, 1.0)
        )
        self._weights_without_bound, self._weights_of_bound = without, with_one - without
        # Where a class would lose all its weight (an alarm budget's positives), the multiplier has gone too far.
        used_up = torch.where(self._weights_of_bound < 0, -without / self._weights_of_bound, torch.inf)
        self._most = used_up.amin(dim=0).clamp(max=MAX_MULTIPLIER)

    def _set_violation_of_errors(self, positives: Tensor, negatives: Tensor) -> None:
        """Store the bound's violation, linear in the errors of (negatives, positives) per positive, as coefficients."""
        none = torch.zeros_like(positives)
        perfect = self._objective.violation(Counts(positives, none, none, negatives))
        all_alarms = self._objective.violation(Counts(positives, negatives, none, none))
        no_alarms = self._objective.violation(Counts(none, none, positives, negatives))
        per_error = torch.stack([(all_alarms - perfect) * positives / negatives, no_alarms - perfect])
        self._violation_at_no_error, self._violation_per_error = perfect.nan_to_num(), per_error.nan_to_num()

    def _ramp(self, weights: Tensor) -> tuple[float, Tensor, float]:
        """Return offset, slopes by class and height of the ramps at this point of the path."""
        progress = min(self._step / max(self._num_steps - 1, 1), 1.0)
        steepness = _between(self._path.steepness, progress)
        if self._path.surrogate == "ramp":
            return 0.5, steepness / weights.clamp(min=1e-6), 1.0
        return 1.0, torch.full_like(weights, steepness), _between(self._path.cap, progress)

    def _move_to(self, device: torch.device) -> None:
        if self._multiplier.device != device:
            for name, value in vars(self).items():
                if isinstance(value, Tensor):
                    setattr(self, name, value.to(device))


def _between(ends: tuple[float, float], progress: float) -> float:
    """Interpolate geometrically."""
    first, last = ends
    return first * (last / first) ** progress
