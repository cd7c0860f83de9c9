"""Tables of features with one binary label.

This file decides which value of the label column is positive. It leaves the features to
:mod:`metricopt.data.tables.preprocessing`.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metricopt._validation import check_choice, reject
from metricopt.data.tables.caveats import caveats_of
from metricopt.data.tables.cells import column_names, read_cells, tidy_name
from metricopt.data.tables.findings import TableWarning
from metricopt.data.tables.numbers import POINT, parse
from metricopt.problem.classes import as_text, likely_positive

if TYPE_CHECKING:
    import pandas as pd


_SHOWN = 8
_MANY_CLASSES = 20


@dataclass(frozen=True, repr=False)
class Table:
    """A table of features with one binary label.

    Attributes
    ----------
    features : pandas.DataFrame, shape (n, d)
        The features as they were read: numbers, text and missing values.
    labels : ndarray, shape (n,), float64
        1 where the label column holds ``positive``, 0 elsewhere, NaN where it is missing.
    label : str
        The name of the label column.
    positive : str
        The value of the label column that counts as 1, as text.
    meaning : str
        A sentence on what counts as 1 and what as 0, with the numbers of rows.
    caveats : tuple of str
        Reasons to look at the table again. Each was also given as a :class:`TableWarning`.
    """

    features: pd.DataFrame
    labels: NDArray[np.float64]
    label: str
    positive: str
    meaning: str = ""
    caveats: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        num_positives = int(np.nansum(self.labels))
        num_features = self.features.shape[1]
        return f"Table({len(self)} rows, {num_features} features, {self.label} = {self.positive} in {num_positives})"

    def take(self, rows: NDArray[np.intp]) -> Table:
        """Return the table with these row numbers alone."""
        return replace(self, features=self.features.iloc[rows], labels=self.labels[rows])


def make_table(frame: pd.DataFrame, label: str, positive: str | float | Sequence[str | float] | None = None) -> Table:
    """Split a data frame into features and the binary label.

    A :class:`TableWarning` says if more than 5 % of the rows have no label, if one column alone separates the classes,
    and if a column that names patients has repeated values.

    Parameters
    ----------
    frame : pandas.DataFrame, shape (n, d + 1)
        The table as it was read.
    label : str
        The label column. All other columns are features.
    positive : str, number or list of these, optional
        The value, or values, that count as 1. Every other value counts as 0. If ``positive`` is left out, the column
        must hold two values: of 0 and 1 (or false and true) the positive is 1, of any other two it is the rarer one.
        The table's ``meaning`` says what was taken.

    Returns
    -------
    Table
        The features, and the labels as 0, 1 or NaN (missing).

    Raises
    ------
    InvalidInputError
        If two columns have the same name, or the label column does not exist, holds no positive or no negative, or does
        not tell which value is positive.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"age": [61, 47, 50, 38], "outcome": ["sick", "well", None, "well"]})
    >>> table = make_table(frame, label="outcome")
    >>> table.positive, table.labels
    ('sick', array([ 1.,  0., nan,  0.]))
    """
    if frame.empty:
        reject("frame", "a table with at least one row and two columns", f"shape {frame.shape}", "check the file")
    frame, label = frame.set_axis(column_names(frame), axis=1), tidy_name(label)
    check_choice("label", label, frame.columns)
    features = frame.drop(columns=label)
    if features.shape[1] == 0:
        reject("frame", "a table with at least one feature", "the label column alone", "add columns to learn from")
    classes, codes = _classes(frame[label])
    counts = Counter(dict(zip(classes, np.bincount(codes[codes >= 0], minlength=len(classes)).tolist(), strict=True)))
    shown = ", ".join(f"{name!r} ({count} rows)" for name, count in counts.most_common(_SHOWN)) or "only missing values"
    if len(counts) < 2:
        reject(f"label column {label!r}", "of two values at least", shown, "choose another column")
    chosen = _chosen(counts, positive, label, shown)
    labels = np.where(codes < 0, np.nan, np.isin(codes, [classes.index(name) for name in chosen]))
    caveats = caveats_of(features, labels, label)
    for caveat in caveats:
        warnings.warn(caveat, TableWarning, stacklevel=2)
    meaning = _meaning(counts, chosen, is_named=positive is not None)
    return Table(features, labels, label, " or ".join(chosen), meaning, tuple(caveats))


def _chosen(counts: Counter[str], positive: Any, label: str, shown: str) -> list[str]:
    """Return the classes that count as 1."""
    if positive is None:
        likely = likely_positive(counts)
        if likely is None:
            remedy = "say which one is positive (--positive, or positive=...)"
            if len(counts) > _MANY_CLASSES:
                shown += f", and {len(counts) - _SHOWN:,} more values"
                remedy = "make two values of them, such as 1 above a limit and 0 below it"
            elif len(counts) > 2:
                each = "wrap DirectMetricClassifier in sklearn.multiclass.OneVsRestClassifier"
                remedy += f": it is then told from the rest. To tell all values apart, {each}"
            reject(f"label column {label!r}", "of two values with one rarer", shown, remedy)
        return [likely]
    given = [positive] if isinstance(positive, str) or not isinstance(positive, Sequence) else positive
    names = list(dict.fromkeys(map(as_text, given)))
    for name in names:
        check_choice("positive", name, counts)
    if len(names) == len(counts):
        reject("positive", "some of the values of the label column", f"all of them: {names}", "leave one out")
    return names


def _meaning(counts: Counter[str], chosen: list[str], *, is_named: bool) -> str:
    """Say what counts as 1 and what as 0, and why."""
    rest = Counter({name: count for name, count in counts.items() if name not in chosen})
    number = sum(counts[name] for name in chosen)
    is_rarer = number < rest.total()
    why = "" if is_named else ", the rarer class" if is_rarer else ", though it is not the rarer class"
    named = " and ".join(map(repr, chosen))
    shown = ", ".join(f"{name!r} ({count:,} rows)" for name, count in rest.most_common(_SHOWN))
    remedy = "" if is_named or is_rarer else f" To find the rarer one, name it: --positive {next(iter(rest))}."
    return (
        f"Positive: {named} ({number:,} rows){why}. Negative: {shown}{', ...' if len(rest) > _SHOWN else ''}.{remedy}"
    )


def _classes(column: pd.Series) -> tuple[list[str], NDArray[np.intp]]:
    """Return the classes of a label column as text, and the position of each row's class (-1: missing).

    Where all classes are numbers, 1 and 1.0 are the same class.
    """
    cells = read_cells(column)
    texts = cells.texts.to_pylist()
    numbers = parse(cells.texts, POINT)
    if not np.isfinite(numbers).all() or {"True", "False"}.issuperset(texts):
        return texts, cells.codes
    names = [as_text(number) for number in numbers.tolist()]
    classes = list(dict.fromkeys(names))
    return classes, np.array([*map(classes.index, names), -1], dtype=np.intp)[cells.codes]
