"""What a person sees while a training runs: one line with the exact metric, the bound and the status.

This file decides how progress looks; it leaves what is measured to the training loop.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence, Sized
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

    def show(self, done: int, stage: str, records: Sequence[dict[str, Any]]) -> None:
        """Show the state after an epoch: the records of the best model, one a label."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=f"{stage}: {describe(records)}")

    def watch(self, items: Iterable[Any], what: str, total: int | None = None) -> Iterator[Any]:
        """Yield the items while showing how far they are; ``total`` says how many where they do not know themselves."""
        if self._bar is None:
            yield from items
            return
        task = self._bar.add_task(what, total=len(items) if isinstance(items, Sized) else total)
        for item in items:
            yield item
            self._bar.advance(task)
        self._bar.remove_task(task)


def describe(records: Sequence[dict[str, Any]]) -> str:
    """Return the metrics of one label's record, or the average of several labels' that have any, as a short text.

    Examples
    --------
    >>> record = {"metric": "recall", "value": 0.5, "bounded_metric": "precision", "bounded_value": 0.91, "bound": 0.9,
    ...           "feasible": True}
    >>> describe([record])
    'recall 0.500, precision 0.910 (bound 0.9, met)'
    >>> describe([record, {**record, "value": 0.2, "feasible": False}, {**record, "value": math.nan}])
    'recall 0.350 on average, precision bound met by 1 of 2 labels'
    """
    if len(records) > 1:
        held = [record for record in records if not math.isnan(record["value"])]
        text = f"{records[0]['metric']} {sum(record['value'] for record in held) / max(len(held), 1):.3f} on average"
        if records[0]["bounded_metric"] is not None:
            met = sum(record["feasible"] for record in held)
            text += f", {records[0]['bounded_metric']} bound met by {met} of {len(held)} labels"
        return text
    (record,) = records
    text = f"{record['metric']} {record['value']:.3f}"
    if record["bounded_metric"] is not None:
        state = "met" if record["feasible"] else "missed"
        text += f", {record['bounded_metric']} {record['bounded_value']:.3f} (bound {record['bound']:g}, {state})"
    return text
