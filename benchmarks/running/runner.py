"""Runs the cells of a benchmark in several processes, with progress; what is finished is never run again.

This file decides how work is shared out and kept: one line of JSON a cell, appended and flushed to disk by the parent
alone, so that a kill costs the cells that were running and no more. What is run in a cell is left to those who make
them, as :mod:`benchmarks.running.cells` does for the suites of tables.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Row = dict[str, Any]


class Cell(Protocol):
    """A piece of work, the smallest that a kill can cost; it is sent to another process."""

    @property
    def key(self) -> str:
        """What a finished cell is known by: all that is asked of it."""

    @property
    def title(self) -> str:
        """What progress calls it."""

    def run(self) -> list[Row]:
        """Return its rows of results."""


def run(name: str, cells: Sequence[Cell], file: Path, processes: int, console: Console) -> dict[str, str]:
    """Run what is not finished yet.

    Parameters
    ----------
    name : str
        Shown beside the progress.
    cells : sequence of Cell
    file : Path
        Where finished cells are kept, and found again.
    processes : int, >= 1
    console : Console
        Where progress is shown.

    Returns
    -------
    dict of str to str
        The error of every cell that failed; it is tried again the next time.
    """
    _drop_partial_line(file)
    done = {entry["cell"] for entry in _entries(file)}
    left = [cell for cell in cells if cell.key not in done]
    failed: dict[str, str] = {}
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    file.parent.mkdir(parents=True, exist_ok=True)
    with Progress(*columns, TextColumn("{task.description}"), console=console) as progress, file.open("a") as out:
        bar = progress.add_task("", total=len(cells), completed=len(cells) - len(left))
        for cell, seconds, outcome in _finished(left, processes):
            if isinstance(outcome, Exception):
                failed[cell.key] = f"{type(outcome).__name__}: {outcome}"
                progress.console.print(f"{cell.key} failed: {failed[cell.key]}", style="red")
            else:
                out.write(json.dumps({"cell": cell.key, "seconds": seconds, "rows": outcome}) + "\n")
                out.flush()
                os.fsync(out.fileno())
            progress.update(bar, advance=1, description=cell.title)
    return failed


def rows_of(cells: Sequence[Cell], file: Path) -> list[Row]:
    """Return the rows of the cells that are finished, in the order of the cells, each with the key of its cell."""
    rows = {entry["cell"]: entry["rows"] for entry in _entries(file)}
    return [{"cell": cell.key, **row} for cell in cells for row in rows.get(cell.key, [])]


def take_over(cells: Sequence[Cell], rows: Iterable[Row], file: Path) -> None:
    """Keep what another run has finished of the cells, where it is not kept yet: nothing of it is run again.

    Parameters
    ----------
    cells : sequence of Cell
    rows : iterable of dict
        As :func:`rows_of` returned them, all rows of a cell or none; those of other cells are passed over.
    file : Path
        Where finished cells are kept.
    """
    _drop_partial_line(file)
    wanted = {cell.key for cell in cells} - {entry["cell"] for entry in _entries(file)}
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row["cell"] in wanted:
            found.setdefault(row["cell"], []).append({name: value for name, value in row.items() if name != "cell"})
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as out:
        for key, own in found.items():
            out.write(json.dumps({"cell": key, "seconds": sum(row["seconds"] for row in own), "rows": own}) + "\n")


def _finished(cells: Sequence[Cell], processes: int) -> Iterator[tuple[Cell, float, list[Row] | Exception]]:
    """Yield every cell with its seconds, and its rows or its error, as it ends; a single process needs no other one."""
    if processes == 1:
        for cell in cells:
            outcome: tuple[float, list[Row] | Exception]
            try:
                outcome = _timed(cell)
            except Exception as error:  # the others go on
                outcome = 0.0, error
            yield cell, *outcome
        return
    waiting = iter(cells)
    running: dict[Future[tuple[float, list[Row]]], Cell] = {}
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        while True:
            for cell in waiting:
                running[pool.submit(_timed, cell)] = cell
                if len(running) == 2 * processes:  # no worker waits for work
                    break
            if not running:
                return
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                cell = running.pop(future)
                try:
                    seconds, rows = future.result()
                    yield cell, seconds, rows
                except BrokenProcessPool:
                    raise  # nothing can run any more; what is finished is kept
                except Exception as error:  # the others go on
                    yield cell, 0.0, error


def _timed(cell: Cell) -> tuple[float, list[Row]]:
    began = time.perf_counter()
    rows = cell.run()
    return time.perf_counter() - began, rows


def _entries(file: Path) -> Iterator[dict[str, Any]]:
    if not file.exists():
        return
    for line in file.read_text(encoding="utf-8").splitlines():
        with suppress(json.JSONDecodeError):  # the line of a cell that was being written at a kill
            yield json.loads(line)


def _drop_partial_line(file: Path) -> None:
    """Cut what a kill left after the last whole line, so that the next one begins anew."""
    if file.exists():
        with file.open("r+b") as content:
            content.truncate(content.read().rfind(b"\n") + 1)
