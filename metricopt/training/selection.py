r"""Which weights a training returns: what candidates are judged by, and which of them wins.

A candidate is a set of weights. With a held-out part (or on the training data, where nothing is held out) it is judged
by the exact metric on that part. With folds it is judged by its out-of-fold scores: each row by the replicas that did
not train on it, in their own frames.

The candidate that does best on some rows looks better on these rows than it is. So with folds, what the winner is worth
is told by other scores than those that chose it: the score of a row in fold k is that of the candidate which wins on
the other folds (:mod:`metricopt.evidence.candidates`). On these scores the threshold is chosen.

This file decides which candidates there are and what judges them. It leaves training to
:mod:`metricopt.training.loop`, and averages of the weights of several paths to :mod:`metricopt.training.averaging`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metricopt.evidence.candidates import best_candidate, choose_known
from metricopt.evidence.choice import ThresholdChoice
from metricopt.evidence.frames import Frames
from metricopt.evidence.rule import Rule
from metricopt.evidence.thresholds import choose_threshold, selection_criterion
from metricopt.problem.labels import has_both_classes, mask_labels
from metricopt.problem.objectives import Objective
from metricopt.solvers import Stage
from metricopt.training.averaging import with_finalist
from metricopt.training.parts import FoldedRows, Part, Partition
from metricopt.training.state import Candidate

JUDGEMENTS_PER_STAGE = 20
"""How often the candidates of a stage are judged at most, where replicas train: each time all rows are scored."""


@dataclass(frozen=True)
class Judgement:
    """What a candidate is worth on the rows that choose.

    Attributes
    ----------
    choice : ThresholdChoice
        The exact threshold and what it reaches, by label.
    key : tuple of float
        What candidates are compared by: the higher, the better.
    evidence : ndarray, shape (n, L), float64, or None
        The out-of-fold scores; None without folds.
    """

    choice: ThresholdChoice
    key: tuple[float, float]
    evidence: np.ndarray | None = None


class Selection(ABC):
    """How candidates are judged."""

    part: Part
    """The rows whose scores judge."""

    @abstractmethod
    def judge(self, scores: np.ndarray, labels: np.ndarray) -> Judgement | None:
        """Judge a candidate by the scores of :attr:`part`; None if they are not finite.

        Parameters
        ----------
        scores, labels : ndarray, shape (n, L), or (n, R * L) of R replicas
        """

    def is_due(self, stage: Stage, epoch: int) -> bool:
        """Say whether there is a candidate after an epoch of a stage, counted from 1."""
        return True

    @abstractmethod
    def becomes_baseline(self, candidate: Candidate, baseline: Candidate) -> bool:
        """Say whether a candidate of the warm-up takes the place of candidate zero."""

    @abstractmethod
    def with_finalist(self, finalists: Sequence[Candidate], candidate: Candidate, stage: Stage) -> list[Candidate]:
        """Return the candidates that are kept until the end of the training, after one more of a stage."""


class HeldOut(Selection):
    """Judged by the exact metric on the part that was held out, or on the training data where none was."""

    def __init__(self, objective: Objective, parts: Partition) -> None:
        self.part, self._objective, self._learnable = parts.selection, objective, parts.learnable
        self._is_held_out = parts.validation is not None

    def judge(self, scores: np.ndarray, labels: np.ndarray) -> Judgement | None:
        if not np.isfinite(scores).all():
            return None
        kept = mask_labels(labels, self._learnable)  # a label left out must not choose the model
        weight, subgroups = self.part.sample_weight, self.part.subgroups
        choice = choose_threshold(scores, kept, self._objective, sample_weight=weight, subgroups=subgroups)
        return Judgement(choice, selection_criterion(choice, self._objective))

    def becomes_baseline(self, candidate: Candidate, baseline: Candidate) -> bool:
        return baseline.epoch == 0 or candidate.key >= baseline.key

    def with_finalist(self, finalists: Sequence[Candidate], candidate: Candidate, stage: Stage) -> list[Candidate]:
        # Slacks cannot be averaged, and training data that select need no protection from luck.
        if not stage.is_direct or candidate.slack is not None or not self._is_held_out:
            return list(finalists)
        return with_finalist(finalists, candidate)


class OutOfFold(Selection):
    """Judged by out-of-fold scores, in the frames of the replicas that gave them.

    Parameters
    ----------
    objective : Objective
    part : Part
        All rows, with the labels of the replicas.
    rows : FoldedRows
    plan : sequence of Stage
        Where it takes several paths, their ends are averaged, without looking at any score, and the average is the one
        candidate beside the end of the warm-up. It wins unless the rows support more with the warm-up, by more than a
        standard error. On a single path, every candidate is one, and the best by the exact metric wins.
    """

    def __init__(self, objective: Objective, part: Part, rows: FoldedRows, plan: Sequence[Stage]) -> None:
        self.part, self._objective, self._rows = part, objective, rows
        self._takes_several_paths = sum(stage.is_direct for stage in plan) > 1
        kept = has_both_classes(rows.labels, rows.sample_weight)
        self._labels = mask_labels(rows.labels, kept)

    def is_due(self, stage: Stage, epoch: int) -> bool:
        every = -(-stage.epochs // JUDGEMENTS_PER_STAGE)
        return epoch % every == 0 or epoch == stage.epochs

    def judge(self, scores: np.ndarray, labels: np.ndarray) -> Judgement | None:
        frames = self.frames(scores)
        if np.isnan(frames.centre).all():
            return None
        evidence = frames.out_of_fold(self.by_replica(scores), self._rows.trains)
        choice = choose_known(
            evidence, self._labels, self._objective, self._rows.sample_weight, subgroups=self._rows.subgroups
        )
        return Judgement(choice, selection_criterion(choice, self._objective), evidence)

    def becomes_baseline(self, candidate: Candidate, baseline: Candidate) -> bool:
        return True

    def with_finalist(self, finalists: Sequence[Candidate], candidate: Candidate, stage: Stage) -> list[Candidate]:
        if not self._takes_several_paths:
            return [*finalists, candidate]
        others = [each for each in finalists if each.stage != stage.name]
        return [*others, candidate] if stage.is_direct else others

    def frames(self, scores: np.ndarray) -> Frames:
        """Return the frame of each replica, from the scores (n, R * L) of all rows."""
        rows = self._rows
        return Frames.of(self.by_replica(scores), rows.labels, rows.trains, rows.sample_weight)

    def by_replica(self, scores: np.ndarray) -> np.ndarray:
        """Return scores (n, R * L) as (n, R, L)."""
        return scores.reshape(len(scores), self._rows.num_replicas, -1)

    def to_average(self, finalists: Sequence[Candidate]) -> list[Candidate]:
        """Return the candidates whose weights are averaged; empty where a single path is taken."""
        return list(finalists) if self._takes_several_paths else []

    def best(self, candidates: Sequence[Candidate]) -> tuple[Candidate, np.ndarray]:
        """Return the winner, and out-of-fold scores that did not choose it, shape (n, L).

        Of two candidates that are equally good the earlier wins.
        """
        rows = self._rows
        winner, honest = best_candidate(
            [_evidence_of(candidate) for candidate in candidates],
            self._labels,
            rows.folds,
            self._objective,
            sample_weight=rows.sample_weight,
            groups=rows.groups,
            rule=Rule() if self._takes_several_paths else None,
            subgroups=rows.subgroups,
        )
        return candidates[winner], honest


def _evidence_of(candidate: Candidate) -> np.ndarray:
    assert candidate.evidence is not None
    return candidate.evidence
