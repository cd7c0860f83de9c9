"""One network, trained as users train it, with what its scores allow after each epoch on training and on test rows.

A method that is ahead on the training rows alone has learnt them by heart. This file decides the parts, the curve and
what is written down; thresholds are those of ``fit``, with its default evidence on the rows that it holds out.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.running.runner import Row
from metricopt.data import stratified_split
from metricopt.evidence.evaluation import evaluate
from metricopt.evidence.thresholds import choose_threshold, selection_criterion
from metricopt.problem.objectives import Objective

PARTS = (0.4, 0.2, 0.4)
"""Training, validation and test rows, which every seed divides anew."""
SCORING_BATCH = 250


def train_with_curve(
    model: nn.Module,
    x: Tensor,
    labels: np.ndarray,
    objectives: Mapping[str, Objective],
    solver: Any,
    *,
    seed: int,
    epochs: int,
    batch_size: int,
    optimizer: Callable[[Any], torch.optim.Optimizer],
) -> dict[str, list[Row]]:
    """Train a network; return for each objective a row an epoch, and in each row what was returned and delivered.

    Parameters
    ----------
    model : Module
    x : Tensor, shape (n, ...)
    labels : ndarray, shape (n,)
        0 or 1.
    objectives : mapping of str to Objective
        ``fit`` is asked for the first. A method that knows no objective serves others as well: each chooses among the
        same epochs, and they have no bound.
    solver : str, Solver or loss
    seed : int
        Of the division of the rows and of the batches.
    epochs, batch_size : int
    optimizer : callable ``(parameters) -> Optimizer``
    """
    y = torch.from_numpy(labels).float()
    train, validation, test = stratified_split(labels, PARTS, seed)
    (name, objective), *others = objectives.items()
    kept = {other: _BestEpoch(goal, labels[validation]) for other, goal in others}
    curves: dict[str, list[Row]] = {each: [] for each in objectives}
    began = time.perf_counter()

    def record(records: list[dict[str, Any]]) -> None:
        scores = {"train": scores_of(model, x[train]), "test": scores_of(model, x[test])}
        for each, goal in objectives.items():
            values = {
                f"{part}_value": allowed(scores[part], labels[rows], goal)
                for part, rows in (("train", train), ("test", test))
            }
            curves[each].append({"epoch": len(curves[each]) + 1, **values})
        if kept:
            scores["validation"] = scores_of(model, x[validation])
        for best in kept.values():
            best.look(scores)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a bound is not supported: what is delivered shows it
        result = metricopt.fit(
            model,
            DataLoader(TensorDataset(x[train], y[train]), batch_size=batch_size, shuffle=True),
            objective,
            val_loader=DataLoader(TensorDataset(x[validation], y[validation]), batch_size=SCORING_BATCH),
            solver=solver,
            epochs=epochs,
            optimizer=optimizer,
            seed=seed,
            progress=False,
            callbacks=[record],
        )
    seconds = round(time.perf_counter() - began, 1)
    returned = {"train": scores_of(model, x[train]), "test": scores_of(model, x[test])}
    told = {"stage": result.selected_stage, "status": str(result.status)}
    rows = {name: _rows(curves[name], returned, labels, train, test, objective, float(result.threshold), told)}
    for other, goal in others:
        best = kept[other]
        told = {"stage": f"epoch {best.epoch}", "status": ""}
        rows[other] = _rows(curves[other], best.scores, labels, train, test, goal, best.threshold, told)
    return {each: [{**row, "seconds": seconds} for row in own] for each, own in rows.items()}


def _rows(
    curve: list[Row],
    returned: Mapping[str, np.ndarray],
    labels: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    objective: Objective,
    threshold: float,
    told: Row,
) -> list[Row]:
    """Return a curve with what the returned scores allow, and what the threshold delivers, beside each epoch."""
    columns = (returned["test"][:, np.newaxis], labels[test][:, np.newaxis], np.array([threshold]), objective)
    report = evaluate(*columns, label_names=("label",), data="")[0]
    value = 0.0 if np.isnan(report.value) else report.value
    found = {
        "returned_train_value": allowed(returned["train"], labels[train], objective),
        "returned_test_value": allowed(returned["test"], labels[test], objective),
        "delivered": 0.0 if report.met is False else value,
        "alarms": int(report.true_positives + report.false_positives),
    }
    return [{**each, **found, **told} for each in curve]


class _BestEpoch:
    """Remembers the epoch that is best for an objective without a bound, as ``fit`` does for its own."""

    def __init__(self, objective: Objective, labels: np.ndarray) -> None:
        self._objective, self._labels, self._epochs = objective, labels, 0
        self._best = (-np.inf, -np.inf)
        self.epoch, self.threshold = 0, np.nan
        self.scores: dict[str, np.ndarray] = {}

    def look(self, scores: Mapping[str, np.ndarray]) -> None:
        """Judge an epoch by its scores of the validation rows."""
        self._epochs += 1
        choice = choose_threshold(scores["validation"], self._labels, self._objective)
        own = selection_criterion(choice, self._objective)
        if own > self._best:
            self._best, self.epoch, self.scores = own, self._epochs, dict(scores)
            self.threshold = float(choice.threshold)


def scores_of(model: nn.Module, x: Tensor) -> np.ndarray:
    """Return the scores of some rows in evaluation mode, shape (n,); leaves the model in the mode that it has."""
    was_training = model.training
    with torch.no_grad():
        scores = torch.cat([model.eval()(batch)[:, 0] for batch in x.split(SCORING_BATCH)])
    model.train(was_training)
    return scores.double().numpy()


def allowed(scores: np.ndarray, labels: np.ndarray, objective: Objective) -> float:
    """Return the best value that scores allow within the bound, 0 where they allow none."""
    choice = choose_threshold(scores, labels, objective)
    return float(choice.value) if choice.feasible else 0.0
