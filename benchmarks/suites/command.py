"""``python -m benchmarks run SUITE`` and ``report SUITE``: a suite is trained cell by cell, then reported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.console import Console

from benchmarks.data import describe, packages_of
from benchmarks.packages import require
from benchmarks.peers.published import published_figures
from benchmarks.reporting import files
from benchmarks.reporting.report import write_report
from benchmarks.running import runner
from benchmarks.running.cells import cells_of, skipped
from benchmarks.suites import SUITES, Suite

Name = Annotated[str, typer.Argument(help=f"Which suite: {', '.join(SUITES)}.", metavar="SUITE")]

console = Console()


def run_suite(
    name: Name,
    quick: Annotated[bool, typer.Option("--quick", help="A small version, always from the beginning.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what is finished of an earlier run.")] = False,
    processes: Annotated[int, typer.Option(help="The number of processes that do the work.")] = 2,
) -> None:
    """Run what is not finished of a suite, here or in the results that came with the code, then write its report.

    Killed, it goes on where it was.
    """
    suite = _suite(name).quick() if quick else _suite(name)
    require(f"python -m benchmarks run {name}", packages_of(suite.datasets))
    cells, file = cells_of(suite), _file_of(suite)
    if quick or fresh:
        file.unlink(missing_ok=True)
    elif _table_of(suite, files.RESULTS).exists():
        runner.take_over(cells, pd.read_parquet(_table_of(suite, files.RESULTS)).to_dict("records"), file)
    runnable = [cell for cell in cells if cell.can_run]
    failed = runner.run(suite.name, runnable, file, processes, Console(stderr=True))
    _report(suite, files.RUNS if quick else files.RESULTS)
    if failed:
        console.print(f"{len(failed)} cells failed; the same command tries them again", style="red")
        raise typer.Exit(1)


def report_suite(name: Name) -> None:
    """Write the report of a suite from what is finished, here or in the results that came with the code."""
    suite = _suite(name)
    require(f"python -m benchmarks report {name}", packages_of(suite.datasets))
    _report(suite, files.RESULTS)


def _suite(name: str) -> Suite:
    if name not in SUITES:
        raise typer.BadParameter(f"must be one of {', '.join(SUITES)}, got {name!r}")
    return SUITES[name]


def _file_of(suite: Suite) -> Path:
    return files.RUNS / f"{suite.name}.jsonl"


def _table_of(suite: Suite, folder: Path) -> Path:
    return folder / f"{suite.name}.parquet"


def _report(suite: Suite, folder: Path) -> None:
    table, page = _table_of(suite, folder), folder / f"{suite.name}.md"
    if _file_of(suite).exists():
        frame = pd.DataFrame(runner.rows_of(cells_of(suite), _file_of(suite)))
    elif table.exists():
        frame = pd.read_parquet(table)
    else:
        raise typer.BadParameter(
            f"nothing of {suite.name} is finished; begin with: python -m benchmarks run {suite.name}"
        )
    if frame.empty:
        raise typer.BadParameter(f"no cell of {suite.name} is finished yet")
    frame.to_parquet(table, index=False)
    not_run = {method: packages for method, packages in skipped(suite).items() if method not in set(frame["method"])}
    write_report(
        frame,
        suite.title,
        f"python -m benchmarks run {suite.name}",
        {method: f"{', '.join(packages)} not installed" for method, packages in not_run.items()},
        page,
        datasets=describe(suite.datasets),
        published=published_figures(),
    )
    console.print(f"Written to {page}")
