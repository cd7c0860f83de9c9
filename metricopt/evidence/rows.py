"""The rows of each label with what says how they count: weights, groups, a prevalence, folds; read and checked once.

This file decides how these go together. It leaves scores, labels and weights to :mod:`metricopt._arrays`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from metricopt._arrays import Samples, numbered
from metricopt._validation import reject
from metricopt.evidence.effective import Evidence
from metricopt.evidence.groups import Groups
from metricopt.evidence.subgroups import SubgroupColumn, read_subgroups
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
    subgroups : mapping of str to mapping of str to LabelRows
        The rows of each subgroup, by the name of a column and the value there; they have no folds.
    """

    ranking: Ranking
    groups: Groups | None = None
    class_weights: tuple[float, float] | None = None
    folds: tuple[Ranking, ...] = ()
    subgroups: Mapping[str, Mapping[str, LabelRows]] = field(default_factory=dict)

    @property
    def rankings(self) -> dict[str, dict[str, Ranking]]:
        """The scores of each subgroup alone, by column and value."""
        return {column: {name: own.ranking for name, own in parts.items()} for column, parts in self.subgroups.items()}

    def part(self, column: str | None, subgroup: str | None) -> LabelRows:
        """Return the rows of a subgroup, or all rows where it is None."""
        return self if column is None or subgroup is None else self.subgroups[column][subgroup]

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
    subgroups : dict of str to SubgroupColumn
    crosses : bool
        Whether the rows of a subgroup are told apart by the other columns, too.
    """

    samples: Samples
    group_of: np.ndarray | None
    fold_of: np.ndarray | None
    prevalence: tuple[float | None, ...]
    subgroups: Mapping[str, SubgroupColumn] = field(default_factory=dict)
    crosses: bool = False

    @classmethod
    def read(
        cls,
        scores: Any,
        labels: Any,
        *,
        sample_weight: Any,
        groups: Any,
        prevalence: Any,
        folds: Any = None,
        subgroups: Any = None,
        columns: Sequence[str] = (),
    ) -> Rows:
        """Check and convert what a user passed; ``columns`` are the subgroups that the objective speaks of.

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
        return cls(samples, group_of, fold_of, of_labels, read_subgroups(subgroups, columns, len(samples.labels)))

    @classmethod
    def unweighted(cls, scores: np.ndarray, labels: np.ndarray, subgroups: Mapping[str, SubgroupColumn]) -> Rows:
        """Return rows that count alike, each by itself, with the columns of subgroups that are known of them."""
        samples = Samples.read(scores, labels)
        return cls(samples, None, None, (None,) * samples.num_labels, subgroups)

    def of_labels(self, chosen: Sequence[int] | None = None) -> Iterator[LabelRows]:
        """Yield the rows of each label, or of some labels."""
        for label in range(len(self.prevalence)) if chosen is None else chosen:
            prevalence = self.prevalence[label]
            yield LabelRows(
                ranking=Ranking.of(self.samples, label),
                groups=None if self.group_of is None else self._groups(label, self.group_of),
                class_weights=None if prevalence is None else (prevalence, 1 - prevalence),
                folds=() if self.fold_of is None else tuple(self._folds(label, self.fold_of)),
                subgroups={name: dict(self._parts(label, column)) for name, column in self.subgroups.items()},
            )

    def _parts(self, label: int, column: SubgroupColumn) -> Iterator[tuple[str, LabelRows]]:
        """Yield the rows of each subgroup; at a prevalence they keep their weights."""
        order = np.argsort(column.of_row, kind="stable")
        for name, rows in zip(column.values, np.split(order, _ends(column)), strict=True):
            others = {other.name: other.take(rows) for other in self.subgroups.values() if other is not column}
            own = replace(self, samples=_some(self.samples, rows), subgroups=others)
            groups = None if self.group_of is None else own._groups(label, self.group_of[rows])
            crossed = {name: dict(own._parts(label, other)) for name, other in others.items()} if self.crosses else {}
            yield name, LabelRows(Ranking.of(own.samples, label), groups, subgroups=crossed)

    def _groups(self, label: int, group_of: np.ndarray) -> Groups:
        scores, truth, weight = self.samples.scores[:, label], self.samples.labels[:, label], self.samples.weight
        counted = ~np.isnan(truth)
        if weight is not None:
            counted &= weight[:, label] > 0
        return Groups(scores[counted], truth[counted] == 1, group_of[counted])

    def _folds(self, label: int, fold_of: np.ndarray) -> Iterator[Ranking]:
        for fold in range(fold_of.max(initial=-1) + 1):
            yield Ranking.of(_some(self.samples, fold_of == fold), label)


def _some(samples: Samples, rows: np.ndarray) -> Samples:
    """Return some of the samples."""
    weight = None if samples.weight is None else samples.weight[rows]
    return replace(samples, scores=samples.scores[rows], labels=samples.labels[rows], weight=weight)


def _ends(column: SubgroupColumn) -> np.ndarray:
    """Return where each subgroup but the last ends, when rows are sorted by subgroup."""
    return np.cumsum(np.bincount(column.of_row, minlength=len(column.values)))[:-1]
