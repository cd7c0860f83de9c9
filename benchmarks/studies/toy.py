"""The Rath-Hughes toy problem, where a linear model's best recall at a precision is known from a sweep.

References
----------
P. Rath, M. C. Hughes (2022). Optimizing early warning classifiers to control false alarms via a minimum precision
constraint. AISTATS. They report a recall of .23 at precision .9, the best of 1,500 starts of a sigmoid bound.
"""

from __future__ import annotations

import time
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.peers.published import published_figures
from benchmarks.reporting import files
from benchmarks.reporting.pictures import BLUE, ORANGE
from benchmarks.studies.study import Processes, Quick, finish, run_all
from metricopt.data import rath_hughes_toy

NEEDS: tuple[str, ...] = ()
OPTIMA = {0.9: 29, 0.8: 89, 0.95: 28}
"""Positives found, of 120, at each minimum precision: the best of 40,000 directions with an exact threshold."""


SOLVERS = ("profiled", "augmented_lagrangian")


def cases(seeds: int) -> list[tuple[str, float, int | None, int]]:
    """Return (solver, bound, batch size, seed) of every run; None is the full batch."""
    return list(product(SOLVERS, OPTIMA, (None, 256), range(seeds)))


def run_one(solver: str, bound: float, batch_size: int | None, seed: int) -> dict[str, Any]:
    """Train once with default settings, from the cross-entropy warm-up."""
    torch.set_num_threads(1)
    features, labels = (torch.from_numpy(array).float() for array in rath_hughes_toy())
    data = TensorDataset(features, labels)
    torch.manual_seed(seed)
    began = time.perf_counter()
    result = metricopt.fit(
        torch.nn.Linear(2, 1),
        DataLoader(data, batch_size=batch_size or len(data), shuffle=True),
        "FPOR",
        alpha=bound,
        solver=solver,
        val_fraction=0,
        seed=seed,
        progress=False,
    )
    warm = result.baseline_train
    assert warm is not None, "a training has a candidate zero"
    return {
        "solver": solver,
        "bound": bound,
        "batch": "full" if batch_size is None else batch_size,
        "seed": seed,
        "status": str(result.status),
        "true_positives": int(result.train.true_positives),
        "precision": result.train.precision,
        "optimum": OPTIMA[bound],
        "at_optimum": bool(result.train.met and result.train.true_positives == OPTIMA[bound]),
        "cross_entropy_true_positives": int(warm.true_positives) if warm.met else 0,
        "seconds": round(time.perf_counter() - began, 2),
    }


def picture(bound: float = 0.8) -> Figure:
    """Draw two lines, each with its best cut at a minimum precision: that of logistic regression, and the one trained.

    Logistic regression stands for cross-entropy trained to its end: its minimum is unique, so no seed takes part in it.
    """
    torch.set_num_threads(1)
    features, labels = rath_hughes_toy()
    data = TensorDataset(torch.from_numpy(features).float(), torch.from_numpy(labels).float())
    torch.manual_seed(0)
    linear = torch.nn.Linear(2, 1)
    loader = DataLoader(data, batch_size=256, shuffle=True)
    metricopt.fit(linear, loader, "FPOR", alpha=bound, val_fraction=0, progress=False)
    plain = LogisticRegression(C=np.inf).fit(features, labels)
    figure = Figure(figsize=(10, 4.3), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    _draw_line(left, "Trained on cross-entropy, threshold chosen afterwards", plain.coef_[0], bound)
    _draw_line(right, "Trained for the bound", linear.weight.detach().double().numpy()[0], bound)
    left.set_ylabel("second feature")
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(f"At least {bound:.0%} of the alarms must be right; within that, find as many as possible")
    return figure


def _draw_line(axes: Axes, title: str, weight: np.ndarray, bound: float) -> None:
    """Draw the points, and as a shaded side the alarms of a direction's best threshold."""
    features, labels = rath_hughes_toy()
    choice = metricopt.choose_threshold(features @ weight, labels, metricopt.FPOR(bound))
    for value, marker, color, name in ((0, ".", "0.55", "negatives"), (1, "^", ORANGE, "positives")):
        x, y = features[labels == value].T
        axes.scatter(x, y, marker=marker, s=24, color=color, linewidth=0, label=name)
    axes.set(xlim=(-2.9, 2.1), ylim=(-3.1, 3.1), xlabel="first feature")
    across, up = np.meshgrid(np.linspace(-2.9, 2.1, 200), np.linspace(-3.1, 3.1, 200))
    above = weight[0] * across + weight[1] * up - choice.threshold
    axes.contourf(across, up, above, levels=[0, np.inf], colors=[BLUE], alpha=0.15)
    axes.contour(across, up, above, levels=[0], colors=[BLUE])
    axes.fill([], [], color=BLUE, alpha=0.15, label="alarms")
    right = f"{choice.bounded_value:.0%} of the alarms are right"
    found = f"{choice.counts.true_positives:.0f} of 120 positives found"
    verdict = f"{right}, {found}" if choice.feasible else f"no threshold meets the bound: at best {right}"
    axes.set_title(f"{title}\n{verdict}", fontsize="medium")


def main(quick: Quick = False, processes: Processes = 2) -> None:
    """Train the Rath-Hughes toy problem, where the global optimum is known."""
    jobs = [partial(run_one, *case) for case in cases(seeds=1 if quick else 5)]
    rows = run_all(jobs, processes)
    frame = pd.DataFrame(rows)
    table = frame.groupby(["solver", "bound", "batch"]).agg(
        runs=("seed", "size"), at_optimum=("at_optimum", "sum"), seconds=("seconds", "max")
    )
    tables = {"Runs": table, "Published, at a precision of .9": published_figures()}
    finish("toy", "Rath-Hughes toy problem: recall at a precision, linear model", rows, tables, quick)
    if not quick:
        picture().savefig(files.RESULTS / "toy.png", dpi=110)
