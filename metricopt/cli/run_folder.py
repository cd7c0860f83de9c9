"""The folder that keeps a training on a table, for people and for commands, and how it is read again.

This file decides which files are written and what they say. What is compared is decided in
:mod:`metricopt.cli.table_run`.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from metricopt._validation import reject
from metricopt.cli.table_run import BASELINE, Run
from metricopt.data import TablePreprocessor
from metricopt.evidence.bootstrap import precision_band
from metricopt.evidence.reports import LabelReport
from metricopt.evidence.saved_numbers import plain_number
from metricopt.plots import plot_precision_recall
from metricopt.problem.metrics import PrecisionRecallCurve, precision_recall_curve
from metricopt.problem.prevalence import weights_at
from metricopt.processes import is_main_process
from metricopt.results.result import FitResult, load
from metricopt.results.scores import OUT_OF_FOLD
from metricopt.results.verdict import Verdict
from metricopt.scoring.standardize import Standardize
from metricopt.training.table_models import BLEND, BOOSTING, MLP, make_table_model

FORMAT = 3
_READABLE_FORMATS = (1, 2, FORMAT)


def load_run(folder: str | Path) -> tuple[TablePreprocessor, FitResult]:
    """Read the preprocessing and the result from a folder that ``metricopt fit`` wrote.

    Parameters
    ----------
    folder : str or Path
        The folder that was given as ``--out``.

    Returns
    -------
    tuple of TablePreprocessor and FitResult
        ``result.predict(preprocessor.transform(frame))`` returns the alarms for a data frame.

    Raises
    ------
    InvalidInputError
        If the folder holds no result, or a damaged one.
    """
    path = Path(folder) / "preprocessing.json"
    if not path.is_file():
        remedy = "give its --out folder; preprocessing.json is missing in this one"
        reject("run", "a folder that `metricopt fit` wrote", str(folder), remedy)
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        if saved["format"] not in _READABLE_FORMATS:
            reject("run", f"a result of format {FORMAT} or older", saved["format"], "update metricopt")
        preprocessor = TablePreprocessor.from_dict(saved["columns"])
        model = _make_model(saved["model"], len(preprocessor.feature_names), scales_itself=saved.get("scales_itself"))
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        reject("run", "a folder with a readable result", str(path), f"the file is damaged: {error!r}")
    return preprocessor, load(Path(folder) / "model", model)


def _make_model(name: str, num_features: int, *, scales_itself: bool | None) -> Any:
    """Return a model to be loaded into; None for one whose files hold it whole."""
    if name == BOOSTING:
        return None
    model = make_table_model(MLP if name == BLEND else name, num_features)  # a blend's other half lies there whole
    return nn.Sequential(Standardize(num_features), model) if scales_itself else model


def write_run(run: Run, out: Path, source: dict[str, Any]) -> None:
    """Write all files, report.json last. In a launch of several processes only the main one writes."""
    if not is_main_process():
        return
    run.result.save(out / "model")
    kind = {"model": run.model, "scales_itself": not run.options.has_rivals}
    _write_json(out / "preprocessing.json", {"format": FORMAT, **kind, "columns": run.rows.preprocessor.to_dict()})
    _draw(run).savefig(out / "curve.png", dpi=120)
    (out / "summary.md").write_text(_as_markdown(run), encoding="utf-8")
    run.result.report(
        out / "report.html",
        run.test_report,
        compare={
            f"{name}, as many epochs" if name == BASELINE else name: [
                others[name] for _, others in run.reports if name in others
            ]
            for name in run.rivals
        },
        usage=f"metricopt predict {shlex.quote(str(out))} new_rows.csv",
        columns=_columns(run.rows.preprocessor),
        notes=[*_of_the_data(run), *(f"{each}." for each in (*run.rows.caveats, *run.rows.findings.warnings))],
    )
    report = {
        "format": FORMAT,
        "asked": str(run.result.objective),
        "label": run.rows.label,
        "positive": run.rows.positive,
        "headline": run.headline,
        "verdict": None if run.verdict is None else run.verdict.value,
        "status": run.result.status.value,
        "advice": run.result.advice(),
        "supported": run.is_supported,
        "confidence": run.result.confidence,
        "judged_by": run.result.holdout,
        "threshold": plain_number(run.result.threshold),
        "empirical_threshold": plain_number(run.result.empirical_threshold),
        "selected_on": run.result.selection.data,
        "reached": {own.data: own.to_dict()["labels"][0] for own, _ in run.reports},
        "model": run.model,
        **_of_rivals(run),
        "epochs": run.epochs,
        "seconds": {"training": run.result.seconds, **{_key(name): each.seconds for name, each in run.rivals.items()}},
        "divided": run.rows.divided,
        "options": {**source, **asdict(run.options)},
        "num_unlabelled": run.rows.num_unlabelled,
        "dropped_columns": run.rows.preprocessor.dropped,
        "caveats": run.rows.caveats,
        "findings": run.rows.findings.sentences,
        "versions": run.result.versions,
    }
    _write_json(out / "report.json", report)


def _columns(preprocessor: TablePreprocessor) -> dict[str, str]:
    """Return which columns were used and how, and which were left out and why."""
    left_out = ", ".join(f"{name or 'unnamed'} ({why})" for name, why in preprocessor.dropped.items())
    kinds = {
        "numeric": [column.name for column in preprocessor.numeric],
        "categorical": [column.name for column in preprocessor.categorical],
    }
    found = {f"{kind} ({len(names)})": ", ".join(names) for kind, names in kinds.items() if names}
    return {**found, f"left out ({len(preprocessor.dropped)})": left_out or "none"}


def _of_the_data(run: Run) -> list[str]:
    """Return the sentences on which class is positive and which rows are where."""
    unlabelled = [f"Left out: {run.rows.num_unlabelled} rows without a label."] if run.rows.num_unlabelled else []
    return [run.rows.meaning, *([run.rows.divided] if run.rows.divided else []), *unlabelled]


def _key(name: str) -> str:
    return name.replace("-", "_")


def _of_rivals(run: Run) -> dict[str, Any]:
    """Return the reports of cross-entropy, or the table of the models that were tried, for programs."""
    found: dict[str, Any] = {}
    if run.result.candidates:
        found["candidates"] = [
            {
                "name": each.name,
                "status": each.status.value,
                "chosen": each.is_chosen,
                OUT_OF_FOLD: each.report.to_dict()["labels"][0],
                "test": (run.test_report if each.is_chosen else run.rival_test_reports[each.name]).to_dict()["labels"][
                    0
                ],
            }
            for each in run.result.candidates
        ]
    elif run.rivals:
        of = [(data.data, others[BASELINE]) for data, others in run.reports if BASELINE in others]
        found["cross_entropy"] = {data: report.to_dict()["labels"][0] for data, report in of}
    return found


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _draw(run: Run) -> Any:
    """Return a figure with the curves on the data that chose the thresholds, and on the test data."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.6), layout="constrained")
    panels = figure.subplots(1, 2)
    methods = {run.method: (run.result, run.test_report)}
    methods.update({name: (rival, run.rival_test_reports[name]) for name, rival in run.rivals.items()})
    for ax, data in zip(panels, (run.result.selection.data, "test"), strict=True):
        curves, points, bands = {}, {}, {}
        for name, (result, test) in methods.items():
            scores, labels = _scores(result, data, run)
            curves[name] = _curve(scores, labels, run.options.prevalence)
            points[name] = (test if data == "test" else result.selection)[0]
            if result is run.result and labels.any() and run.options.prevalence is None:
                bands[name] = precision_band(scores, labels)
        role = "new to the model" if data == "test" else "chose model and threshold"
        plot_precision_recall(curves, points, bands=bands, ax=ax, title=f"{data} data ({role})")
    figure.suptitle(f"{run.rows.label} = {run.rows.positive}: {run.result.objective}")
    return figure


def _scores(result: FitResult, data: str, run: Run) -> tuple[np.ndarray, np.ndarray]:
    if data == "test":
        return result.scores(run.rows.data["test"][0]), run.rows.data["test"][1].numpy()
    part = result.selection_scores
    return part.scores[:, 0], part.labels[:, 0]


def _curve(scores: np.ndarray, labels: np.ndarray, prevalence: float | None) -> PrecisionRecallCurve:
    weight = None if prevalence is None else weights_at(prevalence, labels[:, np.newaxis])[:, 0]
    curve = precision_recall_curve(scores, labels, weight)
    assert isinstance(curve, PrecisionRecallCurve)
    return curve


def comparison(run: Run) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of the comparison."""
    first = run.test_report[0]
    shown = [first.metric, *([first.bounded_metric] if first.bounded_metric else ["precision", "recall"])]
    names = list(dict.fromkeys(shown))
    rows = []
    for report, others in run.reports:
        for method, each in ((run.method, report), *others.items()):
            one: LabelReport = each[0]
            said = [] if one.bounded_metric is None else [one.of_bound.replace("missed", "MISSED") or "-"]
            rows.append([report.data, method, *map(one.with_interval, names), *said])
    first_column = "trained on" if run.options.has_rivals else "model"
    return ["data", first_column, *names, *(["bound"] if first.bounded_metric else [])], rows


def asked_confidence(run: Run) -> str:
    """Return how sure the bound must be, as it stands behind the objective; "" where nothing was asked."""
    confidence = run.result.confidence
    return "" if confidence is None or not run.result.objective.bounds else f", with confidence {confidence:g}"


def notes(run: Run) -> list[str]:
    """Return the sentences that say how to read the comparison."""
    sizes = "; ".join(f"{own.data} {own[0].size}" for own, _ in run.reports)
    notes = [f"{run.rows.meaning} Rows: {sizes}. In brackets: 95 % intervals."]
    if run.rows.divided:
        notes.append(run.rows.divided)
    notes.append(_chosen(run))
    if run.verdict in (Verdict.NEAR, Verdict.MISSED) and run.is_supported:
        notes.append(
            "A bound that holds on the rows which chose the threshold can be missed on new ones, and on as few as "
            "these by chance. If you need a margin, ask for a higher confidence or a stricter bound."
        )
    if run.rows.num_unlabelled:
        notes.append(f"Left out: {run.rows.num_unlabelled} rows without a label.")
    return [
        *notes,
        *(f"{each}." for each in (*run.rows.caveats, *run.rows.findings.warnings)),
        run.rows.preprocessor.summary,
    ]


def _chosen(run: Run) -> str:
    """Say which rows chose the model and the threshold, and among what."""
    best = "that these rows support, if they support one" if asked_confidence(run) else "on these rows"
    if run.options.has_rivals:
        return (
            f"Model and threshold were chosen by {_judges(run)}. Both trainings took {run.epochs} epochs at most, and "
            f"the threshold of each is the best {best}."
        )
    if not run.rivals:
        return f"The threshold was chosen by {_judges(run)}; it is the best {best}."
    names = [each.name for each in run.result.candidates]
    return (
        f"Of {', '.join(names[:-1])} and {names[-1]}, {run.model} was chosen by {_judges(run)}, as the best of them. "
        f"The threshold of each is the best {best}."
    )


def _judges(run: Run) -> str:
    """Say which rows chose model and threshold."""
    data = run.result.selection.data
    return run.result.holdout if data == OUT_OF_FOLD else f"the {data} rows"


def _as_markdown(run: Run) -> str:
    header, rows = comparison(run)
    lines = [
        f"# {run.rows.label} = {run.rows.positive}",
        "",
        f"**{run.headline}**",
        "",
        f"Asked: {run.result.objective}{asked_confidence(run)}.",
        "",
        f"Status: **{run.result.status}**. {run.result.advice()}",
        "",
        f"Threshold: {run.result.threshold:.6g} ({run.result.alarm_rule}).",
        "",
        *("| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)),
        "",
        *(f"{note}\n" for note in notes(run)),
        "![Precision-recall curves](curve.png)",
        "",
    ]
    return "\n".join(lines)
