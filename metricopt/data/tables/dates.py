"""Dates in columns of tables, as numbers of days where their owner asks for it.

This file decides in which of several ways a column writes its dates. It leaves to
:mod:`metricopt.data.tables.columns` what is learnt of the numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metricopt._validation import reject
from metricopt.data.tables.cells import read_cells
from metricopt.data.tables.numbers import Numbers, in_rows

if TYPE_CHECKING:
    import pandas as pd

_ISO = "ISO8601"
_DAYS = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y%m%d", "%d %b %Y", "%d %B %Y", "%Y/%m/%d", "%m/%Y"),
    *("%a, %d %b %Y", "%d%m%Y", "%m%d%Y"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S")
_NEARLY_ALL = 0.9


def read_days(column: pd.Series, date_format: str) -> Numbers:
    """Return the days since 1 January 1970, with the time of day as a fraction; cells that are no dates are strange.

    Parameters
    ----------
    column : pandas.Series
        Text, or dates.
    date_format : str
        As :func:`find_date_format` returns it.
    """
    import pandas as pd

    if column.dtype.kind == "M":
        return Numbers(_days(column), {})
    cells = read_cells(column)
    by_text = _parsed(pd.Series(cells.texts.to_pylist(), dtype=object), date_format)
    return Numbers(np.append(by_text, np.nan)[cells.codes], in_rows(cells, np.isnan(by_text)))


def find_date_format(name: str, column: pd.Series) -> str:
    """Return the format in which a column of the training rows writes its dates.

    Raises
    ------
    InvalidInputError
        If it holds no dates, or days and months cannot be told from each other.
    """
    import pandas as pd

    cells = read_cells(column)
    texts, counts = pd.Series(cells.texts.to_pylist(), dtype=object), cells.counts
    formats = [_ISO, *(day + time for day in _DAYS for time in _TIMES)]
    found = {each: _parsed(texts, each) for each in formats}
    numbers = {each: int(counts[~np.isnan(days)].sum()) for each, days in found.items()}
    best = max(formats, key=numbers.__getitem__)  # of equals, the first
    if not numbers[best] or numbers[best] < _NEARLY_ALL * counts.sum():
        first = texts[0] if len(texts) else "nothing"
        reject(f"date column {name!r}", "of dates", repr(first), "write them as 2020-01-31, or leave the column out")
    for other in formats:
        if numbers[other] == numbers[best] and not np.array_equal(found[other], found[best], equal_nan=True):
            got = f"{texts[0]!r}, which could be {best} or {other}"
            reject(f"date column {name!r}", "of dates that can be read in one way", got, "write them as 2020-01-31")
    return best


def _parsed(texts: pd.Series, date_format: str) -> NDArray[np.float64]:
    import pandas as pd

    return _days(pd.to_datetime(texts, format=date_format, errors="coerce", utc=True).dt.tz_localize(None))


def _days(dates: pd.Series) -> NDArray[np.float64]:
    import pandas as pd

    return ((dates - pd.Timestamp(0)) / pd.Timedelta(days=1)).to_numpy(dtype=np.float64, na_value=np.nan)
