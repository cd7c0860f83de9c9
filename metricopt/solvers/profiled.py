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

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricopt._validation import check_choice, reject
from metricopt.evidence.thresholds import choose_threshold
from metricopt.problem.objectives import CountObjective, Objective
from metricopt.solvers.base import Solver, Stage, spread_of, with_derivatives
from metricopt.solvers.paths import LINEAR_PATHS, NETWORK_PATHS, PATHS, Position, stages_of
from metricopt.solvers.program import MULTIPLIER_STEP, Program
from metricopt.solvers.reformulation import class_errors

_MOVING = ("multiplier", "threshold", "spread", "value")


class Profiled(Solver):
    """Slack eliminated, threshold exact, multiplier for the bound; see the module's text. Chooses its own schedule.

    Parameters
    ----------
    path : str, optional
        The one path to take, by its name in ``metricopt.solvers.paths.PATHS``; by default several.
    """

    name = "profiled"
    is_columnwise = True
    _path: str | None = None

    def __init__(self, path: str | None = None) -> None:
        if path is not None:
            check_choice("path", path, PATHS)
        self._path = path

    def __repr__(self) -> str:
        return self.name if self._path is None else f"{self.name}(path={self._path!r})"

    def prepare(self, objective: Objective, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        if not isinstance(objective, CountObjective):
            reject("objective", "one with counts at a threshold", objective.name, "choose another solver for it")
        self._program = Program(objective, labels, sample_weight)
        self._multiplier, self._threshold, self._value = np.zeros((3, labels.shape[1]))
        self._spread = np.ones(labels.shape[1])
        self._position = Position()

    def stages(self, epochs: int, is_linear: bool = True) -> Sequence[Stage]:
        several = LINEAR_PATHS if is_linear else NETWORK_PATHS
        return stages_of(epochs, several if self._path is None else {self._path: PATHS[self._path]})

    def start(self, stage: Stage, num_steps: int) -> None:
        self._position = Position(stage.name, num_steps)
        self._multiplier = np.minimum(self._position.path.multiplier, 0.9 * self._program.most)

    def refresh(self, scores: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        choice = choose_threshold(scores, labels, self._program.objective, sample_weight=sample_weight)
        self._threshold, self._value = np.nan_to_num(choice.threshold), np.nan_to_num(choice.value)
        self._spread = spread_of(scores, sample_weight)
        self._program.set_value(self._value)

    def loss(self, scores: Tensor, labels: Tensor, weight: Tensor | None = None, index: Tensor | None = None) -> Tensor:
        class_weights = self._program.class_weights(self._multiplier)
        of_error = self._program.share(len(scores))
        path, progress = self._position.path, self._position.progress
        share = path.weight(progress) * class_weights * of_error
        own, truth = scores.detach().cpu().numpy(), labels.cpu().numpy()
        own_weight = None if weight is None else weight.cpu().numpy()
        errors, derivatives = self._soft_errors(own, truth, own_weight, class_weights, share)
        self._violation = self._program.violation(errors, len(scores))
        loss = float((share * errors).sum())
        anchor = path.anchor
        if anchor:
            cross_entropy, residuals = _cross_entropy(own, truth, own_weight)
            loss += float((anchor * of_error * cross_entropy).sum())
            derivatives = derivatives + anchor * of_error * residuals
        return with_derivatives(scores, loss, derivatives)

    def step(self) -> None:
        self._multiplier = np.clip(self._multiplier + MULTIPLIER_STEP * self._violation, 0, self._program.most)
        self._position.advance()

    def multiplier(self) -> np.ndarray | None:
        return None if self._program.objective.bounded is None else self._multiplier.copy()

    def state_dict(self) -> dict[str, Any]:
        arrays = {name: torch.from_numpy(getattr(self, "_" + name).copy()) for name in _MOVING}
        return {**arrays, **self._position.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._position = Position.from_state(state)
        for name in _MOVING:
            setattr(self, "_" + name, state[name].numpy().copy())
        self._program.set_value(self._value)

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
        path, progress = self._position.path, self._position.progress
        slope = path.slope(progress) / self._spread
        offset, slopes = 1.0, np.array([slope, slope])
        if path.surrogate == "ramp":
            offset, slopes = 0.5, slopes / np.maximum(class_weights, 1e-6)
        return class_errors(
            scores - self._threshold,
            labels,
            weight,
            offset=offset,
            slopes=slopes,
            height=path.height(progress),
            class_weights=share,
        )


def _cross_entropy(scores: np.ndarray, labels: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return each sample's cross-entropy and its derivative in the score, 0 where the label is missing."""
    is_positive, small = labels == 1, np.exp(-np.abs(scores))
    losses = np.maximum(np.where(is_positive, -scores, scores), 0) + np.log1p(small)
    residuals = np.where(scores > 0, 1, small) / (1 + small) - is_positive
    held = np.where(labels == labels, 1.0 if weight is None else weight, 0.0).astype(losses.dtype)
    # Not a product with 0 alone, which an infinite loss would turn into NaN.
    return np.where(held > 0, losses, 0) * held, residuals * held
