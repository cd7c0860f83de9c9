"""A cell of a suite: one method trained on one split with one model, for one objective or, if it knows none, for all.

This file decides what a cell is, how validation chooses among its settings, and what is written down of it. Test labels
are used when everything is decided, and for columns named ``test_*`` alone.
"""

from __future__ import annotations

import math
import platform
import time
import zlib
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import torch

from benchmarks.data import load
from benchmarks.running.methods import Trained
from benchmarks.running.roster import METHODS
from benchmarks.running.runner import Row
from benchmarks.running.task import make_task
from benchmarks.suites import Suite
from benchmarks.suites.suite import OBJECTIVES
from metricopt.evidence.reports import LabelReport, evaluate
from metricopt.evidence.thresholds import choose_threshold, selection_criterion
from metricopt.problem.objectives import Objective

COUNTS = {"tp": "true_positives", "fp": "false_positives", "fn": "false_negatives", "tn": "true_negatives"}


@dataclass(frozen=True)
class Cell:
    """A piece of work.

    Attributes
    ----------
    dataset : str
    split : int
    model : str
    method : str
    objectives : tuple of str
    num_steps, batch_size : int
    """

    dataset: str
    split: int
    model: str
    method: str
    objectives: tuple[str, ...]
    num_steps: int
    batch_size: int

    @property
    def key(self) -> str:
        """What a finished cell is known by: all that is asked of it, the method's settings among it."""
        asked = "+".join(self.objectives)
        settings = f"{zlib.crc32(repr(METHODS[self.method].settings).encode()):08x}"
        parts = (self.dataset, self.split, self.model, self.method, asked, self.num_steps, self.batch_size, settings)
        return "/".join(map(str, parts))

    @property
    def title(self) -> str:
        """What progress calls it."""
        return f"{self.dataset} {self.split} {self.model} {self.method}"

    @property
    def can_run(self) -> bool:
        """Whether all packages that the method wants are installed."""
        return not METHODS[self.method].missing()

    def run(self) -> list[Row]:
        """Train with every setting; return a row an objective, with the setting that validation data choose."""
        torch.set_num_threads(1)
        task, labels = make_task(
            load(self.dataset), self.split, self.model, num_steps=self.num_steps, batch_size=self.batch_size
        )
        method = METHODS[self.method]
        objectives = {name: OBJECTIVES[name] for name in self.objectives}
        began = time.perf_counter()
        tried = [(setting, method.train(task, objectives, setting)) for setting in method.settings]
        seconds = time.perf_counter() - began
        rows = []
        for name, objective in objectives.items():
            # max keeps the first of equals.
            setting, trained = max(
                ((setting, trained[name]) for setting, trained in tried),
                key=lambda pair: _criterion(pair[1], labels["validation"].numpy(), objective),
            )
            rows.append(
                {
                    "dataset": self.dataset,
                    "split": self.split,
                    "model": self.model,
                    "objective": name,
                    "metric": objective.metric_name,
                    "bounded": objective.bounded.name if objective.bounded else "",
                    "bound": objective.bound,
                    "method": self.method,
                    "family": method.family,
                    "setting": trained.setting or " ".join(f"{key}={value}" for key, value in setting.items()),
                    **_judged(trained, {part: own.numpy() for part, own in labels.items()}, objective),
                    "epochs": trained.epochs,
                    "steps": trained.steps,
                    "status": trained.status,
                    "stage": trained.stage,
                    "seconds": round(seconds / len(objectives), 3),
                    "python": platform.python_version(),
                    **{package: version(package) for package in ("metricopt", "torch", "numpy", "scikit-learn")},
                }
            )
        return rows


def cells_of(suite: Suite) -> list[Cell]:
    """Return the cells of a suite, plan by plan and split by split, whether or not their packages are installed here.

    A method that knows no objective is trained once for all that any plan asks of it.
    """
    cells = []
    for split in range(suite.num_splits):
        for dataset in suite.datasets:
            for rank, name, model, objectives in _wanted(suite):
                cell = Cell(dataset, split, model, name, objectives, suite.num_steps, suite.batch_size)
                cells.append((rank, split, cell))
    return [cell for *_, cell in sorted(cells, key=lambda entry: entry[:2])]


def _wanted(suite: Suite) -> list[tuple[int, str, str, tuple[str, ...]]]:
    """Return what is trained on every split: the first plan that wants it, method, model and objectives."""
    at_once: dict[tuple[str, str], tuple[int, list[str]]] = {}
    one_by_one = []
    for rank, plan in enumerate(suite.plans):
        for model in plan.models:
            for name in plan.methods:
                method = METHODS[name]
                served = [each for each in plan.objectives if method.supports(OBJECTIVES[each], model)]
                if not served:
                    continue
                if method.knows_objective:
                    one_by_one += [(rank, name, model, (each,)) for each in served]
                else:
                    at_once.setdefault((name, model), (rank, []))[1].extend(served)
    return [
        *((rank, name, model, tuple(objectives)) for (name, model), (rank, objectives) in at_once.items()),
        *one_by_one,
    ]


def skipped(suite: Suite) -> dict[str, list[str]]:
    """Return the methods of a suite that cannot run here, with the packages that they miss."""
    asked = {name for plan in suite.plans for name in plan.methods}
    return {name: METHODS[name].missing() for name in sorted(asked) if METHODS[name].missing()}


def _criterion(trained: Trained, labels: np.ndarray, objective: Objective) -> tuple[float, float]:
    """Return what settings are compared by: the exact metric on validation data."""
    return selection_criterion(choose_threshold(trained.scores["validation"], labels, objective), objective)


def _judged(trained: Trained, labels: dict[str, np.ndarray], objective: Objective) -> Row:
    """Return the threshold, counts and metrics of every part, and the best that the test curve holds."""
    threshold = trained.threshold
    if threshold is None:
        chosen = choose_threshold(trained.scores["validation"], labels["validation"], objective)
        threshold = float(chosen.threshold)
    row: Row = {"threshold": threshold}
    for part, own in labels.items():
        report = _report(trained.scores[part], own, threshold, objective)
        row.update({f"{part}_{short}": int(getattr(report, name)) for short, name in COUNTS.items()})
        row.update({f"{part}_value": report.value, f"{part}_bounded": report.bounded_value, f"{part}_met": report.met})
    curve = choose_threshold(trained.scores["test"], labels["test"], objective)
    reached = float(curve.value) if curve.feasible else 0.0
    return {**row, "test_curve_value": reached if trained.scores_are_own else math.nan}


def _report(scores: np.ndarray, labels: np.ndarray, threshold: float, objective: Objective) -> LabelReport:
    columns = (scores[:, np.newaxis], labels[:, np.newaxis])
    return evaluate(*columns, np.array([threshold]), objective, label_names=("label",), data="")[0]
