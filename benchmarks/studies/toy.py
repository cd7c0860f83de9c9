"""The Rath-Hughes toy problem, where a linear model's best recall at a precision is known from a sweep.

References
----------
A. Rath, J. Hughes (2022). Optimizing early warning classifiers to control false alarms via a minimum precision
constraint. AISTATS. They report a recall of .23 at precision .9, the best of 1,500 starts of a sigmoid bound.
"""

from __future__ import annotations

import time
from itertools import product
from typing import Any

import torch
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from metricopt.data import rath_hughes_toy

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
        "cross_entropy_true_positives": int(result.baseline_train.true_positives) if result.baseline_train.met else 0,
        "seconds": round(time.perf_counter() - began, 2),
    }
