"""The preprocessing that turns the columns of a table into float features.

This file decides how a column becomes features. It leaves what kind a column is of to
:mod:`metricopt.data.tables.columns`, and training to :func:`metricopt.fit`.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metricopt._validation import check_choice, reject
from metricopt.data.tables.cells import Cells, column_names, read_cells, same_boolean, tidy_name
from metricopt.data.tables.columns import (
    CategoricalColumn,
    NumericColumn,
    check_not_infinite,
    learn_column,
    learn_dates,
)
from metricopt.data.tables.findings import Findings, TableWarning
from metricopt.data.tables.left_out import MAX_CATEGORIES
from metricopt.data.tables.numbers import Numbers

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 12
"""The names of more columns than this are left to the report."""
_BLOCK_CELLS = 1 << 22
"""How many features are made at a time, so that a long table needs little more memory than they take."""


@dataclass(frozen=True)
class TablePreprocessor:
    """Turns a data frame into float features, by statistics of the training rows.

    In a numeric column missing values become the median, and then the column is standardised; a column with missing
    values also gets a 0/1 column that marks them. Every other column becomes one 0/1 column for each category. Missing
    is a category if the training rows have missing values. Unseen categories, and rare ones beyond the 50 most
    frequent, are 0 in all columns.

    A column of text is numeric if its cells are numbers, in one of several ways to write them (``1.5``, ``1,5``,
    ``6,234``), or most of them are; a cell that is no number counts as missing, and a :class:`TableWarning` names it.
    Columns that are no features are left out: those with a single value, row numbers, identifiers, free text, and dates
    unless :meth:`fit` is asked for them.

    All of this is learnt from the training rows alone (:meth:`fit`). So the features of a row depend on its own cells,
    and not on the other rows of its table nor on the types that a reader gave to its columns. What was learnt is kept
    as plain numbers and strings: it is saved as JSON, and never runs code from a file as pickle does.

    Attributes
    ----------
    numeric : tuple of NumericColumn
        The numeric columns.
    categorical : tuple of CategoricalColumn
        The columns of categories.
    dropped : dict of str to str
        The columns that are left out, with the reason for each.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"age": [30.0, 50.0, None, 40.0], "sex": ["F", "M", "F", None]})
    >>> preprocessor = TablePreprocessor.fit(frame)
    >>> preprocessor.feature_names
    ['age', 'age missing', 'sex = F', 'sex = M', 'sex missing']
    >>> preprocessor.transform(frame.iloc[:2])
    array([[-1.4142135,  0.       ,  1.       ,  0.       ,  0.       ],
           [ 1.4142135,  0.       ,  0.       ,  1.       ,  0.       ]], dtype=float32)
    """

    numeric: tuple[NumericColumn, ...]
    categorical: tuple[CategoricalColumn, ...]
    dropped: dict[str, str]

    @classmethod
    def fit(
        cls, features: pd.DataFrame, rows: NDArray[np.intp] | None = None, *, dates: Sequence[str] = ()
    ) -> TablePreprocessor:
        """Return the preprocessing learnt from these rows, which should be the training rows alone.

        Parameters
        ----------
        features : pandas.DataFrame, shape (n, d)
            The features of the training rows, or of all rows if ``rows`` names those that train.
        rows : ndarray of int, optional
            The row numbers of the training rows. They are taken column by column, so that a long table is not copied.
        dates : sequence of str
            Columns of dates to be read as numbers of days since 1970. Other columns of dates are left out.

        Returns
        -------
        TablePreprocessor
            The preprocessing for these and other rows.

        Raises
        ------
        InvalidInputError
            If two columns have the same name, a column holds infinite values, no column is of use, or a column of
            ``dates`` is not there, holds other text, or does not tell days from months.
        """
        columns, dates = _by_name(features), [*map(tidy_name, dates)]
        for name in dates:
            check_choice("dates", name, columns)
        learnt = {
            name: (learn_dates if name in dates else learn_column)(name, own if rows is None else own.iloc[rows])
            for name, own in columns.items()
        }
        numeric = tuple(each for each in learnt.values() if isinstance(each, NumericColumn))
        categorical = tuple(each for each in learnt.values() if isinstance(each, CategoricalColumn))
        dropped = {name: each for name, each in learnt.items() if isinstance(each, str)}
        if not numeric and not categorical:
            reject("features", "a table with at least one usable column", dropped or "no columns", "add columns")
        return cls(numeric, categorical, dropped)

    @property
    def feature_names(self) -> list[str]:
        """The names of the features that :meth:`transform` returns, in order."""
        names = []
        for column in self.numeric:
            names += [column.name, f"{column.name} missing"] if column.has_missing else [column.name]
        for group in self.categorical:
            names += [
                f"{group.name} missing" if category is None else f"{group.name} = {category}"
                for category in group.categories
            ]
        return names

    @property
    def summary(self) -> str:
        """One sentence on which columns are used and which are left out, and one for each that has rare categories."""
        kinds = [
            f"{len(columns)} {kind}{_in_brackets([column.name for column in columns])}"
            for kind, columns in (("numeric", self.numeric), ("categorical", self.categorical))
            if columns
        ]
        left_out = ", ".join(f"{name or 'unnamed'} ({why})" for name, why in self.dropped.items())
        sentences = [f"Features used: {', '.join(kinds)}; left out: {left_out or 'none'}."]
        for group in self.categorical:
            if group.num_rare:
                total = MAX_CATEGORIES + group.num_rare
                sentences.append(
                    f"{group.name} has {total} categories: the {MAX_CATEGORIES} most frequent are features."
                )
        return " ".join(sentences)

    def transform(self, features: pd.DataFrame) -> NDArray[np.float32]:
        """Return the float features of a table that has the columns of the training rows. Other columns are ignored.

        A :class:`TableWarning` names cells that are no numbers in a numeric column, texts that match no category, and
        columns without any value.

        Parameters
        ----------
        features : pandas.DataFrame
            The rows to transform.

        Returns
        -------
        ndarray, shape (n, number of feature names), float32

        Raises
        ------
        InvalidInputError
            If a column is missing, two have the same name, or a numeric column holds infinite values.
        """
        matrix, findings = self.transform_with_findings(features)
        if findings.warnings:
            warnings.warn("\n".join(findings.warnings), TableWarning, stacklevel=2)
        return matrix

    def transform_with_findings(self, features: pd.DataFrame) -> tuple[NDArray[np.float32], Findings]:
        """Return what :meth:`transform` returns, and, instead of a warning, what could not be used of the table.

        Parameters
        ----------
        features : pandas.DataFrame
            The rows to transform.

        Returns
        -------
        tuple of ndarray and Findings
        """
        columns = _by_name(features)
        names = [*(column.name for column in self.numeric), *(group.name for group in self.categorical)]
        absent = [name for name in names if name not in columns]
        if absent:
            reject("table", "one with the columns of the training table", f"none named {absent}", "add them")
        findings = Findings(0)
        num_rows, num_features = len(features), len(self.feature_names)
        matrix = np.empty((num_rows, num_features), dtype=np.float32)
        num_of_block = min(max(1, _BLOCK_CELLS // num_features), num_rows)
        block = np.empty((num_of_block, num_features), dtype=np.float32, order="F")  # column after column in memory
        for start in range(0, num_rows, max(num_of_block, 1)):
            own = slice(start, start + num_of_block)
            rows = features.index[own]
            findings += self._transform_block({name: columns[name].iloc[own] for name in names}, rows, block)
            matrix[own] = block[: len(rows)]
        return matrix, findings

    def _transform_block(self, columns: dict[str, pd.Series], rows: pd.Index, block: NDArray[np.float32]) -> Findings:
        """Write the features of some rows into the first rows of a block; return what could not be used of them."""
        findings = Findings(len(rows))
        matrix = block[: len(rows)]
        place = 0
        for column in self.numeric:
            numbers = column.read(columns[column.name])
            check_not_infinite(column.name, numbers.values)
            missing = np.isnan(numbers.values)
            filled = np.where(missing, column.median, numbers.values) if missing.any() else numbers.values
            values = filled - column.mean
            values /= column.scale
            matrix[:, place] = values
            if column.has_missing:
                matrix[:, place + 1] = missing
            place += 1 + column.has_missing
            _note_numbers(findings, column.name, missing, numbers, rows)
        for group in self.categorical:
            cells = read_cells(columns[group.name])
            codes = _codes(cells, group)
            for number in range(len(group.categories)):
                matrix[:, place + number] = codes == number
            place += len(group.categories)
            _note_texts(findings, group.name, cells, codes)
        return findings

    def to_dict(self) -> dict[str, Any]:
        """Return the preprocessing as plain values that JSON can hold. :meth:`from_dict` reads them again."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> TablePreprocessor:
        """Return the preprocessing that :meth:`to_dict` wrote."""
        return cls(
            tuple(NumericColumn(**column) for column in saved["numeric"]),
            tuple(
                CategoricalColumn(group["name"], tuple(group["categories"]), group.get("num_rare", 0))
                for group in saved["categorical"]
            ),
            dict(saved["dropped"]),
        )


def _in_brackets(names: list[str]) -> str:
    return f" ({', '.join(names)})" if len(names) <= _SHOWN else ""


def _by_name(frame: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the columns of a frame by their names as text."""
    return {name: frame.iloc[:, place] for place, name in enumerate(column_names(frame))}


def _codes(cells: Cells, group: CategoricalColumn) -> NDArray[np.intp]:
    """Return the category of each row as a position in ``categories``, -1 for none."""
    places = {same_boolean(category): place for place, category in enumerate(group.categories)}
    by_text = [places.get(text, -1) for text in cells.texts.to_pylist()]
    return np.array([*by_text, places.get(None, -1)], dtype=np.intp)[cells.codes]


def _note_numbers(findings: Findings, name: str, missing: NDArray[np.bool_], numbers: Numbers, rows: pd.Index) -> None:
    num_missing = int(missing.sum()) - len(numbers.strange)
    if num_missing:
        findings.missing[name] = num_missing
    if numbers.doubtful:
        findings.doubtful[name] = {rows[row]: text for row, text in numbers.doubtful.items()}
    if numbers.strange:
        findings.strange[name] = {rows[row]: text for row, text in numbers.strange.items()}
    elif num_missing == findings.num_rows:
        findings.absent.append(name)


def _note_texts(findings: Findings, name: str, cells: Cells, codes: NDArray[np.intp]) -> None:
    unknown = Counter(cells.texts.take(cells.codes[(codes < 0) & (cells.codes >= 0)]).to_pylist())
    if unknown:
        findings.unknown[name] = unknown
    if findings.num_rows and (cells.codes < 0).all():
        findings.absent.append(name)
