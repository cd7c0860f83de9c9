"""The rows that lie in the same subgroups, to a solver: cells, and which of them each bound speaks of.

Two bounds in every site and one in every age band need no more than the site and the age band of a row, so rows of
equal values in all these columns weigh alike. This file decides which cells there are, and sums errors over them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from metricopt.evidence.choice import ThresholdChoice
from metricopt.evidence.subgroups import SubgroupColumn, bounds_of_rows
from metricopt.problem.bounds import MetricBound
from metricopt.problem.objectives import CountObjective
from metricopt.problem.program import Program


@dataclass(frozen=True)
class Cells:
    """The cells of the training rows.

    Attributes
    ----------
    of_row : ndarray, shape (n,), int
        The cell of each row; empty where there is one cell, without subgroups.
    number : int
        C.
    bounds : tuple of MetricBound
        K bounds; one in every subgroup is there once for each.
    has : ndarray, shape (K, C), float
        1 where a cell is among the rows that a bound speaks of, else 0.
    """

    of_row: np.ndarray
    number: int
    bounds: tuple[MetricBound, ...]
    has: np.ndarray

    @classmethod
    def of(cls, objective: CountObjective, subgroups: Mapping[str, SubgroupColumn]) -> Cells:
        """Return the cells of rows in these subgroups; all of them may lie in one subgroup of other columns."""
        columns = [subgroups[name] for name in objective.columns if name in subgroups]
        found, of_row = np.zeros((1, 0), int), np.zeros(0, int)
        if columns:
            values = np.column_stack([column.of_row for column in columns])
            found, of_row = np.unique(values, axis=0, return_inverse=True)
        places = {column.name: place for place, column in enumerate(columns)}
        rows = bounds_of_rows(objective, subgroups)
        has = [
            np.ones(len(found)) if at is None else found[:, places[str(bound.within)]] == at for bound, _, at in rows
        ]
        return cls(
            of_row.reshape(-1),
            len(found),
            tuple(bound for bound, _, _ in rows),
            np.array(has, float).reshape(len(rows), len(found)),
        )

    @property
    def is_one(self) -> bool:
        """Whether all rows weigh alike."""
        return self.number == 1

    def thresholds(
        self, choice: ThresholdChoice, objective: CountObjective, subgroups: Mapping[str, SubgroupColumn] | None
    ) -> np.ndarray:
        """Return the thresholds of a choice: shape (L,), or (C, L) where each subgroup has its own."""
        per = objective.threshold_per if isinstance(objective, Program) else None
        if per is None or subgroups is None:
            return np.asarray(choice.threshold)
        first = np.unique(self.of_row, return_index=True)[1]  # a row of each cell
        column = subgroups[per].take(first)
        return choice.of_rows({per: column}, per, self.number)

    def at(self, rows: Any) -> Any:
        """Return the cells of some rows, or the number 0 where there is one."""
        return 0 if self.is_one else self.of_row[rows]

    def sums(self, values: np.ndarray, is_positive: np.ndarray, cell: Any) -> np.ndarray:
        """Return the sums of values (B, L) of rows in some cells (B,), by class and cell, shape (2, C, L), float64."""
        num_labels = values.shape[1]
        place = (is_positive * self.number + np.asarray(cell)[..., np.newaxis]) * num_labels + np.arange(num_labels)
        size = 2 * self.number * num_labels
        found = np.bincount(place.ravel(), weights=values.ravel(), minlength=size)
        return found.reshape(2, self.number, num_labels)
