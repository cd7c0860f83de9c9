"""How many distinct groups have a row in some cells of the confusion matrix, at many cuts at once.

This file decides that count. It leaves what is made of it to :mod:`metricopt.evidence.effective`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metricopt.evidence.cells import Cells


@dataclass(frozen=True)
class Groups:
    """The rows of one label with their groups.

    Attributes
    ----------
    scores : ndarray, shape (n,)
    is_positive : ndarray, shape (n,), bool
    numbers : ndarray, shape (n,), int
        The group of each row, from 0.

    Examples
    --------
    >>> groups = Groups(np.array([0.1, 0.6, 0.9, 0.8]), np.array([False, False, True, True]), np.array([0, 0, 0, 1]))
    >>> groups.distinct(Cells((True, False), (True, False)), np.array([0.5, 0.85, np.inf]))
    array([2., 1., 0.])
    """

    scores: np.ndarray
    is_positive: np.ndarray
    numbers: np.ndarray

    def distinct(self, cells: Cells, cuts: np.ndarray) -> np.ndarray:
        """Return how many groups have a row in the cells when rows that score at least the cut are alarms: (m,).

        A group has an alarm at cuts up to its highest row, and a row that is none at cuts above its lowest.
        """
        num_groups = self.numbers.max(initial=-1) + 1
        highest, lowest = np.full(num_groups, -np.inf), np.full(num_groups, np.inf)
        always = np.zeros(num_groups, bool)
        for is_positive in (True, False):
            alarms, others = cells.of_class(is_positive)
            own = self.is_positive == is_positive
            if alarms and others:
                always[self.numbers[own]] = True
            elif alarms:
                np.maximum.at(highest, self.numbers[own], self.scores[own])
            elif others:
                np.minimum.at(lowest, self.numbers[own], self.scores[own])
        always |= lowest < highest
        up_to, above = np.sort(highest[~always]), np.sort(lowest[~always])
        below = np.searchsorted(up_to, cuts) - np.searchsorted(above, cuts)
        return (always.sum() + len(up_to) - below).astype(np.float64)
