"""What speaks against a table as it is: a feature that gives the label away, rows without a label, repeated patients.

This file decides which of these are worth a warning. None of them stops a training.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metricopt._validation import InvalidInputError
from metricopt.data.tables.cells import is_text, read_cells
from metricopt.data.tables.columns import CategoricalColumn, NumericColumn, holds_codes, learn_column
from metricopt.data.tables.left_out import MIN_ROWS, names_people
from metricopt.data.tables.numbers import (
    POINT,
    begin_with_zero,
    find_decimal,
    has_leading_zeros,
    parse,
    read_plain,
)

if TYPE_CHECKING:
    import pandas as pd

MAX_UNLABELLED = 0.05
SEPARATES = 0.99
"""The balanced accuracy from which a single column is suspected of giving the label away."""

_WITH_UNIT = re.compile(r"^([$€£<>~≤≥(]?) ?[+-]?\d+([.,]\d+)* ?(%|\)|[A-Za-zµ°/²³]*)$")
_MANY_NUMBERS, _FEW_UNITS = 20, 3
_ROWS_TO_SEE_UNITS = 1_000
_LEAST_PART = 0.2
_CODES_FOR_MISSING = (-9.0, -99.0, -999.0, -9999.0)
_LEAST_CODED = 0.01

_MIN_OF_A_CLASS = 5
_MIN_OF_A_CATEGORY = 5
_MAX_ROWS = 10_000
_MAX_CELLS = 10_000_000


def caveats_of(features: pd.DataFrame, labels: NDArray[np.float64], label: str) -> list[str]:
    """Return sentences on what the owner of a table should know before it is used.

    Parameters
    ----------
    features : pandas.DataFrame, shape (n, d)
        The features.
    labels : ndarray, shape (n,), float
        0, 1 or NaN (missing).
    label : str
        The name of the label column.
    """
    return [
        *_unlabelled(labels, label),
        *_separating(features, labels, label),
        *_repeated(features),
        *_with_units(features),
        *_with_zeros(features),
        *_with_codes(features),
    ]


def _unlabelled(labels: NDArray[np.float64], label: str) -> Iterator[str]:
    num_missing = int(np.isnan(labels).sum())
    if len(labels) >= MIN_ROWS and num_missing > MAX_UNLABELLED * len(labels):
        part = f"{num_missing:,} of {len(labels):,} rows ({num_missing / len(labels):.0%})"
        yield f"{part} have no value in {label!r} and do not count: check that its blanks are not a class"


def _separating(features: pd.DataFrame, labels: NDArray[np.float64], label: str) -> Iterator[str]:
    """Yield a sentence for each column that tells the two classes from each other by itself."""
    rows = _sample(labels, features.shape[1])
    if rows is None:
        return
    for name, column in features.items():
        own = column if len(rows) == len(labels) else column.iloc[rows]
        accuracy = _best_cut(_as_scores(str(name), own, labels[rows]), labels[rows])
        if accuracy >= SEPARATES:
            yield (
                f"{name} alone separates the classes of {label!r} (balanced accuracy {accuracy:.3f}): "
                f"if it is not known before {label!r} is, leave it out (--drop {name})"
            )


def _sample(labels: NDArray[np.float64], num_columns: int) -> NDArray[np.intp] | None:
    """Return rows of both classes, few enough to be looked at in a moment; None where a class has too few rows."""
    number = min(_MAX_ROWS, _MAX_CELLS // max(num_columns, 1)) // 2
    of_class = [np.flatnonzero(labels == value) for value in (0, 1)]
    if min(map(len, of_class)) < _MIN_OF_A_CLASS:
        return None
    random = np.random.default_rng(0)
    drawn = [random.choice(own, number, replace=False) if len(own) > number else own for own in of_class]
    return np.sort(np.concatenate(drawn))


def _as_scores(name: str, column: pd.Series, labels: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return one column as scores: a number with missing ones first, or last; a category as its part of positives."""
    try:
        learnt = learn_column(name, column)
    except InvalidInputError:  # which the preprocessing will say
        return []
    if isinstance(learnt, NumericColumn):
        values = learnt.read(column).values
        ends = (np.nanmin(values) - 1, np.nanmax(values) + 1)
        return [np.where(np.isnan(values), end, values) for end in ends]
    if isinstance(learnt, CategoricalColumn):
        codes = read_cells(column).codes + 1  # missing is a category
        counts, positives = np.bincount(codes), np.bincount(codes, labels)
        rare = counts < _MIN_OF_A_CATEGORY
        fractions = np.where(
            rare, positives[rare].sum() / max(counts[rare].sum(), 1), positives / np.maximum(counts, 1)
        )
        return [fractions[codes]]
    return []


def _best_cut(all_scores: list[NDArray[np.float64]], labels: NDArray[np.float64]) -> float:
    """Return the largest balanced accuracy that a threshold on one of the scores reaches, in either direction."""
    best = 0.5
    for scores in all_scores:
        order = np.argsort(scores)
        last_of_ties = np.append(np.diff(scores[order]) != 0, True)
        positives = (np.cumsum(labels[order]) / labels.sum())[last_of_ties]
        negatives = (np.cumsum(1 - labels[order]) / (1 - labels).sum())[last_of_ties]
        best = max(best, 0.5 + float(np.abs(positives - negatives).max()) / 2)
    return best


def _repeated(features: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence for each column that names people, some of them in several rows."""
    for place, name in enumerate(map(str, features.columns)):
        if not names_people(name):
            continue
        cells = read_cells(features.iloc[:, place])
        num_present = int((cells.codes >= 0).sum())
        if 1 < len(cells.texts) < num_present:
            yield (
                f"{name} repeats ({len(cells.texts):,} values in {num_present:,} rows): the same one may be in "
                f"training and test; add --group {name}"
            )


def _with_units(features: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence for each column of text that holds many numbers, with few marks beside them or among words."""
    for name, column in features.items():
        if not is_text(column) and column.dtype != object:
            continue
        cells = read_cells(column.iloc[:_ROWS_TO_SEE_UNITS])
        texts, counts = cells.texts.to_pylist(), cells.counts
        found = [match for match in map(_WITH_UNIT.match, texts) if match]
        marks = Counter((match[1], match[3]) for match in found)
        num_marked = len(found) - marks.pop(("", ""), 0)
        if num_marked > _MANY_NUMBERS and 2 * num_marked > len(texts) and 0 < len(marks) <= _FEW_UNITS:
            first = next(match[0] for match in found if match[1] or match[3])
            yield f"{name} holds numbers with marks beside them ({first!r}), which are text: write the numbers alone"
            continue
        are_numbers = ~np.isnan(parse(cells.texts, POINT))
        part = counts[are_numbers].sum() / max(counts.sum(), 1)
        if are_numbers.sum() > _MANY_NUMBERS and _LEAST_PART <= part <= 1 / 2:
            often = int(np.argmax(np.where(are_numbers, 0, counts)))
            if counts[often] == 1:  # codes that differ from row to row, some of which look like numbers
                continue
            word = texts[often]
            yield (
                f"{name} holds as many words as numbers ({word!r} the most), so that each number is a category: "
                "leave the cells with words blank, or give them a column of their own"
            )


def _with_zeros(features: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence for each column of numbers some of which are written with leading zeros."""
    for name, column in features.items():
        if not has_leading_zeros(column) and column.dtype != object:
            continue
        cells = read_cells(column)
        zeros = np.flatnonzero(begin_with_zero(cells.texts))
        if not len(zeros) or np.isnan(find_decimal(cells)[1]).any():
            continue
        first, number = cells.texts[int(zeros[0])].as_py(), int(cells.counts[zeros].sum())
        if holds_codes(cells):
            yield (
                f"{name} has leading zeros ({first!r}), so that its values are codes, each a category: "
                "write them without if they are amounts"
            )
        else:
            yield (
                f"{name} has leading zeros in {number:,} of {len(column):,} rows ({first!r}), which are read as plain "
                f"numbers: if they are codes, leave the column out (--drop {name}) or put a letter before each"
            )


def _with_codes(features: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence for each column of numbers from 0 up with one below that often stands for a missing one."""
    num_rows = min(_MAX_ROWS, _MAX_CELLS // max(features.shape[1], 1), len(features))
    for name, column in features.items():
        values = read_plain(column.iloc[:num_rows])
        present = np.empty(0) if values is None else values[~np.isnan(values)]
        if not len(present) or present.min() not in _CODES_FOR_MISSING:
            continue
        code, others = present.min(), present[present > present.min()]
        number = len(present) - len(others)
        if len(others) and others.min() >= 0 and number >= max(_LEAST_CODED * len(present), 2):
            yield (
                f"{name} is {code:g} in {number:,} of {num_rows:,} rows, and otherwise never below 0: "
                f"if {code:g} stands for a missing value, leave these cells blank"
            )
