"""Which rows go where: stratified parts that keep groups (patients) whole.

This file decides the rows; it leaves loading them to :mod:`metricopt.data.loaders`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from metricopt._validation import reject


def stratified_split(
    labels: NDArray[np.floating],
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    seed: int = 0,
    groups: Sequence[Any] | NDArray[Any] | None = None,
) -> tuple[NDArray[np.intp], ...]:
    """Deal rows out to parts that all have the prevalence of the whole; always the same rows for the same seed.

    Rows are dealt out stratum by stratum. A row belongs to the rarest label that it is positive for, else to the
    negatives, else (nothing labelled) to the rest; a group belongs to the rarest stratum of its rows.

    Parameters
    ----------
    labels : ndarray, shape (n,) or (n, L), float
        0, 1 or NaN.
    fractions : sequence of float
        The share of each part, summing to 1.
    seed : int
    groups : sequence, shape (n,), optional
        Rows of equal value (one patient's images) stay in one part; any hashable values, tuples as well.

    Returns
    -------
    tuple of ndarray of int
        The row numbers of each part, ascending; together every row once.

    Raises
    ------
    InvalidInputError
        When the fractions do not sum to 1, ``groups`` has another length than ``labels`` or missing values, or, with
        one label, a part would stay without a positive or a negative.

    Examples
    --------
    >>> train, test = stratified_split(np.array([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]), fractions=(0.5, 0.5))
    >>> len(train), len(test)
    (3, 3)
    """
    if min(fractions, default=0.0) <= 0 or not math.isclose(sum(fractions), 1.0):
        reject("fractions", "positive and sum to 1", tuple(fractions), "give for example (0.6, 0.2, 0.2)")
    columns = np.asarray(labels).reshape(len(labels), -1)
    if groups is not None and len(groups) != len(columns):
        reject("groups", f"one value a row ({len(columns)})", f"{len(groups)} values", "give one group a row")
    group_of_row = np.arange(len(columns)) if groups is None else _numbered(groups)
    stratum_of_group = np.full(group_of_row.max(initial=-1) + 1, columns.shape[1] + 1)
    np.minimum.at(stratum_of_group, group_of_row, _strata(columns))
    rows_of_group = np.bincount(group_of_row, minlength=len(stratum_of_group))

    random = np.random.RandomState(seed)  # its stream is frozen, unlike that of the newer generators
    part_of_group = np.empty(len(stratum_of_group), dtype=np.intp)
    cuts = np.cumsum(fractions)[:-1]
    for stratum in np.unique(stratum_of_group):
        members = random.permutation(np.flatnonzero(stratum_of_group == stratum))
        sizes = rows_of_group[members]
        middles = np.cumsum(sizes) - sizes / 2
        part_of_group[members] = np.searchsorted(cuts * sizes.sum(), middles)
    parts = tuple(np.flatnonzero(part_of_group[group_of_row] == part) for part in range(len(fractions)))
    if columns.shape[1] == 1:
        for name, truth in (("positives", 1), ("negatives", 0)):
            held = [int((columns[part] == truth).sum()) for part in parts]
            if min(held) == 0:
                remedy = f"take fewer or larger parts than {tuple(fractions)}"
                reject("labels", f"of enough {name} for every part", f"{sum(held)} {name}", remedy)
    return parts


def _numbered(groups: Any) -> NDArray[np.intp]:
    """Return the number of each row's group, in the order in which the groups appear."""
    values = groups.tolist() if isinstance(groups, torch.Tensor) else list(groups)  # tensors are equal by identity
    for row, value in enumerate(values):
        if _is_missing(value):
            reject("groups", "given for every row", f"{value!r} in row {row}", "give such a row a group of its own")
    numbers: dict[Any, int] = {}
    try:
        return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.intp)
    except TypeError as error:
        reject("groups", "hashable values, one a row", str(error), "give text, numbers or tuples")


def _is_missing(value: Any) -> bool:
    if isinstance(value, tuple):
        return any(map(_is_missing, value))
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas.NA has no truth value
        return True
    except ValueError:  # nor has an array, which is rejected as not hashable
        return False


def _strata(columns: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return each row's stratum, numbered from the rarest label to the negatives and the unlabelled rows."""
    is_positive = columns == 1
    by_rarity = np.argsort(is_positive.sum(axis=0), kind="stable")
    strata = np.where(np.isnan(columns).all(axis=1), columns.shape[1] + 1, columns.shape[1])
    for rank, label in reversed(list(enumerate(by_rarity))):
        strata[is_positive[:, label]] = rank
    return strata
