"""How well linear models are trained on real sets: the exact metric on the training data itself, no generalisation.

Three ways from the same cross-entropy warm-up, with the same epochs, exact threshold, multiplier and selection: more
cross-entropy, a sigmoid relaxation of the indicator (the best of several schedules, each with the whole budget), and
the default solver. This file decides the protocol; data come from :mod:`benchmarks.data`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.data import load, packages_of
from benchmarks.studies.study import Processes, Quick, finish, run_all
from metricopt.data import stratified_split
from metricopt.problem.objectives import FPOR, FROP, OFBS, CountObjective
from metricopt.solvers import Profiled, Solver, Stage, Surrogate
from metricopt.solvers.array_steps import Ramps

DATASETS = ("page_blocks", "yeast3", "spambase", "magic", "satimage")
NEEDS = packages_of(DATASETS)
OBJECTIVES: dict[str, CountObjective] = {
    "FPOR .8": FPOR(0.8),
    "FPOR .9": FPOR(0.9),
    "FROP .8": FROP(0.8),
    "F1": OFBS(1.0),
    "F2": OFBS(2.0),
}
SIGMOID_SCHEDULES = {"sigmoid 1-8": (1.0, 8.0), "sigmoid 2-16": (2.0, 16.0), "sigmoid 4": (4.0, 4.0)}
NUM_SPLITS = 3


class SigmoidRelaxation(Profiled):
    """The profiled solver with a sigmoid in place of its ramps, on a single path: what differs is the surrogate alone.

    Parameters
    ----------
    slope : (float, float)
        First and last slope of the sigmoid, in spreads of the scores; geometric in between.
    """

    name = "sigmoid"

    def __init__(self, slope: tuple[float, float]) -> None:
        self._slope = slope

    def stages(self, epochs: int, is_linear: bool = True) -> Sequence[Stage]:
        return [Stage("ramp", epochs)]

    def _count(
        self,
        scores: np.ndarray,
        labels: np.ndarray,
        weight: np.ndarray | None,
        ramps: Ramps,
        cell: np.ndarray | None,
    ) -> tuple[np.ndarray, float, np.ndarray]:
        first, last = self._slope
        slope = first * (last / first) ** self._position.progress / self._spread
        alarm = expit(slope * (scores - self._threshold))
        errors = np.stack([(alarm * (1 - labels)).sum(axis=0), ((1 - alarm) * labels).sum(axis=0)])
        derivatives = np.where(labels == 1, -ramps.cost[1], ramps.cost[0]) * slope * alarm * (1 - alarm)
        return errors, float((ramps.cost * errors).sum()), derivatives


def run_one(dataset: str, split: int, batch_size: int | None) -> list[dict[str, Any]]:
    """Train every method for every objective on the training part (60 %) of one split."""
    torch.set_num_threads(1)
    data = load(dataset)
    rows, _ = stratified_split(data.labels, (0.6, 0.4), split)
    features = torch.from_numpy(data.features[rows]).float()
    features = (features - features.mean(dim=0)) / (features.std(dim=0) + 1e-12)
    train = TensorDataset(features, torch.from_numpy(data.labels[rows]).float())
    loader = DataLoader(train, batch_size=batch_size or len(train), shuffle=True)
    methods: dict[str, Solver] = {
        "cross-entropy": Surrogate(),
        **{name: SigmoidRelaxation(slope) for name, slope in SIGMOID_SCHEDULES.items()},
        "profiled": Profiled(),
    }
    records = []
    for asked, objective in OBJECTIVES.items():
        for method, solver in methods.items():
            torch.manual_seed(0)
            began = time.perf_counter()
            result = metricopt.fit(
                torch.nn.Linear(features.shape[1], 1),
                loader,
                objective,
                solver=solver,
                val_fraction=0,
                seed=split,
                progress=False,
            )
            records.append(
                {
                    "dataset": dataset,
                    "split": split,
                    "batch_size": batch_size or len(train),
                    "objective": asked,
                    "method": method,
                    "value": result.train.value if result.train.met in (True, None) else 0.0,
                    "bounded_value": result.train.bounded_value,
                    "status": str(result.status),
                    "stage": result.selected_stage,
                    "true_positives": result.train.true_positives,
                    "false_positives": result.train.false_positives,
                    "epochs": len(result.history),
                    "seconds": round(time.perf_counter() - began, 2),
                }
            )
    return records


def summary(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the mean value by data set, objective and method, the sigmoid at its best schedule in each split."""
    frame = pd.DataFrame(rows)
    values = frame.pivot_table(index=["dataset", "objective", "split"], columns="method", values="value")
    values["best sigmoid"] = values[list(SIGMOID_SCHEDULES)].max(axis=1)
    means = values.groupby(["dataset", "objective"]).mean()[["cross-entropy", "best sigmoid", "profiled"]]
    means["profiled - best sigmoid"] = means["profiled"] - means["best sigmoid"]
    return means


def main(quick: Quick = False, processes: Processes = 2, batch_size: int = 256) -> None:
    """Train linear models on real sets: training metric against cross-entropy and sigmoid relaxations."""
    datasets = ("yeast3",) if quick else DATASETS
    jobs = [
        partial(run_one, dataset, split, batch_size)
        for dataset in datasets
        for split in range(1 if quick else NUM_SPLITS)
    ]
    rows = [row for part in run_all(jobs, processes) for row in part]
    title = "Linear models: the objective reached on the training data"
    finish("linear", title, rows, {"Mean over splits": summary(rows)}, quick)
