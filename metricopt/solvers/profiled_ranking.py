r"""The default solver of average precision: pair slacks eliminated, all pairs summed by sorting.

The program has one slack for each pair of a positive and another sample. Each is minimised away, which leaves a ramp of
the difference of the two scores, weighted by the ranks (:mod:`metricopt.solvers.pair_ramps`). With the latest scores of
all training samples stored, sample k of a batch adds

.. math::
    k \in N: \; \sum_{i \in P} c_i R(z_k - z_i), \qquad
    k \in P: \; c_k \sum_{j \in N} R(z_j - z_k) - e_k \sum_{j \in P} R(z_j - z_k) - \sum_{i \in P} e_i R(z_k - z_i)

to the loss: all pairs that it is in, as the positive that is ranked and as a sample that stands above others. The
derivative in :math:`z_k` is that of the linearised average precision; the pair of a positive with itself cancels. Such
a sum takes a few binary searches in the sorted scores, so there is no matrix of pairs: a step costs O(B log n), the
memory is O(n), and a batch may hold few positives or none. Ranks, weights and the spread of the scores, which the
width of the ramps is measured in, are refreshed from the latest scores now and then.

The ramps narrow while training goes on, along the ranking paths of :mod:`metricopt.solvers.paths`.

Differs from the paper (Peng et al. 2025), which keeps every slack as a variable under a penalty, full batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metricopt._arrays import Samples
from metricopt._validation import reject
from metricopt.problem.labels import has_both_classes
from metricopt.problem.objectives import OAP, Objective
from metricopt.problem.ranking import Ranking
from metricopt.solvers.base import Stage, spread_of, with_derivatives
from metricopt.solvers.class_weighting import class_totals
from metricopt.solvers.pair_ramps import RampSums, pair_weights
from metricopt.solvers.paths import RANKING_PATHS, PathSolver, Position


@dataclass(frozen=True)
class _Stored:
    """The latest scores of one label.

    Attributes
    ----------
    positives : RampSums
        The sums over positives in three weightings: c, e and 1, each times the sample weight.
    negatives : RampSums
        The sums over negatives in one weighting, the sample weight.
    of_negatives, of_positives : ndarray, shape (number of positives,)
        c and e, in ascending order of the scores.
    """

    positives: RampSums
    negatives: RampSums
    of_negatives: np.ndarray
    of_positives: np.ndarray


class ProfiledRanking(PathSolver):
    """The default solver of average precision, without slacks; see the module's text. It has its own schedule.

    Parameters
    ----------
    path : str, optional
        The name of the one path to take, from ``metricopt.solvers.paths.RANKING_PATHS``; by default there are several.
    """

    name = "profiled"
    is_columnwise = True
    linear_paths = network_paths = RANKING_PATHS
    fold_paths = wide_paths = None

    def prepare(self, objective: Objective, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        if not isinstance(objective, OAP):
            reject("objective", "average precision (OAP)", objective.name, "choose another solver for it")
        positives, negatives = class_totals(labels, sample_weight)
        # A label without positives or negatives has nothing to learn from: it is left out.
        self._learnable = np.flatnonzero((positives > 0) & (negatives > 0)).tolist()
        self._samples_per_positive = len(labels) / positives[self._learnable]
        self._position = Position(paths=RANKING_PATHS)
        self._sample_weight = sample_weight
        self._scores, self._labels = np.zeros_like(labels), labels
        self.refresh(np.zeros_like(labels), labels, sample_weight)

    def start(self, stage: Stage, num_steps: int) -> None:
        self._position = Position(stage.name, num_steps, RANKING_PATHS)

    def refresh(self, scores: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        is_judged = has_both_classes(labels, sample_weight)
        # Copies, as the loop goes on writing into both.
        self._scores = np.where(is_judged, scores, self._scores)
        self._labels = np.where(is_judged, labels, self._labels)
        samples = Samples.read(self._scores, self._labels, sample_weight)
        self._stored = [self._store(Ranking.of(samples, label)) for label in self._learnable]
        self._spread = spread_of(self._scores, sample_weight)

    def loss(self, scores: Tensor, labels: Tensor, weight: Tensor | None = None, index: Tensor | None = None) -> Tensor:
        own, truth = scores.detach().cpu().numpy().astype(np.float64), labels.cpu().numpy()
        own_weight = np.ones_like(own) if weight is None else weight.cpu().numpy()
        loss, derivatives = 0.0, np.zeros_like(own)
        for label, stored, scale in zip(self._learnable, self._stored, self._samples_per_positive, strict=True):
            # One over the positives that a batch should hold, averaged over the labels.
            worth = own_weight[:, label] * (scale / len(own) / len(self._stored))
            width = float(self._spread[label]) / self._position.path.slope(self._position.progress)
            for truth_of_class, costs_of in ((0, _costs_of_negatives), (1, _costs_of_positives)):
                rows = np.flatnonzero(truth[:, label] == truth_of_class)
                if len(rows):
                    costs, slopes = costs_of(stored, own[rows, label], width)
                    loss += float(worth[rows] @ costs)
                    derivatives[rows, label] = worth[rows] * slopes
        return with_derivatives(scores, loss, derivatives)

    def step(self) -> None:
        self._position.advance()

    def state_dict(self) -> dict[str, Any]:
        arrays = {"scores": torch.from_numpy(self._scores.copy()), "labels": torch.from_numpy(self._labels.copy())}
        return {**arrays, **self._position.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._position = Position.from_state(state, RANKING_PATHS)
        self.refresh(state["scores"].numpy(), state["labels"].numpy(), self._sample_weight)

    def _store(self, ranking: Ranking) -> _Stored:
        positives, negatives = ranking.positives, ranking.negatives
        of_negatives, of_positives = pair_weights(ranking)
        weightings = positives.weight * np.stack([of_negatives, of_positives, np.ones_like(of_negatives)])
        return _Stored(
            self._sums(positives.scores, weightings),
            self._sums(negatives.scores, negatives.weight[np.newaxis]),
            of_negatives,
            of_positives,
        )

    def _sums(self, scores: np.ndarray, weightings: np.ndarray) -> RampSums:
        """Return what sums over one class; another surrogate than the ramp overrides it."""
        return RampSums.of(scores, weightings)


def _costs_of_negatives(stored: _Stored, scores: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Return what negatives with these scores cost, and the derivatives."""
    sums, slopes = stored.positives.at(scores, width)
    return sums[0], slopes[0]


def _costs_of_positives(stored: _Stored, scores: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Return what positives with these scores cost, as samples that are ranked and that stand above others."""
    # The weights of the stored positive at the same place: the sample's own, unless its score has moved since.
    place = np.minimum(stored.positives.place(scores), len(stored.of_negatives) - 1)
    c, e = stored.of_negatives[place], stored.of_positives[place]
    (_, of_others, among_positives), (_, of_others_slope, among_positives_slope) = stored.positives.at(scores, width)
    (among_negatives,), (among_negatives_slope,) = stored.negatives.at(scores, width)
    # R(z_j - z_k) = 1 - R(z_k - z_j)
    above_of_negatives = stored.negatives.total[0] - among_negatives
    above_of_positives = stored.positives.total[2] - among_positives
    costs = c * above_of_negatives - e * above_of_positives - of_others
    return costs, -c * among_negatives_slope + e * among_positives_slope - of_others_slope
