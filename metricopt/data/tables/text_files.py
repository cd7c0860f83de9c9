"""Tables in text files: their encoding, their separator and their header, read whole or in pieces.

This file decides how lines become cells. Cells stay as they are written:
:mod:`metricopt.data.tables.columns` decides by the training rows which columns are numbers.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from metricopt.data.tables.cells import MISSING_CODES, tidy_name
from metricopt.data.tables.headers import holds_values

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

PIECE_BYTES = 1 << 22
"""The least text of one piece."""
_PIECE_LINES = 256  # of a wide table, at least

_OTHER_SEPARATORS = ";\t,|"
_LINES_TO_SEE_THE_SEPARATOR = 20
_BYTES_TO_SEE_THE_SEPARATOR = 1 << 16
_TOLD_SEPARATOR = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # Excel's own first line
_LONGEST_FIELD = 1 << 30
_BLANK = ord(" ")
_SHOWN = 5
_LEAST_WORDS = 3
_BYTES_TO_SEE_THE_END = 64


@dataclass(frozen=True)
class _Layout:
    """How a file is written: ``num_lines`` lines end with the header, and a piece has ``num_bytes`` of text."""

    encoding: str
    separator: str
    header: list[str]
    num_lines: int
    num_bytes: int


def read_text(path: Path, separator: str) -> pd.DataFrame:
    """Return the table of a text file, every cell as text. ``separator`` is the usual one of such files."""
    import pandas as pd
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    layout = _read_layout(path, separator)
    try:
        table = arrow_csv.read_csv(path, **_options(layout, None))
    except pa.ArrowInvalid as error:
        if not _is_without_rows(error):
            raise
        return pd.DataFrame(columns=layout.header)
    _check_last_quote(path, table)
    return _as_frame(table, layout)


def read_text_pieces(path: Path, separator: str, columns: Container[str] | None = None) -> Iterator[pd.DataFrame]:
    """Yield the rows of a text file in their order, as :func:`read_text` returns them, some megabytes at a time.

    ``columns`` are the names of those to read, as :func:`tidy_name` has them; by default all.
    """
    import pandas as pd
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    layout = _read_layout(path, separator)
    try:
        reader = arrow_csv.open_csv(path, **_options(layout, columns))
    except pa.ArrowInvalid as error:
        if not _is_without_rows(error):
            raise
        yield pd.DataFrame(columns=layout.header)
        return
    table = None
    for batch in reader:
        table = pa.Table.from_batches([batch])
        yield _as_frame(table, layout)
    if table is not None:
        _check_last_quote(path, table)


def _options(layout: _Layout, columns: Container[str] | None) -> dict[str, Any]:
    """Return the options of Arrow's readers. Columns go by their positions, as names may repeat."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    positions = [str(number) for number in range(len(layout.header))]
    wanted = [place for place, name in zip(positions, layout.header, strict=True) if _is_in(name, columns)]
    return {
        "read_options": arrow_csv.ReadOptions(
            column_names=positions,
            skip_rows=layout.num_lines,
            encoding=layout.encoding,
            block_size=layout.num_bytes,
        ),
        "parse_options": arrow_csv.ParseOptions(
            delimiter=layout.separator,
            newlines_in_values=True,
            ignore_empty_lines=len(positions) > 1,  # of one column, an empty line is a missing value
        ),
        "convert_options": arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(positions, pa.large_string()),
            strings_can_be_null=True,
            null_values=MISSING_CODES,
            include_columns=wanted,
        ),
    }


def _is_in(name: str, columns: Container[str] | None) -> bool:
    return columns is None or tidy_name(name) in columns


def _is_without_rows(error: Exception) -> bool:
    return any(words in str(error) for words in ("Empty CSV file", "file is too short"))


def _as_frame(table: pa.Table, layout: _Layout) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    text = pd.StringDtype("pyarrow")
    names = table.column_names
    table = pa.table([_tidy(column) for column in table.columns], names=names)
    frame = table.to_pandas(types_mapper={pa.large_string(): text, pa.string(): text}.get)
    return frame.set_axis([layout.header[int(place)] for place in names], axis=1)


def _tidy(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column without blanks around its cells, and with missing codes as null where blanks hid them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not any(map(_holds_blank, column.chunks)):
        return column
    has_blanks = pc.or_(pc.starts_with(column, " "), pc.ends_with(column, " "))
    if not pc.any(has_blanks).as_py():
        return column
    column = pc.utf8_trim_whitespace(column)
    missing = pc.is_in(column, value_set=pa.array(MISSING_CODES, type=column.type))
    return pc.if_else(missing, pa.scalar(None, type=column.type), column)


def _check_last_quote(path: Path, table: pa.Table) -> None:
    """Reject a file whose last cell begins with a quote that never ends: the rows after it would lie in this cell."""
    last = table.column(table.num_columns - 1)[-1].as_py() if table.num_columns and len(table) else None
    if last is None or not last.endswith(("\n", "\r")) or path.suffix.lower() == ".gz":
        return
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, _BYTES_TO_SEE_THE_END), 2)
        if not file.read().rstrip(b"\r\n\x00").endswith(b'"'):
            reason = f"a quote is never closed: the last cell begins with {last[:20]!r}"
            raise TextFileError(reason, "close it, or remove it")


def _holds_blank(texts: pa.LargeStringArray) -> bool:
    """Say whether there is a blank in any of the texts, which is quick to see in all of them together."""
    characters = texts.buffers()[2]
    return characters is not None and bool((np.frombuffer(characters, np.uint8) == _BLANK).any())


def _read_layout(path: Path, usual: str) -> _Layout:
    encoding = _encoding(path)
    with _long_fields(), _open(path, encoding) as file:
        first = file.readline()
        told = _TOLD_SEPARATOR.fullmatch(first)
        lines = [*([] if told else [first]), *file.readlines(_BYTES_TO_SEE_THE_SEPARATOR)]
        separator = told[1] if told else _find_separator(lines, usual)
        cells = csv.reader(chain(lines, file), delimiter=separator, skipinitialspace=True)
        header = next((row for row in cells if row), [])
        num_lines = cells.line_num + bool(told)
        _check_header(header, lines, separator)
    num_bytes = max(PIECE_BYTES, _PIECE_LINES * max(map(len, lines)))
    return _Layout(encoding, separator, header, num_lines, num_bytes)


class TextFileError(ValueError):
    """A text file that is no table, and what to do about it."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


def _check_header(header: list[str], lines: list[str], separator: str) -> None:
    """Reject a file without a header, and one whose columns nothing but blanks separate."""
    if not header:
        raise TextFileError("it is empty", "check how the file was written")
    if len(header) == 1 and _have_as_many_words(lines):
        raise TextFileError(f"nothing but blanks between the columns {header[0].strip()!r}", "separate them by commas")
    rows = list(islice(csv.reader(lines, delimiter=separator, skipinitialspace=True), 1, None))
    if holds_values(header, rows):
        shown = ", ".join(map(repr, header[:_SHOWN])) + (", ..." if len(header) > _SHOWN else "")
        reason = f"its first line holds values in place of the names of the columns: {shown}"
        raise TextFileError(reason, "write a line with their names above it")


def _have_as_many_words(lines: list[str]) -> bool:
    """Say whether the first lines have the same number of words, three at least; the header may lack one, as R's do."""
    stripped = [line.strip() for line in lines[:_LINES_TO_SEE_THE_SEPARATOR] if line.strip()]
    first, *others = map(len, csv.reader(stripped, delimiter=" ", skipinitialspace=True))
    return others[:1] in ([first], [first + 1]) and others[0] >= _LEAST_WORDS and len(set(others)) == 1


def _find_separator(lines: list[str], usual: str) -> str:
    """Return the separator that cuts the first lines into the most columns, in all lines alike; else the usual one."""
    most, best = 1, usual
    for separator in (usual, *_OTHER_SEPARATORS):
        rows = [cells for cells in csv.reader(lines, delimiter=separator, skipinitialspace=True) if cells]
        rows = list(islice(rows, _LINES_TO_SEE_THE_SEPARATOR))
        if rows and len(rows[0]) > most and all(len(cells) == len(rows[0]) for cells in rows):
            most, best = len(rows[0]), separator
    return best


@contextmanager
def _long_fields() -> Iterator[None]:
    """Let csv read longer fields than it does by itself: with a wrong separator, a whole line is one."""
    limit = csv.field_size_limit(_LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _encoding(path: Path) -> str:
    with cast(IO[bytes], _opener(path)(path, "rb")) as file:
        start = file.read(3)
    return "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig" if start == b"\xef\xbb\xbf" else "utf-8"


def _open(path: Path, encoding: str) -> IO[str]:
    return cast(IO[str], _opener(path)(path, "rt", encoding=encoding, newline=""))


def _opener(path: Path) -> Callable[..., Any]:
    return gzip.open if path.suffix.lower() == ".gz" else open
