"""A cell of a suite: one method trained on one split with one model, for one objective or, if it knows none, for all.

This file decides what a cell is, how held-out scores choose among its settings, and what is written down of it. Test
labels are used when everything is decided, and for columns named ``test_*`` alone.
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
from benchmarks.running.method import Setting, Trained
from benchmarks.running.roster import METHODS
from benchmarks.running.rules import RULES, thresholds_by_rule
from benchmarks.running.runner import Row
from benchmarks.running.task import Task, make_task
from benchmarks.suites import Suite
from benchmarks.suites.suite import OBJECTIVES
from metricopt.evidence.candidates import best_candidate
from metricopt.evidence.evaluation import evaluate
from metricopt.evidence.reports import LabelReport
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
        method = METHODS[self.method]
        own = (method.settings, tuple(RULES)) if method.has_folds else method.settings
        settings = f"{zlib.crc32(repr(own).encode()):08x}"
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
        """Train with every setting; return a row for each objective and rule, with the setting that wins."""
        torch.set_num_threads(1)
        task, labels = make_task(
            load(self.dataset), self.split, self.model, num_steps=self.num_steps, batch_size=self.batch_size
        )
        method = METHODS[self.method]
        objectives = {name: OBJECTIVES[name] for name in self.objectives}
        began = time.perf_counter()
        tried = [(setting, method.train(task, objectives, setting)) for setting in method.settings]
        seconds = time.perf_counter() - began
        parts = {part: own.numpy() for part, own in labels.items()}
        rows = []
        for name, objective in objectives.items():
            candidates = [(setting, trained[name]) for setting, trained in tried]
            setting, trained, thresholds = _chosen(candidates, task, objective)
            row: Row = {
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
                "epochs": trained.epochs,
                "steps": trained.steps,
                "status": trained.status,
                "stage": trained.stage,
                "seconds": round(seconds / len(objectives), 3),
                "python": platform.python_version(),
                **{package: version(package) for package in ("metricopt", "torch", "numpy", "scikit-learn")},
            }
            for rule, threshold in thresholds.items():
                rows.append({**row, "rule": rule, **_judged(trained, threshold, parts, objective)})
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


def _chosen(
    candidates: list[tuple[Setting, Trained]], task: Task, objective: Objective
) -> tuple[Setting, Trained, dict[str, float]]:
    """Return the setting that wins, its training, and its threshold by rule: one under "" without folds."""
    out_of_fold = [trained.out_of_fold for _, trained in candidates if trained.out_of_fold is not None]
    if out_of_fold:
        labels = task.known.tensors[1].numpy()
        winner, honest = best_candidate(out_of_fold, labels, task.folds, objective)
        setting, trained = candidates[winner]
        return setting, trained, thresholds_by_rule(honest, labels, task.folds, objective)
    labels = task.validation.tensors[1].numpy()
    choices = [choose_threshold(trained.scores["validation"], labels, objective) for _, trained in candidates]
    criteria = [selection_criterion(choice, objective) for choice in choices]
    winner = criteria.index(max(criteria))  # the first of equals
    setting, trained = candidates[winner]
    threshold = choices[winner].threshold if trained.threshold is None else trained.threshold
    return setting, trained, {"": float(threshold)}


def _judged(trained: Trained, threshold: float, labels: dict[str, np.ndarray], objective: Objective) -> Row:
    """Return the threshold, counts and metrics of every part, and the best that the test curve holds."""
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
