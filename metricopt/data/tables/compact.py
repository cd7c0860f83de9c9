"""A long table in little memory: numbers as floats, not as the text that they are written in.

This file decides which columns of a file can be held as floats without any change to what training learns of them:
those whose every cell is a plain number, and none has leading zeros. New rows cannot be read like that, since what
their cells mean is decided by the training rows.
"""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metricopt.data.tables.cells import is_text
from metricopt.data.tables.numbers import has_leading_zeros, read_plain
from metricopt.data.tables.reading import read_pieces

if TYPE_CHECKING:
    import pandas as pd

_LARGEST_WHOLE = 2.0**53
"""Floats tell whole numbers below this one from each other."""


def read_compact(path: str | Path, as_text: Container[str] = ()) -> pd.DataFrame:
    """Read a table as :func:`metricopt.data.read_table` does, but plain numbers as floats, and piece by piece.

    Parameters
    ----------
    path : str or Path
        The file, as for :func:`metricopt.data.read_table`.
    as_text : set of str
        The columns whose cells stay text in any case.

    Returns
    -------
    pandas.DataFrame, shape (n, d)

    Raises
    ------
    InvalidInputError
        If :func:`metricopt.data.read_table` would raise.
    """
    import pandas as pd

    parts: dict[str, list[pd.Series]] = {}
    is_plain: dict[str, bool] = {}
    again: set[str] = set()
    for piece in read_pieces(path):
        for name, column in piece.items():
            name, known = str(name), parts.setdefault(str(name), [])
            numbers = _plain(column) if is_plain.setdefault(name, name not in as_text) else None
            if is_plain[name] and numbers is None:
                is_plain[name] = False
                if known:  # its text is gone
                    again.add(name)
                    known.clear()
            if name not in again:
                known.append(column if numbers is None else numbers)
    if again:
        for piece in read_pieces(path, again):
            for name, column in piece.items():
                parts[str(name)].append(column)
    columns = {name: pd.concat(parts.pop(name), ignore_index=True) for name in list(parts)}
    return pd.DataFrame(columns, copy=False)


def _plain(column: pd.Series) -> pd.Series | None:
    """Return a column of plain numbers as floats, one that is no text as it is, and None for other text."""
    import pandas as pd

    if not is_text(column):
        return column
    numbers = None if has_leading_zeros(column) else read_plain(column)
    if numbers is None or (np.abs(numbers) >= _LARGEST_WHOLE).any():
        return None
    return pd.Series(numbers, column.index)
