"""The scores that a result keeps: those of each data set of its training, with the labels and weights of the samples.

This file decides what is kept of a data set, and what can be computed from that without the model: reports at other
thresholds, curves, and weights for another prevalence. How scores are computed is decided in :mod:`metricopt.scoring`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from metricopt._validation import reject
from metricopt.evidence.bootstrap import PrecisionBand, precision_band
from metricopt.evidence.evaluation import evaluate
from metricopt.evidence.reports import Report
from metricopt.evidence.rule import EVERY_FOLD_BY_DEFAULT
from metricopt.evidence.subgroups import SubgroupColumn
from metricopt.evidence.thresholds import ThresholdChoice, choose_threshold
from metricopt.problem.labels import has_both_classes, mask_labels
from metricopt.problem.metrics import PrecisionRecallCurve, precision_recall_curve
from metricopt.problem.objectives import Objective
from metricopt.problem.prevalence import Prevalence, weights_at
from metricopt.problem.program import Program

OUT_OF_FOLD = "out-of-fold"
"""The name of scores that models gave which had not trained on the rows; the returned model gives others."""

GIVEN = "given"
"""The name of scores that a user gave, of rows that did not train the model."""


@dataclass(frozen=True)
class DataScores:
    """The scores of one data set, by the returned model and by candidate zero, with the labels of its samples.

    Attributes
    ----------
    data : str
        The name of the data set, e.g. ``"validation"``.
    scores, baseline_scores : ndarray, shape (n, L), float32
        The scores of the returned model, and those of candidate zero (the best epoch of the cross-entropy warm-up).
        Scores that a user gave are float32 or float64, and there is no candidate zero (None).
    labels, baseline_labels : ndarray, shape (n, L), float32
        The labels in the order of either scores. The two orders differ where an iterable data set shuffles.
    sample_weight : ndarray, shape (n, L), float, or None
    groups, folds : ndarray, shape (n,), int, or None
        The group and the fold of each sample, where there are any.
    subgroups : mapping of str to SubgroupColumn
        The columns that a program names.
    """

    data: str
    scores: np.ndarray
    baseline_scores: np.ndarray | None
    labels: np.ndarray
    baseline_labels: np.ndarray | None
    sample_weight: np.ndarray | None = None
    groups: np.ndarray | None = None
    folds: np.ndarray | None = None
    subgroups: Mapping[str, SubgroupColumn] = field(default_factory=dict)

    @property
    def model(self) -> tuple[np.ndarray, np.ndarray]:
        """The scores of the returned model, and their labels."""
        return self.scores, self.labels

    @property
    def baseline(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The scores of candidate zero, and their labels."""
        if self.baseline_scores is None or self.baseline_labels is None:
            return None
        return self.baseline_scores, self.baseline_labels

    def choose(
        self,
        of: tuple[np.ndarray, np.ndarray],
        objective: Objective,
        kept: np.ndarray,
        confidence: float | None,
    ) -> ThresholdChoice:
        """Return the thresholds that these data choose.

        Parameters
        ----------
        of : pair of ndarray, shape (n, L)
            Scores and labels: :attr:`model` or :attr:`baseline`.
        objective : Objective
        kept : ndarray, shape (L,), bool
            The labels that get a threshold.
        confidence : float or None
        """
        scores, labels = of
        return choose_threshold(
            scores,
            mask_labels(labels, kept),
            objective,
            confidence=confidence,
            sample_weight=self.sample_weight,
            groups=self.groups if confidence is not None else None,
            folds=self.asked_folds if confidence is not None else None,
            subgroups=self.subgroups,
        )

    @property
    def asked_folds(self) -> np.ndarray | None:
        """The folds in each of which the bound must hold; None where the default rule does not ask that."""
        return self.folds if EVERY_FOLD_BY_DEFAULT else None

    @property
    def counted_labels(self) -> np.ndarray:
        """The labels, with NaN (missing) for a sample that weighs nothing."""
        return self.labels if self.sample_weight is None else np.where(self.sample_weight > 0, self.labels, np.nan)

    def report(
        self,
        of: tuple[np.ndarray, np.ndarray],
        thresholds: np.ndarray,
        objective: Objective,
        label_names: Sequence[str],
        prevalence: Prevalence | None,
        choice: ThresholdChoice | None = None,
    ) -> Report:
        """Return what thresholds of shape (L,) reach on these data; ``of`` is :attr:`model` or :attr:`baseline`.

        Where each subgroup has a threshold of its own, ``choice`` holds them.
        """
        per = objective.threshold_per if isinstance(objective, Program) else None
        return evaluate(
            *of,
            thresholds,
            objective,
            label_names=label_names,
            data=self.data,
            sample_weight=self.sample_weight,
            prevalence=prevalence,
            subgroups=self.subgroups,
            row_thresholds=None if per is None or choice is None else choice.of_rows(self.subgroups, per, len(of[0])),
        )

    def curves(self, label: int) -> list[PrecisionRecallCurve]:
        """Return the precision-recall curves of the model and, if there is one, of candidate zero for a label."""
        weight = self.weight_of(label)
        return [
            cast(PrecisionRecallCurve, precision_recall_curve(scores[:, label], labels[:, label], weight))
            for scores, labels in filter(None, (self.model, self.baseline))
        ]

    def precision_band(self, label: int) -> PrecisionBand | None:
        """Return the bootstrap band around the model's curve; None for weighted samples or without positives."""
        if self.sample_weight is not None or not (self.labels[:, label] == 1).any():
            return None
        return precision_band(self.scores[:, label], self.labels[:, label])

    def weight_of(self, label: int) -> np.ndarray | None:
        """Return the weights of the samples for the label at this position; None where every sample weighs 1."""
        return None if self.sample_weight is None else self.sample_weight[:, label]


def selection_scores(data_scores: Mapping[str, DataScores]) -> DataScores:
    """Return the scores that chose model and threshold: those of validation, or of training if nothing was held out."""
    return data_scores.get("validation", data_scores["train"])


def kept_labels(data_scores: Mapping[str, DataScores]) -> np.ndarray:
    """Say which labels have positives and negatives in all data, shape (L,): the others get no threshold."""
    parts = data_scores.values()
    return np.logical_and.reduce([has_both_classes(part.labels, part.sample_weight) for part in parts])


def scores_at(prevalence: Prevalence, data_scores: Mapping[str, DataScores]) -> dict[str, DataScores]:
    """Return the scores of all data sets with the samples of each weighted to a prevalence.

    Raises
    ------
    InvalidInputError
        If the labels came in another order each time, as those of a stream may.
    """
    for data, part in data_scores.items():
        in_order = part.baseline_labels is None or np.array_equal(part.labels, part.baseline_labels, equal_nan=True)
        if not in_order:
            got, remedy = f"{data} data in another each time", "train on a map-style data set"
            reject("prevalence", "for data of one order", got, remedy)
    return {
        data: replace(part, sample_weight=weights_at(prevalence, part.labels, part.sample_weight))
        for data, part in data_scores.items()
    }
