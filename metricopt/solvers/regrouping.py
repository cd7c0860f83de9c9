r"""Regrouping: the negatives are divided into groups about as large as the positives, which are told apart as classes.

Of K + 1 classes, one of positives and K of negatives, none is rare. Training minimises the softmax cross-entropy

.. math::
    -\frac1B \sum_{i \in P} \log \sigma(s_i) - \frac1B \sum_{i \in N} \bigl[ \log \sigma(-s_i)
    + \log \frac{e^{z_{i, g(i)}}}{\sum_k e^{z_{i k}}} \bigr]

of a :class:`~metricopt.solvers.grouped_head.GroupedHead`: plain cross-entropy of its score s, and for each negative
that of its group g among the others. The groups are clusters of the features that the network has learnt so far. They
are made anew every few epochs, and matched to those before by the rows that they share, so that a logit keeps its
meaning. K is the number of negatives for each positive, at least 2, and at most what the head has.

The construction is ours, after the abstract of Peng et al. (2022): split the majority class into small classes so that
the task becomes a balanced one. Algorithm and code are not public. On rare digits it finds less than plain
cross-entropy does (``python -m benchmarks regrouping``).

References
----------
L. Peng, Y. Travadi, R. Zhang, Y. Cui, J. Sun (2022). Imbalanced classification in medical imaging via regrouping.
arXiv 2210.12234.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy as softmax_cross_entropy

from metricopt._validation import Faults, reject
from metricopt.losses.cross_entropy import cross_entropy
from metricopt.problem.objectives import Objective
from metricopt.solvers.base import Solver, Stage
from metricopt.solvers.clusters import balanced_clusters, matched
from metricopt.solvers.grouped_head import GroupedHead

MAX_KEPT_FEATURES = 64
"""Features are kept for every row. More than these are projected at random, which keeps distances roughly."""


class Regrouping(Solver):
    """Train on groups of the negatives; see the module's text. Select, threshold and report as with any other solver.

    Parameters
    ----------
    network : Module
        The network that is trained. Its last layer is a :class:`~metricopt.solvers.grouped_head.GroupedHead`.
    every : int, >= 1
        After how many epochs the groups are made anew.

    Raises
    ------
    InvalidInputError
        If the network has no such layer, or several.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), GroupedHead(16, num_groups=4))
    >>> Regrouping(network)
    regrouping(num_groups=4, every=2)
    """

    name = "regrouping"
    needs_index = True
    keeps_its_scale = True

    def __init__(self, network: nn.Module, every: int = 2) -> None:
        heads = [layer for layer in network.modules() if isinstance(layer, GroupedHead)]
        if len(heads) != 1:
            remedy = "end it with metricopt.solvers.GroupedHead(width_of_features)"
            reject("network", "one with one GroupedHead", f"{len(heads)} of them", remedy)
        faults = Faults()
        faults.check_integer("every", every, 1)
        faults.raise_if_any()
        self._head, self._every = heads[0], int(every)

    def __repr__(self) -> str:
        return f"{self.name}(num_groups={self._head.num_groups}, every={self._every})"

    def prepare(self, objective: Objective, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        if labels.shape[1] != 1:
            reject("labels", "of one column for regrouping", f"{labels.shape[1]} columns", "train one label at a time")
        if sample_weight is not None:
            reject("sample_weight", "left out for regrouping", "weights", "choose another solver for it")
        self._is_negative = labels[:, 0] == 0
        positives = max(int((labels[:, 0] == 1).sum()), 1)
        self._num_groups = int(np.clip(round(self._is_negative.sum() / positives), 2, self._head.num_groups))
        self._head.in_use.fill_(self._num_groups)
        self._groups = np.full(len(labels), -1)
        width = min(self._head.in_features, MAX_KEPT_FEATURES)
        self._features = np.full((len(labels), width), np.nan, dtype=np.float32)
        self._step, self._steps_per_epoch = 0, 1

    def stages(self, epochs: int, is_linear: bool = True) -> Sequence[Stage]:
        return [Stage(self.name, epochs)]

    def start(self, stage: Stage, num_steps: int) -> None:
        self._step, self._steps_per_epoch = 0, max(num_steps // stage.epochs, 1)

    def loss(self, scores: Tensor, labels: Tensor, weight: Tensor | None = None, index: Tensor | None = None) -> Tensor:
        head = self._head
        if index is None or head.logits is None or head.features is None or len(head.logits) != len(scores):
            remedy = "call the network once on each batch, right before the loss, in one process"
            reject("scores", "those of the network's latest batch for regrouping", "others", remedy)
        loss = cross_entropy(scores, labels)
        rows = index.cpu().numpy()
        self._features[rows] = self._projected(head.features)
        groups = torch.from_numpy(self._groups[rows]).to(scores.device)
        if (self._groups[rows] >= 0).any():
            own, of_groups = groups >= 0, head.logits[:, 1 : self._num_groups + 1]
            within = softmax_cross_entropy(of_groups[own].float(), groups[own], reduction="sum")
            loss = loss + within / len(scores)
        head.logits = head.features = None  # let the graph go
        return loss

    def step(self) -> None:
        self._step += 1
        if self._step % (self._every * self._steps_per_epoch) == 0 or self._step == self._steps_per_epoch:
            self._regroup()

    def state_dict(self) -> dict[str, Any]:
        arrays = {"groups": torch.from_numpy(self._groups.copy()), "features": torch.from_numpy(self._features.copy())}
        return {**arrays, "step": self._step, "steps_per_epoch": self._steps_per_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._groups, self._features = (state[name].numpy().copy() for name in ("groups", "features"))
        self._step, self._steps_per_epoch = state["step"], state["steps_per_epoch"]

    def _projected(self, features: Tensor) -> np.ndarray:
        """Return features (B, d) as they are kept."""
        kept = features.float().cpu().numpy()
        if kept.shape[1] <= MAX_KEPT_FEATURES:
            return kept
        shape = kept.shape[1], MAX_KEPT_FEATURES
        return kept @ np.random.default_rng(0).standard_normal(shape, dtype=np.float32) / np.sqrt(shape[1])

    def _regroup(self) -> None:
        """Make the groups anew from the latest features of the negatives."""
        rows = np.flatnonzero(self._is_negative & np.isfinite(self._features).all(axis=1))
        if len(rows) < self._num_groups:
            return
        found = balanced_clusters(self._features[rows], self._num_groups, seed=0)
        self._groups[rows] = matched(found, self._groups[rows], self._num_groups)
