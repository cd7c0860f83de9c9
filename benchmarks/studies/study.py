"""What all single studies share: their options, processes for their work, and where their results go.

A study is a module with a function ``main``, which is its command, and with ``NEEDS``, the optional packages without
which it cannot run.
"""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from types import ModuleType
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.packages import require
from benchmarks.reporting import files

Quick = Annotated[bool, typer.Option("--quick", help="A small version, printed only.")]
Processes = Annotated[int, typer.Option(help="The number of processes that do the work.")]

console = Console()


def command_of(study: ModuleType) -> Callable[..., None]:
    """Return the command of a study, which looks for the packages that it needs before any work."""
    main: Callable[..., None] = study.main

    @functools.wraps(main)
    def command(**options: Any) -> None:
        require(f"python -m benchmarks {name_of(study)}", study.NEEDS)
        main(**options)

    return command


def name_of(study: ModuleType) -> str:
    """Return the name of a study, which is that of its module."""
    return study.__name__.rpartition(".")[2]


def run_all(jobs: Iterable[Callable[[], Any]], processes: int) -> list[Any]:
    """Run the jobs in processes of their own, with progress; return what they return, in order."""
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(job) for job in jobs]
        progress = track(as_completed(futures), total=len(futures), console=Console(stderr=True))
        for future in progress:
            future.result()  # a failed job ends the run at once
    return [future.result() for future in futures]


def finish(
    name: str,
    title: str,
    rows: list[dict[str, Any]],
    tables: dict[str, pd.DataFrame],
    quick: bool,
    conclusions: Sequence[str] = (),
) -> None:
    """Print the tables of a study and, unless it was a quick run, write its results."""
    for heading, table in tables.items():
        console.print(f"\n[bold]{title}[/bold] - {heading}\n")
        console.print(files.markdown(table), soft_wrap=True)
    if not quick:
        page = files.write(name, title, f"python -m benchmarks {name}", rows, tables, conclusions)
        console.print(f"\nWritten to {page}")
