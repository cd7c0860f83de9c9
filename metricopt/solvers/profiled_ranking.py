r"""The default solver of average precision: pair slacks eliminated, all pairs summed by sorting.

Each pair's slack is minimised away, which leaves a ramp of the difference of two scores, weighted by the ranks
(:mod:`metricopt.pair_ramps`). The latest scores of all training samples are stored, sorted, so that every sample of a
batch is compared with the whole training set in O(log n): no matrix of pairs, memory O(n), and batches may hold few
positives or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from metricopt._arrays import Samples
from metricopt._validation import reject
from metricopt.metrics import Ranking
from metricopt.objectives import OAP, Objective
from metricopt.pair_ramps import RampSums, pair_weights
from metricopt.solvers.base import Solver, Stage, between, with_derivatives
from metricopt.solvers.profiled import _cross_entropy

MIN_EPOCHS_A_STAGE = 4


@dataclass(frozen=True)
class Path:
    steepness: tuple[float, float]
    start: str = "warm"
    share: int = 4
    anchor: float = 0.0


PATHS = {
    "ramp": Path((0.5, 16.0)),
    "polish": Path((4.0, 32.0), start="best", share=3),
}


@dataclass(frozen=True)
class _Stored:
    """The latest scores of one label, sorted class by class.

    Attributes
    ----------
    positives : RampSums
        With three weightings: of negatives above a positive, of positives above it, and of the positives themselves.
    negatives : RampSums
    of_negatives, of_positives : ndarray, shape (number of positives,)
        c and e.
    """

    positives: RampSums
    negatives: RampSums
    of_negatives: np.ndarray
    of_positives: np.ndarray
    spread: float


class ProfiledRanking(Solver):
    name = "profiled"

    def __init__(self, paths=None):
        self.paths = paths or PATHS

    def prepare(self, objective: Objective, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        if not isinstance(objective, OAP):
            reject("objective", "a metric of the ranking", objective.name, "choose another solver for it")
        weight = np.ones_like(labels) if sample_weight is None else sample_weight
        positives, negatives = (np.where(labels == truth, weight, 0).sum(axis=0, dtype=np.float64) for truth in (1, 0))
        learnable = (positives > 0) & (negatives > 0)
        self._samples_per_positive = np.divide(len(labels), positives, out=np.zeros_like(positives), where=learnable)
        self._num_learnable = max(int(learnable.sum()), 1)
        self._learnable = learnable
        self._path_name, self._step, self._num_steps = next(iter(self.paths)), 0, 1

    def stages(self, epochs: int) -> Sequence[Stage]:
        chosen = list(self.paths.items())[: max(1, epochs // MIN_EPOCHS_A_STAGE)]
        ends = np.cumsum([path.share for _, path in chosen])
        lengths = np.diff(np.round(ends * epochs / ends[-1]).astype(int), prepend=0)
        return [Stage(name, int(length), path.start) for (name, path), length in zip(chosen, lengths, strict=True)]

    def start(self, stage: Stage, num_steps: int) -> None:
        self._path_name, self._step, self._num_steps = stage.name, 0, num_steps

    def refresh(self, scores: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        samples = Samples.read(scores, labels, sample_weight)
        self._stored = [
            self._store(samples, label) if self._learnable[label] else None for label in range(samples.num_labels)
        ]

    def _store(self, samples, label):
        ranking = Ranking.of(samples, label)
        of_neg, of_pos = pair_weights(ranking)
        P, N = ranking.positives, ranking.negatives
        wp = np.ones(len(P.scores)) if P.weight_above is None else -np.diff(P.weight_above)
        wn = np.ones(len(N.scores)) if N.weight_above is None else -np.diff(N.weight_above)
        spread = samples.scores[:, label].std(dtype=np.float64) + 1e-12
        big = np.abs(samples.scores[:, label]).max()
        return _Stored(
            self._sums(P.scores, wp * np.stack([of_neg, of_pos, np.ones_like(of_neg)])),
            self._sums(N.scores, wn[None]),
            of_neg,
            of_pos,
            spread if spread > 1e-6 * big else 1.0,
        )

    def _sums(self, scores, weightings):
        return RampSums.of(scores, weightings)

    def loss(self, scores: Tensor, labels: Tensor, weight: Tensor | None = None, index: Tensor | None = None) -> Tensor:
        per_positive = self._samples_per_positive / len(scores) / self._num_learnable
        own, truth = scores.detach().cpu().numpy().astype(np.float64), labels.cpu().numpy()
        own_weight = None if weight is None else weight.cpu().numpy()
        loss, derivatives = 0.0, np.zeros_like(own)
        for label, stored in enumerate(self._stored):
            if stored is None:
                continue
            f, d = self._shares(stored, own[:, label], truth[:, label])
            if own_weight is not None:
                f, d = f * own_weight[:, label], d * own_weight[:, label]
            loss += f.sum() * per_positive[label]
            derivatives[:, label] = d * per_positive[label]
        path = self.paths[self._path_name]
        if path.anchor:
            ce, res = _cross_entropy(own, truth, own_weight)
            loss += float((path.anchor * per_positive * ce).sum())
            derivatives = derivatives + path.anchor * per_positive * res
        return with_derivatives(scores, float(loss), derivatives)

    def _shares(self, stored, scores, labels):
        path = self.paths[self._path_name]
        width = stored.spread / between(path.steepness, self._progress)
        (neg, pos, own), (dneg, dpos, down) = stored.positives.at(scores, width)
        f = np.where(labels == 0, neg, 0.0)
        d = np.where(labels == 0, dneg, 0.0)
        i = np.flatnonzero(labels == 1)
        if len(i):
            (n,), (dn,) = stored.negatives.at(scores[i], width)
            x = stored.positives
            place = np.minimum(np.searchsorted(x.scores, scores[i] - x.center), len(x.scores) - 1)
            c, e = stored.of_negatives[place], stored.of_positives[place]
            f[i] = c * (stored.negatives.weights[0, -1] - n) - e * (x.weights[2, -1] - own[i]) - pos[i]
            d[i] = -c * dn + e * down[i] - dpos[i]
        return f, d

    def step(self) -> None:
        self._step += 1

    @property
    def _progress(self) -> float:
        return min(self._step / max(self._num_steps - 1, 1), 1.0)
