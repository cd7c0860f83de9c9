"""How often training reaches the global optimum of programs with several bounds: random 2-D mixtures and a sweep.

This file decides the programs; the problems are those of :mod:`benchmarks.studies.mixtures`.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.studies.mixtures import NUM_DIRECTIONS, Mixture, draw_mixture
from benchmarks.studies.study import Processes, Quick, finish, run_all
from metricopt.problem.program import Program
from metricopt.problem.ratios import Counts

NEEDS: tuple[str, ...] = ()
NUM_PROBLEMS = 20


def programs_for(seed: int) -> dict[str, Program]:
    """Return what is asked of the problem of that seed: two programs with two bounds, one with three."""
    precision, rate = (0.6, 0.7, 0.8)[seed % 3], (0.02, 0.05, 0.1)[seed % 3]
    return {
        "recall, 2 bounds": Program("recall", [f"precision >= {precision}", f"false_positive_rate <= {rate}"]),
        "F1, 2 bounds": Program("f1", ["recall >= 0.5", "alarm_rate <= 0.2"]),
        "precision, 3 bounds": Program(
            "precision", ["recall >= 0.6", f"false_positive_rate <= {rate}", "negative_predictive_value >= 0.8"]
        ),
    }


def best_by_sweep(mixture: Mixture, program: Program, num_directions: int = NUM_DIRECTIONS, chunk: int = 500) -> float:
    """Return the best value of any linear model, over directions of equal spacing and all cuts; NaN if infeasible."""
    angles = np.linspace(0, 2 * np.pi, num_directions, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    labels, best = mixture.labels.astype(np.float64), np.nan
    for start in range(0, num_directions, chunk):
        scores = mixture.features.astype(np.float64) @ directions[:, start : start + chunk]
        ordered = labels[np.argsort(-scores, axis=0)]  # (n, chunk): labels from the highest score down
        found, wrong = np.cumsum(ordered, axis=0), np.cumsum(1 - ordered, axis=0)
        counts = Counts(found, wrong, labels.sum() - found, (1 - labels).sum() - wrong)
        feasible = np.logical_and.reduce([bound.holds(bound.metric(counts)) for bound in program.bounds])
        if feasible.any():
            best = np.nanmax([best, np.nanmax(np.where(feasible, program.value(counts), np.nan))])
    return float(best)


def run_one(seed: int, name: str, batch_size: int) -> dict[str, Any]:
    """Train on one problem with default settings, and return what was reached beside the optimum."""
    torch.set_num_threads(1)
    mixture, program = draw_mixture(seed), programs_for(seed)[name]
    optimum = best_by_sweep(mixture, program)
    data = TensorDataset(torch.from_numpy(mixture.features), torch.from_numpy(mixture.labels))
    torch.manual_seed(0)
    began = time.perf_counter()
    result = metricopt.fit(
        torch.nn.Linear(2, 1),
        DataLoader(data, batch_size=batch_size, shuffle=True),
        program,
        val_fraction=0,
        progress=False,
    )
    seconds = time.perf_counter() - began
    is_feasible = result.status is metricopt.Status.FEASIBLE
    assert result.baseline_train is not None, "a training has a candidate zero"
    warm = result.baseline_train.value if result.baseline_train.met else 0.0
    return {
        "problem": seed,
        "program": name,
        "asked": str(program),
        "optimum": optimum,
        "status": result.status.value,
        "reached": result.train.value if is_feasible else 0.0,
        "says_feasible_but_misses": is_feasible and not all(bound.met for bound in result.train.bounds),
        "cross_entropy": warm,
        "gap": _gap(optimum, result.train.value if is_feasible else 0.0),
        "cross_entropy_gap": _gap(optimum, warm),
        "seconds": round(seconds, 2),
    }


def _gap(optimum: float, reached: float) -> float:
    """Return how far below the optimum of the sweep a value is; 0 where nothing is feasible."""
    return 0.0 if np.isnan(optimum) else max(optimum - reached, 0.0)


def main(quick: Quick = False, processes: Processes = 2, batch_size: int = 256) -> None:
    """Train for programs with several bounds on random 2-D mixtures, and compare with the global optimum."""
    seeds = range(3 if quick else NUM_PROBLEMS)
    rows = run_all([partial(run_one, seed, name, batch_size) for name in programs_for(0) for seed in seeds], processes)
    frame = pd.DataFrame(rows)
    possible = frame[frame["optimum"].notna()]
    table = possible.groupby("program").agg(
        problems=("gap", "size"),
        at_optimum=("gap", lambda gap: int((gap < 1e-9).sum())),
        within_003=("gap", lambda gap: int((gap < 0.003).sum())),
        mean_gap=("gap", lambda gap: f"{gap.mean():.5f}"),
        largest_gap=("gap", "max"),
        feasible_but_missed=("says_feasible_but_misses", "sum"),
        cross_entropy_at_optimum=("cross_entropy_gap", lambda gap: int((gap < 1e-9).sum())),
        cross_entropy_mean_gap=("cross_entropy_gap", "mean"),
        seconds=("seconds", "mean"),
    )
    title = "Random 2-D mixtures with several bounds: gap to the global optimum of linear models"
    finish("programs", title, rows, {"Gaps": table}, quick)
