"""The rows of each label with what says how they count: weights, groups, a prevalence, folds; read and checked once.

This file decides how these go together. It leaves scores, labels and weights to :mod:`metricopt._arrays`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metricopt._arrays import Samples, numbered
from metricopt._validation import reject
from metricopt.evidence.effective import Evidence
from metricopt.evidence.groups import Groups
from metricopt.problem.prevalence import prevalence_of_labels, read_prevalence, weights_at
from metricopt.problem.ranking import Ranking


@dataclass(frozen=True)
class LabelRows:
    """The rows of one label that count: those with a label and a weight above 0.

    Attributes
    ----------
    ranking : Ranking
    groups : Groups or None
    class_weights : (float, float), or None
        What all positives and all negatives weigh at the prevalence that is meant; None for that of the rows.
    folds : tuple of Ranking
        The rows of each fold, if there are folds.
    """

    ranking: Ranking
    groups: Groups | None = None
    class_weights: tuple[float, float] | None = None
    folds: tuple[Ranking, ...] = ()

    def evidence(self, cuts: np.ndarray) -> Evidence:
        """Return what stands behind cuts, given by their lowest flagged scores."""
        return Evidence(self.ranking, cuts, self.groups, self.class_weights)


@dataclass(frozen=True)
class Rows:
    """The rows of all labels.

    Attributes
    ----------
    samples : Samples
        With the weights that the prevalence asks for.
    group_of, fold_of : ndarray, shape (n,), int, or None
        Numbers from 0.
    prevalence : tuple of float or None, one a label
    """

    samples: Samples
    group_of: np.ndarray | None
    fold_of: np.ndarray | None
    prevalence: tuple[float | None, ...]

    @classmethod
    def read(
        cls, scores: Any, labels: Any, *, sample_weight: Any, groups: Any, prevalence: Any, folds: Any = None
    ) -> Rows:
        """Check and convert what a user passed.

        Raises
        ------
        InvalidInputError
            If a shape or value is not as :func:`~metricopt.evidence.thresholds.choose_threshold` says.
        """
        samples = Samples.read(scores, labels, sample_weight)
        if not samples.num_labels:
            reject("scores", "of one label at least", f"shape {samples.scores.shape}", "give one column a label")
        meant = read_prevalence(prevalence)
        of_labels = prevalence_of_labels(meant, samples.num_labels)
        if meant is not None:
            samples = replace(samples, weight=weights_at(meant, samples.labels, samples.weight))
        group_of, fold_of = (
            None if values is None else numbered(argument, values, len(samples.labels))
            for argument, values in (("groups", groups), ("folds", folds))
        )
        if fold_of is not None and len(fold_of) and fold_of.max() == 0:
            reject("folds", "of two folds at least", "the same for all rows", "leave it out, or give two or more folds")
        return cls(samples, group_of, fold_of, of_labels)

    def of_labels(self) -> Iterator[LabelRows]:
        """Yield the rows of each label."""
        for label, prevalence in enumerate(self.prevalence):
            yield LabelRows(
                ranking=Ranking.of(self.samples, label),
                groups=None if self.group_of is None else self._groups(label, self.group_of),
                class_weights=None if prevalence is None else (prevalence, 1 - prevalence),
                folds=() if self.fold_of is None else tuple(self._folds(label, self.fold_of)),
            )

    def _groups(self, label: int, group_of: np.ndarray) -> Groups:
        scores, truth, weight = self.samples.scores[:, label], self.samples.labels[:, label], self.samples.weight
        counted = ~np.isnan(truth)
        if weight is not None:
            counted &= weight[:, label] > 0
        return Groups(scores[counted], truth[counted] == 1, group_of[counted])

    def _folds(self, label: int, fold_of: np.ndarray) -> Iterator[Ranking]:
        whole = self.samples
        for fold in range(fold_of.max(initial=-1) + 1):
            held = fold_of == fold
            weight = None if whole.weight is None else whole.weight[held]
            yield Ranking.of(replace(whole, scores=whole.scores[held], labels=whole.labels[held], weight=weight), label)
