r"""What all solvers with explicit slacks have in common: the slack step, the link to the scores, and the schedule.

The program of the paper, over weights :math:`\theta`, threshold t and slacks s:

.. math::
    \min_{\theta, t, s} \; w_+ \sum_{i \in P} (1 - s_i) + w_- \sum_{i \in N} s_i
    \quad \text{s.t.} \quad g(s_i, u_i \mp m) = 0, \qquad u_i = \frac{f_\theta(x_i) - t}{\sigma}

with the class weights of the objective at the multiplier of its bound (:mod:`metricopt.solvers.class_weighting`) and
the link g of :mod:`metricopt.solvers.reformulation`. In inequality form the links read g <= 0 on positives and g >= 0
on negatives. The margin m, centred or wide as the path has it, keeps ties from passing for right answers.

For average precision the slacks are those of pairs (:mod:`metricopt.solvers.pair_slack`), on the same paths.

Each batch: the slacks of its samples are minimised exactly, given scores and multipliers; the links' part of the loss
is differentiated in the scores; and what ties the links (penalties, multipliers) moves on. The threshold t is solved
exactly at every refresh. What the links cost is all that the solvers differ in. The loss in a training's
history is the fraction of wrong answers by slacks, without what the links cost, on the scale of cross-entropy.

Differs from the paper: the threshold is not a variable of the gradient steps, and the slack step is exact unless asked
otherwise.

References
----------
L. Peng, Y. Travadi, C. He, Y. Cui, J. Sun (2025). Exact reformulation and optimization for direct metric optimization
in binary imbalanced classification.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from metricopt._validation import check_choice, reject
from metricopt.problem.objectives import OAP, CountObjective, Objective
from metricopt.solvers.agreement import SlackAgreement
from metricopt.solvers.base import Stage, with_derivatives
from metricopt.solvers.pair_slack import PairSlacks
from metricopt.solvers.paths import PathSolver, Position
from metricopt.solvers.reformulation import closed_form_slack, link
from metricopt.solvers.slack import SampleSlacks, Slacks

SLACK_STEP = 0.1
ANCHOR = 0.1


class ExplicitSlack(PathSolver):
    """A solver with one slack a sample and label (a pair of samples for average precision); see the module's text.

    Parameters
    ----------
    terms : "exact", "anchor" or "both"
        The terms that tie a slack to its score: the link g, cross-entropy between them, or both. The cross-entropy to
        the labels that the first path keeps is apart from these.
    links : "inequality" or "equality"
        The form of the links. Inequality is enough, since every metric is monotone in the slacks, and its multipliers
        stay >= 0; in equality form a late step can overshoot, and a negative multiplier pushes a wrong sample further
        wrong.
    slack_step : "exact" or "gradient"
        Whether the slacks are minimised in closed form, or moved by a projected gradient step as the published method
        does.
    path : str, optional
        The name of the one path to take, from ``metricopt.solvers.paths.PATHS``; by default there are several.
    """

    needs_index = True

    def __init__(
        self,
        terms: Literal["exact", "anchor", "both"] = "exact",
        links: Literal["inequality", "equality"] = "inequality",
        slack_step: Literal["exact", "gradient"] = "exact",
        path: str | None = None,
    ) -> None:
        check_choice("terms", terms, ("exact", "anchor", "both"))
        check_choice("links", links, ("inequality", "equality"))
        check_choice("slack_step", slack_step, ("exact", "gradient"))
        super().__init__(path)
        self._terms, self._form, self._slack_step = terms, links, slack_step

    def __repr__(self) -> str:
        path = "" if self._path is None else f", path={self._path!r}"
        return f"{self.name}(terms={self._terms!r}, links={self._form!r}, slack_step={self._slack_step!r}{path})"

    def prepare(self, objective: Objective, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        if isinstance(objective, CountObjective):
            self._slacks: Slacks = SampleSlacks(objective, labels, sample_weight, self.subgroups)
        elif isinstance(objective, OAP):
            self._slacks = PairSlacks(labels, sample_weight)
        else:
            reject("objective", "average precision or one with counts", objective.name, "choose another solver for it")
        self._position, self._is_new = Position(), True
        self._restart_links(np.zeros_like(self._slacks.max_multiplier), num_visits=1)

    def start(self, stage: Stage, num_steps: int) -> None:
        self._position, self._is_new = Position(stage.name, num_steps), True
        multiplier = np.minimum(self._position.path.multiplier, 0.9 * self._slacks.max_multiplier)
        self._restart_links(multiplier, num_visits=stage.epochs)

    def refresh(self, scores: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        self._slacks.refresh(scores, labels, sample_weight)
        if self._is_new:
            self._slacks.restart(scores, sample_weight)
            self._is_new = False

    def loss(self, scores: Tensor, labels: Tensor, weight: Tensor | None = None, index: Tensor | None = None) -> Tensor:
        if index is None:
            reject("index", f"given for {self.name}", None, "pass the row of each sample")
        own, truth = scores.detach().cpu().numpy(), labels.cpu().numpy()
        own_weight = None if weight is None else weight.cpu().numpy()
        items = self._slacks.items(own, truth, own_weight, index.cpu().numpy(), self._bound_multiplier())
        flat, loss_weight = torch.from_numpy(items.flat), torch.from_numpy(items.loss_weight)
        # In the items' own coordinates autograd has few operations to trace; the way back to the scores is known.
        logit = torch.from_numpy(items.u).requires_grad_()
        distance = logit - self._margin
        if self._slack_step == "exact":
            gain = 1 + self._anchor * items.u
            right = closed_form_slack(distance.detach().numpy(), gain=gain, **self._link_terms(items.flat))
        else:
            slack = self._slacks.values[items.flat]
            right = np.where(items.is_positive, slack, 1 - slack)
        counted = torch.from_numpy(right.astype(np.float32)).requires_grad_(self._slack_step == "gradient")

        cost = (1 - counted).sum()
        if self._terms != "anchor":
            cost = cost + self._link_cost(link(counted, distance), flat)
        if self._anchor:
            cost = cost + self._anchor * (softplus(logit) - counted * logit).sum()
        path, progress = self._position.path, self._position.progress
        if path.anchor:
            cost = path.weight(progress) * cost + path.anchor * softplus(-logit).sum()
        cost.backward()

        if self._slack_step == "gradient":
            assert counted.grad is not None
            right = np.clip(right - SLACK_STEP * counted.grad.numpy(), 0, 1)
        self._slacks.store(items, right, own_weight)
        assert logit.grad is not None
        in_scores = self._slacks.to_scores(items, (logit.grad * loss_weight).numpy(), own.shape)
        return with_derivatives(scores, float((1 - right) @ items.loss_weight), in_scores)

    def step(self) -> None:
        self._move_links()
        self._position.advance()

    def multiplier(self) -> np.ndarray | None:
        return self._bound_multiplier().copy() if self._slacks.has_bound else None

    def slacks(self) -> np.ndarray:
        return self._slacks.values.copy()

    def compare(
        self,
        slack: np.ndarray | None,
        scores: np.ndarray,
        labels: np.ndarray,
        sample_weight: np.ndarray | None,
        label_names: Sequence[str],
    ) -> tuple[SlackAgreement, ...]:
        return self._slacks.compare(slack, scores, labels, sample_weight, label_names)

    def state_dict(self) -> dict[str, Any]:
        return {"slacks": self._slacks.state_dict(), "position": self._position.state_dict(), "is_new": self._is_new}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._slacks.load_state_dict(state["slacks"])
        self._position, self._is_new = Position.from_state(state["position"]), state["is_new"]

    @abstractmethod
    def _restart_links(self, bound_multiplier: np.ndarray, num_visits: int) -> None:
        """Set penalties and multipliers to where a path starts that visits each sample ``num_visits`` times."""

    @abstractmethod
    def _bound_multiplier(self) -> np.ndarray:
        """Return the multiplier of the bound, shape (L,), or of each of K bounds, shape (K, L)."""

    @abstractmethod
    def _link_terms(self, flat: np.ndarray) -> dict[str, Any]:
        """Return the arguments of :func:`~.reformulation.closed_form_slack` for the links at ``flat`` (K,)."""

    @abstractmethod
    def _link_cost(self, violation: Tensor, flat: Tensor) -> Tensor:
        """Return what the links at ``flat`` (K,) cost in a batch, given their violations (K,)."""

    @abstractmethod
    def _move_links(self) -> None:
        """Move penalties and multipliers, after a batch."""

    @property
    def _strength(self) -> float:
        return self._position.path.strength(self._position.progress)

    @property
    def _margin(self) -> float:
        return self._position.path.margin(self._position.progress)

    @property
    def _anchor(self) -> float:
        return {"exact": 0.0, "anchor": 1.0, "both": ANCHOR}[self._terms] * self._strength
