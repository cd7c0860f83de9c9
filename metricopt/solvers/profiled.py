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

Differs from the paper (Peng et al. 2025), which keeps every slack as a variable under a penalty.
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
from metricopt.solvers.base import Solver, Stage, between, share_out, spread_of, with_derivatives
from metricopt.thresholds import choose_threshold

MULTIPLIER_STEP = 0.05
MAX_MULTIPLIER = 1000.0

_MOVING = ("multiplier", "threshold", "spread", "value")


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
    anchor : float
        The weight of cross-entropy, per positive, that is kept beside the ramps.
    """

    surrogate: Literal["hinge", "ramp"]
    steepness: tuple[float, float]
    multiplier: float
    cap: tuple[float, float] = (20.0, 1.0)
    start: Literal["warm", "best"] = "warm"
    share: int = 4
    anchor: float = 0.0


# In the order in which short trainings take them. No single path is best on all problems: a wide hinge finds far
# optima, a strict start finds bounds that the warm model misses by far, narrow ramps polish, and networks that fit the
# training data exactly go on learning from an anchor of cross-entropy, where the ramps are flat.
PATHS = {
    "anchored ramp": Path("ramp", (0.5, 16.0), multiplier=1.0, anchor=0.1),
    "ramp": Path("ramp", (0.5, 16.0), multiplier=1.0),
    "strict hinge": Path("hinge", (1.2, 8.0), multiplier=20.0),
    "hinge": Path("hinge", (2.0, 16.0), multiplier=1.0, cap=(10.0, 1.0)),
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
        positives, negatives = (np.where(labels == truth, weight, 0).sum(axis=0, dtype=np.float64) for truth in (1, 0))
        # A label without positives or negatives has nothing to learn from: its errors weigh nothing.
        learnable = (positives > 0) & (negatives > 0)
        self._samples_per_positive = np.divide(len(labels), positives, out=np.zeros_like(positives), where=learnable)
        self._num_learnable = max(int(learnable.sum()), 1)
        self._multiplier, self._threshold, self._value = np.zeros((3, labels.shape[1]))
        self._spread = np.ones(labels.shape[1])
        self._path_name, self._step, self._num_steps = next(iter(PATHS)), 0, 1
        self._set_violation_of_errors(positives, negatives)
        self._set_class_weights()

    def stages(self, epochs: int) -> Sequence[Stage]:
        lengths = share_out(epochs, [path.share for path in PATHS.values()])
        return [Stage(name, length, path.start) for (name, path), length in zip(PATHS.items(), lengths, strict=False)]

    def start(self, stage: Stage, num_steps: int) -> None:
        self._path_name, self._step, self._num_steps = stage.name, 0, num_steps
        self._multiplier = np.minimum(self._path.multiplier, 0.9 * self._most)

    def refresh(self, scores: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        choice = choose_threshold(scores, labels, self._objective, sample_weight)
        self._threshold, self._value = np.nan_to_num(choice.threshold), np.nan_to_num(choice.value)
        self._spread = spread_of(scores)
        self._set_class_weights()

    def loss(self, scores: Tensor, labels: Tensor, weight: Tensor | None = None, index: Tensor | None = None) -> Tensor:
        class_weights = np.maximum(self._weights_without_bound + self._multiplier * self._weights_of_bound, 0)
        class_weights /= class_weights.max(axis=0)  # so that a steepness means the same everywhere
        per_positive = self._samples_per_positive / len(scores)  # one over the positives that a batch should hold
        share = class_weights * (per_positive / self._num_learnable)
        own, truth = scores.detach().cpu().numpy(), labels.cpu().numpy()
        own_weight = None if weight is None else weight.cpu().numpy()
        errors, derivatives = self._soft_errors(own, truth, own_weight, class_weights, share)
        self._violation = self._violation_at_no_error + (self._violation_per_error * errors).sum(axis=0) * per_positive
        loss = float((share * errors).sum())
        if self._path.anchor:
            weight_of_sample = self._path.anchor * per_positive / self._num_learnable
            cross_entropy, residuals = _cross_entropy(own, truth, own_weight)
            loss += float((weight_of_sample * cross_entropy).sum())
            derivatives = derivatives + weight_of_sample * residuals
        return with_derivatives(scores, loss, derivatives)

    def step(self) -> None:
        self._multiplier = np.clip(self._multiplier + MULTIPLIER_STEP * self._violation, 0, self._most)
        self._step += 1

    def multiplier(self) -> np.ndarray | None:
        return None if self._objective.bounded is None else self._multiplier.copy()

    def state_dict(self) -> dict[str, Any]:
        arrays = {name: torch.from_numpy(getattr(self, "_" + name).copy()) for name in _MOVING}
        return {**arrays, "path": self._path_name, "step": self._step, "num_steps": self._num_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._path_name, self._step, self._num_steps = state["path"], state["step"], state["num_steps"]
        for name in _MOVING:
            setattr(self, "_" + name, state[name].numpy().copy())
        self._set_class_weights()

    def _set_class_weights(self) -> None:
        """Store the weights of (negatives, positives), linear in the multiplier, as coefficients of shape (2, L)."""
        none = np.zeros_like(self._value)
        without, with_one = (
            np.stack(self._objective.class_weights(none + multiplier, self._value)[::-1]) for multiplier in (0, 1)
        )
        self._weights_without_bound, self._weights_of_bound = without, with_one - without
        # Where a class would lose all its weight (an alarm budget's positives), the multiplier has gone too far.
        falls = self._weights_of_bound < 0
        used_up = np.divide(-without, self._weights_of_bound, out=np.full_like(without, MAX_MULTIPLIER), where=falls)
        self._most = used_up.min(axis=0)

    def _set_violation_of_errors(self, positives: np.ndarray, negatives: np.ndarray) -> None:
        """Store the bound's violation, linear in the errors of (negatives, positives) per positive, as coefficients."""
        none = np.zeros_like(positives)
        perfect = self._objective.violation(Counts(positives, none, none, negatives))
        all_alarms = self._objective.violation(Counts(positives, negatives, none, none))
        no_alarms = self._objective.violation(Counts(none, none, positives, negatives))
        with np.errstate(invalid="ignore", divide="ignore"):  # labels without negatives
            per_error = np.stack([(all_alarms - perfect) * positives / negatives, no_alarms - perfect])
        self._violation_at_no_error = np.nan_to_num(perfect)
        self._violation_per_error = np.nan_to_num(per_error, posinf=0, neginf=0)

    def _soft_errors(
        self,
        scores: np.ndarray,
        labels: np.ndarray,
        weight: np.ndarray | None,
        class_weights: np.ndarray,
        share: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the soft errors of (negatives, positives) and the derivatives of their sum, in shares, by score.

        Parameters
        ----------
        scores, labels, weight : ndarray, shape (B, L)
        class_weights, share : ndarray, shape (2, L)
            What an error weighs against one of the other class, and in the loss.
        """
        slopes = between(self._path.steepness, self._progress) / self._spread
        offset, height, slopes = 1.0, between(self._path.cap, self._progress), np.stack([slopes, slopes])
        if self._path.surrogate == "ramp":
            offset, height, slopes = 0.5, 1.0, slopes / np.maximum(class_weights, 1e-6)
        return class_errors(
            scores - self._threshold,
            labels,
            weight,
            offset=offset,
            slopes=slopes,
            height=height,
            class_weights=share,
        )

    @property
    def _path(self) -> Path:
        return PATHS[self._path_name]

    @property
    def _progress(self) -> float:
        """How far along its path training is, from 0 to 1."""
        return min(self._step / max(self._num_steps - 1, 1), 1.0)


def _cross_entropy(scores: np.ndarray, labels: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return each sample's cross-entropy and its derivative in the score, 0 where the label is missing."""
    is_positive, small = labels == 1, np.exp(-np.abs(scores))
    losses = np.maximum(np.where(is_positive, -scores, scores), 0) + np.log1p(small)
    residuals = np.where(scores > 0, 1, small) / (1 + small) - is_positive
    held = np.where(labels == labels, 1.0 if weight is None else weight, 0.0).astype(losses.dtype)
    # Not a product with 0 alone, which an infinite loss would turn into NaN.
    return np.where(held > 0, losses, 0) * held, residuals * held
