"""Which rows of a table train, choose and test: by chance, or the past trains and the last part tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metricopt._validation import check_choice, reject
from metricopt.data import stratified_split
from metricopt.data.tables.numbers import read_plain

if TYPE_CHECKING:
    import pandas as pd

_MOST_ORDERED = 1e15
"""Years, days and seconds lie below."""


@dataclass(frozen=True)
class Dates:
    """When each row was.

    Attributes
    ----------
    column : str
    values : ndarray, shape (n,), float64
        Seconds since 1970, or the numbers of the column.
    are_numbers : bool
        Whether the column holds plain numbers, such as years.
    """

    column: str
    values: np.ndarray
    are_numbers: bool = False

    @classmethod
    def of(cls, frame: pd.DataFrame, column: str) -> Dates:
        """Read a column of dates (2024-05-31, also with a time), or of numbers such as years.

        Raises
        ------
        InvalidInputError
            If there is no such column, a row has no date, or one cannot be read; the first such row is named.
        """
        import pandas as pd

        check_choice("split_by_date", column, frame.columns)
        own, what = frame[column], f"date column {column!r}"
        missing = np.flatnonzero(own.isna())
        if len(missing):
            got = f"{len(missing)} rows without one, the first is row {missing[0]}"
            reject(what, "given for every row", got, "leave such rows out, or fill them")
        numbers = None if pd.api.types.is_datetime64_any_dtype(own) else read_plain(own)
        if numbers is not None and (np.abs(numbers) < _MOST_ORDERED).all():
            return cls(column, numbers, are_numbers=True)
        read = pd.to_datetime(own, format="ISO8601", utc=True, errors="coerce")
        strange = np.flatnonzero(read.isna())
        if len(strange):
            got = f"{str(own.iloc[strange[0]])!r} in row {strange[0]}"
            if len(strange) > 1:
                got += f", and {len(strange) - 1} more that cannot be read"
            reject(what, "of dates such as 2024-05-31", got, "write year-month-day, with a time behind it if you like")
        seconds = (read - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
        return cls(column, seconds.to_numpy(np.float64))

    def take(self, rows: np.ndarray) -> Dates:
        """Return the dates of some rows."""
        return Dates(self.column, self.values[rows], self.are_numbers)

    def text(self, value: float) -> str:
        """Return a date as people write it."""
        import pandas as pd

        if self.are_numbers:
            return f"{value:.15g}"
        moment = pd.Timestamp(value, unit="s")
        return str(moment.date()) if moment == moment.normalize() else str(moment.round("s"))


@dataclass(frozen=True)
class Parts:
    """The rows of each part by number.

    Attributes
    ----------
    rest, test : ndarray of int
        What trains and chooses, and what tests.
    said : str
        A sentence on how they were divided; "" where chance did it.
    """

    rest: np.ndarray
    test: np.ndarray
    said: str = ""


def divide(
    labels: np.ndarray,
    groups: np.ndarray | None,
    dates: Dates | None,
    test_fraction: float,
    seed: int,
    subgroups: np.ndarray | None = None,
) -> Parts:
    """Keep a fraction of the rows for the test: by chance, each class of each subgroup alike, or the last ones.

    With dates, rows of the same date are not divided, and rows of a group that is in the test part do not train.

    Raises
    ------
    InvalidInputError
        If a part would lack a class.
    """
    if dates is None:
        rest, test = stratified_split(labels, (1 - test_fraction, test_fraction), seed, groups, subgroups)
        return Parts(rest, test)
    # The date from which on there are nearest to as many rows as asked.
    moments, counts = np.unique(dates.values, return_counts=True)
    later = counts[::-1].cumsum()[::-1]
    start = moments[np.abs(later - test_fraction * len(labels)).argmin()]
    is_test = dates.values >= start
    is_rest, left_out = ~is_test, ""
    if groups is not None:
        both = is_rest & np.isin(groups, groups[is_test])
        is_rest &= ~both
        if both.any():
            left_out = f" {int(both.sum())} earlier rows of groups that are in the test part were left out."
    parts = Parts(np.flatnonzero(is_rest), np.flatnonzero(is_test))
    for name, own in (("before", parts.rest), ("from", parts.test)):
        found = [what for what, value in (("positive", 1), ("negative", 0)) if not (labels[own] == value).any()]
        if found:
            got = f"no {found[0]} row {name} {dates.text(start)}" if len(own) else f"no row {name} {dates.text(start)}"
            remedy = "give another --test-fraction, or leave out --split-by-date"
            reject("split_by_date", "a column by which both parts hold both classes", got, remedy)
    said = (
        f"Divided by {dates.column}: rows before {dates.text(start)} trained ({len(parts.rest)}), those from then on "
        f"are the test ({len(parts.test)}).{left_out}"
    )
    return Parts(parts.rest, parts.test, said)


def choose_apart(
    labels: np.ndarray,
    groups: np.ndarray | None,
    rest: np.ndarray,
    fraction: float,
    seed: int,
    subgroups: np.ndarray | None = None,
) -> Any:
    """Return the rows that train and those that choose, of the rows that do not test."""
    own, own_subgroups = (None if values is None else values[rest] for values in (groups, subgroups))
    train, validation = stratified_split(labels[rest], (1 - fraction, fraction), seed, own, own_subgroups)
    return rest[train], rest[validation]
