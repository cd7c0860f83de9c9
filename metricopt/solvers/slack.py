"""The slacks of a training: one a sample and label, stored by index, and what counts they make.

This file decides how slacks are stored, gathered and summed. How they are chosen comes from
:mod:`metricopt.solvers.reformulation`, and what ties them to a model from the solvers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from metricopt.evidence.choice import ThresholdChoice
from metricopt.evidence.thresholds import choose_threshold
from metricopt.problem.objectives import CountObjective
from metricopt.problem.ratios import Counts
from metricopt.solvers.agreement import SlackAgreement
from metricopt.solvers.base import Subgroups, spread_of
from metricopt.solvers.class_weighting import ClassWeighting
from metricopt.solvers.reformulation import link


@dataclass(frozen=True)
class Items:
    """The slacks that a batch moves, K of them, and where they come from.

    Attributes
    ----------
    flat : ndarray, shape (K,), int64
        The places where the slacks are stored.
    u : ndarray, shape (K,), float32
        The distances to the threshold in each one's own direction: positive where the model agrees with the label.
    is_positive : ndarray, shape (K,), bool
        Whether the indicator should be 1.
    loss_weight : ndarray, shape (K,), float64
        The cost of a wrong indicator in the loss.
    place : tuple of ndarray
        The places of the scores in the batch.
    """

    flat: np.ndarray
    u: np.ndarray
    is_positive: np.ndarray
    loss_weight: np.ndarray
    place: tuple[np.ndarray, ...]


class Slacks(ABC):
    """The slacks of a training, as solvers see them, whatever indicator each stands for.

    Attributes
    ----------
    values : ndarray, shape (number of slacks,), float32
    has_bound : bool
    """

    values: np.ndarray
    has_bound: bool

    @property
    @abstractmethod
    def max_multiplier(self) -> np.ndarray:
        """The largest multiplier of the bound, shape (L,)."""

    @abstractmethod
    def refresh(self, scores: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        """Take note of the latest scores (n, L) of all samples; labels of those not seen so far are missing."""

    @abstractmethod
    def restart(self, scores: np.ndarray, sample_weight: np.ndarray | None) -> None:
        """Set all slacks to the predictions of a model with these scores (n, L), after :meth:`refresh`."""

    @abstractmethod
    def items(
        self,
        scores: np.ndarray,
        labels: np.ndarray,
        weight: np.ndarray | None,
        index: np.ndarray,
        multiplier: np.ndarray,
    ) -> Items:
        """Return the slacks of a batch; all but ``index`` (B,) and ``multiplier`` (L,) of shape (B, L)."""

    @abstractmethod
    def to_scores(self, items: Items, derivatives: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return derivatives in the scores, shape (B, L), of derivatives in ``items.u`` (K,)."""

    @abstractmethod
    def store(self, items: Items, right: np.ndarray, weight: np.ndarray | None) -> None:
        """Store new slacks (K,), which are given as "counted as right", and move the sums over all slacks."""

    @abstractmethod
    def violation(self) -> np.ndarray:
        """Return the violation of the bound by the slacks, per positive, shape (L,)."""

    @abstractmethod
    def compare(
        self,
        slack: np.ndarray | None,
        scores: np.ndarray,
        labels: np.ndarray,
        sample_weight: np.ndarray | None,
        label_names: Sequence[str],
    ) -> tuple[SlackAgreement, ...]:
        """Return how well slacks agree with a model's scores (n, L), label by label.

        Where the slacks are None, they are the model's own predictions.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return slacks, sums and scale as tensors."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""


def gap(slack: np.ndarray, u: np.ndarray) -> tuple[float, float]:
    """Return the fraction of slacks that agree with 1{u >= 0} and the worst violation of a link; NaN without slacks."""
    if not len(u):
        return np.nan, np.nan
    violation = link(torch.from_numpy(slack.astype(np.float64)), torch.from_numpy(u)).abs()
    return float((np.abs(slack - (u >= 0)) < 0.5).mean()), float(violation.max())


class SampleSlacks(Slacks):
    r"""Slacks :math:`s_i \approx 1\{u_i > 0\}` for the samples of a program with counts at a threshold.

    Running sums keep the counts that the slacks make exact after every batch, which costs O(batch). Memory: 4 bytes a
    sample and label.

    Parameters
    ----------
    objective : CountObjective
    labels : ndarray, shape (n, L), float32
    sample_weight : ndarray, shape (n, L), float, or None
    subgroups : mapping of str to SubgroupColumn, optional
        The columns that the objective names.
    """

    def __init__(
        self,
        objective: CountObjective,
        labels: np.ndarray,
        sample_weight: np.ndarray | None,
        subgroups: Subgroups | None = None,
    ) -> None:
        self._weighting = ClassWeighting(objective, labels, sample_weight, subgroups)
        self._subgroups, self._cells = subgroups, self._weighting.cells
        self.has_bound = bool(objective.bounds)
        num_labels = labels.shape[1]
        self._labels, self._shape = labels, labels.shape
        self.values = np.zeros(labels.size, dtype=np.float32)
        self._errors = np.zeros((2, self._cells.number, num_labels))
        self._threshold, self._value = np.zeros((self._cells.number, num_labels)), np.zeros(num_labels)
        self._spread = np.ones(num_labels)

    def refresh(self, scores: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        choice, threshold = self._chosen(scores, labels, sample_weight)
        self._threshold = np.broadcast_to(np.nan_to_num(threshold), self._threshold.shape).copy()
        self._value = np.nan_to_num(choice.value)
        self._spread = spread_of(scores, sample_weight)
        self._weighting.set_value(self._value)

    def restart(self, scores: np.ndarray, sample_weight: np.ndarray | None) -> None:
        cell = self._cells.at(slice(None))
        alarms = scores >= self._threshold[cell]
        self.values = alarms.astype(np.float32).ravel()
        is_positive, is_known = self._labels == 1, self._labels == self._labels
        wrong = (is_known & (alarms != is_positive)) * (1.0 if sample_weight is None else sample_weight)
        self._errors = self._cells.sums(wrong, is_positive, cell)

    def items(
        self,
        scores: np.ndarray,
        labels: np.ndarray,
        weight: np.ndarray | None,
        index: np.ndarray,
        multiplier: np.ndarray,
    ) -> Items:
        rows, columns = np.nonzero(labels == labels)
        is_positive = labels[rows, columns] == 1
        cell = self._cells.at(index[rows])
        distance = (scores[rows, columns] - self._threshold[cell, columns]) / self._spread[columns]
        cost = self._weighting.class_weights(multiplier) * self._weighting.error_scale(len(scores))
        loss_weight = cost.reshape(2, -1, len(self._spread))[is_positive.astype(np.intp), cell, columns]
        if weight is not None:
            loss_weight = loss_weight * weight[rows, columns]
        return Items(
            flat=index[rows] * self._shape[1] + columns,
            u=np.where(is_positive, distance, -distance).astype(np.float32),
            is_positive=is_positive,
            loss_weight=loss_weight,
            place=(rows, columns),
        )

    def to_scores(self, items: Items, derivatives: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        rows, columns = items.place
        in_scores = np.zeros(shape)
        in_scores[rows, columns] = np.where(items.is_positive, derivatives, -derivatives) / self._spread[columns]
        return in_scores

    def store(self, items: Items, right: np.ndarray, weight: np.ndarray | None) -> None:
        flat, first = np.unique(items.flat, return_index=True)  # a sampler may draw a sample twice in a batch
        is_positive, columns = items.is_positive[first], items.place[1][first]
        slack = np.where(is_positive, right[first], 1 - right[first]).astype(np.float32)
        change = slack - self.values[flat].astype(np.float64)
        change = np.where(is_positive, -change, change)  # in errors
        if weight is not None:
            change *= weight[items.place[0][first], columns]
        self.values[flat] = slack
        cell = self._cells.at(flat // self._shape[1])
        place = (is_positive * self._cells.number + cell) * self._shape[1] + columns
        self._errors += np.bincount(place, change, self._errors.size).reshape(self._errors.shape)

    def _chosen(
        self, scores: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray | None
    ) -> tuple[ThresholdChoice, np.ndarray]:
        """Return the exact choice for scores of all samples, and its thresholds, of the cells where they differ."""
        objective, subgroups = self._weighting.objective, self._subgroups
        choice = choose_threshold(scores, labels, objective, sample_weight=sample_weight, subgroups=subgroups)
        return choice, self._cells.thresholds(choice, objective, subgroups)

    @property
    def max_multiplier(self) -> np.ndarray:
        return self._weighting.max_multiplier

    def violation(self) -> np.ndarray:
        errors = self._errors[:, 0] if self._cells.is_one else self._errors
        return self._weighting.violation(errors, self._shape[0])

    def compare(
        self,
        slack: np.ndarray | None,
        scores: np.ndarray,
        labels: np.ndarray,
        sample_weight: np.ndarray | None,
        label_names: Sequence[str],
    ) -> tuple[SlackAgreement, ...]:
        objective = self._weighting.objective
        choice, thresholds = self._chosen(scores, labels, sample_weight)
        thresholds = np.broadcast_to(thresholds, self._threshold.shape)[self._cells.at(slice(None))]
        columns = scores >= thresholds if slack is None else slack.reshape(self._shape)
        distance = (scores - thresholds) / spread_of(scores, sample_weight)
        weight = np.ones_like(labels) if sample_weight is None else sample_weight
        compared = []
        for label, single in enumerate(objective.for_labels(self._shape[1])):
            truth, own = labels[:, label], columns[:, label].astype(np.float64)
            present = (truth == truth) & ~np.isnan(choice.threshold[label])
            positive, negative = (weight[:, label] * (truth == kind) for kind in (1, 0))
            by_slacks = Counts(positive @ own, negative @ own, positive @ (1 - own), negative @ (1 - own))
            agreement, worst = gap(own[present], distance[present, label])
            assert isinstance(single, CountObjective)
            bounded = None if choice.bounded_value is None else single.bounded_value(by_slacks)
            compared.append(
                SlackAgreement(
                    label=label_names[label],
                    agreement=agreement,
                    worst_violation=worst,
                    value=float(single.value(by_slacks)),
                    model_value=float(choice.value[label]),
                    bounded_value=None if bounded is None else float(bounded),
                    model_bounded_value=None if choice.bounded_value is None else float(choice.bounded_value[label]),
                )
            )
        return tuple(compared)

    def state_dict(self) -> dict[str, Any]:
        arrays = {"slack": self.values, "errors": self._errors, "threshold": self._threshold, "spread": self._spread}
        return {name: torch.from_numpy(array.copy()) for name, array in {**arrays, "value": self._value}.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.values, self._errors, self._threshold, self._spread, self._value = (
            state[name].numpy().copy() for name in ("slack", "errors", "threshold", "spread", "value")
        )
        self._weighting.set_value(self._value)
