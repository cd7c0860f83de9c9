"""Tables from files.

This file decides how a file becomes a frame. Cells of text files stay as they are written:
:mod:`metricopt.data.tables.columns` decides by the training rows which columns are numbers.
"""

from __future__ import annotations

import csv
import gzip
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from metricopt._validation import reject
from metricopt.data.tables.cells import MISSING_CODES, column_names

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_OTHER_SEPARATORS = ";\t,|"
_PARQUET = (".parquet", ".pq")
_LINES_TO_SEE_THE_SEPARATOR = 20


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table from a CSV, TSV or Parquet file.

    In text files every cell stays the text that was written, without blanks around it: ``001`` is neither 1 nor
    ``1.0``, and a table of one row is read as a row of a long one. Blank cells, ``?``, ``.`` and the usual codes
    (``NA``, ``NaN``, ``null``, ...) are missing values; words such as ``None`` are not. Columns are separated by the
    mark that fits the first lines, a comma, a semicolon, a tab or a vertical bar, and the text is in UTF-8, or in
    UTF-16 with a byte-order mark.

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
        If there is no such file, its suffix is unknown, it cannot be parsed, it has no rows, or two of its columns have
        the same name.
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
        frame = pd.read_parquet(path) if suffix in _PARQUET else _read_text(path, _SEPARATORS[suffix])
    except UnicodeDecodeError as error:
        reject("path", "a readable table", f"{path} ({error})", "save it as UTF-8")
    except (ValueError, OSError, csv.Error) as error:  # Arrow's errors are of these too
        reason = str(error).strip()
        remedy = (
            "save it as UTF-8" if "invalid UTF8" in reason else "check that every row has the columns of the header"
        )
        reject("path", "a readable table", f"{path} ({reason})", remedy)
    if frame.empty:
        reject("path", "a table with at least one row", f"no rows in {path}", "check how the file was written")
    return frame.set_axis(column_names(frame), axis=1)


def _read_text(path: Path, separator: str) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    encoding = _encoding(path)
    with _open(path, encoding) as file:
        separator = _find_separator(file.readlines(1 << 16), separator)
    with _open(path, encoding) as file:
        lines = csv.reader(file, delimiter=separator, skipinitialspace=True)
        header = next((cells for cells in lines if cells), [])
        num_lines = lines.line_num
    if not header:
        raise ValueError("it is empty")
    columns = [str(number) for number in range(len(header))]  # names may repeat
    try:
        table = arrow_csv.read_csv(
            path,
            read_options=arrow_csv.ReadOptions(column_names=columns, skip_rows=num_lines, encoding=encoding),
            parse_options=arrow_csv.ParseOptions(
                delimiter=separator,
                newlines_in_values=True,
                ignore_empty_lines=len(header) > 1,  # of one column, an empty line is a missing value
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.large_string()),
                strings_can_be_null=True,
                null_values=MISSING_CODES,
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV file" not in str(error):
            raise
        return pd.DataFrame(columns=header)
    text = pd.StringDtype("pyarrow")
    table = pa.table([_tidy(column) for column in table.columns], names=columns)
    return table.to_pandas(types_mapper={pa.large_string(): text, pa.string(): text}.get).set_axis(header, axis=1)


def _tidy(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column without blanks around its cells, and with missing codes as null where blanks hid them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    has_blanks = pc.or_(pc.starts_with(column, " "), pc.ends_with(column, " "))
    if not pc.any(has_blanks).as_py():
        return column
    column = pc.utf8_trim_whitespace(column)
    missing = pc.is_in(column, value_set=pa.array(MISSING_CODES, type=column.type))
    return pc.if_else(missing, pa.scalar(None, type=column.type), column)


def _encoding(path: Path) -> str:
    with cast(IO[bytes], _opener(path)(path, "rb")) as file:
        start = file.read(3)
    return "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig" if start == b"\xef\xbb\xbf" else "utf-8"


def _open(path: Path, encoding: str) -> IO[str]:
    return cast(IO[str], _opener(path)(path, "rt", encoding=encoding, newline=""))


def _opener(path: Path) -> Any:
    return gzip.open if path.suffix.lower() == ".gz" else open


def _find_separator(lines: list[str], usual: str) -> str:
    """Return the separator that cuts the first lines into the most columns, in all lines alike; else the usual one."""
    most, best = 1, usual
    for separator in (usual, *_OTHER_SEPARATORS):
        rows = [cells for cells in csv.reader(lines, delimiter=separator, skipinitialspace=True) if cells]
        rows = list(islice(rows, _LINES_TO_SEE_THE_SEPARATOR))
        if rows and len(rows[0]) > most and all(len(cells) == len(rows[0]) for cells in rows):
            most, best = len(rows[0]), separator
    return best
