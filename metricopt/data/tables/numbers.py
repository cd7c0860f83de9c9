"""Numbers in columns of text, in the ways in which people write them.

This file decides which texts are numbers, and in which of several ways a column writes them. It leaves to
:mod:`metricopt.data.tables.kinds` whether a column is numeric.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metricopt.data.tables.cells import Cells, is_text, read_cells, to_arrow

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_EXPONENT = r"([eE][+-]?\d+)?"
_PLAIN = rf"^[+-]?((\d+\.?\d*|\.\d+){_EXPONENT}|(?i:inf|infinity))$"


@dataclass(frozen=True)
class NumberStyle:
    """How a column writes its numbers: its decimal mark, and the mark between thousands ("" where there is none)."""

    decimal: str = "."
    thousands: str = ""

    @property
    def pattern(self) -> str:
        """A regular expression for the numbers of this style."""
        if self == PLAIN:
            return _PLAIN
        decimal, between = (f"[{mark}]" for mark in (self.decimal, _ALIKE.get(self.thousands, self.thousands)))
        whole = rf"(\d+|[1-9]\d{{0,2}}({between}\d{{3}})+)"
        return rf"^[+-]?({whole}({decimal}\d*)?|{decimal}\d+){_EXPONENT}$"


_ALIKE = {" ": "\u0020\u00a0\u202f", "'": "'\u2019"}
"""The marks that look like the one that stands for them: other blanks, another apostrophe."""

PLAIN = NumberStyle()
STYLES = (PLAIN, *(NumberStyle(*marks) for marks in (".,", ",.", ". ", ", ", ".'")))
"""Of styles that read as many cells, the first is taken: "6,234" alone is 6234, beside "1,5" it is 6.234."""


@dataclass(frozen=True)
class Numbers:
    """A column as numbers.

    Attributes
    ----------
    values : ndarray, shape (n,), float64
        The numbers, NaN where a cell is missing or no number.
    strange : dict of int to str
        The cells that hold something else than a number, by position.
    """

    values: NDArray[np.float64]
    strange: dict[int, str]


def read_numbers(column: pd.Series, style: NumberStyle = PLAIN) -> Numbers:
    """Return a column of any type as numbers.

    A cell that is not written in this style is read as a plain number where it is one. "True" is 1 and "False" is 0.
    The number of a cell depends on the cell and the style alone, not on its neighbours.
    """
    values = read_typed(column)
    if values is None and style == PLAIN:
        values = _cast(column)
    if values is not None:
        return Numbers(values, {})
    cells = read_cells(column)
    by_text = parse(cells.texts, style)
    strange = np.isin(cells.codes, np.flatnonzero(np.isnan(by_text)))
    texts = {int(row): cells.texts[int(cells.codes[row])].as_py() for row in np.flatnonzero(strange)}
    return Numbers(np.append(by_text, np.nan)[cells.codes], texts)


def read_typed(column: pd.Series) -> NDArray[np.float64] | None:
    """Return a column whose type is for numbers or booleans as floats, None if it has another type."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if column.dtype == object or not (is_numeric_dtype(column) or is_bool_dtype(column)):
        return None
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def read_plain(column: pd.Series) -> NDArray[np.float64] | None:
    """Return a column as floats if it has a type for numbers, or holds nothing but plain numbers; else None."""
    values = read_typed(column)
    return _cast(column) if values is None else values


def _cast(column: pd.Series) -> NDArray[np.float64] | None:
    """Return a column of text as floats if every cell is a plain number or missing."""
    import pyarrow as pa

    if not is_text(column):
        return None
    try:
        values = to_arrow(column).cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        return None
    return np.asarray(values, dtype=np.float64)


def find_style(cells: Cells) -> tuple[NumberStyle, NDArray[np.float64]]:
    """Return the style that reads the most cells of a column as numbers, and the number of each text (NaN: none)."""
    counts = cells.counts
    best, best_count = (PLAIN, parse(cells.texts, PLAIN)), -1
    for style in STYLES:
        numbers = parse(cells.texts, style)
        count = int(counts[~np.isnan(numbers)].sum())
        if count > best_count:
            best, best_count = (style, numbers), count
        if count == counts.sum():
            break
    return best


def parse(texts: pa.Array, style: NumberStyle) -> NDArray[np.float64]:
    """Return the number of each text, NaN where it is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    none = pa.scalar(None, type=texts.type)
    numbers: Any = pc.if_else(pc.match_substring_regex(texts, _PLAIN), texts, none)
    for name, number in (("True", "1"), ("False", "0")):
        numbers = pc.if_else(pc.equal(texts, name), number, numbers)
    if style != PLAIN:
        marks = _ALIKE.get(style.thousands, style.thousands)
        cleaned = pc.replace_substring_regex(texts, f"[{marks}]", "")
        cleaned = pc.replace_substring(cleaned, style.decimal, ".")
        numbers = pc.if_else(pc.match_substring_regex(texts, style.pattern), cleaned, numbers)
    return np.asarray(numbers.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
