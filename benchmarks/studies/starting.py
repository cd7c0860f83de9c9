"""How long the commands take to start: new rows scored, and the first line of a training, of a table of 500 rows.

This file decides what is measured. The rows are part of `python -m benchmarks speed`.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.studies.table_reading import write_table

NUM_ROWS = 500
BUDGET = 2.0
"""Wall seconds."""


def start_rows() -> list[dict[str, Any]]:
    """Return a row for ``metricopt predict`` from beginning to end, and one for the first line of ``metricopt fit``."""
    with TemporaryDirectory() as folder:
        table, run, out = (str(Path(folder) / name) for name in ("table.csv", "run", "predictions.csv"))
        write_table(Path(table), NUM_ROWS, num_digits=4)
        fit = [sys.executable, "-m", "metricopt", "fit", table, "--label", "y", "--objective", "OFBS", "--out"]
        subprocess.run([*fit, run, "--model", "linear", "--epochs", "2"], capture_output=True, check=True)
        predict = [sys.executable, "-m", "metricopt", "predict", run, table, "--out", out]
        return [_whole("metricopt predict", predict), _first_line("metricopt fit", [*fit, f"{run} again"])]


def _whole(name: str, command: list[str]) -> dict[str, Any]:
    before, began = _cpu_seconds(), time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    seconds = time.perf_counter() - began
    what = f"wall seconds of `{name}`, {NUM_ROWS} rows"
    return {**_row(what, seconds), "cpu_seconds": round(_cpu_seconds() - before, 2)}


def _first_line(name: str, command: list[str]) -> dict[str, Any]:
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        process.stderr.readline()
        seconds = time.perf_counter() - began
        process.kill()
    return _row(f"wall seconds to the first line of `{name}`, {NUM_ROWS} rows", seconds)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _row(what: str, seconds: float) -> dict[str, Any]:
    return {"what": what, "wall_seconds": round(seconds, 2), "budget": BUDGET, "within_budget": seconds <= BUDGET}
