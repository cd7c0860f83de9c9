"""A training on a table beside its rivals: cross-entropy for as many epochs, or the other models that were tried.

This file decides what is trained and what is compared. It leaves the rows of each part to
:mod:`metricopt.cli.prepared`, the folder of a run to :mod:`metricopt.cli.run_folder`, the commands and their output to
:mod:`metricopt.cli.fit_command`, and training to :func:`metricopt.fit` and :mod:`metricopt.estimator.training`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from metricopt.cli.options import Options
from metricopt.cli.prepared import PreparedRows
from metricopt.cli.running import now_and_then
from metricopt.evidence.reports import Report
from metricopt.evidence.subgroups import SubgroupColumn
from metricopt.problem.objectives import Objective
from metricopt.progress import describe
from metricopt.results.result import FitResult
from metricopt.results.status import Status
from metricopt.results.verdict import Verdict, headline, verdict_of
from metricopt.training.checkpoint import has_checkpoints
from metricopt.training.fit import fit
from metricopt.training.plan import default_epochs
from metricopt.training.table_models import AUTO, BLEND, NAMED, TABLE_MODELS, make_table_model

BASELINE = "cross-entropy"
BATCH_SIZE = 256
_SOLVERS = ("profiled", "cross_entropy")
_DTYPE = torch.float32


@dataclass(frozen=True)
class Run:
    """A training on a table, beside its rivals, each with an exact threshold.

    Attributes
    ----------
    options : Options
        The options of the training.
    rows : PreparedRows
        The rows of each part, and what is to be said of the table.
    epochs : int or None
        The number of epochs of each of the two trainings, on the objective and on cross-entropy.
    model : str
        The name of the model: the one that was asked for, or the best of those that were tried.
    result : FitResult
    rivals : dict of str to FitResult
        Cross-entropy, or the other models that were tried; empty for boosting.
    test_report : Report
        The report of the model on the rows that took no part in training and selection.
    rival_test_reports : dict of str to Report
    """

    options: Options
    rows: PreparedRows
    epochs: int | None
    model: str
    result: FitResult
    rivals: dict[str, FitResult]
    test_report: Report
    rival_test_reports: dict[str, Report]

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


def train_on_rows(
    rows: PreparedRows,
    objective: Objective,
    options: Options,
    tell: Callable[[str], None] = print,
    *,
    checkpoint_dir: Path | None = None,
    resume: bool = False,
    num_processes: int = 1,
) -> Run:
    """Train the model and its rivals on prepared rows, and evaluate them on the test part.

    Each training keeps its checkpoints in a folder of its own in ``checkpoint_dir``.
    """
    label = f"{rows.label} = {rows.positive}"
    asked = _Asked(objective, label, rows.groups, tell, checkpoint_dir, resume, rows.subgroups)
    epochs, model = None, options.model
    if options.has_rivals:
        epochs, result, rivals = _train_beside_cross_entropy(rows.data, options, asked, num_processes)
    else:
        model, result, rivals = _train_named(rows.data["train"], options, asked)
    test, subgroups = rows.data["test"], rows.subgroups["test"]
    return Run(
        options=options,
        rows=rows,
        epochs=epochs,
        model=model,
        result=result,
        rivals=rivals,
        test_report=result.evaluate(test, subgroups=subgroups),
        rival_test_reports={name: rival.evaluate(test, subgroups=subgroups) for name, rival in rivals.items()},
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
