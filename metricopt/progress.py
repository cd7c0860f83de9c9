"""What a person sees while a training runs: one line with the exact metric, the bound and the status.

This file decides how progress looks; it leaves what is measured to the training loop.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import Any


class Display:
    """A progress bar on standard error, or nothing.

    Parameters
    ----------
    shown : bool, optional
        By default if standard error is a terminal.
    """

    def __init__(self, shown: bool | None = None) -> None:
        self._bar: Any = None
        self._task: Any = None
        if sys.stderr.isatty() if shown is None else shown:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )

    def __enter__(self) -> Display:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, total: int) -> None:
        """Begin to count the epochs of a training."""
        if self._bar is not None:
            self._task = self._bar.add_task("training", total=total)

    def show(self, done: int, stage: str, record: dict[str, Any]) -> None:
        """Show the state after an epoch: the record of the best model's first label."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=f"{stage}: {describe(record)}")

    def watch(self, items: Iterable[Any], what: str) -> Iterator[Any]:
        """Yield the items while showing how far they are."""
        if self._bar is None:
            yield from items
            return
        task = self._bar.add_task(what, total=len(items) if isinstance(items, Sized) else None)
        for item in items:
            yield item
            self._bar.advance(task)
        self._bar.remove_task(task)


def describe(record: dict[str, Any]) -> str:
    """Return the metrics of one label's record as a short text.

    Examples
    --------
    >>> describe({"metric": "recall", "value": 0.5, "bounded_metric": "precision", "bounded_value": 0.91, "bound": 0.9,
    ...           "feasible": True})
    'recall 0.500, precision 0.910 (bound 0.9, met)'
    """
    text = f"{record['metric']} {record['value']:.3f}"
    if record["bounded_metric"] is not None:
        state = "met" if record["feasible"] else "missed"
        text += f", {record['bounded_metric']} {record['bounded_value']:.3f} (bound {record['bound']:g}, {state})"
    return text
