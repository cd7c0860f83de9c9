"""The commands for what exists already: a threshold for scores, and a run judged or certified on new rows.

This file decides their arguments. It leaves what they print and write to :mod:`metricopt.cli.written`, and the exit
codes to :mod:`metricopt.cli.running`.
"""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from metricopt._validation import reject
from metricopt.cli.asked import (
    Alpha,
    Beta,
    Maximize,
    Minimize,
    ProgramOfLabel,
    SubjectTo,
    ThresholdPer,
    objective_in_words,
    programs_in_words,
    subgroups_in,
)
from metricopt.cli.running import (
    BAD_INPUT,
    Modules,
    Overwrite,
    bad_input,
    claim,
    fail,
    import_modules,
    number_or_word,
    tell_notes,
)
from metricopt.cli.saved_run import Columns, SavedRun, scores_in, values_in
from metricopt.cli.written import headlines, leave, show, show_status, tell_written, usage_of, write_folder, write_json
from metricopt.data import read_table
from metricopt.problem.registry import Asked, get_objective
from metricopt.results.from_scores import from_scores

RunFolder = Annotated[Path, typer.Argument(help="The folder that `metricopt fit` or `metricopt threshold` wrote.")]


def threshold_command(
    table: Annotated[Path, typer.Argument(help="A .csv, .tsv or .parquet file with a header: scores and labels.")],
    score: Annotated[
        list[str], typer.Option(help="The column with the scores: higher for more probable. It can be repeated.")
    ],
    label: Annotated[
        list[str], typer.Option(help="The column with the truth: 0 and 1, or two classes. One for each --score.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the result, report.html, report.json, summary.md and curve.png.")
    ] = Path("metricopt-threshold"),
    positive: Annotated[
        str | None, typer.Option(help="The value of the label to find. The default is 1, or the rarer of two classes.")
    ] = None,
    objective: Annotated[str, typer.Option(help="As for `metricopt fit`: FPOR, FROP, OFBS, ...")] = "FPOR",
    alpha: Alpha = None,
    beta: Beta = None,
    maximize: Maximize = None,
    minimize: Minimize = None,
    subject_to: SubjectTo = None,
    threshold_per: ThresholdPer = None,
    program: ProgramOfLabel = None,
    confidence: Annotated[
        str,
        typer.Option(
            metavar="NUMBER|auto|none",
            help="How sure the bound must be on new rows, in (0, 1). auto is 0.9; none takes the best cut on these "
            "rows, which new rows often miss.",
        ),
    ] = "auto",
    prevalence: Annotated[
        float | None,
        typer.Option(help="The fraction of positives where the threshold will be used. The default is the table's."),
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="A column (patient) whose rows of equal value testify together, as one.")
    ] = None,
    fold: Annotated[
        str | None, typer.Option(help="A column with the fold of each row, for scores that are out of fold.")
    ] = None,
    overwrite: Overwrite = False,
    modules: Modules = None,
) -> None:
    """Choose a threshold for scores that you have, of rows that did not train the model; no model is needed.

    The exit code is 0 where the rows support the bound, 2 for bad input, 3 where they do not support it.

    For example: metricopt threshold scores.csv --score risk --label sick --objective FPOR --alpha 0.8 --out runs/vendor

    Or with several bounds: metricopt threshold scores.csv --score risk --label sick --maximize recall
    --subject-to "precision >= 0.8" --subject-to "recall >= 0.85 in every site"

    Or with a program for each of several labels: metricopt threshold scores.csv --score edema_risk --label edema
    --score fracture_risk --label fracture --program "edema: maximise recall subject to precision >= 0.8"
    --program "fracture: maximise f1"
    """
    with bad_input():
        import_modules(modules or [])
        words: dict[str, Any] = {
            "maximize": maximize,
            "minimize": minimize,
            "subject_to": subject_to,
            "threshold_per": threshold_per,
        }
        wanted: Asked
        if program:
            wanted = programs_in_words(program, label, {"alpha": alpha, "beta": beta, **words})
        else:
            wanted = objective_in_words(objective, alpha, beta, **words)
        asked = get_objective(wanted, alpha=alpha, beta=beta, label_names=label)
        sure = number_or_word("confidence", confidence, float, "0.9")
        if len(score) != len(label):
            got = f"{len(label)} for {len(score)}"
            reject("label", "given once for each score", got, "repeat --score and --label in pairs")
        frame = read_table(table)
        scores = scores_in(frame, score)
        columns = Columns(tuple(label), tuple(score))
        result = from_scores(
            scores,
            columns.labels_of(frame),
            asked,
            confidence=sure,
            prevalence=prevalence,
            groups=None if group is None else values_in(frame, "group", group),
            folds=None if fold is None else values_in(frame, "fold", fold),
            positive=positive,
            subgroups=subgroups_in(frame, asked),
        )
        claim(out, overwrite)
        columns.write(out)
        options = {"table": str(table), "score": score, "label": label, "positive": positive, "group": group}
        write_folder(out, result, {**options, "fold": fold, "confidence": sure, "prevalence": prevalence})
    console = Console(highlight=False)
    show(console, result, result.selection)
    show_status(console, result)
    said = "These rows chose the threshold: judge it by others, with `metricopt evaluate` or `metricopt certify`."
    console.print(said, soft_wrap=True)
    tell_written(console, out)
    leave(result)


def evaluate_command(
    run: RunFolder,
    table: Annotated[Path, typer.Argument(help="New rows with the columns that the run needs, and the label.")],
    by: Annotated[str | None, typer.Option(help="A column (site) by whose values the rows are reported, too.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The page, an .html file. The default is evaluation_TABLE.html in the run.")
    ] = None,
    modules: Modules = None,
) -> None:
    """Judge a run on new rows, with intervals: what its threshold reaches there, and whether the bound holds.

    The page holds it all, new rows first, and a .json file beside it holds the numbers. The exit code is 0 where the
    bound is supported, 2 for bad input, 3 where the rows that chose do not support it, 4 where the interval of the new
    rows lies wholly beyond it.

    For example: metricopt evaluate runs/x new_patients.csv --by site
    """
    with bad_input():
        import_modules(modules or [])
        page = run / f"evaluation_{table.name.partition('.')[0]}.html" if out is None else out
        if page.suffix.lower() != ".html":
            reject("out", "an .html file", str(page), "give a name that ends in .html")
        saved = SavedRun.load(run)
        wanted = {"by": [by] if by else [], "label": saved.columns.labels, "subgroups": saved.result.objective.columns}
        data, notes, kept = saved.read(table, wanted)
        subgroups = None if by is None else values_in(kept, "by", by)
        report = saved.result.evaluate(
            data,
            saved.labels(kept),
            by=subgroups,
            data=table.name,
            subgroups=subgroups_in(kept, saved.result.objective),
        )
        saved.result.report(page, report, usage=usage_of(run))
        said = [
            {"headline": sentence, "verdict": verdict and verdict.value}
            for sentence, verdict in headlines(saved.result, report).items()
        ]
        write_json(page.with_suffix(".json"), {"table": str(table), "said": said, **report.to_dict()})
    console = Console(highlight=False)
    show(console, saved.result, report)
    show_status(console, saved.result)
    tell_notes(notes)
    console.print(f"Written: {escape(str(page))} and {escape(page.with_suffix('.json').name)}", soft_wrap=True)
    leave(saved.result, report)


def certify_command(
    run: RunFolder,
    table: Annotated[
        Path, typer.Argument(help="Rows used for nothing else, with the columns that the run needs and the label.")
    ],
    confidence: Annotated[
        float, typer.Option(help="The least probability that the certified bound holds, in (0, 1).")
    ] = 0.9,
    group: Annotated[
        str | None, typer.Option(help="A column (patient): of its rows of equal value one counts, drawn at random.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the run at the certified threshold. The default is RUN/certified.")
    ] = None,
    overwrite: Overwrite = False,
    modules: Modules = None,
) -> None:
    """Certify a run: a threshold whose bounds hold on new rows, all together, with a stated confidence.

    The folder that it writes is a run of its own, which `metricopt predict` and `metricopt evaluate` take. The exit
    code is 0 where a threshold is certified, 2 for bad input, 3 where none is; the certificate says what would be
    needed. This needs pip install 'metricopt[certify]'.

    For example: metricopt certify runs/x calibration.csv --confidence 0.9
    """
    folder = run / "certified" if out is None else out
    with bad_input(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        import_modules(modules or [])
        saved = SavedRun.load(run)
        asked = saved.result.objective
        wanted = {"group": [group] if group else [], "label": saved.columns.labels, "subgroups": asked.columns}
        data, notes, kept = saved.read(table, wanted)
        groups = None if group is None else values_in(kept, "group", group)
        try:
            certificate = saved.result.certify(
                data,
                saved.labels(kept),
                confidence=confidence,
                groups=groups,
                subgroups=subgroups_in(kept, asked),
            )
        except ImportError as error:
            fail(str(error), BAD_INPUT)
        claim(folder, overwrite)
        if saved.preprocessor is not None:
            shutil.copyfile(run / "preprocessing.json", folder / "preprocessing.json")
        saved.columns.write(folder)
        options = {"run": str(run), "table": str(table), "confidence": confidence, "group": group}
        write_folder(folder, certificate.result, options)
    console = Console(highlight=False)
    for each in certificate:
        console.print(f"[bold {'green' if each.is_certified else 'red'}]{escape(str(each))}[/]")
    show_status(console, certificate.result)
    tell_notes([*notes, *(str(warning.message) for warning in caught)])
    tell_written(console, folder)
    leave(certificate.result)
