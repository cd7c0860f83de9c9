"""The kinds of columns, and what is learnt of each from the training rows.

This file decides whether a column is numeric or of categories, and keeps what applies it to new rows. It leaves to
:mod:`metricopt.data.tables.left_out` which columns are no features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metricopt._validation import reject
from metricopt.data.tables.cells import Cells, read_cells
from metricopt.data.tables.dates import find_date_format, read_days
from metricopt.data.tables.left_out import DATES, MAX_CATEGORIES, NO_VALUE, ONE_VALUE, why_no_categories, why_no_numbers
from metricopt.data.tables.numbers import (
    POINT,
    Numbers,
    begin_with_zero,
    find_decimal,
    has_leading_zeros,
    read_numbers,
    read_plain,
    writes_thousands,
)

if TYPE_CHECKING:
    import pandas as pd

_NEARLY_ALL = 0.9
_MANY_NUMBERS = 20
_LEAST_CODES = 0.01


@dataclass(frozen=True)
class NumericColumn:
    """A numeric column of the training rows.

    Attributes
    ----------
    name : str
        The name of the column.
    median : float
        The median of its numbers, which replaces missing values.
    mean, scale : float
        The mean and the standard deviation by which it is standardised.
    has_missing : bool
        Whether values are missing in training rows. If so, a 0/1 feature marks missing values.
    decimal : str
        The decimal mark of numbers that are text, a point or a comma.
    has_thousands : bool
        Whether some of them have the other mark between thousands.
    date_format : str or None
        How dates are written that are read as numbers of days; None for a column of numbers.
    """

    name: str
    median: float
    mean: float
    scale: float
    has_missing: bool
    decimal: str = POINT
    has_thousands: bool = False
    date_format: str | None = None

    def read(self, column: pd.Series) -> Numbers:
        """Return a column of new rows as numbers."""
        if self.date_format is not None:
            return read_days(column, self.date_format)
        return read_numbers(column, self.decimal, has_thousands=self.has_thousands)


@dataclass(frozen=True)
class CategoricalColumn:
    """A column of categories, as text. None stands for a missing value.

    Attributes
    ----------
    name : str
        The name of the column.
    categories : tuple of str or None
        The categories that are features, in sorted order, None last.
    num_rare : int
        The number of rarer categories that are none.
    """

    name: str
    categories: tuple[str | None, ...]
    num_rare: int = 0


def learn_column(name: str, column: pd.Series) -> NumericColumn | CategoricalColumn | str:
    """Return what is learnt of a column of the training rows, or the reason why it is left out.

    Raises
    ------
    InvalidInputError
        If a numeric column holds infinite values.
    """
    if column.dtype.kind in "mM" or str(column.dtype).startswith(("period", "date", "timestamp", "time", "duration")):
        return NO_VALUE if column.isna().all() else DATES
    decimal, values, has_thousands = POINT, read_plain(column), False
    if values is None or has_leading_zeros(column):
        cells = read_cells(column)
        decimal, numbers = find_decimal(cells)
        if not _is_numeric(cells, numbers):
            return why_no_categories(name, cells) or _learn_categories(name, cells)
        values = np.append(numbers, np.nan)[cells.codes]
        has_thousands = writes_thousands(cells.texts, numbers, decimal)
    check_not_infinite(name, values)
    return why_no_numbers(name, values) or _learn_numbers(name, values, decimal, has_thousands=has_thousands)


def learn_dates(name: str, column: pd.Series) -> NumericColumn | str:
    """Return what is learnt of a column of dates that is to be read as numbers of days, or why it is left out.

    Raises
    ------
    InvalidInputError
        If it holds no dates, or they can be read in several ways.
    """
    if column.isna().all():
        return NO_VALUE
    date_format = find_date_format(name, column)
    values = read_days(column, date_format).values
    if len(np.unique(values)) == 1:  # a missing one is a value
        return ONE_VALUE
    return replace(_learn_numbers(name, values, POINT, has_thousands=False), date_format=date_format)


def check_not_infinite(name: str, values: NDArray[np.float64]) -> None:
    """Reject infinite values."""
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        reject(f"column {name!r}", "finite or missing", f"{len(infinite)} infinite values", "leave them blank")


def _is_numeric(cells: Cells, numbers: NDArray[np.float64]) -> bool:
    """Say whether a column of text is numeric: all of its cells are numbers, or most are, and are no codes.

    Few different numbers beside words are categories (grades 1, 2, x), and so are codes (001).
    """
    counts, are_numbers = cells.counts, ~np.isnan(numbers)
    num_present, num_numbers = int(counts.sum()), int(counts[are_numbers].sum())
    if num_present == 0 or holds_codes(cells):
        return False
    if num_numbers == num_present:
        return True
    has_many = num_numbers > num_present / 2 and len(np.unique(numbers[are_numbers])) > _MANY_NUMBERS
    return has_many or num_numbers >= _NEARLY_ALL * num_present


def holds_codes(cells: Cells) -> bool:
    """Say whether the cells of a column are codes: 1 % of them, or more, begin with a zero and another digit."""
    zeros = cells.counts[begin_with_zero(cells.texts)].sum()
    return bool(zeros and zeros >= _LEAST_CODES * cells.counts.sum())


def _learn_numbers(name: str, values: NDArray[np.float64], decimal: str, *, has_thousands: bool) -> NumericColumn:
    missing = np.isnan(values)
    has_missing = bool(missing.any())
    median = float(np.median(values[~missing] if has_missing else values))
    filled = np.where(missing, median, values) if has_missing else values
    return NumericColumn(
        name,
        median=median,
        mean=float(filled.mean()),
        scale=float(filled.std()) or 1.0,
        has_missing=has_missing,
        decimal=decimal,
        has_thousands=has_thousands,
    )


def _learn_categories(name: str, cells: Cells) -> CategoricalColumn:
    counts = dict(zip(cells.texts.to_pylist(), cells.counts.tolist(), strict=True))
    kept = sorted(counts, key=lambda text: (-counts[text], text))[:MAX_CATEGORIES]
    has_missing = bool((cells.codes < 0).any())
    return CategoricalColumn(name, (*sorted(kept), *([None] if has_missing else [])), len(counts) - len(kept))
