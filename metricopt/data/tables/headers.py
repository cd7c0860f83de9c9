"""Whether the first line of a text file names its columns, or is a row of the table already.

This file decides when a first line holds values. It leaves reading lines to :mod:`metricopt.data.tables.text_files`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metricopt.data.tables.cells import MISSING_CODES
from metricopt.data.tables.numbers import COMMA, POINT, parse

_DENSE = 3
_LEAST_SPECTRUM = 5


def holds_values(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Say whether most entries of a first line are values, as those of the lines below it are.

    An entry is a value if it is a number that is no whole one, or if its column holds it again. Numbers that count
    the columns (0, 1, 2, or years), or that rise or fall over many of them (wavelengths), are names.

    Parameters
    ----------
    header : sequence of str
        The entries of the first line.
    rows : sequence of sequence of str
        The entries of some lines below it.
    """
    entries = {place: text.strip() for place, text in enumerate(header) if text.strip() not in MISSING_CODES}
    if len(entries) < 2:
        return False
    numbers = dict(zip(entries, _numbers(list(entries.values())).tolist(), strict=True))
    are_numbers = np.array([number for number in numbers.values() if not np.isnan(number)])
    have_order = _have_order(are_numbers)
    below = {place: {row[place].strip() for row in rows if place < len(row)} for place in entries}
    num_values = 0
    for place, text in entries.items():
        is_number = not np.isnan(numbers[place])
        if is_number and have_order:
            continue
        num_values += text in below[place] or (is_number and not numbers[place].is_integer())
    return 2 * num_values > len(entries)


def _numbers(texts: list[str]) -> NDArray[np.float64]:
    """Return the number of each text, with either decimal mark; NaN where it is none."""
    import pyarrow as pa

    array = pa.array(texts, type=pa.large_string())
    by_point = parse(array, POINT)
    return np.where(np.isnan(by_point), parse(array, COMMA), by_point)


def _have_order(numbers: NDArray[np.float64]) -> bool:
    """Say whether numbers are names: different whole ones close to each other, or many that rise or fall."""
    if len(numbers) < 2:
        return False
    steps = np.diff(numbers)
    if len(numbers) >= _LEAST_SPECTRUM and ((steps > 0).all() or (steps < 0).all()):
        return True
    are_whole = bool((numbers == np.rint(numbers)).all())
    return are_whole and len(np.unique(numbers)) == len(numbers) and bool(np.ptp(numbers) < _DENSE * len(numbers))
