"""How every command begins and ends: modules to import first, a folder to write to, and the exit code.

This file decides what all commands have in common. Which there are is in :mod:`metricopt.cli.commands`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from metricopt._validation import InvalidInputError, reject
from metricopt.processes import ProcessLostError, is_main_process

BAD_INPUT, NOT_SUPPORTED, MISSED_ON_TEST, PROCESS_LOST = 2, 3, 4, 5
SECONDS_BETWEEN_LINES = 10.0

Modules = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="MODULE",
        help="A Python module to import first, for instance one that registers an objective of your own. It can be in "
        "the current folder, and the option can be repeated.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Write into a folder that is not empty.")]


def import_modules(modules: Sequence[str]) -> None:
    """Import the modules that a user names, from the current folder too, as ``python -m`` does."""
    if modules:
        sys.path.insert(0, str(Path.cwd()))
    for module in modules:
        try:
            import_module(module)
        except Exception as error:  # whatever the user's own lines raise
            got = f"{module!r}, which raised {type(error).__name__}: {error}"
            reject("--import", "a Python module that can be imported", got, "run it by itself to see where")


def number_or_word(name: str, text: str, kind: Callable[[str], Any], example: str) -> Any:
    """Return a number, "auto", or None for "none"."""
    if text == "auto":
        return text
    if text == "none":
        return None
    try:
        return kind(text)
    except ValueError:
        reject(name, "a number, auto or none", repr(text), f"give e.g. {example}")


def claim(out: Path, overwrite: bool) -> None:
    """Make the output folder first, so that no time is spent on a result that cannot be written."""
    if out.exists() and not out.is_dir():
        reject("out", "a folder", f"the file {out}", "choose another name")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        reject("out", "a new or empty folder", str(out), "give another one, or add --overwrite")
    out.mkdir(parents=True, exist_ok=True)


def tell_notes(notes: Sequence[str]) -> None:
    """Print what a user should know of the input, beside the results."""
    for note in notes:
        Console(stderr=True, highlight=False).print(f"[yellow]Note:[/] {escape(note)}", soft_wrap=True)


def now_and_then(tell: Callable[[str], None]) -> Callable[[str], None] | None:
    """Return what tells at most one line in ten seconds; None on a terminal, where a progress bar is seen."""
    if sys.stderr.isatty() or not is_main_process():
        return None
    told = time.monotonic()

    def tell_rarely(text: str) -> None:
        nonlocal told
        if time.monotonic() - told >= SECONDS_BETWEEN_LINES:
            told = time.monotonic()
            tell(text)

    return tell_rarely


@contextmanager
def bad_input() -> Iterator[None]:
    """Turn errors that the user can correct into a message and the exit code for bad input."""
    try:
        yield
    except ProcessLostError as error:
        fail(str(error), PROCESS_LOST)
    except (InvalidInputError, OSError) as error:
        fail(str(error), BAD_INPUT)


def fail(text: str, code: int) -> NoReturn:
    """Print what went wrong, and leave with the code."""
    if code == PROCESS_LOST or is_main_process():
        Console(stderr=True, highlight=False).print(f"[red]Error:[/] {escape(text)}", soft_wrap=True)
    raise typer.Exit(code)
