"""How often training reaches the global optimum: linear models on random 2-D mixtures, where a sweep finds it.

This file decides the problems and the judge; what is trained comes from :mod:`metricopt`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.studies.study import Processes, Quick, finish, run_all
from metricopt.problem.objectives import FPOR, FROP, OFBS, CountObjective

NEEDS: tuple[str, ...] = ()
NUM_DIRECTIONS = 8_000


@dataclass(frozen=True)
class Mixture:
    """A 2-D problem: features (n, 2) and labels (n,), both float32."""

    features: NDArray[np.float32]
    labels: NDArray[np.float32]


def draw_mixture(seed: int) -> Mixture:
    """Return 60 to 200 positives and 300 to 900 negatives, each class a mixture of 2 to 4 axis-parallel Gaussians."""
    random = np.random.default_rng(seed)
    features, labels = [], []
    for truth, (low, high) in ((1, (60, 200)), (0, (300, 900))):
        num_samples = random.integers(low, high + 1)
        shares = random.dirichlet(np.full(random.integers(2, 5), 2.0))
        for size in random.multinomial(num_samples, shares):
            mean, variance = random.uniform(-2, 2, 2), random.uniform(0.05, 0.4, 2)
            features.append(random.normal(mean, np.sqrt(variance), (size, 2)))
            labels.append(np.full(size, truth))
    stacked = np.concatenate(features)
    standardised = (stacked - stacked.mean(axis=0)) / stacked.std(axis=0)
    return Mixture(standardised.astype(np.float32), np.concatenate(labels).astype(np.float32))


def objectives_for(seed: int) -> dict[str, CountObjective]:
    """Return what is asked of the problem of that seed: bounds of .7, .8 and .9 in turn."""
    bound = (0.7, 0.8, 0.9)[seed % 3]
    return {"FPOR": FPOR(bound), "FROP": FROP(bound), "F1": OFBS(1.0)}


def best_by_sweep(
    mixture: Mixture, objective: CountObjective, num_directions: int = NUM_DIRECTIONS, chunk: int = 500
) -> float:
    """Return the best value of any linear model, over directions of equal spacing and all cuts; NaN if infeasible."""
    angles = np.linspace(0, 2 * np.pi, num_directions, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    labels = mixture.labels.astype(np.float64)
    best = np.nan
    for start in range(0, num_directions, chunk):
        scores = mixture.features.astype(np.float64) @ directions[:, start : start + chunk]
        ordered = labels[np.argsort(-scores, axis=0)]  # (n, chunk): labels from the highest score down
        true_positives = np.cumsum(ordered, axis=0)
        false_positives = np.cumsum(1 - ordered, axis=0)
        counts = metricopt.problem.ratios.Counts(
            true_positives,
            false_positives,
            labels.sum() - true_positives,
            (1 - labels).sum() - false_positives,
        )
        reached = np.where(objective.feasible(counts), objective.value(counts), np.nan)
        if not np.isnan(reached).all():
            best = np.nanmax([best, np.nanmax(reached)])
    return float(best)


def run_one(seed: int, name: str, batch_size: int | None) -> dict[str, Any]:
    """Train on one problem with default settings and return what was reached beside the optimum.

    Parameters
    ----------
    seed : int
        Of the problem; training has seed 0.
    name : str
        A key of :func:`objectives_for`.
    batch_size : int or None
        None for the full batch.
    """
    torch.set_num_threads(1)
    mixture, objective = draw_mixture(seed), objectives_for(seed)[name]
    optimum = best_by_sweep(mixture, objective)
    data = TensorDataset(torch.from_numpy(mixture.features), torch.from_numpy(mixture.labels))
    torch.manual_seed(0)
    began = time.perf_counter()
    result = metricopt.fit(
        torch.nn.Linear(2, 1),
        DataLoader(data, batch_size=batch_size or len(data), shuffle=True),
        objective,
        val_fraction=0,
        progress=False,
    )
    seconds = time.perf_counter() - began
    value = result.train.value if result.status != metricopt.Status.INFEASIBLE else 0.0
    assert result.baseline_train is not None, "a training has a candidate zero"
    warm = result.baseline_train.value if result.baseline_train.met in (True, None) else 0.0
    return {
        "problem": seed,
        "objective": name,
        "bound": objective.bound,
        "batch_size": batch_size or len(data),
        "optimum": optimum,
        "reached": value,
        "cross_entropy": warm,
        "gap": max(optimum - value, 0.0),
        "cross_entropy_gap": max(optimum - warm, 0.0),
        "stage": result.selected_stage,
        "seconds": round(seconds, 2),
    }


def main(quick: Quick = False, processes: Processes = 2, batch_size: int = 256) -> None:
    """Train on random 2-D mixtures and compare with the global optimum."""
    num_problems = {"FPOR": 100, "FROP": 50, "F1": 50}
    jobs = [
        partial(run_one, seed, name, batch_size)
        for name, number in num_problems.items()
        for seed in range(4 if quick else number)
    ]
    rows = run_all(jobs, processes)
    table = (
        pd.DataFrame(rows)
        .groupby("objective")
        .agg(
            problems=("gap", "size"),
            at_optimum=("gap", lambda gap: int((gap < 1e-9).sum())),
            mean_gap=("gap", lambda gap: f"{gap.mean():.5f}"),
            largest_gap=("gap", "max"),
            cross_entropy_at_optimum=("cross_entropy_gap", lambda gap: int((gap < 1e-9).sum())),
            cross_entropy_mean_gap=("cross_entropy_gap", "mean"),
            seconds=("seconds", "mean"),
        )
    )
    finish("mixtures", "Random 2-D mixtures: gap to the global optimum of linear models", rows, {"Gaps": table}, quick)
