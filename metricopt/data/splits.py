"""Stratified parts of a data set, which keep groups (the rows of a patient) whole.

This file decides which row belongs to which part. It leaves loading the rows to :mod:`metricopt.data.loaders`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricopt._arrays import numbered
from metricopt._validation import reject


def stratified_split(
    labels: NDArray[np.floating],
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    seed: int = 0,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    subgroups: Sequence[Any] | NDArray[Any] | None = None,
) -> tuple[NDArray[np.intp], ...]:
    """Deal the rows out to parts that all have the prevalence of the whole. The same seed gives the same parts.

    Rows are dealt out stratum by stratum. A row belongs to the stratum of the rarest label that it is positive for; if
    it is positive for none, to the negatives; if it has no label, to a stratum of its own. A group belongs to the
    rarest stratum of its rows. With subgroups the rows of a stratum are dealt out subgroup by subgroup, each part
    getting what it lacks so far, so that every part has its fraction of every class of every subgroup.

    Parameters
    ----------
    labels : ndarray, shape (n,) or (n, L), float
        0, 1 or NaN (missing).
    fractions : sequence of float
        The fraction of the rows in each part. They sum to 1.
    seed : int
        The seed of the random order in which rows are dealt out.
    groups : sequence, shape (n,), optional
        Rows of equal value (the images of one patient) stay in one part. The values can be anything hashable, tuples
        included.
    subgroups : sequence, shape (n,), optional
        Values of a column, such as the site, of which each is to be in all parts. A group belongs to the subgroup of
        its first row.

    Returns
    -------
    tuple of ndarray of int
        The row numbers of each part, ascending. Every row is in exactly one part.

    Raises
    ------
    InvalidInputError
        If the fractions do not sum to 1, if ``groups`` or ``subgroups`` has missing values or another length than
        ``labels``, or, with one label, if a part would have no positive or no negative.

    Examples
    --------
    >>> train, test = stratified_split(np.array([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]), fractions=(0.5, 0.5))
    >>> len(train), len(test)
    (3, 3)
    """
    if min(fractions, default=0.0) <= 0 or not math.isclose(sum(fractions), 1.0):
        reject("fractions", "positive and sum to 1", tuple(fractions), "give for example (0.6, 0.2, 0.2)")
    columns = np.asarray(labels).reshape(len(labels), -1)
    group_of_row = np.arange(len(columns)) if groups is None else numbered("groups", groups, len(columns))
    stratum_of_group = np.full(group_of_row.max(initial=-1) + 1, columns.shape[1] + 1)
    np.minimum.at(stratum_of_group, group_of_row, _strata(columns))
    rows_of_group = np.bincount(group_of_row, minlength=len(stratum_of_group))
    subgroup_of_group = np.zeros(len(stratum_of_group), dtype=np.intp)
    if subgroups is not None:
        subgroup_of_group[group_of_row[::-1]] = numbered("subgroups", subgroups, len(columns))[::-1]

    random = np.random.RandomState(seed)  # its stream is frozen, unlike that of the newer generators
    part_of_group = np.empty(len(stratum_of_group), dtype=np.intp)
    for stratum in np.unique(stratum_of_group):
        members = random.permutation(np.flatnonzero(stratum_of_group == stratum))
        dealt = np.zeros(len(fractions))  # rows of the stratum, by part
        for subgroup in np.unique(subgroup_of_group[members]):
            own = members[subgroup_of_group[members] == subgroup]
            sizes = rows_of_group[own]
            lacking = np.maximum(np.multiply(fractions, dealt.sum() + sizes.sum()) - dealt, 0)
            wanted = lacking / lacking.sum() if dealt.any() else np.asarray(fractions)
            middles = np.cumsum(sizes) - sizes / 2
            part_of_group[own] = np.searchsorted(np.cumsum(wanted)[:-1] * sizes.sum(), middles)
            dealt += np.bincount(part_of_group[own], weights=sizes, minlength=len(fractions))
    parts = tuple(np.flatnonzero(part_of_group[group_of_row] == part) for part in range(len(fractions)))
    if columns.shape[1] == 1:
        for name, truth in (("positives", 1), ("negatives", 0)):
            held = [int((columns[part] == truth).sum()) for part in parts]
            if min(held) == 0:
                found = f"{sum(held)} {name[: -1 if sum(held) == 1 else None]}"
                if groups is not None:
                    num_groups = len(np.unique(group_of_row[columns[:, 0] == truth]))
                    found += f" in {num_groups} group{'s' * (num_groups != 1)}"
                sizes = ", ".join(f"{100 * fraction:g} %" for fraction in fractions)
                remedy = f"add {name}, or divide the rows into fewer or larger parts"
                reject("labels", f"of enough {name} for each part of the rows ({sizes})", found, remedy)
    return parts


def _strata(columns: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return the stratum of each row, numbered from the rarest label to the negatives and the unlabelled rows."""
    is_positive = columns == 1
    by_rarity = np.argsort(is_positive.sum(axis=0), kind="stable")
    strata = np.where(np.isnan(columns).all(axis=1), columns.shape[1] + 1, columns.shape[1])
    for rank, label in reversed(list(enumerate(by_rarity))):
        strata[is_positive[:, label]] = rank
    return strata
