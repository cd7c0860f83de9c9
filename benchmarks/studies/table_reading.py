"""What reading and preparing a long table costs: its time beside pandas' own reading, and the memory that it takes.

This file decides what the table holds and what is measured. The rows are part of `python -m benchmarks speed`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv

from metricopt.data import TablePreprocessor, read_table
from metricopt.data.tables.compact import read_compact

_WORDS = np.array(["a", "b", "c", "some longer word"])
_IN_PIECES = """
import resource, sys
from metricopt.data import TablePreprocessor, make_table
from metricopt.data.tables.compact import read_compact
table = make_table(read_compact(sys.argv[1], {"y"}), "y")
TablePreprocessor.fit(table.features).transform(table.features)
try:  # where Linux tells it, without what the process that started this one had
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    largest = int(status["VmHWM"].split()[0])
except OSError:
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(largest / 2**20)
"""


def write_table(path: Path, num_rows: int, num_digits: int) -> None:
    """Write a table of 20 columns of floats, 5 of whole numbers, 4 of words, and a label of two words."""
    random = np.random.default_rng(0)
    columns: dict[str, Any] = {f"float{place}": random.normal(size=num_rows).round(num_digits) for place in range(20)}
    columns |= {f"whole{place}": random.integers(0, 100, num_rows) for place in range(5)}
    columns |= {f"word{place}": _WORDS[random.integers(0, len(_WORDS), num_rows)] for place in range(4)}
    columns["y"] = np.where(random.random(num_rows) < 0.05, "sick", "well")
    arrow_csv.write_csv(pa.table(columns), path)


def table_seconds(num_rows: int, measure: Callable[..., list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Time reading and preparing a table against pandas' own reading by pyarrow; one thread.

    Parameters
    ----------
    num_rows : int
    measure : callable ``(what, measured, reference) -> rows``
        Times both calls in turn.
    """
    num_threads = pa.cpu_count()
    pa.set_cpu_count(1)
    try:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "table.csv"
            write_table(path, num_rows, num_digits=4)

            def prepare(table: pd.DataFrame) -> None:
                features = table.drop(columns="y")
                TablePreprocessor.fit(features).transform(features)

            ways: dict[str, Callable[[], None]] = {
                "as `metricopt fit` does": lambda: prepare(read_compact(path, {"y"})),
                "by read_table and TablePreprocessor": lambda: prepare(read_table(path)),
            }
            rows = []
            for name, own in ways.items():
                what = f"reading and preparing a table {name} / pandas' own reading (pyarrow), {num_rows:,} x 30"
                rows += measure(what, own, lambda: pd.read_csv(path, engine="pyarrow"))
            return rows
    finally:
        pa.set_cpu_count(num_threads)


def table_memory(num_rows: int) -> tuple[str, float]:
    """Return what was measured, and the largest memory in GB of a fresh process that reads and prepares a table.

    It reads as ``metricopt fit`` does; the numbers have 16 digits, of which text takes the most.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(path, num_rows, num_digits=16)
        command = [sys.executable, "-c", _IN_PIECES, str(path)]
        size = path.stat().st_size / 2**30
        said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return f"GB of memory to read and prepare a table of {num_rows:,} x 30 in pieces, {size:.2f} GB of text", float(
        said
    )
