r"""One slack for each pair of a positive and another sample: average precision in explicit slacks, for small problems.

.. math::
    AP = \frac{1}{n_+} \sum_{i \in P} \frac{a_i}{b_i}, \qquad
    a_i = 1 + \sum_{j \in P, j \ne i} s_{ij}, \qquad b_i = a_i + \sum_{j \in N} s_{ij}, \qquad
    s_{ij} \approx 1\{z_j \ge z_i\}

Linearised at the current sums, a slack of a pair of positives is worth :math:`(b_i - a_i) / b_i^2` and one with a
negative costs :math:`a_i / b_i^2`. Their number is positives times samples, so this file is for problems on which
exactness can be checked; :mod:`metricopt.solvers.profiled_ranking` needs no slacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from metricopt._validation import reject
from metricopt.problem.metrics import average_precision
from metricopt.solvers.agreement import SlackAgreement
from metricopt.solvers.base import spread_of
from metricopt.solvers.class_weighting import class_totals
from metricopt.solvers.slack import Items, Slacks, gap

MAX_PAIRS = 4_000_000


class PairSlacks(Slacks):
    """Slacks for pairs, stored row after row: one row a positive, one entry a sample.

    Parameters
    ----------
    labels : ndarray, shape (n, L), float32
    sample_weight : ndarray, shape (n, L), float, or None

    Raises
    ------
    InvalidInputError
        If there are more than :data:`MAX_PAIRS` pairs.
    """

    has_bound = False

    def __init__(self, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        self._labels, (self._num_samples, num_labels) = labels, labels.shape
        weight = np.ones(labels.shape) if sample_weight is None else sample_weight
        self._weight = np.where(np.isnan(labels), 0.0, weight)
        of_positives, of_negatives = class_totals(labels, sample_weight)
        learnable = (of_positives > 0) & (of_negatives > 0)
        per_positive = np.divide(1.0, of_positives, out=np.zeros(num_labels), where=learnable)
        self._pair_scale = per_positive / max(int(learnable.sum()), 1)
        self._row_of = np.full(labels.shape, -1)  # of each positive, counted through all labels
        self._row_of.T[(labels == 1).T] = np.arange((labels == 1).sum())
        self._num_rows = int((labels == 1).sum())
        num_pairs = self._num_rows * self._num_samples
        if num_pairs > MAX_PAIRS:
            got = f"{num_pairs:,} (positives times samples)"
            rule = f"a problem of at most {MAX_PAIRS:,} pairs for explicit slacks"
            reject("objective", f"OAP on {rule}", got, "use solver='profiled', which needs none")
        self.values = np.zeros(num_pairs, dtype=np.float32)
        self._sums = np.zeros((self._num_rows, 2))  # weighted slacks of the negatives, of the positives
        self._spread = np.ones(num_labels)

    def refresh(self, scores: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        self._spread = spread_of(scores, sample_weight)

    def restart(self, scores: np.ndarray, sample_weight: np.ndarray | None) -> None:
        for label in range(self._labels.shape[1]):
            self._pairs(label)[:] = self._indicators(scores, label)
        self._sums = self._sums_of(self.values)

    def items(
        self,
        scores: np.ndarray,
        labels: np.ndarray,
        weight: np.ndarray | None,
        index: np.ndarray,
        multiplier: np.ndarray,
    ) -> Items:
        chosen = [_pairs_of(column, index) for column in labels.T]
        columns = np.repeat(np.arange(labels.shape[1]), [len(i) for i, _ in chosen])
        i, j = (np.concatenate(side) for side in zip(*chosen, strict=True))
        rows, is_positive = self._row_of[index[i], columns], labels[j, columns] == 1
        distance = (scores[j, columns] - scores[i, columns]) / self._spread[columns]
        own = self._weight[index[i], columns]
        of_negatives, of_positives = self._sums[rows].T
        above = own + of_positives
        beside = above + of_negatives
        worth = np.where(is_positive, beside - above, above) / np.where(own > 0, beside, 1.0) ** 2
        # A batch holds (B / n)^2 of all pairs.
        scale = self._pair_scale[columns] * (self._num_samples / len(scores)) ** 2
        return Items(
            flat=rows * self._num_samples + index[j],
            u=np.where(is_positive, distance, -distance).astype(np.float32),
            is_positive=is_positive,
            loss_weight=worth * scale * own * self._weight[index[j], columns],
            place=(i, j, columns),
        )

    def to_scores(self, items: Items, derivatives: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        i, j, columns = items.place
        along = np.where(items.is_positive, derivatives, -derivatives) / self._spread[columns]
        in_scores = np.zeros(shape)
        np.add.at(in_scores, (j, columns), along)
        np.subtract.at(in_scores, (i, columns), along)
        return in_scores

    def store(self, items: Items, right: np.ndarray, weight: np.ndarray | None) -> None:
        flat, first = np.unique(items.flat, return_index=True)
        is_positive = items.is_positive[first]
        slack = np.where(is_positive, right[first], 1 - right[first]).astype(np.float32)
        change = slack - self.values[flat].astype(np.float64)
        rows, samples = np.divmod(flat, self._num_samples)
        change *= self._weight[samples, items.place[2][first]]
        self.values[flat] = slack
        np.add.at(self._sums, (rows, is_positive.astype(np.intp)), change)

    @property
    def max_multiplier(self) -> np.ndarray:
        return np.zeros(self._labels.shape[1])

    def violation(self) -> np.ndarray:
        return np.zeros(self._labels.shape[1])

    def compare(
        self,
        slack: np.ndarray | None,
        scores: np.ndarray,
        labels: np.ndarray,
        sample_weight: np.ndarray | None,
        label_names: Sequence[str],
    ) -> tuple[SlackAgreement, ...]:
        exact = np.atleast_1d(average_precision(scores, labels, sample_weight))
        spread, compared = spread_of(scores, sample_weight), []
        sums = None if slack is None else self._sums_of(slack)
        for label, name in enumerate(label_names):
            positives = np.flatnonzero(labels[:, label] == 1)
            own, rows = self._weight[positives, label], self._row_of[positives, label]
            distance = (scores[:, label] - scores[positives, label][:, np.newaxis]).astype(np.float64) / spread[label]
            held = ~np.isnan(labels[:, label]) & (np.arange(len(labels)) != positives[:, np.newaxis])
            if slack is None or sums is None:
                agreement, worst = gap((distance[held] >= 0).astype(float), distance[held])
                by_slacks = exact[label]
            else:
                agreement, worst = gap(self._pairs(label, slack)[held], distance[held])
                own, (of_negatives, of_positives) = own[own > 0], sums[rows[own > 0]].T
                above = own + of_positives
                by_slacks = (own * above / (above + of_negatives)).sum() / own.sum() if len(own) else np.nan
            compared.append(SlackAgreement(name, agreement, worst, float(by_slacks), float(exact[label])))
        return tuple(compared)

    def state_dict(self) -> dict[str, Any]:
        arrays = {"slack": self.values, "sums": self._sums, "spread": self._spread}
        return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.values, self._sums, self._spread = (state[name].numpy().copy() for name in ("slack", "sums", "spread"))

    def _pairs(self, label: int, values: np.ndarray | None = None) -> np.ndarray:
        """Return a view of a label's slacks, shape (positives, n)."""
        rows = self._row_of[self._labels[:, label] == 1, label]
        table = (self.values if values is None else values).reshape(self._num_rows, self._num_samples)
        return table[rows[0] : rows[-1] + 1] if len(rows) else table[:0]

    def _indicators(self, scores: np.ndarray, label: int) -> np.ndarray:
        positives = scores[self._labels[:, label] == 1, label]
        return scores[:, label] >= positives[:, np.newaxis]

    def _sums_of(self, values: np.ndarray) -> np.ndarray:
        """Return the weighted sums of all slacks by row: over the negatives, over the other positives."""
        sums = np.zeros((self._num_rows, 2))
        for label in range(self._labels.shape[1]):
            positives = np.flatnonzero(self._labels[:, label] == 1)
            rows = self._row_of[positives, label]
            weighted = self._pairs(label, values) * self._weight[:, label]
            weighted[np.arange(len(rows)), positives] = 0  # never beside itself
            for truth in (0, 1):
                sums[rows, truth] = weighted[:, self._labels[:, label] == truth].sum(axis=1)
        return sums


def _pairs_of(labels: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (i, j) of the pairs of a batch: each positive beside every other sample that has a label."""
    positives, present = np.flatnonzero(labels == 1), np.flatnonzero(~np.isnan(labels))
    i, j = np.nonzero(index[positives][:, np.newaxis] != index[present])  # a sampler may draw a sample twice
    return positives[i], present[j]
