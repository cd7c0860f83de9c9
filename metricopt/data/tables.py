"""Tables of features with one label column, and the preprocessing that turns them into numbers.

This file decides what counts as missing, which value of the label column is positive, and how columns become float
features. It leaves the choice of a file and of the columns to its callers, and training to :func:`metricopt.fit`.

pandas and scikit-learn are imported inside the functions, so that ``import metricopt`` stays light.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metricopt._validation import check_choice, reject

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES = 50
"""How many columns a categorical feature can become. Rarer categories are treated like unseen ones."""

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_PARQUET = (".parquet", ".pq")


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
    """

    features: pd.DataFrame
    labels: NDArray[np.float64]
    label: str
    positive: str

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        num_positives = int(np.nansum(self.labels))
        num_features = self.features.shape[1]
        return f"Table({len(self)} rows, {num_features} features, {self.label} = {self.positive} in {num_positives})"

    def take(self, rows: NDArray[np.intp]) -> Table:
        """Return the table with these row numbers alone."""
        return Table(self.features.iloc[rows], self.labels[rows], self.label, self.positive)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table from a CSV, TSV or Parquet file.

    In text files blank cells, ``?`` and the usual words (``NA``, ``NaN``, ``null``, ...) are missing values.

    Parameters
    ----------
    path : str or Path
        The file. Its suffix says how it is read: ``.csv`` or ``.tsv``, both also with ``.gz``; ``.parquet`` or ``.pq``.

    Returns
    -------
    pandas.DataFrame
        The table, with the names of its columns as text.

    Raises
    ------
    InvalidInputError
        If there is no such file, its suffix is unknown, it cannot be parsed, or it has no rows.
    """
    import pandas as pd

    path = Path(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    suffix = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else "".join(suffixes[-1:])
    if suffix not in (*_SEPARATORS, *_PARQUET):
        reject("path", "a .csv, .tsv or .parquet file", str(path), "convert the table, or rename it if it is one")
    if not path.is_file():
        reject("path", "an existing file", str(path), "check the name and the folder")
    try:
        frame = pd.read_parquet(path) if suffix in _PARQUET else _read_text_table(path, _SEPARATORS[suffix])
    except UnicodeDecodeError as error:
        reject("path", "a readable table", f"{path} ({error})", "save it as UTF-8")
    except (ValueError, OSError, pd.errors.ParserWarning) as error:  # Arrow's errors are of these too
        reason = str(error).strip()
        reject("path", "a readable table", f"{path} ({reason})", "check that every row has the columns of the header")
    if frame.empty:
        reject("path", "a table with at least one row", f"no rows in {path}", "check how the file was written")
    frame.columns = [str(name).strip() for name in frame.columns]
    return frame


def _read_text_table(path: Path, separator: str) -> pd.DataFrame:
    import pandas as pd

    with warnings.catch_warnings():
        # rows longer than the header: pandas would cut them off, or take the first column for row names
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            path, sep=separator, na_values=["?"], skipinitialspace=True, index_col=False, low_memory=False
        )


def make_table(frame: pd.DataFrame, label: str, positive: str | float | None = None) -> Table:
    """Split a data frame into features and the binary label.

    Parameters
    ----------
    frame : pandas.DataFrame, shape (n, d + 1)
        The table as it was read.
    label : str
        The label column. All other columns are features.
    positive : str or number, optional
        The value that counts as 1. Every other value counts as 0. If ``positive`` is left out, the column must hold two
        values: of 0 and 1 (or false and true) the positive is 1, of any other two it is the rarer one.

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
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    if not frame.columns.is_unique:
        twice = sorted(set(frame.columns[frame.columns.duplicated()]))
        reject("frame", "a table whose columns have different names", f"twice {twice}", "rename or remove one of them")
    header = frame.columns[0]
    if label not in frame.columns and len(frame.columns) == 1 and any(mark in header for mark in ";\t"):
        got = f"{label!r} with the single column {header!r}"
        reject("label", "a column of the table", got, "separate columns by commas in .csv, by tabs in .tsv files")
    check_choice("label", label, frame.columns)
    features = frame.drop(columns=label)
    if features.shape[1] == 0:
        reject("frame", "a table with at least one feature", "the label column alone", "add columns to learn from")
    values = _as_text(frame[label])
    present = values.dropna()
    counts = present.value_counts()
    shown = ", ".join(f"{value!r} ({count} rows)" for value, count in counts.head(8).items()) or "only missing values"
    if len(counts) < 2:
        reject(f"label column {label!r}", "of two values at least", shown, "choose another column")
    if positive is None:
        positive_text = _likely_positive(counts)
        if positive_text is None:
            reject(f"label column {label!r}", "of two values with one rarer", shown, "say which one is positive")
    else:
        positive_text = _text(positive)
        check_choice("positive", positive_text, counts.index)
    labels = np.where(values.isna(), np.nan, (values == positive_text).to_numpy(dtype=np.float64, na_value=0.0))
    return Table(features, labels, label, positive_text)


def _likely_positive(counts: pd.Series) -> str | None:
    """Return which of two values is the positive one, or None where the values do not tell."""
    for pair in ({"0", "1"}, {"False", "True"}):
        if set(counts.index) == pair:
            return max(pair)
    if len(counts) != 2 or counts.iloc[0] == counts.iloc[1]:
        return None
    return str(counts.idxmin())


@dataclass(frozen=True)
class NumericColumn:
    """A numeric column of the training rows: its median, which replaces missing values, its mean and its deviation."""

    name: str
    median: float
    mean: float
    scale: float
    has_missing: bool


@dataclass(frozen=True)
class CategoricalColumn:
    """A column of categories, as text. None stands for a missing value."""

    name: str
    categories: tuple[str | None, ...]


@dataclass(frozen=True)
class TablePreprocessor:
    """Turns a data frame into float features, by statistics of the training rows.

    In a numeric column missing values become the median, and then the column is standardised; a column with missing
    values also gets a 0/1 column that marks them. Every other column becomes one 0/1 column for each category. Missing
    is a category if the training rows have missing values. Unseen categories, and rare ones beyond the 50 most
    frequent, are 0 in all columns. A text column whose values all parse as numbers is numeric.

    scikit-learn computes the statistics, from the training rows alone (:meth:`fit`). They are kept as plain numbers and
    strings, and :meth:`transform` applies them. So the preprocessing is saved as JSON, opens with any later version of
    scikit-learn, and never runs code from a file as pickle does.

    Attributes
    ----------
    numeric : tuple of NumericColumn
        The numeric columns.
    categorical : tuple of CategoricalColumn
        The other columns.
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
    def fit(cls, features: pd.DataFrame) -> TablePreprocessor:
        """Return the preprocessing learnt from these rows, which should be the training rows alone.

        Parameters
        ----------
        features : pandas.DataFrame, shape (n, d)
            The features of the training rows.

        Returns
        -------
        TablePreprocessor
            The preprocessing for these and other rows.

        Raises
        ------
        InvalidInputError
            If a column holds infinite values, or no column is of use.
        """
        from sklearn.impute import SimpleImputer
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        numbers: dict[str, NDArray[np.float64]] = {}
        categorical = []
        dropped = {}
        for name in map(str, features.columns):
            column = features[name]
            if column.isna().all():
                dropped[name] = "holds no value"
            elif (parsed := _as_numbers(column)) is not None:
                numbers[name] = _check_not_infinite(name, parsed)
            else:
                text = _as_text(column)
                counts = text.dropna().value_counts()
                if len(counts) > MAX_CATEGORIES and counts.iloc[0] == 1:
                    dropped[name] = "holds a different text in every row"
                    continue
                frequent = sorted(counts.index, key=lambda value: (-counts[value], value))[:MAX_CATEGORIES]
                kept = text[text.isin(frequent) | text.isna()].to_numpy(dtype=object, na_value=None)
                encoder = OneHotEncoder().fit(kept.reshape(-1, 1))
                categorical.append(CategoricalColumn(name, tuple(encoder.categories_[0].tolist())))
        numeric = []
        if numbers:
            table = np.column_stack(list(numbers.values()))
            imputer = SimpleImputer(strategy="median").fit(table)
            scaler = StandardScaler().fit(imputer.transform(table))
            numeric = [
                NumericColumn(
                    name,
                    median=float(imputer.statistics_[i]),
                    mean=float(scaler.mean_[i]),
                    scale=float(scaler.scale_[i]),
                    has_missing=bool(np.isnan(values).any()),
                )
                for i, (name, values) in enumerate(numbers.items())
            ]
        if not numeric and not categorical:
            reject("features", "a table with at least one usable column", dropped or "no columns", "add columns")
        return cls(tuple(numeric), tuple(categorical), dropped)

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

    def transform(self, features: pd.DataFrame) -> NDArray[np.float32]:
        """Return the float features of a table that has the columns of the training rows. Other columns are ignored.

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
            If a column is missing, or a numeric column holds text or infinite values.
        """
        known = [column.name for column in self.numeric] + [group.name for group in self.categorical]
        absent = [name for name in known if name not in features.columns]
        if absent:
            reject("table", "one with the columns of the training table", f"none named {absent}", "add them")
        blocks: list[NDArray[Any]] = []
        for column in self.numeric:
            values = _as_numbers(features[column.name])
            if values is None:
                wrong = _first_text(features[column.name])
                reject(f"column {column.name!r}", "numeric as in training", repr(wrong), "correct it or leave it blank")
            missing = np.isnan(_check_not_infinite(column.name, values))
            blocks.append((np.where(missing, column.median, values) - column.mean) / column.scale)
            if column.has_missing:
                blocks.append(missing)
        for group in self.categorical:
            text = _as_text(features[group.name])
            blocks += [
                text.isna().to_numpy() if category is None else (text == category).to_numpy(dtype=bool, na_value=False)
                for category in group.categories
            ]
        return np.column_stack(blocks).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return the preprocessing as plain values that JSON can hold. :meth:`from_dict` reads them again."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> TablePreprocessor:
        """Return the preprocessing that :meth:`to_dict` wrote."""
        return cls(
            tuple(NumericColumn(**column) for column in saved["numeric"]),
            tuple(CategoricalColumn(group["name"], tuple(group["categories"])) for group in saved["categorical"]),
            dict(saved["dropped"]),
        )


def _as_numbers(column: pd.Series) -> NDArray[np.float64] | None:
    """Return a column as floats with NaN for missing, None if some value is not a number."""
    import pandas as pd
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if not (is_numeric_dtype(column) or is_bool_dtype(column)):
        text = _as_text(column)
        column = pd.to_numeric(text.replace({"True": "1", "False": "0"}), errors="coerce")
        if (column.isna() & text.notna()).any():
            return None
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _first_text(column: pd.Series) -> str:
    """Return the first value that is not a number."""
    import pandas as pd

    text = _as_text(column).dropna()
    return str(text[pd.to_numeric(text, errors="coerce").isna()].iloc[0])


def _check_not_infinite(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    if np.isinf(values).any():
        num_infinite = int(np.isinf(values).sum())
        reject(f"column {name!r}", "finite or missing", f"{num_infinite} infinite values", "leave them blank")
    return values


def _as_text(column: pd.Series) -> pd.Series:
    """Return a column as stripped strings, with the missing values (blank ones too) kept missing."""
    import pandas as pd

    missing = column.isna()
    text = [None if absent else _text(value) or None for value, absent in zip(column, missing, strict=True)]
    return pd.Series(text, index=column.index, dtype=object)


def _text(value: object) -> str:
    """Return a value as text that does not depend on the file: 1 and 1.0 are both "1"."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()
