"""The commands that train on a table: `metricopt fit`, and `metricopt demo` on bundled data.

This file decides their arguments and what they print. The training is in :mod:`metricopt.cli.table_run`, and the folder
that it leaves in :mod:`metricopt.cli.run_folder`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from metricopt._validation import check_choice, reject
from metricopt.cli.asked import (
    Alpha,
    Beta,
    Maximize,
    Minimize,
    SubjectTo,
    ThresholdPer,
    objective_in_words,
    subgroups_in,
)
from metricopt.cli.options import Options, check_options
from metricopt.cli.parts import Dates
from metricopt.cli.prepared import prepare
from metricopt.cli.run_folder import asked_confidence, comparison, notes, write_run
from metricopt.cli.running import (
    MISSED_ON_TEST,
    NOT_SUPPORTED,
    Modules,
    Overwrite,
    bad_input,
    claim,
    import_modules,
    number_or_word,
)
from metricopt.cli.table_run import Run, train_on_rows, was_begun
from metricopt.data import Table, TableWarning, load_thyroid, make_table
from metricopt.data.tables.compact import read_compact
from metricopt.problem.objectives import Objective
from metricopt.processes import is_main_process, join_launch
from metricopt.results.verdict import Verdict

_DEFAULT = Options()


def fit_command(
    table: Annotated[Path, typer.Argument(help="A .csv, .tsv or .parquet file with a header.")],
    label: Annotated[str, typer.Option(help="The column to predict.")],
    out: Annotated[
        Path, typer.Option(help="Folder for the model, report.html, report.json, summary.md and curve.png.")
    ],
    positive: Annotated[
        list[str] | None,
        typer.Option(
            help="The value of the label to find, among all others. It can be repeated: each of the values counts. The "
            "default is 1 of 0 and 1 (True of False and True), and the rarer of two other values."
        ),
    ] = None,
    objective: Annotated[
        str,
        typer.Option(
            help="FPOR: recall at a least precision. FROP: precision at a least recall. OFBS: F-beta. OAP: average "
            "precision. RecallAtFPR, RecallAtAlarmRate: recall at a largest false-positive rate or fraction of alarms. "
            "Or the name of an objective of your own (--import)."
        ),
    ] = _DEFAULT.objective,
    alpha: Alpha = None,
    beta: Beta = None,
    maximize: Maximize = None,
    minimize: Minimize = None,
    subject_to: SubjectTo = None,
    threshold_per: ThresholdPer = None,
    prevalence: Annotated[
        float | None,
        typer.Option(help="The fraction of positives where the model will be used. The default is that of the table."),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            metavar="auto|linear|mlp|boosting",
            help="linear, mlp (two hidden layers of 64) or boosting (trees); auto trains all three on the same folds "
            "and takes the best of these and of the mean of the last two.",
        ),
    ] = _DEFAULT.model,
    drop: Annotated[
        list[str] | None,
        typer.Option(help="A column to leave out, such as a row's number. It can be repeated."),
    ] = None,
    days: Annotated[
        list[str] | None,
        typer.Option(help="A column of dates to use as a number of days; others are left out. It can be repeated."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(help="A column (patient, site) whose rows of equal value stay together. It is no feature."),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Epochs of each training of a network or linear model. The default is about 1,000 steps, 6,000 "
            "without folds.",
        ),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Learning rate of Adam. The default depends on the size of the model.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Rows in a batch of each process. The default is 256; auto chooses it by the table."),
    ] = _DEFAULT.batch_size,
    folds: Annotated[
        str,
        typer.Option(
            metavar="NUMBER|auto|none",
            help="Folds: every row trains, and is judged by models that did not see it. auto is 5, or none in a launch "
            "of several processes; none holds a part out.",
        ),
    ] = "auto",
    confidence: Annotated[
        str,
        typer.Option(
            metavar="NUMBER|auto|none",
            help="How sure the bound must be on new rows, in (0, 1). auto is 0.9; none takes the best cut on the rows "
            "that choose, which new rows often miss.",
        ),
    ] = "auto",
    val_fraction: Annotated[
        float | None,
        typer.Option(
            help="Fraction of the rows that choose model and threshold, instead of folds. If 0, the training rows do. "
            "Without folds the default is 0.2."
        ),
    ] = _DEFAULT.val_fraction,
    test_fraction: Annotated[
        float, typer.Option(help="Fraction of the rows that is kept for the test.")
    ] = _DEFAULT.test_fraction,
    split_by_date: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="A column of dates (2024-05-31) or years: the last part of the rows is the test, those before it "
            "train. It is no feature. The default is to take the test rows by chance.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Seed of the parts, the weights and the batches.")
    ] = _DEFAULT.seed,
    device: Annotated[str, typer.Option(help="Where to train: cpu, cuda, ...")] = _DEFAULT.device,
    overwrite: Overwrite = False,
    checkpoint_dir: Annotated[
        Path | None, typer.Option(help="Folder for checkpoints, from which a training can be resumed.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on from the checkpoints if there are any. --out is then written anew."),
    ] = False,
    modules: Modules = None,
) -> None:
    """Train on a table, and report on rows kept for the test, beside the other models that were tried.

    A linear model or an MLP that is asked for by name stands beside cross-entropy with a tuned threshold. Results are
    written in any case. The exit code is 0 where the bound is supported, 2 for bad input, 3 where the rows that choose
    do not support the bound, 4 where the interval of the test rows lies wholly beyond it.

    For example: metricopt fit patients.csv --label outcome --positive sick --objective FPOR --alpha 0.9 --out runs/x
    """
    options = Options(
        objective=objective,
        alpha=alpha,
        beta=beta,
        prevalence=prevalence,
        model=model,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        seed=seed,
        device=device,
        days=tuple(days or ()),
    )
    with bad_input():
        options = replace(
            options,
            objective=objective_in_words(
                objective,
                alpha,
                beta,
                maximize=maximize,
                minimize=minimize,
                subject_to=subject_to,
                threshold_per=threshold_per,
            ),
            folds=number_or_word("folds", folds, int, "5"),
            confidence=number_or_word("confidence", confidence, float, "0.9"),
        )
        processes = join_launch(device)
        with processes.in_step():
            import_modules(modules or [])
            asked = check_options(options, processes.number)
            if resume and checkpoint_dir is None:
                reject("checkpoint_dir", "given to resume", None, "add --checkpoint-dir of the interrupted run")
            if processes.is_main:
                claim(out, overwrite or (resume and checkpoint_dir is not None and was_begun(checkpoint_dir)))
            held, groups, dates, subgroups = _read(
                table, label, positive, drop or [], options.days, group, split_by_date, asked
            )
        _tell(f"{len(held):,} rows and {held.features.shape[1]:,} columns beside {label} are read.")
        for caveat in held.caveats:
            _tell(f"[yellow]Note:[/] {escape(caveat)}.")
        rows = prepare(held, groups, asked, options, subgroups=subgroups, dates=dates, num_processes=processes.number)
        del held, groups, dates, subgroups  # a long table takes more memory than its features
        run = train_on_rows(
            rows,
            asked,
            options,
            _tell,
            checkpoint_dir=checkpoint_dir,
            resume=resume,
            num_processes=processes.number,
        )
        source = {"table": str(table), "drop": drop or [], "group": group, "split_by_date": split_by_date}
        write_run(run, out, source)
    _finish(run, out)


def demo_command(
    out: Annotated[Path, typer.Option(help="Folder for the results. Those of an earlier demo are replaced.")] = Path(
        "metricopt-demo"
    ),
) -> None:
    """Find patients with hypothyroidism such that at least 90 % of the alarms are right (bundled UCI data).

    The same as: metricopt fit thyroid.csv --label diagnosis --alpha 0.9 --model mlp
    """
    with bad_input():
        claim(out, overwrite=(out / "report.json").is_file())
        options = Options("FPOR", alpha=0.9, model="mlp")
        asked = check_options(options)
        run = train_on_rows(prepare(load_thyroid(), None, asked, options), asked, options, _tell)
        write_run(run, out, {"table": "the bundled thyroid data"})
    _finish(run, out)


def _tell(text: str) -> None:
    if is_main_process():
        Console(stderr=True, highlight=False).print(text)


def _read(
    path: Path,
    label: str,
    positive: list[str] | None,
    drop: list[str],
    days: Sequence[str],
    group: str | None,
    date: str | None,
    objective: Objective,
) -> tuple[Table, np.ndarray | None, Dates | None, dict[str, list[str]] | None]:
    """Return a table's rows, the group of each, when it was, and the subgroups that the objective names."""
    frame = read_compact(path, {label, *filter(None, (group, date)), *objective.columns})
    subgroups = subgroups_in(frame, objective)
    for argument, names in (("drop", drop), ("days", days), ("group", [group] if group else [])):
        for name in names:
            check_choice(argument, name, set(frame.columns) - {label})
    dates = None if date is None else Dates.of(frame, date)
    groups = None
    if group is not None:
        if frame[group].isna().any():
            got = f"{int(frame[group].isna().sum())} missing values in {group!r}"
            reject("group", "a column with a value in every row", got, "give such rows a group of their own")
        groups = frame[group].astype(str).to_numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TableWarning)  # the caveats of the table say the same
        others = frame.drop(columns={*drop, *filter(None, (group, date))} - {label})
        return make_table(others, label, positive or None), groups, dates, subgroups


def _finish(run: Run, out: Path) -> None:
    """Print the result and leave with its exit code."""
    console = Console(highlight=False, quiet=not is_main_process())
    color = "green" if run.verdict is Verdict.MET else "red" if run.verdict is Verdict.MISSED else "default"
    console.print(f"[bold {color}]{escape(run.headline)}[/]")
    asked = f"{run.result.objective}{asked_confidence(run)}"
    console.print(f"[bold]Asked[/]   {escape(run.rows.label)} = {escape(run.rows.positive)}: {asked}")
    status = f"[{'green' if run.is_supported else 'red'}]{run.result.status}[/]"
    console.print(f"[bold]Status[/]  {status}. {escape(run.result.advice())}")
    header, rows = comparison(run)
    grid = Grid(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in header:
        grid.add_column(name)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        is_last = following is None or following[0] != row[0]
        grid.add_row(*row, style="bold" if row[1] == run.method else "", end_section=is_last)
    console.print()
    console.print(grid)
    console.print()
    for note in notes(run):
        console.print(escape(note))
    console.print(
        f"Written: {escape(str(out))}: report.html, summary.md, curve.png, report.json, model", soft_wrap=True
    )
    if run.verdict is Verdict.MISSED:
        raise typer.Exit(MISSED_ON_TEST)
    if not run.is_supported:
        raise typer.Exit(NOT_SUPPORTED)
