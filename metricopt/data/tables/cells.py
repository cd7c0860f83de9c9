"""The cells of a column as they are written: which of them are missing, and which say the same.

This file decides what counts as a missing value and when two cells hold the same text. It leaves to
:mod:`metricopt.data.tables.numbers` which texts are numbers.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metricopt._validation import reject

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MISSING_CODES = (
    *("", "?", ".", "NA", "N/A", "n/a", "#NA", "#N/A", "#N/A N/A", "<NA>", "NaN", "nan", "NAN", "-NaN", "-nan", "NaT"),
    *("NULL", "null", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)
"""The texts that stand for a missing value everywhere. Words such as "None" or "unknown" are values."""

_BLANKS = " \t\r\n\f\v\u00a0\u202f\u3000\u200b\u2060\ufeff"


@dataclass(frozen=True)
class Cells:
    """The cells of one column, by their distinct texts.

    Attributes
    ----------
    texts : pyarrow.Array of m strings
        The distinct texts, without blanks around them. Booleans are "True" and "False", however they are written.
    codes : ndarray, shape (n,), int
        The text of each row as a position in ``texts``, -1 where the value is missing.
    """

    texts: pa.Array
    codes: NDArray[np.intp]

    @property
    def counts(self) -> NDArray[np.intp]:
        """In how many rows each text is, shape (m,)."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.texts))


def tidy_name(name: object) -> str:
    """Return the name of a column as it is read: without blanks and invisible marks around it, and accents composed."""
    return unicodedata.normalize("NFC", str(name)).strip(_BLANKS)


def column_names(frame: pd.DataFrame) -> list[str]:
    """Return the names of a frame's columns as :func:`tidy_name` has them; reject names that are there twice."""
    names = [tidy_name(name) for name in frame.columns]
    twice = [name for name, number in Counter(names).items() if number > 1]
    if twice:
        first = [str(place + 1) for place, name in enumerate(names) if name == twice[0]]
        got = f"twice {twice} (the first in columns {' and '.join(first)})"
        reject("table", "one whose columns have different names", got, "rename or remove one of them")
    return names


def read_cells(column: pd.Series) -> Cells:
    """Return the cells of a column of any type as texts.

    A text does not depend on the type of the column: the numbers 1 and 1.0 are both "1". In a column of text, though,
    "1", "1.0" and "01" are different.
    """
    import pandas as pd
    import pyarrow as pa

    if is_text(column):
        encoded = to_arrow(column).dictionary_encode().combine_chunks()
        texts = encoded.dictionary
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    else:
        if column.dtype == object:  # factorize takes 1 and True for the same
            column = pd.Series([None if absent else _text(v) for v, absent in zip(column, column.isna(), strict=True)])
        codes, values = pd.factorize(column)
        texts = pa.array([_text(value) for value in values], type=pa.large_string())
    merged = _as_written(texts).dictionary_encode()
    own = merged.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return Cells(merged.dictionary, np.append(own, -1)[codes].astype(np.intp))


def is_text(column: pd.Series) -> bool:
    """Say whether a column has a type for text alone, as those of text files have."""
    import pandas as pd
    import pyarrow as pa

    dtype = column.dtype
    is_arrow = isinstance(dtype, pd.ArrowDtype) and dtype.pyarrow_dtype in (pa.string(), pa.large_string())
    return isinstance(dtype, pd.StringDtype) or is_arrow


def to_arrow(column: pd.Series) -> pa.ChunkedArray:
    """Return a column of text as Arrow's array, with null for missing values."""
    import pyarrow as pa

    array = pa.array(column, from_pandas=True)
    chunked = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    return chunked.cast(pa.large_string())


def same_boolean(text: str | None) -> str | None:
    """Return booleans as "True" and "False", and other texts as they are."""
    return text.capitalize() if text is not None and text.lower() in ("true", "false") else text


def _as_written(texts: pa.Array) -> pa.Array:
    """Return texts without blanks around them, missing codes as null, and booleans alike."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.utf8_trim_whitespace(texts)
    lower = pc.utf8_lower(texts)
    for name in ("True", "False"):
        texts = pc.if_else(pc.equal(lower, name.lower()), name, texts)
    missing = pc.is_in(texts, value_set=pa.array(MISSING_CODES, type=texts.type))
    return pc.if_else(missing, pa.scalar(None, type=texts.type), texts)


def _text(value: Any) -> str:
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)
