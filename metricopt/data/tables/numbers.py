"""Numbers in columns of text, in the ways in which people write them.

This file decides which texts are numbers, and in which of several ways a column writes them. It leaves to
:mod:`metricopt.data.tables.columns` whether a column is numeric.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metricopt.data.tables.cells import Cells, is_text, read_cells, to_arrow

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

POINT, COMMA = ".", ","
"""The decimal marks."""

_EXPONENT = r"([eE][+-]?\d+)?"
_PLAIN = rf"^[+-]?((\d+\.?\d*|\.\d+){_EXPONENT}|(?i:inf|infinity))$"
_MINUS_SIGNS = "^[\u2212\u2013]"
"""What typesetting makes of a minus before a number."""
_BLANKS, _APOSTROPHES = "\u0020\u00a0\u202f", "'\u2019"
_BETWEEN_THOUSANDS = {POINT: (COMMA, _BLANKS, _APOSTROPHES), COMMA: (POINT, _BLANKS, _APOSTROPHES)}
_ARABIC_MARKS = {"\u066b": POINT, "\u066c": COMMA}
_ZERO, _NINE = ord("0"), ord("9")


@dataclass(frozen=True)
class Numbers:
    """A column as numbers.

    Attributes
    ----------
    values : ndarray, shape (n,), float64
        The numbers, NaN where a cell is missing or no number.
    strange : dict of int to str
        The cells that hold something else than a number, by position.
    doubtful : dict of int to str
        The cells that are read as thousands, though they could be decimals, by position.
    """

    values: NDArray[np.float64]
    strange: dict[int, str]
    doubtful: dict[int, str] = field(default_factory=dict)


def read_numbers(column: pd.Series, decimal: str = POINT, *, has_thousands: bool = True) -> Numbers:
    """Return a column of any type as numbers.

    Thousands may be apart ("6,234", "6 234"). A cell that is not written with this decimal mark is read as a plain
    number where it is one. "True" is 1 and "False" is 0. The number of a cell depends on the cell and the mark alone,
    not on its neighbours. Where training wrote no thousands apart (``has_thousands``), "1,234" is doubtful.
    """
    values = read_typed(column)
    if values is None and decimal == POINT:
        values = _cast(column)
    if values is not None:
        return Numbers(values, {})
    cells = read_cells(column)
    by_text = parse(cells.texts, decimal)
    numbers = np.append(by_text, np.nan)[cells.codes]
    doubtful = {} if has_thousands else in_rows(cells, _could_be_decimals(cells.texts, decimal))
    return Numbers(numbers, in_rows(cells, np.isnan(by_text)), doubtful)


def writes_thousands(texts: pa.Array, numbers: NDArray[np.float64], decimal: str) -> bool:
    """Say whether some texts that are numbers hold the comma, or point, that stands between thousands."""
    import pyarrow.compute as pc

    has_mark = pc.match_substring(texts, COMMA if decimal == POINT else POINT).to_numpy(zero_copy_only=False)
    return bool((has_mark.astype(bool) & ~np.isnan(numbers)).any())


def _could_be_decimals(texts: pa.Array, decimal: str) -> NDArray[np.bool_]:
    """Say which texts have one mark of thousands before their last three digits, as decimals could be written, too."""
    import pyarrow.compute as pc

    pattern = rf"^[+-]?[1-9]\d{{0,2}}[{COMMA if decimal == POINT else POINT}]\d{{3}}$"
    return np.asarray(pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False), dtype=bool)


def in_rows(cells: Cells, are_meant: NDArray[np.bool_]) -> dict[int, str]:
    """Return the texts that are meant, by position of their row."""
    rows = np.flatnonzero(np.append(are_meant, False)[cells.codes])
    return {int(row): cells.texts[int(cells.codes[row])].as_py() for row in rows}


def begin_with_zero(texts: pa.Array) -> NDArray[np.bool_]:
    """Say which texts begin with a zero and another digit, as codes do (00120)."""
    import pyarrow.compute as pc

    return np.asarray(pc.match_substring_regex(texts, r"^0\d").to_numpy(zero_copy_only=False), dtype=bool)


def has_leading_zeros(column: pd.Series) -> bool:
    """Say whether :func:`begin_with_zero` holds for a cell of a column of text."""
    return is_text(column) and any(map(_has_leading_zeros, to_arrow(column).chunks))


def _has_leading_zeros(texts: pa.LargeStringArray) -> bool:
    """Look at the first two characters of all texts together, which is quick."""
    _, bounds, characters = texts.buffers()
    if characters is None or not len(texts):
        return False
    starts = np.frombuffer(bounds, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    marks = np.append(np.frombuffer(characters, np.uint8, count=starts[-1]), np.uint8(0))
    rows = np.flatnonzero(marks[starts[:-1]] == _ZERO)
    rows = rows[starts[rows + 1] - starts[rows] > 1]
    seconds = marks[starts[rows] + 1]
    return bool(((seconds >= _ZERO) & (seconds <= _NINE)).any())


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


def find_decimal(cells: Cells) -> tuple[str, NDArray[np.float64]]:
    """Return the decimal mark with which more cells of a column are numbers, and the number of each text (NaN: none).

    "6,234" alone is 6234, and beside "1,5" it is 6.234.
    """
    counts = cells.counts
    found = {decimal: parse(cells.texts, decimal) for decimal in (POINT, COMMA)}
    decimal = max(found, key=lambda mark: int(counts[~np.isnan(found[mark])].sum()))  # of equals, the point
    return decimal, found[decimal]


def _with_western_digits(texts: pa.Array) -> pa.Array:
    """Return texts with the digits of other scripts as 0 to 9, and Arabic's marks as a point and a comma."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pc.all(pc.string_is_ascii(texts)).as_py() in (True, None):
        return texts

    def western(text: str | None) -> str | None:
        if text is None or text.isascii():
            return text
        return "".join(_ARABIC_MARKS.get(mark) or (str(int(mark)) if mark.isdecimal() else mark) for mark in text)

    return pa.array(map(western, texts.to_pylist()), type=texts.type)


def parse(texts: pa.Array, decimal: str) -> NDArray[np.float64]:
    """Return the number of each text, NaN where it is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.replace_substring_regex(_with_western_digits(texts), _MINUS_SIGNS, "-")
    numbers: Any = pc.if_else(pc.match_substring_regex(texts, _PLAIN), texts, pa.scalar(None, type=texts.type))
    for name, number in (("True", "1"), ("False", "0")):
        numbers = pc.if_else(pc.equal(texts, name), number, numbers)
    marks = _BETWEEN_THOUSANDS[decimal]
    groups = "|".join(rf"([{mark}]\d{{3}})+" for mark in marks)
    if COMMA in marks:
        groups += r"|(,\d{2})*,\d{3}"  # lakhs: 1,23,456
    whole, mark = rf"(\d+|[1-9]\d{{0,2}}({groups}))", f"[{decimal}]"
    pattern = rf"^[+-]?({whole}({mark}\d*)?|{mark}\d+){_EXPONENT}$"
    cleaned = pc.replace_substring_regex(texts, f"[{''.join(marks)}]", "")
    cleaned = pc.replace_substring(cleaned, decimal, POINT)
    numbers = pc.if_else(pc.match_substring_regex(texts, pattern), cleaned, numbers)
    return np.asarray(numbers.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
