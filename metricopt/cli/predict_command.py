"""The command that applies a run to new rows: `metricopt predict`.

This file decides its arguments and what it writes. The run's folder is read by :mod:`metricopt.cli.saved_run`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from metricopt._validation import reject
from metricopt.cli.running import Modules, bad_input, import_modules, tell_notes
from metricopt.cli.saved_run import SavedRun
from metricopt.cli.score_commands import RunFolder


def predict_command(
    run: RunFolder,
    table: Annotated[Path, typer.Argument(help="New rows, with the columns that the run needs; no label.")],
    out: Annotated[Path | None, typer.Option(help="A .csv file. The default is to print the predictions.")] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="A column of the table (patient_id) to write beside the predictions. It can be repeated."),
    ] = None,
    modules: Modules = None,
) -> None:
    """Score new rows: number of each row (from 0), score, risk, alarm (1 where score >= threshold), and label.

    The risk is the probability of the label, calibrated by the rows that chose the threshold. There is none where the
    training rows chose.

    For example: metricopt predict runs/x new_patients.csv --keep patient_id --out predictions.csv
    """
    with bad_input():
        if out is not None and out.suffix.lower() != ".csv":
            reject("out", "a .csv file", str(out), "give a name that ends in .csv")
        import_modules(modules or [])
        saved = SavedRun.load(run)
        per = saved.result.threshold_per
        wanted = {"keep": keep or [], "the column of subgroups": [] if per is None else [per]}
        data, findings, kept = saved.read(table, wanted)
        predictions = saved.predictions(data, kept)
        for position, name in enumerate(keep or [], start=1):
            if name in predictions.columns:
                reject("keep", "named once, and not row, score, risk, alarm or label", repr(name), "rename the column")
            predictions.insert(position, name, kept[name].to_numpy()[predictions["row"].to_numpy()])
        if out is None:
            typer.echo(predictions.to_csv(index=False), nl=False)
        else:
            out.parent.mkdir(parents=True, exist_ok=True)
            predictions.to_csv(out, index=False)
            num_alarms = int(predictions["alarm"].sum())
            Console().print(f"{num_alarms} alarms in {len(kept)} rows: {escape(str(out))}", soft_wrap=True)
        tell_notes(findings)
