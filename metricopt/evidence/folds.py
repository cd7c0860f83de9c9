"""Which rows testify about which model: folds, each left out of the training of one model.

With K folds, model k trains without the rows of fold k, so every row trains and every row has a score from a model that
has not seen it. Rows can be divided into folds several times over: then each has a score from as many models. This file
decides the fold of each row. It leaves the dealing out to :mod:`metricopt.data.splits`, and what becomes of the scores
to :mod:`metricopt.evidence.frames`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from metricopt._arrays import numbered
from metricopt._validation import is_integer, reject
from metricopt.data.splits import stratified_split
from metricopt.evidence.subgroups import SubgroupColumn, crossed_subgroups, warn_of_rare

DEFAULT_FOLDS = 5


def make_folds(
    folds: Any,
    labels: NDArray[np.floating],
    *,
    groups: Any = None,
    subgroups: Mapping[str, SubgroupColumn] = MappingProxyType({}),
    seed: int = 0,
) -> NDArray[np.intp]:
    """Return the fold of each row, a number from 0.

    Parameters
    ----------
    folds : int, splitter or array
        A number K >= 2: K stratified folds, seeded, the rarest label first, groups kept whole. A splitter of
        scikit-learn's kind, with ``split(X, y, groups)``, which gets the numbers of the rows as X. Or the fold of each
        row as given, shape (n,), whole numbers.
    labels : ndarray, shape (n,) or (n, L), float
        0, 1 or NaN (missing).
    groups : sequence, shape (n,), optional
        Rows of equal value (a patient's images) stay in one fold.
    subgroups : mapping of str to SubgroupColumn, optional
        Where ``folds`` is a number, each fold gets its part of every class of every subgroup.
    seed : int
        The same seed gives the same folds.

    Returns
    -------
    ndarray, shape (n,), int
        Folds are numbered from 0 without gaps.

    Raises
    ------
    InvalidInputError
        If there are fewer than 2 folds, more than a label has positives or negatives, or more than there are groups; if
        a splitter tests a row twice or never; if given folds divide a group or lack a row's number.

    Warns
    -----
    UserWarning
        If a subgroup has fewer rows of a class than there are folds to be dealt out.

    Examples
    --------
    >>> make_folds(2, np.array([1.0, 0.0, 0.0, 1.0, 0.0, 0.0])).tolist()
    [1, 0, 1, 0, 0, 1]
    """
    divisions = make_divisions(folds, labels, groups=groups, subgroups=subgroups, seed=seed)
    if divisions.shape[1] > 1:
        got = f"one that tests every row {divisions.shape[1]} times"
        reject("folds", "one that tests every row once", got, "give e.g. StratifiedKFold(5)")
    return divisions[:, 0]


def make_divisions(
    folds: Any,
    labels: NDArray[np.floating],
    *,
    groups: Any = None,
    subgroups: Mapping[str, SubgroupColumn] = MappingProxyType({}),
    seed: int = 0,
    number: int = 1,
) -> NDArray[np.intp]:
    """Return the fold of each row in each of several divisions into folds, numbered from 0 in each of them.

    Parameters
    ----------
    folds : int, splitter or array
        As for :func:`make_folds`. A splitter may divide the rows several times, one division after the other
        (``RepeatedStratifiedKFold``), and an array, shape (n, D), may have a column for each division.
    labels, groups, subgroups, seed
        As for :func:`make_folds`.
    number : int, >= 1
        How many divisions are dealt out where ``folds`` is a number.

    Returns
    -------
    ndarray, shape (n, D), int

    Raises
    ------
    InvalidInputError
        As for :func:`make_folds`; and if a splitter does not finish a division before it begins the next.

    Examples
    --------
    >>> make_divisions(np.array([[0, 1], [1, 1], [0, 0]]), np.array([1.0, 0.0, 0.0])).tolist()
    [[0, 1], [1, 1], [0, 0]]
    """
    columns = np.asarray(labels, dtype=np.float64).reshape(len(labels), -1)
    folds = folds.numpy(force=True) if isinstance(folds, Tensor) else folds
    if is_integer(folds):
        _check_number(int(folds), columns, groups)
        warn_of_rare(columns, subgroups, int(folds))
        return np.stack(
            [
                _dealt_out(int(folds), columns, groups, crossed_subgroups(subgroups), seed + each)
                for each in range(number)
            ],
            axis=1,
        )
    if hasattr(folds, "split") and not isinstance(folds, str):
        return _by_splitter(folds, columns, groups)
    if isinstance(folds, str) or np.ndim(folds) not in (1, 2):
        remedy = "give e.g. 5, StratifiedKFold(5), one fold number a row, or None for none"
        reject("folds", "a number, a splitter or one number a row", repr(folds), remedy)
    values = np.asarray(folds)
    each_division = [values] if values.ndim == 1 else list(values.T)
    return np.stack([_as_given(division, columns, groups) for division in each_division], axis=1)


def _check_number(number: int, columns: np.ndarray, groups: Any) -> None:
    if number < 2:
        reject("folds", "an integer >= 2", number, "give e.g. 5, or None for no folds")
    if groups is not None:
        num_groups = int(numbered("groups", groups, len(columns)).max(initial=-1)) + 1
        if num_groups < number:
            reject("folds", f"at most the number of groups ({num_groups})", number, "give fewer folds")
    for truth, name in ((1, "positives"), (0, "negatives")):
        # A label that lacks a class altogether is left out of training later; it must not forbid folds to the others.
        counts = (columns == truth).sum(axis=0)
        fewest = int(counts[counts > 0].min(initial=number))
        if fewest < number:
            remedy = f"give at most {fewest}" if fewest > 1 else "give None, or add samples"
            reject("folds", f"at most the number of {name} of every label ({fewest})", number, remedy)


def _dealt_out(number: int, columns: np.ndarray, groups: Any, subgroups: Any, seed: int) -> NDArray[np.intp]:
    parts = stratified_split(columns, (1 / number,) * number, seed, groups, subgroups)
    return _numbered_by(parts, len(columns))


def _by_splitter(splitter: Any, columns: np.ndarray, groups: Any) -> NDArray[np.intp]:
    rows = np.arange(len(columns))
    x = rows[:, np.newaxis]
    strata = columns[:, 0] if columns.shape[1] == 1 else columns
    try:
        parts = [np.asarray(test) for _, test in splitter.split(x, strata, groups)]
    except (TypeError, ValueError) as error:
        remedy = "pass groups as well" if groups is None else "give another splitter, or a number"
        reject("folds", "a splitter that can divide these rows", f"{splitter}: {error}", remedy)
    divisions = [_checked_groups(_numbered_by(parts, len(columns)), groups) for parts in _divided(parts, len(columns))]
    if not divisions:
        times = np.bincount(np.concatenate(parts).astype(np.intp), minlength=len(columns)) if parts else np.zeros(1)
        rule = "a splitter that tests every row once, in two parts or more, before it tests one again"
        got = f"{len(parts)} parts that test a row {int(times.min())} to {int(times.max())} times"
        reject("folds", rule, got, "give e.g. KFold(5) or RepeatedKFold()")
    return np.stack(divisions, axis=1)


def _divided(parts: list[np.ndarray], num_rows: int) -> list[list[np.ndarray]]:
    """Return the parts of each division, or nothing if there is one that does not hold every row once."""
    divisions: list[list[np.ndarray]] = []
    num_tested = num_rows  # of the division that is under way
    for part in parts:
        if num_tested == num_rows:
            divisions.append([])
            num_tested = 0
        divisions[-1].append(part)
        num_tested += len(part)
    are_whole = all(
        len(division) > 1 and np.array_equal(np.sort(np.concatenate(division)), np.arange(num_rows))
        for division in divisions
    )
    return divisions if are_whole else []


def _as_given(folds: Any, columns: np.ndarray, groups: Any) -> NDArray[np.intp]:
    values = np.asarray(folds)
    if values.shape != (len(columns),):
        reject("folds", f"one number a row ({len(columns)})", f"{len(values)} values", "give the fold of each row")
    if values.dtype.kind not in "biuf" or not np.isfinite(values.astype(np.float64)).all():
        reject("folds", "whole numbers, one a row", f"{values.dtype} values", "number the folds from 0")
    if (values != np.floor(values)).any():
        reject("folds", "whole numbers, one a row", "fractions", "number the folds from 0")
    distinct, numbers = np.unique(values, return_inverse=True)
    if len(distinct) < 2:
        reject("folds", "of two folds or more", f"{len(distinct)}", "give rows of two folds, or None")
    return _checked_groups(numbers.astype(np.intp), groups)


def _numbered_by(parts: Any, num_rows: int) -> NDArray[np.intp]:
    folds = np.empty(num_rows, dtype=np.intp)
    for number, part in enumerate(parts):
        folds[part] = number
    return folds


def _checked_groups(folds: NDArray[np.intp], groups: Any) -> NDArray[np.intp]:
    """Reject folds that divide a group: its rows would testify about a model that trained on the others."""
    if groups is not None:
        group_of_row = numbered("groups", groups, len(folds))
        first = np.zeros(group_of_row.max(initial=-1) + 1, dtype=np.intp)
        first[group_of_row[::-1]] = np.arange(len(folds))[::-1]
        divided = np.flatnonzero(folds != folds[first[group_of_row]])
        if len(divided):
            got = f"the group of row {int(divided[0])} in two folds"
            reject("folds", "such that every group lies in one", got, "give GroupKFold(5), or a number")
    return folds
