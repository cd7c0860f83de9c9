"""A training on a table beside its rivals: cross-entropy for as many epochs, or the other models that were tried.

This file decides what is trained on which rows, and what is compared. It leaves the rows of each part to
:mod:`metricopt.cli.parts`, the folder of a run to :mod:`metricopt.cli.run_folder`, the commands and their output to
:mod:`metricopt.cli.fit_command`, and training to :func:`metricopt.fit` and :mod:`metricopt.estimator.training`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from metricopt._validation import check_choice, reject
from metricopt.cli.parts import Dates, choose_apart, divide
from metricopt.cli.running import now_and_then
from metricopt.data import Findings, Table, TablePreprocessor
from metricopt.evidence.reports import Report
from metricopt.evidence.subgroups import SubgroupColumn, crossed_subgroups, read_subgroups
from metricopt.problem.objectives import Objective
from metricopt.problem.prevalence import read_prevalence
from metricopt.problem.registry import get_objective
from metricopt.progress import describe
from metricopt.results.result import FitResult
from metricopt.results.status import Status
from metricopt.results.verdict import Verdict, headline, verdict_of
from metricopt.training.checkpoint import has_checkpoints
from metricopt.training.fit import fit
from metricopt.training.holdout import DEFAULT_FRACTION
from metricopt.training.plan import default_epochs
from metricopt.training.table_models import AUTO, BLEND, NAMED, TABLE_MODELS, make_table_model

BASELINE = "cross-entropy"
BATCH_SIZE = 256
_SOLVERS = ("profiled", "cross_entropy")
_DTYPE = torch.float32


@dataclass(frozen=True)
class Options:
    """The options of a training on a table. Fractions are of all rows; ``val_fraction`` takes the place of folds."""

    objective: str = "FPOR"
    alpha: float | None = None
    beta: float | None = None
    prevalence: float | None = None
    model: str = AUTO
    epochs: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    folds: int | str | None = "auto"
    confidence: float | str | None = "auto"
    val_fraction: float | None = None
    test_fraction: float = 0.2
    seed: int = 0
    device: str = "cpu"
    days: tuple[str, ...] = ()

    @property
    def has_rivals(self) -> bool:
        """Whether it is a torch model that has a name, which cross-entropy stands beside."""
        return self.model in TABLE_MODELS


@dataclass(frozen=True)
class Run:
    """A training on a table, beside its rivals, each with an exact threshold.

    Attributes
    ----------
    options : Options
        The options of the training.
    label, positive : str
        The label column, and its value that counts as positive.
    epochs : int or None
        The number of epochs of each of the two trainings, on the objective and on cross-entropy.
    preprocessor : TablePreprocessor
        The preprocessing of the features.
    model : str
        The name of the model: the one that was asked for, or the best of those that were tried.
    result : FitResult
    rivals : dict of str to FitResult
        Cross-entropy, or the other models that were tried; empty for boosting.
    test : tuple (x, y)
        The rows that took no part in training and selection.
    test_report : Report
        The report of the model on these rows.
    rival_test_reports : dict of str to Report
    num_unlabelled : int
        The number of rows that were left out because they have no label.
    meaning : str
        A sentence on which class is positive.
    divided : str
        A sentence on how the test rows were taken; "" where chance took them.
    has_groups : bool
    caveats : tuple of str
        Reasons to look at the table again.
    findings : Findings
        The cells of the table that are no number or no known category.
    """

    options: Options
    label: str
    positive: str
    epochs: int | None
    preprocessor: TablePreprocessor
    model: str
    result: FitResult
    rivals: dict[str, FitResult]
    test: tuple[torch.Tensor, torch.Tensor]
    test_report: Report
    rival_test_reports: dict[str, Report]
    num_unlabelled: int
    meaning: str
    divided: str
    has_groups: bool
    caveats: tuple[str, ...]
    findings: Findings

    @property
    def method(self) -> str:
        """What the tables call the model: what it was trained on, or its name."""
        if self.options.has_rivals:
            return self.result.objective.name
        return f"{self.model} (chosen)" if self.result.candidates else self.model

    @property
    def reports(self) -> list[tuple[Report, dict[str, Report]]]:
        """The reports of the model, and of its rivals by name, on each data set, the test first."""
        pairs = [(self.test_report, self.rival_test_reports)]
        for data in ("validation", "train"):
            own = getattr(self.result, data)
            others = {name: getattr(rival, data) for name, rival in self.rivals.items()}
            if data == "train" and not self.options.has_rivals:
                others = {}  # trees know their training rows by heart
            if own is not None:
                pairs.append((own, {name: other for name, other in others.items() if other is not None}))
        return pairs

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


def check_options(options: Options, num_processes: int = 1) -> Objective:
    """Reject options that cannot work, before any data are read; return the objective."""
    objective = get_objective(options.objective, alpha=options.alpha, beta=options.beta)
    read_prevalence(options.prevalence)
    check_choice("model", options.model, [*NAMED, AUTO])
    if not 0 < options.test_fraction < 1:
        reject("test_fraction", "in (0, 1)", options.test_fraction, "give e.g. 0.2")
    if options.val_fraction is not None and not 0 <= options.val_fraction < 1 - options.test_fraction:
        rule = f"in [0, {1 - options.test_fraction:g}), because {options.test_fraction:g} of the rows are for the test"
        reject("val_fraction", rule, options.val_fraction, "give e.g. 0.2")
    if not options.has_rivals:
        _check_folds(options, num_processes)
    try:
        torch.empty(0, device=options.device)
    except (RuntimeError, AssertionError):
        reject("device", "one that torch can use here", repr(options.device), "give e.g. cpu")
    return objective


def _check_folds(options: Options, num_processes: int) -> None:
    """Reject what rules out folds, which boosting and the choice among models need."""
    where = None
    if options.val_fraction is not None or options.folds is None:
        where = "without folds"
    elif num_processes > 1:
        where = "in a launch of several processes"
    if where is not None:
        reject("model", f"linear or mlp {where}", options.model, "add --model mlp")


def train_on_table(
    table: Table,
    groups: np.ndarray | None,
    options: Options,
    tell: Callable[[str], None] = print,
    *,
    subgroups: Mapping[str, Sequence[str]] | None = None,
    dates: Dates | None = None,
    checkpoint_dir: Path | None = None,
    resume: bool = False,
    num_processes: int = 1,
) -> Run:
    """Split the table, train the model and its rivals, and evaluate them on the test part.

    With folds the preprocessing is learnt from all rows but those of the test, else from the training rows alone: to
    it, all other rows are new. Each training keeps its checkpoints in a folder of its own in ``checkpoint_dir``. With
    dates the last rows are the test. Subgroups are the columns that the objective names, with a value for each row.
    """
    objective = check_options(options, num_processes)
    columns = read_subgroups(subgroups, objective.columns, len(table))
    labelled = np.flatnonzero(~np.isnan(table.labels))
    num_unlabelled = len(table) - len(labelled)
    if num_unlabelled:
        table, groups = table.take(labelled), None if groups is None else groups[labelled]
        dates = dates and dates.take(labelled)
        columns = _taken(columns, labelled)
    of_row = crossed_subgroups(columns)
    parts = divide(table.labels, groups, dates, options.test_fraction, options.seed, of_row)
    rows = {"train": parts.rest, "test": parts.test}
    has_folds = options.folds is not None and (options.folds != "auto" or num_processes == 1)
    if options.val_fraction != 0 and (options.val_fraction is not None or not has_folds):
        fraction = DEFAULT_FRACTION if options.val_fraction is None else options.val_fraction
        rows["train"], rows["validation"] = choose_apart(
            table.labels, groups, parts.rest, fraction / (1 - options.test_fraction), options.seed, of_row
        )
    preprocessor = TablePreprocessor.fit(table.features, rows["train"], dates=options.days)
    features, findings = preprocessor.transform_with_findings(table.features)
    labels = torch.from_numpy(table.labels).float()
    data = {name: (torch.from_numpy(features[own]), labels[own]) for name, own in rows.items()}
    own_groups = None if groups is None else groups[rows["train"]].tolist()
    own_columns = {name: _taken(columns, own) for name, own in rows.items()}
    label = f"{table.label} = {table.positive}"
    asked = _Asked(objective, label, own_groups, tell, checkpoint_dir, resume, own_columns)
    epochs, model = None, options.model
    if options.has_rivals:
        epochs, result, rivals = _train_beside_cross_entropy(data, options, asked, num_processes)
    else:
        model, result, rivals = _train_named(data["train"], options, asked)
    return Run(
        options=options,
        label=table.label,
        positive=table.positive,
        epochs=epochs,
        preprocessor=preprocessor,
        model=model,
        result=result,
        rivals=rivals,
        test=data["test"],
        test_report=result.evaluate(data["test"], subgroups=own_columns["test"]),
        rival_test_reports={
            name: rival.evaluate(data["test"], subgroups=own_columns["test"]) for name, rival in rivals.items()
        },
        num_unlabelled=num_unlabelled,
        meaning=table.meaning,
        divided=parts.said,
        has_groups=groups is not None,
        caveats=table.caveats,
        findings=findings,
    )


@dataclass(frozen=True)
class _Asked:
    """What every training of a run gets."""

    objective: Objective
    label: str
    groups: list[Any] | None
    tell: Callable[[str], None]
    checkpoint_dir: Path | None
    resume: bool
    subgroups: dict[str, dict[str, SubgroupColumn]]

    def checkpoints(self, name: str) -> dict[str, Any]:
        return {
            "checkpoint_dir": None if self.checkpoint_dir is None else self.checkpoint_dir / name,
            "resume": self.resume,
        }


def _taken(columns: Mapping[str, SubgroupColumn], rows: np.ndarray) -> dict[str, SubgroupColumn]:
    return {name: column.take(rows) for name, column in columns.items()}


def _train_beside_cross_entropy(
    data: dict[str, tuple[torch.Tensor, torch.Tensor]], options: Options, asked: _Asked, num_processes: int
) -> tuple[int, FitResult, dict[str, FitResult]]:
    """Train a torch model on the objective, and on cross-entropy for as many epochs."""
    train = TensorDataset(*data["train"])
    validation = TensorDataset(*data["validation"]) if "validation" in data else None
    with_folds = validation is None and options.val_fraction is None
    batch_size = BATCH_SIZE if options.batch_size is None else options.batch_size
    epochs = options.epochs
    if epochs is None:
        steps = math.ceil(len(train) / (batch_size * num_processes))
        epochs = default_epochs(steps, with_folds=with_folds)
    num_features = data["train"][0].shape[1]
    results = []
    for solver, what in zip(_SOLVERS, (options.objective, BASELINE), strict=True):
        asked.tell(f"Training on {what}, {epochs} epochs ...")
        tell = now_and_then(asked.tell)
        results.append(
            fit(
                partial(TABLE_MODELS[options.model], num_features)
                if with_folds
                else make_table_model(options.model, num_features, seed=options.seed),
                DataLoader(train, batch_size=batch_size, shuffle=True),
                asked.objective,
                label_names=[asked.label],
                groups=asked.groups if with_folds else None,
                subgroups=asked.subgroups["train"],
                val_subgroups=asked.subgroups.get("validation"),
                val_loader=DataLoader(validation, batch_size=batch_size) if validation else None,
                folds=options.folds if with_folds else None,
                val_fraction=None if with_folds else 0,
                confidence=options.confidence,
                prevalence=options.prevalence,
                solver=solver,
                epochs=epochs,
                learning_rate=options.learning_rate,
                seed=options.seed,
                device=options.device,
                callbacks=[] if tell is None else [partial(_tell_epoch, tell, what, epochs)],
                **asked.checkpoints(solver),
            )
        )
    result, baseline = results
    return epochs, result, {BASELINE: baseline}


def _tell_epoch(tell: Callable[[str], None], what: str, epochs: int, records: list[dict[str, Any]]) -> None:
    tell(f"{what}: epoch {records[0]['epoch']} of {epochs}: {describe(records)}")


def _train_named(
    train: tuple[torch.Tensor, torch.Tensor], options: Options, asked: _Asked
) -> tuple[str, FitResult, dict[str, FitResult]]:
    """Train boosting, or all models that have a name; return the best one's name and result, and the others."""
    from metricopt.estimator.candidates import LabelledRows, Settings
    from metricopt.estimator.training import best_of, shared_folds, train_one, tried, with_blend

    features, labels = train[0].numpy(), train[1].numpy().astype(np.float64)
    rows = LabelledRows(features, labels, None, asked.groups, asked.label, asked.subgroups["train"])
    settings = Settings(
        folds=shared_folds(options.folds, rows, options.seed),
        confidence=options.confidence,
        prevalence=options.prevalence,
        learning_rate=options.learning_rate,
        epochs=options.epochs,
        batch_size=options.batch_size,
        dtype=_DTYPE,
        device=options.device,
        seed=options.seed,
        tell=now_and_then(asked.tell),
    )
    results = {}
    for name in NAMED if options.model == AUTO else [options.model]:
        asked.tell(f"Training {name} ...")
        own = replace(settings, rest=asked.checkpoints(name)) if name in TABLE_MODELS else settings
        results[name] = train_one(name, name, rows, asked.objective, own)
        asked.tell(f"{tried(name, results[name])} ({results[name].seconds:.1f} s)")
    if len(results) == 1:
        ((name, result),) = results.items()
        return name, result, {}
    results = with_blend(results, asked.objective)
    if BLEND in results:
        asked.tell(str(tried(BLEND, results[BLEND])))
    result = best_of(results, asked.objective)
    chosen = next(each.name for each in result.candidates if each.is_chosen)
    return chosen, result, {name: each for name, each in results.items() if name != chosen}


def was_begun(checkpoint_dir: Path) -> bool:
    """Say whether there are checkpoints of a training in a folder."""
    return any(has_checkpoints(checkpoint_dir / name) for name in (*_SOLVERS, *TABLE_MODELS))
