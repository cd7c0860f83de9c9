"""What a run without a training says and leaves: a few lines, a grid of reports, and a folder like that of a fit.

This file decides what is printed and written of a result for which a threshold was chosen, evaluated or certified. The
commands are in :mod:`metricopt.cli.score_commands`.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from metricopt.cli.running import MISSED_ON_TEST, NOT_SUPPORTED
from metricopt.evidence.reports import LabelReport, Report
from metricopt.evidence.saved_numbers import plain_number
from metricopt.results.result import FitResult
from metricopt.results.status import Status
from metricopt.results.verdict import Verdict, headline, verdict_of

FORMAT = 1
_SUPPORTED = (Status.FEASIBLE, Status.OPTIMIZED, Status.CERTIFIED)
_COLORS = {Verdict.MET: "green", Verdict.MISSED: "red"}


def headlines(result: FitResult, report: Report) -> dict[str, Verdict | None]:
    """Return a sentence for each label with a threshold, what was found on some rows, and what it says of the bound."""
    direction, several = result.objective.bound_direction, len(report.labels) > 1
    return {
        (f"{label.label}: " if several else "") + headline(label, report.data, direction): verdict_of(label, direction)
        for label in report
        if not math.isnan(label.threshold)
    }


def write_folder(out: Path, result: FitResult, options: dict[str, Any]) -> None:
    """Write model, page, summary, picture and, last, report.json."""
    result.save(out / "model")
    figure: Any = result.plot().figure if len(result.label_names) == 1 else result.plot_labels()[0].figure
    figure.savefig(out / "curve.png", dpi=120)
    lines = [
        f"# {', '.join(result.label_names)}",
        "",
        *(f"**{said}**\n" for said in headlines(result, result.selection)),
    ]
    lines += ["```", result.summary(), "```", "", "![Precision-recall curves](curve.png)", ""]
    (out / "summary.md").write_text("\n".join(lines), encoding="utf-8")
    result.report(out / "report.html", usage=usage_of(out))
    write_json(out / "report.json", {"format": FORMAT, **_in_numbers(result), "options": options})


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write names and numbers, one a line."""
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _in_numbers(result: FitResult) -> dict[str, Any]:
    """Return what a program reads of a result."""
    empirical = cast(Any, result.choice.empirical or result.choice).threshold
    return {
        "asked": str(result.objective),
        "supported": is_supported(result),
        "confidence": result.confidence,
        "judged_by": result.holdout,
        "labels": {
            name: {
                "status": result.statuses[which].value,
                "advice": result.advice(name),
                "threshold": plain_number(float(result.thresholds[which])),
                "empirical_threshold": plain_number(float(empirical[which])),
            }
            for which, name in enumerate(result.label_names)
        },
        "reached": result.selection.to_dict(),
        "certificate": None if result.certificates is None else [each.to_dict() for each in result.certificates],
        "versions": result.versions,
    }


def is_supported(result: FitResult) -> bool:
    """Say whether the rows that chose, or those that certified, support the bound of every label."""
    return all(status in _SUPPORTED for status in result.statuses)


def tell_written(console: Console, out: Path) -> None:
    """Print what a folder holds."""
    files = "report.html, summary.md, curve.png, report.json, model"
    console.print(f"Written: {escape(str(out))}: {files}", soft_wrap=True)


def usage_of(out: Path) -> str:
    """Return the line that applies a run to new rows."""
    return f"metricopt predict {shlex.quote(str(out))} new_rows.csv"


def show(console: Console, result: FitResult, report: Report) -> None:
    """Print what some rows say of each label: a sentence, and a grid with one line for all and for each subgroup."""
    said = iter(headlines(result, report).items())
    for which, label in enumerate(report):
        if math.isnan(label.threshold):
            console.print(f"[bold]{escape(label.label)}: no threshold[/]\n")
            continue
        sentence, verdict = next(said)
        color = "default" if verdict is None else _COLORS.get(verdict, "default")
        console.print(f"[bold {color}]{escape(sentence)}[/]\n")
        parts = [(report.data, label), *((name, part[which]) for name, part in report.subgroups.items())]
        console.print(_grid(parts), "")
        for each in label.bounds:
            console.print(
                f"[{'green' if each.met else 'red'}]{escape(each.name)} {escape(each.said)}[/]", soft_wrap=True
            )


def show_status(console: Console, result: FitResult) -> None:
    """Print what was asked and what the rows that chose support."""
    is_sure = result.confidence is not None and bool(result.objective.bounds)
    sure = f", with confidence {result.confidence:g}" if is_sure else ""
    console.print(f"[bold]Asked[/]      {result.objective}{sure}")
    for own, name in zip(result.label_classes, result.label_names, strict=True):
        if own is not None:
            console.print(f"[bold]Positive[/]   {escape(name)}: {escape(str(own))}")
    several = len(result.label_names) > 1
    for which, name in enumerate(result.label_names):
        status, of = result.statuses[which], f"{escape(name)}: " if several else ""
        color = "green" if status in _SUPPORTED else "red"
        console.print(f"[bold]Status[/]     {of}[{color}]{status}[/]. {escape(result.advice(name))}")
        if not math.isnan(result.thresholds[which]):
            console.print(f"[bold]Threshold[/]  {of}{result.thresholds[which]:.6g} ({result.alarm_rule})")


def _grid(parts: Sequence[tuple[str, LabelReport]]) -> Grid:
    """Return the reports of one label on all rows and on its subgroups, by name."""
    _, first = parts[0]
    shown = [first.metric, *([first.bounded_metric] if first.bounded_metric else ["precision", "recall"])]
    names = list(dict.fromkeys(shown))
    grid = Grid(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("rows", *names, *(["bound"] if first.bounded_metric else []), "alarms", "found"):
        grid.add_column(name.replace("_", " "))
    for number, (data, label) in enumerate(parts):
        grid.add_row(*map(escape, (data, *_cells(label, names))), style="" if number else "bold")
    return grid


def _cells(label: LabelReport, names: Sequence[str]) -> list[str]:
    said = [] if label.bounded_metric is None else [label.of_bound.replace("missed", "MISSED") or "-"]
    alarms = f"{label.true_positives + label.false_positives:.6g}"
    found = f"{label.true_positives:.6g} of {label.counts.positives:.6g}"
    return [*map(label.with_interval, names), *said, alarms, found]


def leave(result: FitResult, report: Report | None = None) -> None:
    """End a command with the exit code of its result; ``report`` is of rows that chose nothing, if there are any."""
    if report is not None and Verdict.MISSED in headlines(result, report).values():
        raise typer.Exit(MISSED_ON_TEST)
    if not is_supported(result):
        raise typer.Exit(NOT_SUPPORTED)
