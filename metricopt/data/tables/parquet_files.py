"""Tables in Parquet files, read whole or in pieces.

This file decides what becomes of the types of Parquet. Those of pandas' own frames come back as they were; decimals
become floats, and dictionaries categories.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from metricopt.data.tables.cells import tidy_name

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_PIECE_CELLS = 1 << 21


def read_parquet(path: Path) -> pd.DataFrame:
    """Return the table of a Parquet file."""
    import pyarrow.parquet as pq

    return _as_frame(pq.read_table(path))


def read_parquet_pieces(path: Path, columns: Container[str] | None = None) -> Iterator[pd.DataFrame]:
    """Yield the rows of a Parquet file in their order, some 100,000 at a time.

    ``columns`` are the names of those to read, as :func:`tidy_name` has them; by default all.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        wanted = [name for name in names if columns is None or tidy_name(name) in columns]
        num_rows = max(1, _PIECE_CELLS // max(len(wanted), 1))
        if not file.metadata.num_rows:
            yield _as_frame(file.schema_arrow.empty_table())
        for batch in file.iter_batches(num_rows, columns=None if columns is None else wanted):
            yield _as_frame(pa.Table.from_batches([batch]))


def _as_frame(table: pa.Table) -> pd.DataFrame:
    import pyarrow as pa

    for place, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pa.float64()))
    return table.to_pandas(split_blocks=True, self_destruct=True)
