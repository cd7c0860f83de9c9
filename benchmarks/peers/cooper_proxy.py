r"""cooper with a sigmoid proxy: the usual way to train under a bound on a rate that has no gradient.

Called as cooper's users do (proxy constraints, after Cotter et al.): with :math:`\widetilde{TP} = \sum_P \sigma(z_i)`,
:math:`\widetilde{FP} = \sum_N \sigma(z_i)` over the batch, the model's step descends the Lagrangian of the relaxed
program

.. math:: \min_\theta \; -\widetilde{m}(\theta) + \mu \, \widetilde{v}(\theta)

where m is the metric to maximise, v how far the bound is missed, per positive expected in a batch. The multiplier
ascends the true violation, from the exact counts of the batch (cooper's ``strict_violation``), with alarms where
:math:`z \ge 0`:

.. math:: \mu \leftarrow [\mu + \eta \, v(\theta)]_+

by SGD, at the same time as the model (cooper's ``SimultaneousOptimizer``, whose two halves are :meth:`loss` and
:meth:`step` here). Warm-up, threshold and selection are those of all solvers of :func:`metricopt.fit`.

References
----------
J. Gallego-Posada, J. Ramirez, M. Hashemizadeh, S. Lacoste-Julien (2025). Cooper: a library for constrained optimization
in deep learning. A. Cotter, H. Jiang, M. Gupta, S. Wang, T. Narayan, S. You, K. Sridharan (2019). Optimization with
non-differentiable constraints with applications to fairness, recall, churn, and other goals. JMLR.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricopt._validation import check_positive, reject
from metricopt.problem.objectives import CountObjective, Objective
from metricopt.problem.ratios import Counts
from metricopt.solvers import Solver, Stage


def missing() -> list[str]:
    """Return the packages that this peer wants and that are not installed."""
    return [] if find_spec("cooper") else ["cooper-optim"]


class CooperProxy(Solver):
    """The relaxed objective under a relaxed bound whose multiplier hears of exact counts; see the module's text.

    Parameters
    ----------
    dual_learning_rate : float, > 0
        The step of the multiplier.
    """

    name = "cooper, sigmoid proxy"

    def __init__(self, dual_learning_rate: float = 0.01) -> None:
        check_positive("dual_learning_rate", dual_learning_rate)
        self._dual_learning_rate = float(dual_learning_rate)

    def __repr__(self) -> str:
        return f"{self.name} {self._dual_learning_rate:g}"

    def prepare(self, objective: Objective, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        if not isinstance(objective, CountObjective) or objective.bounded is None:
            reject("objective", "one with a bound", repr(objective), "take e.g. FPOR(min_precision=0.9)")
        self._objective = objective
        weight = np.where(np.isnan(labels), 0.0, 1.0 if sample_weight is None else sample_weight)
        positives = np.where(labels == 1, weight, 0.0).sum(axis=0)
        self._positives_a_row = torch.from_numpy(positives / len(labels)).float()
        self._make_problem(torch.zeros(labels.shape[1]))

    def _make_problem(self, multiplier: Tensor) -> None:
        import cooper

        self._multiplier = cooper.multipliers.DenseMultiplier(init=multiplier)
        self._constraint = cooper.Constraint(
            constraint_type=cooper.ConstraintType.INEQUALITY,
            formulation_type=cooper.formulations.Lagrangian,
            multiplier=self._multiplier,
        )
        self._ascent = torch.optim.SGD(self._multiplier.parameters(), lr=self._dual_learning_rate, maximize=True)

    def stages(self, epochs: int, is_linear: bool = True) -> Sequence[Stage]:
        return [Stage("training", epochs)]

    def loss(self, scores: Tensor, labels: Tensor, weight: Tensor | None = None, index: Tensor | None = None) -> Tensor:
        import cooper

        scores = scores.float()
        weight = torch.ones_like(scores) if weight is None else weight
        relaxed = _counts(scores.sigmoid(), labels, weight)
        exact = _counts((scores.detach() >= 0).float(), labels, weight)
        maximised = self._objective.maximised
        # Clamped, for a batch without positives: its recall is 0 and has no gradient.
        metric = maximised.numerator(relaxed) / maximised.denominator(relaxed).clamp(min=1e-12)
        self._state = cooper.CMPState(
            loss=-metric.mean(),
            observed_constraints={
                self._constraint: cooper.ConstraintState(
                    violation=self._violation(relaxed, len(scores)),
                    strict_violation=self._violation(exact, len(scores)),
                )
            },
        )
        lagrangian = self._state.compute_primal_lagrangian().lagrangian
        assert lagrangian is not None
        return lagrangian

    def step(self) -> None:
        self._ascent.zero_grad()
        self._state.compute_dual_lagrangian().backward()
        self._ascent.step()
        self._multiplier.post_step_()

    def multiplier(self) -> np.ndarray:
        weight: np.ndarray = self._multiplier.weight.detach().numpy().copy()
        return weight

    def state_dict(self) -> dict[str, Any]:
        return {"multiplier": self._multiplier.weight.detach().clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._make_problem(state["multiplier"].clone())

    def _violation(self, counts: Counts, num_rows: int) -> Tensor:
        excess = self._objective.excess(self._positives_a_row)
        assert excess is not None
        missed: Tensor = excess(counts) / (num_rows * self._positives_a_row).clamp(min=1e-12)
        return missed


def _counts(alarms: Tensor, labels: Tensor, weight: Tensor) -> Counts:
    """Return counts (L,) of alarms between 0 and 1, in a batch (B, L)."""
    positive, negative = ((labels == truth) * weight for truth in (1, 0))
    return Counts(
        true_positives=(positive * alarms).sum(dim=0),
        false_positives=(negative * alarms).sum(dim=0),
        false_negatives=(positive * (1 - alarms)).sum(dim=0),
        true_negatives=(negative * (1 - alarms)).sum(dim=0),
    )
