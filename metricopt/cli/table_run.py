"""A training on a table, beside cross-entropy for as many epochs, and the folder that keeps it.

This file decides which rows of a table train, select and test, and which files are written. It leaves the commands and
their output to :mod:`metricopt.cli.commands`, and training to :func:`metricopt.fit`.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from metricopt._validation import reject
from metricopt.data import Findings, Table, TablePreprocessor, stratified_split
from metricopt.evidence.bootstrap import precision_band
from metricopt.evidence.reports import LabelReport, Report, plain_number
from metricopt.plots import plot_precision_recall
from metricopt.problem.metrics import PrecisionRecallCurve, precision_recall_curve
from metricopt.problem.objectives import Objective
from metricopt.problem.prevalence import read_prevalence, weights_at
from metricopt.problem.registry import get_objective
from metricopt.processes import is_main_process
from metricopt.results.result import FitResult, load
from metricopt.results.scores import OUT_OF_FOLD
from metricopt.results.status import Status
from metricopt.results.verdict import Verdict, headline, verdict_of
from metricopt.training.checkpoint import has_checkpoints
from metricopt.training.fit import fit
from metricopt.training.holdout import DEFAULT_FRACTION
from metricopt.training.plan import default_epochs
from metricopt.training.table_models import TABLE_MODELS, make_table_model

FORMAT = 2
_READABLE_FORMATS = (1, FORMAT)
BASELINE = "cross-entropy"
_SOLVERS = ("profiled", "cross_entropy")


@dataclass(frozen=True)
class Options:
    """The options of a training on a table. Fractions are of all rows; ``val_fraction`` takes the place of folds."""

    objective: str = "FPOR"
    alpha: float | None = None
    beta: float | None = None
    prevalence: float | None = None
    model: str = "mlp"
    epochs: int | None = None
    learning_rate: float | None = None
    batch_size: int = 256
    folds: int | str | None = "auto"
    confidence: float | str | None = "auto"
    val_fraction: float | None = None
    test_fraction: float = 0.2
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class Run:
    """A training on a table, beside cross-entropy for as many epochs, both with an exact threshold.

    Attributes
    ----------
    options : Options
        The options of the training.
    label, positive : str
        The label column, and its value that counts as positive.
    epochs : int
        The number of epochs of each of the two trainings.
    preprocessor : TablePreprocessor
        The preprocessing of the features.
    result, baseline : FitResult
        The model trained on the objective, and the one trained with cross-entropy.
    test : tuple (x, y)
        The rows that took no part in training and selection.
    test_report, baseline_test_report : Report
        The reports of the two models on these rows.
    num_unlabelled : int
        The number of rows that were left out because they have no label.
    meaning : str
        A sentence on which class is positive.
    caveats : tuple of str
        Reasons to look at the table again.
    findings : Findings
        The cells of the table that are no number or no known category.
    """

    options: Options
    label: str
    positive: str
    epochs: int
    preprocessor: TablePreprocessor
    result: FitResult
    baseline: FitResult
    test: tuple[torch.Tensor, torch.Tensor]
    test_report: Report
    baseline_test_report: Report
    num_unlabelled: int
    meaning: str
    caveats: tuple[str, ...]
    findings: Findings

    @property
    def methods(self) -> tuple[str, str]:
        """The names of what the model, and the one that it is compared with, were trained on."""
        return self.options.objective, BASELINE

    @property
    def reports(self) -> list[tuple[Report, Report]]:
        """The reports of the model and the baseline on each data set."""
        pairs = [
            (self.test_report, self.baseline_test_report),
            (self.result.validation, self.baseline.validation),
            (self.result.train, self.baseline.train),
        ]
        return [(own, other) for own, other in pairs if own is not None and other is not None]

    @property
    def verdict(self) -> Verdict | None:
        """What the test rows say of the bound; None without a bound."""
        return verdict_of(self.test_report[0], self.result.objective.bound_direction)

    @property
    def headline(self) -> str:
        """What was found on the test rows, and what that says of the bound."""
        return headline(self.test_report[0], "test", self.result.objective.bound_direction)

    @property
    def is_supported(self) -> bool:
        """Whether the rows that chose the threshold support the bound; True without a bound."""
        return self.result.status in (Status.FEASIBLE, Status.OPTIMIZED)


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
        model = make_table_model(saved["model"], len(preprocessor.feature_names))
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        reject("run", "a folder with a readable result", str(path), f"the file is damaged: {error!r}")
    return preprocessor, load(Path(folder) / "model", model)


def check_options(options: Options) -> Objective:
    """Reject options that cannot work, before any data are read; return the objective."""
    objective = get_objective(options.objective, alpha=options.alpha, beta=options.beta)
    read_prevalence(options.prevalence)
    make_table_model(options.model, 1)
    if not 0 < options.test_fraction < 1:
        reject("test_fraction", "in (0, 1)", options.test_fraction, "give e.g. 0.2")
    if options.val_fraction is not None and not 0 <= options.val_fraction < 1 - options.test_fraction:
        rule = f"in [0, {1 - options.test_fraction:g}), because {options.test_fraction:g} of the rows are for the test"
        reject("val_fraction", rule, options.val_fraction, "give e.g. 0.2")
    try:
        torch.empty(0, device=options.device)
    except (RuntimeError, AssertionError):
        reject("device", "one that torch can use here", repr(options.device), "give e.g. cpu")
    return objective


def train_on_table(
    table: Table,
    groups: np.ndarray | None,
    options: Options,
    tell: Callable[[str], None] = print,
    *,
    checkpoint_dir: Path | None = None,
    resume: bool = False,
    num_processes: int = 1,
) -> Run:
    """Split the table, train on the objective and on cross-entropy alike, and evaluate both on the test part.

    With folds the preprocessing is learnt from all rows but those of the test, else from the training rows alone: to
    it, all other rows are new. Each of the two trainings keeps its checkpoints in a folder of its own in
    ``checkpoint_dir``.
    """
    objective = check_options(options)
    labelled = np.flatnonzero(~np.isnan(table.labels))
    num_unlabelled = len(table) - len(labelled)
    table, groups = table.take(labelled), None if groups is None else groups[labelled]
    rows = _split(table.labels, groups, options, num_processes)
    preprocessor = TablePreprocessor.fit(table.take(rows["train"]).features)
    features, findings = preprocessor.transform_with_findings(table.features)
    labels = torch.from_numpy(table.labels).float()
    data = {name: (torch.from_numpy(features[own]), labels[own]) for name, own in rows.items()}
    train = TensorDataset(*data["train"])
    validation = TensorDataset(*data["validation"]) if "validation" in data else None
    with_folds = validation is None and options.val_fraction is None
    epochs = options.epochs
    if epochs is None:
        steps = math.ceil(len(rows["train"]) / (options.batch_size * num_processes))
        epochs = default_epochs(steps, with_folds=with_folds)
    num_features = len(preprocessor.feature_names)
    results = []
    for solver, what in zip(_SOLVERS, (options.objective, BASELINE), strict=True):
        tell(f"Training on {what}, {epochs} epochs ...")
        results.append(
            fit(
                partial(TABLE_MODELS[options.model], num_features)
                if with_folds
                else make_table_model(options.model, num_features, seed=options.seed),
                DataLoader(train, batch_size=options.batch_size, shuffle=True),
                objective,
                label_names=[f"{table.label} = {table.positive}"],
                groups=groups[rows["train"]].tolist() if with_folds and groups is not None else None,
                val_loader=DataLoader(validation, batch_size=options.batch_size) if validation else None,
                folds=options.folds if with_folds else None,
                val_fraction=None if with_folds else 0,
                confidence=options.confidence,
                prevalence=options.prevalence,
                solver=solver,
                epochs=epochs,
                learning_rate=options.learning_rate,
                seed=options.seed,
                device=options.device,
                checkpoint_dir=None if checkpoint_dir is None else checkpoint_dir / solver,
                resume=resume,
            )
        )
    result, baseline = results
    return Run(
        options=options,
        label=table.label,
        positive=table.positive,
        epochs=epochs,
        preprocessor=preprocessor,
        result=result,
        baseline=baseline,
        test=data["test"],
        test_report=result.evaluate(data["test"]),
        baseline_test_report=baseline.evaluate(data["test"]),
        num_unlabelled=num_unlabelled,
        meaning=table.meaning,
        caveats=table.caveats,
        findings=findings,
    )


def _split(
    labels: np.ndarray, groups: np.ndarray | None, options: Options, num_processes: int
) -> dict[str, np.ndarray]:
    """Return the rows that train, those that are held out to select if there are any, and those of the test."""
    rest_fraction = 1 - options.test_fraction
    rest, test = stratified_split(labels, (rest_fraction, options.test_fraction), options.seed, groups)
    has_folds = options.folds is not None and (options.folds != "auto" or num_processes == 1)
    fraction = DEFAULT_FRACTION if options.val_fraction is None else options.val_fraction
    if fraction == 0 or (options.val_fraction is None and has_folds):
        return {"train": rest, "test": test}
    val_fraction = fraction / rest_fraction
    own_groups = None if groups is None else groups[rest]
    train, validation = stratified_split(labels[rest], (1 - val_fraction, val_fraction), options.seed, own_groups)
    return {"train": rest[train], "validation": rest[validation], "test": test}


def was_begun(checkpoint_dir: Path) -> bool:
    """Say whether there are checkpoints of a training in a folder."""
    return any(has_checkpoints(checkpoint_dir / solver) for solver in _SOLVERS)


def write_run(run: Run, out: Path, source: dict[str, Any]) -> None:
    """Write all files, report.json last. In a launch of several processes only the main one writes."""
    if not is_main_process():
        return
    run.result.save(out / "model")
    columns = run.preprocessor.to_dict()
    _write_json(out / "preprocessing.json", {"format": FORMAT, "model": run.options.model, "columns": columns})
    _draw(run).savefig(out / "curve.png", dpi=120)
    (out / "summary.md").write_text(_as_markdown(run), encoding="utf-8")
    run.result.report(
        out / "report.html",
        run.test_report,
        compare={f"{BASELINE}, as many epochs": [other for _, other in run.reports]},
        usage=f"metricopt predict {shlex.quote(str(out))} new_rows.csv",
    )
    report = {
        "format": FORMAT,
        "asked": str(run.result.objective),
        "label": run.label,
        "positive": run.positive,
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
        "cross_entropy": {other.data: other.to_dict()["labels"][0] for _, other in run.reports},
        "epochs": run.epochs,
        "seconds": {"training": run.result.seconds, "cross_entropy": run.baseline.seconds},
        "options": {**source, **asdict(run.options)},
        "num_unlabelled": run.num_unlabelled,
        "dropped_columns": run.preprocessor.dropped,
        "caveats": run.caveats,
        "findings": run.findings.sentences,
        "versions": run.result.versions,
    }
    _write_json(out / "report.json", report)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _draw(run: Run) -> Any:
    """Return a figure with the curves on the data that chose the thresholds, and on the test data."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for ax, data in zip(panels, (run.result.selection.data, "test"), strict=True):
        curves, points, bands = {}, {}, {}
        for name, result, test in zip(
            run.methods,
            (run.result, run.baseline),
            (run.test_report, run.baseline_test_report),
            strict=True,
        ):
            scores, labels = _scores(result, data, run)
            curves[name] = _curve(scores, labels, run.options.prevalence)
            points[name] = (test if data == "test" else result.selection)[0]
            if result is run.result and labels.any() and run.options.prevalence is None:
                bands[name] = precision_band(scores, labels)
        role = "new to the model" if data == "test" else "chose model and threshold"
        plot_precision_recall(curves, points, bands=bands, ax=ax, title=f"{data} data ({role})")
    figure.suptitle(f"{run.label} = {run.positive}: {run.result.objective}")
    return figure


def _scores(result: FitResult, data: str, run: Run) -> tuple[np.ndarray, np.ndarray]:
    if data == "test":
        return result.scores(run.test[0]), run.test[1].numpy()
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
    names = [first.metric, *([first.bounded_metric] if first.bounded_metric else ["precision", "recall"])]
    rows = []
    for pair in run.reports:
        for method, report in zip(run.methods, pair, strict=True):
            one: LabelReport = report[0]
            said = [] if one.bounded_metric is None else [one.of_bound.replace("missed", "MISSED") or "-"]
            rows.append([report.data, method, *map(one.with_interval, names), *said])
    return ["data", "trained on", *names, *(["bound"] if first.bounded_metric else [])], rows


def asked_confidence(run: Run) -> str:
    """Return how sure the bound must be, as it stands behind the objective; "" where nothing was asked."""
    confidence = run.result.confidence
    return "" if confidence is None or run.result.objective.bounded is None else f", with confidence {confidence:g}"


def notes(run: Run) -> list[str]:
    """Return the sentences that say how to read the comparison."""
    sizes = "; ".join(f"{own.data} {own[0].size}" for own, _ in run.reports)
    best = "that these rows support, if they support one" if asked_confidence(run) else "on these rows"
    notes = [
        f"{run.meaning} Rows: {sizes}. In brackets: 95 % intervals.",
        f"Model and threshold were chosen by {_judges(run)}. Both trainings took {run.epochs} epochs at most, and the "
        f"threshold of each is the best {best}.",
    ]
    if run.verdict in (Verdict.NEAR, Verdict.MISSED) and run.is_supported:
        notes.append(
            "A bound that holds on the rows which chose the threshold can be missed on new ones, and on as few as "
            "these by chance. If you need a margin, ask for a higher confidence or a stricter bound."
        )
    if run.num_unlabelled:
        notes.append(f"Left out: {run.num_unlabelled} rows without a label.")
    return [*notes, *(f"{each}." for each in (*run.caveats, *run.findings.warnings)), run.preprocessor.summary]


def _judges(run: Run) -> str:
    """Say which rows chose model and threshold."""
    data = run.result.selection.data
    return run.result.holdout if data == OUT_OF_FOLD else f"the {data} rows"


def _as_markdown(run: Run) -> str:
    header, rows = comparison(run)
    lines = [
        f"# {run.label} = {run.positive}",
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
