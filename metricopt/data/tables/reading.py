"""Tables from files, whole or in pieces.

This file decides which files are tables, and what is said of those that are not. It leaves how they are read to
:mod:`metricopt.data.tables.text_files` and :mod:`metricopt.data.tables.parquet_files`.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from metricopt._validation import reject
from metricopt.data.tables.cells import column_names
from metricopt.data.tables.parquet_files import read_parquet, read_parquet_pieces
from metricopt.data.tables.text_files import TextFileError, read_text, read_text_pieces

if TYPE_CHECKING:
    import pandas as pd

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_PARQUET = (".parquet", ".pq")
_EXCEL = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods")
_SAVE_AS_CSV = "open it in Excel and save the sheet as CSV (File, Save As, CSV UTF-8)"
_FIRST_BYTES = {
    b"PK\x03\x04": ("an Excel or zip file", _SAVE_AS_CSV),
    b"\xd0\xcf\x11\xe0": ("an Excel file", _SAVE_AS_CSV),
    b"PAR1": ("a Parquet file", "let its name end in .parquet"),
    b"\x1f\x8b": ("a file that gzip wrote", "let its name end in .gz"),
}
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_UTF_32 = b"\xff\xfe\x00\x00"


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table from a CSV, TSV or Parquet file.

    In text files every cell stays the text that was written, without blanks around it: ``001`` is neither 1 nor
    ``1.0``, and a table of one row is read as a row of a long one. Blank cells, ``?``, ``.`` and the usual codes
    (``NA``, ``NaN``, ``null``, ...) are missing values; words such as ``None`` are not. Columns are separated by the
    mark that fits the first lines, a comma, a semicolon, a tab or a vertical bar, and the text is in UTF-8, or in
    UTF-16 with a byte-order mark. For a table that is longer than the memory has room for, take :func:`read_pieces`.

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
        If there is no such file, its suffix is unknown, it cannot be parsed, it has no header or no rows, or two of its
        columns have the same name.
    """
    path, suffix = _checked(path)
    with _readable(path):
        frame = read_parquet(path) if suffix in _PARQUET else read_text(path, _SEPARATORS[suffix])
    if frame.empty:
        _reject_empty(path)
    return frame.set_axis(column_names(frame), axis=1)


def read_pieces(path: str | Path, columns: Container[str] | None = None) -> Iterator[pd.DataFrame]:
    """Read a table piece by piece, for one that is longer than the memory has room for.

    Parameters
    ----------
    path : str or Path
        The file, as for :func:`read_table`.
    columns : set of str, optional
        The names of the columns to read. The default is all.

    Yields
    ------
    pandas.DataFrame
        Some rows of what :func:`read_table` returns, in their order: some megabytes of text, or 2,000,000 cells of
        Parquet. The index goes on from piece to piece.

    Raises
    ------
    InvalidInputError
        If :func:`read_table` would raise.
    """
    import pandas as pd

    path, suffix = _checked(path)
    num_rows = 0
    with _readable(path):
        if suffix in _PARQUET:
            pieces = read_parquet_pieces(path, columns)
        else:
            pieces = read_text_pieces(path, _SEPARATORS[suffix], columns)
        for piece in pieces:
            names = column_names(piece)
            if len(piece):
                yield piece.set_axis(names, axis=1).set_axis(pd.RangeIndex(num_rows, num_rows + len(piece)))
            num_rows += len(piece)
    if not num_rows:
        _reject_empty(path)


def _checked(path: str | Path) -> tuple[Path, str]:
    """Return the path and what its name says of the format; reject files that are no tables."""
    path = Path(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    is_packed = suffixes[-1:] == [".gz"] and len(suffixes) > 1
    suffix = suffixes[-2] if is_packed else "".join(suffixes[-1:])
    if suffix not in (*_SEPARATORS, *_PARQUET):
        remedy = _SAVE_AS_CSV if suffix in _EXCEL else "convert the table, or rename it if it is one"
        reject("path", "a .csv, .tsv or .parquet file", str(path), remedy)
    if not path.is_file():
        reject("path", "an existing file", str(path), "check the name and the folder")
    if suffix in _SEPARATORS and not is_packed:
        _check_is_text(path)
    return path, suffix


def _check_is_text(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(4096)
    for mark, (what, remedy) in _FIRST_BYTES.items():
        if start.startswith(mark):
            reject("path", "a text file", f"{path}, which is {what}", remedy)
    if start.startswith(_UTF_32) or (b"\x00" in start and not start.startswith(_UTF_16)):
        reject("path", "a text file in UTF-8", f"{path}, which holds zero bytes", "save it as UTF-8")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Say what is wrong with a file that cannot be read, and what to do about it."""
    try:
        yield
    except UnicodeDecodeError as error:
        _reject_encoding(path, str(error))
    except TextFileError as error:
        _reject_unreadable(path, str(error), error.remedy)
    except gzip.BadGzipFile as error:
        _reject_unreadable(path, str(error), "leave .gz out of its name if it is no such file, or copy it again")
    except (EOFError, zlib.error) as error:
        _reject_unreadable(path, str(error), "the file is not whole: copy it again")
    except (ValueError, OSError, csv.Error) as error:  # Arrow's errors are of these too
        reason = str(error).strip()
        if "invalid UTF8" in reason or "codec can't decode" in reason:
            _reject_encoding(path, reason)
        is_text = path.suffix.lower() not in _PARQUET
        remedy = (
            "check that the header is the first line, and that every row has its columns"
            if is_text
            else "check how the file was written"
        )
        _reject_unreadable(path, reason, remedy)


def _reject_encoding(path: Path, reason: str) -> None:
    said = f"it is in another encoding than UTF-8, such as Latin-1: {reason}"
    _reject_unreadable(path, said, "save it as UTF-8 (in Excel: CSV UTF-8)")


def _reject_unreadable(path: Path, reason: str, remedy: str) -> None:
    reject("path", "a readable table", f"{path} ({reason})", remedy)


def _reject_empty(path: Path) -> None:
    reject("path", "a table with at least one row", f"no rows in {path}", "check how the file was written")
