"""Regrouping beside cross-entropy and the default solver: handwritten eights among the other digits, made rare.

The negatives are nine digits, so groups to tell apart are there. All methods get the same network, rows, first weights,
steps and selection on held-out rows. What counts is what the scores of test rows allow. Images, but not medical ones.
This file decides the problem and the comparison.
"""

from __future__ import annotations

import warnings
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.data.digits import load_all_digits
from benchmarks.data.thinning import thin_to
from benchmarks.packages import MNIST
from benchmarks.studies.study import Processes, Quick, finish, run_all
from metricopt.data import stratified_split
from metricopt.solvers import GroupedHead, Regrouping

NEEDS: tuple[str, ...] = (MNIST,)
PREVALENCE = 0.05
METHODS = ("cross-entropy", "regrouping", "default solver", "default solver, grouped head")
EPOCHS = 12


def network(*, is_grouped: bool) -> nn.Module:
    """Return two convolutions and a hidden layer of 64 features, with a plain or a grouped last layer."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 5 * 5, 64), nn.ReLU()),
        GroupedHead(64, num_groups=19) if is_grouped else nn.Linear(64, 1),
    )


def run_one(method: str, split: int, epochs: int = EPOCHS) -> dict[str, Any]:
    """Train once; return what the scores of the test rows allow."""
    torch.set_num_threads(1)
    images, labels = load_all_digits()
    kept = thin_to(labels, PREVALENCE)
    x = torch.from_numpy(images[kept]).float().div(255).unsqueeze(1)
    y = torch.from_numpy(labels[kept]).float()
    train, validation, test = stratified_split(labels[kept], (0.5, 0.2, 0.3), split)
    torch.manual_seed(split)
    model = network(is_grouped=method in ("regrouping", METHODS[3]))
    solver: Any = {"cross-entropy": "cross_entropy", "regrouping": None}.get(method, "profiled")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # whether the bound is supported is not the question here
        metricopt.fit(
            model,
            DataLoader(TensorDataset(x[train], y[train]), batch_size=64, shuffle=True),
            "FPOR",
            alpha=0.9,
            val_loader=DataLoader(TensorDataset(x[validation], y[validation]), batch_size=500),
            solver=Regrouping(model) if solver is None else solver,
            epochs=epochs,
            learning_rate=0.001,
            seed=split,
            progress=False,
        )
    with torch.no_grad():
        scores = model.eval()(x[test])[:, 0]
    choice = metricopt.choose_threshold(scores, y[test], "FPOR", alpha=0.9)
    return {
        "method": method,
        "split": split,
        "average_precision": float(metricopt.average_precision(scores, y[test])),
        "recall_at_precision_.9": float(choice.value) if choice.feasible else 0.0,
    }


def differences(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the mean difference of each method to cross-entropy over the splits, with its 95 % interval."""
    rows = []
    for method, measure in product(METHODS[1:], frame.columns[2:]):
        by_split = frame.pivot(index="split", columns="method", values=measure)
        found = (by_split[method] - by_split["cross-entropy"]).to_numpy()
        half = stats.t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found))
        interval = f"{found.mean() - half:+.3f} to {found.mean() + half:+.3f}"
        rows.append({"method": method, "measure": measure, "difference": f"{found.mean():+.3f}", "interval": interval})
    return pd.DataFrame(rows).set_index(["method", "measure"])


def main(quick: Quick = False, processes: Processes = 2) -> None:
    """Train on groups of the negatives, on cross-entropy and on the objective: rare handwritten eights."""
    splits, epochs = (2, 4) if quick else (5, EPOCHS)
    jobs = [partial(run_one, method, split, epochs) for split, method in product(range(splits), METHODS)]
    rows = run_all(jobs, processes)
    frame = pd.DataFrame(rows)
    means = frame.drop(columns="split").groupby("method", sort=False).mean().round(3)
    tables = {"Means over the splits": means, "Minus cross-entropy": differences(frame)}
    finish("regrouping", "Regrouping: rare eights among other digits, 5 % positive", rows, tables, quick)
