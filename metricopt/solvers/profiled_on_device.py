"""The profiled solver where its scores lie on an accelerator: its whole state lies there too, and no step waits for it.

This file decides what lies there. It is the twin of :mod:`metricopt.solvers.profiled`, to float tolerance.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from metricopt.problem.tensor_cuts import best_cuts
from metricopt.solvers.base import with_derivatives
from metricopt.solvers.class_weighting import MAX_MULTIPLIER, MULTIPLIER_STEP, ClassWeighting
from metricopt.solvers.paths import Path
from metricopt.solvers.tensor_steps import tensor_errors


class OnDevice:
    """The state of the profiled solver as tensors.

    Parameters
    ----------
    weighting : ClassWeighting
    state : mapping of str to ndarray, shape (L,)
        ``multiplier``, ``threshold``, ``spread`` and ``value``.
    device : torch.device
    """

    def __init__(self, weighting: ClassWeighting, state: Mapping[str, np.ndarray], device: torch.device) -> None:
        self.device, self._objective = device, weighting.objective
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._state = {name: self._there(array) for name, array in state.items()}
        self._alone, self._of_value, self._of_bound = map(self._there, weighting.coefficients())
        self._samples_per_positive = self._there(weighting.samples_per_positive)
        self._num_learnable = weighting.num_learnable
        at_no_error, per_error = weighting.violation_coefficients()
        self._at_no_error, self._per_error = self._there(at_no_error), self._there(per_error)
        self._violation = torch.zeros_like(self._at_no_error)

    def to_host(self) -> dict[str, np.ndarray]:
        """Return the state as arrays, float64; this waits for the device."""
        return {name: tensor.cpu().numpy().astype(np.float64) for name, tensor in self._state.items()}

    @torch.no_grad()
    def loss(
        self, scores: Tensor, labels: Tensor, weight: Tensor | None, path: Path, progress: float, factor: float
    ) -> Tensor:
        """Return the loss of a batch times a factor, as :meth:`metricopt.solvers.profiled.Profiled.loss` does."""
        weights = (self._weights_without_bound + self._state["multiplier"] * self._of_bound).clamp(min=0)
        weights = weights / weights.max(dim=0).values
        scale = self._samples_per_positive * (factor / (len(scores) * self._num_learnable))
        cost = path.weight(progress) * weights * scale
        slope = path.slope(progress) / self._state["spread"]
        offset, slopes = 1.0, slope.expand(2, -1)
        if path.surrogate == "ramp":
            offset, slopes = 0.5, slopes / weights.clamp(min=1e-6)
        errors, loss, derivatives = tensor_errors(
            scores.detach(),
            labels,
            weight,
            threshold=self._state["threshold"].to(scores.dtype),
            slopes=slopes.to(scores.dtype),
            cost=cost.to(scores.dtype),
            offset=offset,
            height=path.height(progress),
            anchor=(path.anchor * scale).to(scores.dtype) if path.anchor else None,
            has_missing=True,  # to know would take a number from the device
        )
        per_positive = self._samples_per_positive / len(scores)
        self._violation = self._at_no_error + (self._per_error * errors).sum(dim=0) * per_positive
        with torch.enable_grad():
            return with_derivatives(scores, loss, derivatives)

    @torch.no_grad()
    def step(self) -> None:
        """Move the multiplier, unless the batch was not finite."""
        without, of_bound = self._weights_without_bound, self._of_bound
        used_up = torch.where(of_bound < 0, -without / of_bound, MAX_MULTIPLIER).min(dim=0).values
        moved = (self._state["multiplier"] + MULTIPLIER_STEP * self._violation).clamp(min=0).minimum(used_up)
        self._state["multiplier"] = torch.where(self._violation.isfinite(), moved, self._state["multiplier"])

    @torch.no_grad()
    def refresh(self, scores: Tensor, labels: Tensor, weight: Tensor | None) -> None:
        """Take the exact threshold, the value and the spread from the latest scores of all samples, (n, L)."""
        threshold, value, is_judged = best_cuts(scores, labels, weight, self._objective)
        found = {"threshold": threshold, "value": value, "spread": _spread_of(scores, weight)}
        for name, now in found.items():
            self._state[name] = torch.where(is_judged, now.to(self._dtype), self._state[name])

    @property
    def _weights_without_bound(self) -> Tensor:
        return self._alone + self._of_value * self._state["value"]

    def _there(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device, self._dtype)


def _spread_of(scores: Tensor, weight: Tensor | None) -> Tensor:
    """Return what :func:`~metricopt.solvers.base.spread_of` returns."""
    exact = scores if scores.device.type == "mps" else scores.double()
    if weight is None:
        spread, size = exact.std(dim=0, correction=0), exact.abs().amax(dim=0)
    else:
        total = weight.sum(dim=0)
        fraction = torch.where(total > 0, weight / total, 0).to(exact.dtype)
        from_mean = exact - (fraction * exact).sum(dim=0)
        spread = (fraction * from_mean**2).sum(dim=0).sqrt()
        size = (exact * (fraction > 0)).abs().amax(dim=0)
    return torch.where(spread > 1e-6 * size, spread, 1.0)
