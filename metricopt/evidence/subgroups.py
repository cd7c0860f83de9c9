"""The subgroups that a program speaks of: which rows have which value in a column.

This file decides which columns can be used. What a bound asks of a subgroup is decided in
:mod:`metricopt.problem.bounds`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metricopt._arrays import numbered
from metricopt._validation import check_choice, reject
from metricopt.problem.bounds import MetricBound
from metricopt.problem.classes import as_text
from metricopt.problem.objectives import Objective

MOST_SUBGROUPS = 1000
MOST_LISTED = 5


@dataclass(frozen=True)
class SubgroupColumn:
    """The subgroup of each row by one column.

    Attributes
    ----------
    name : str
    values : tuple of str
        The values, in their order.
    of_row : ndarray, shape (n,), int
        The position of each row's value among them.
    """

    name: str
    values: tuple[str, ...]
    of_row: np.ndarray

    def take(self, rows: np.ndarray | slice) -> SubgroupColumn:
        """Return the subgroups of some rows; the values stay the same."""
        return SubgroupColumn(self.name, self.values, self.of_row[rows])


def read_subgroups(
    subgroups: Any, columns: Sequence[str], num_rows: int, *, strict: bool = True
) -> dict[str, SubgroupColumn]:
    """Return the columns of subgroups that a program names.

    Parameters
    ----------
    subgroups : mapping of str to array, or a frame
        One value a row in each column; columns that the program does not name are ignored. For a program that names
        one column, the array alone will do.
    columns : sequence of str
        The names that the program uses.
    num_rows : int
    strict : bool
        Whether a column must have two values at least, and fewer than there are rows; data that are judged need not.

    Raises
    ------
    InvalidInputError
        If a column is missing, has another length or a missing value, or values as ``strict`` rules out.

    Examples
    --------
    >>> read_subgroups({"site": ["b", "a", "b"]}, ["site"], 3)["site"].values
    ('a', 'b')
    """
    if not columns:
        return {}
    named = ", ".join(map(repr, columns))
    if subgroups is None:
        reject("subgroups", f"given for bounds in every {named}", None, f"pass subgroups={{{columns[0]!r}: values}}")
    is_frame = hasattr(subgroups, "columns")
    if not isinstance(subgroups, Mapping) and not is_frame:
        if len(columns) > 1:
            reject("subgroups", f"a mapping with the columns {named}", type(subgroups).__name__, "give one array each")
        subgroups = {columns[0]: subgroups}
    for name in columns:
        check_choice("a column of subgroups", name, map(str, subgroups.columns if is_frame else subgroups))
    return {name: read_column(name, subgroups[name], num_rows, strict) for name in columns}


def read_column(name: str, values: Any, num_rows: int, strict: bool) -> SubgroupColumn:
    """Return one column of subgroups, checked."""
    if isinstance(values, SubgroupColumn):
        return values
    argument = f"subgroups[{name!r}]"
    numbers = numbered(argument, values, num_rows)
    num_values = int(numbers.max(initial=-1)) + 1
    if strict and num_values < 2:
        got = "one value in every row" if num_rows else "no row"
        reject(argument, "of two values at least", got, "ask for the bound over all rows instead")
    if strict and num_values == num_rows > 2:
        remedy = "give a column with few values, such as a site"
        reject(argument, "one value for many rows", "another value in every row", remedy)
    if num_values > MOST_SUBGROUPS:
        remedy = "give a column with few values, such as a site or an age band"
        reject(argument, f"of at most {MOST_SUBGROUPS} values", f"{num_values} values", remedy)
    first = np.zeros(num_values, int)
    first[numbers[::-1]] = np.arange(num_rows)[::-1]
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    found, of_value = np.unique([as_text(listed[row]) for row in first], return_inverse=True)
    return SubgroupColumn(name, tuple(map(str, found)), of_value[numbers])


def crossed_subgroups(subgroups: Mapping[str, SubgroupColumn]) -> np.ndarray | None:
    """Return a number for each row that two rows share where they agree in all columns; None without columns."""
    if not subgroups:
        return None
    values = np.column_stack([column.of_row for column in subgroups.values()])
    return np.unique(values, axis=0, return_inverse=True)[1].reshape(-1)


def warn_of_rare(labels: np.ndarray, subgroups: Mapping[str, SubgroupColumn], num_parts: int) -> None:
    """Warn of subgroups that have fewer rows of a class than there are parts, so that a part lacks the class there.

    Parameters
    ----------
    labels : ndarray, shape (n, L), float
        0, 1 or NaN (missing). A class that a label lacks altogether is passed over.
    subgroups : mapping of str to SubgroupColumn
    num_parts : int
        How many parts the rows are divided into.
    """
    found = []
    for column in subgroups.values():
        for truth, what in ((1, "positive"), (0, "negative")):
            is_of_class = labels == truth
            counts = np.array([np.bincount(column.of_row[own], minlength=len(column.values)) for own in is_of_class.T])
            fewest = counts[counts.any(axis=1)].min(axis=0, initial=num_parts)
            found += [
                f"{column.name}={value} has {few} {what}{'' if few == 1 else 's'}"
                for value, few in zip(column.values, fewest, strict=True)
                if few < num_parts
            ]
    if found:
        listed = ", ".join(found[:MOST_LISTED]) + (", ..." if len(found) > MOST_LISTED else "")
        text = f"Too few rows for each of the {num_parts} parts that the rows are divided into: {listed}."
        warnings.warn(f"{text} Merge small subgroups, bring more rows, or give fewer folds.", UserWarning, stacklevel=4)


def bounds_of_rows(
    objective: Objective, subgroups: Mapping[str, SubgroupColumn]
) -> list[tuple[MetricBound, str, int | None]]:
    """Return each bound over all rows, and one in every subgroup once for each.

    A bound in every subgroup of a column that is not given is taken for one over all rows: those of one subgroup.

    Returns
    -------
    list of (MetricBound, str, int or None)
        The bound, how it is called, and the position of the subgroup in its column; None for all rows.
    """
    found: list[tuple[MetricBound, str, int | None]] = []
    for bound in objective.bounds:
        if bound.within is None or bound.within not in subgroups:
            found.append((bound, bound.of(None), None))
            continue
        found += [(bound, bound.of(name), at) for at, name in enumerate(subgroups[bound.within].values)]
    return found
