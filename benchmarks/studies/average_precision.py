"""Average precision of linear models on the training data of real sets: how well it is optimized, no generalisation.

From one warm-up with cross-entropy every method continues for as many steps, with as many settings, each scored after
every epoch; the best setting and epoch on the training data count. What differs is the loss (and, for SOAP, its own
optimizer and sampler). New data are for the suites (``python -m benchmarks run tables``). This file
decides the protocol; data come from :mod:`benchmarks.data`, SOAP from :mod:`benchmarks.peers.soap`.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.data import load, packages_of
from benchmarks.peers import soap
from benchmarks.reporting.statistics import with_interval
from benchmarks.studies.study import Processes, Quick, finish, run_all
from metricopt.data import stratified_split
from metricopt.problem.objectives import OAP
from metricopt.solvers import ProfiledRanking, Solver, Surrogate
from metricopt.solvers.pair_ramps import RampSums

DATASETS = ("page_blocks", "satimage", "yeast3", "spambase", "magic")
NEEDS = packages_of(DATASETS)
NUM_SPLITS = 10
BATCH_SIZE = 256
NUM_STEPS = 2_400
WARMUP_FRACTION = 0.25
LEARNING_RATES = (0.01, 0.04, 0.16)
# The best three of 26 tried on one split of each set that is not among those measured. A share of positives of 0 means
# twice the prevalence: above it, as the documentation of LibAUC's sampler recommends.
SOAP_SETTINGS = (
    {"learning_rate": 0.003, "gamma": 0.5, "margin": 0.6, "sigmoid": 0, "positive_fraction": 0},
    {"learning_rate": 0.005, "gamma": 0.5, "margin": 0.6, "sigmoid": 1, "positive_fraction": 0},
    {"learning_rate": 0.003, "gamma": 0.9, "margin": 1.0, "sigmoid": 0, "positive_fraction": 0.5},
)
OURS, SOAP = "profiled OAP", "SOAP"


class SigmoidRanking(ProfiledRanking):
    """The profiled solver with a sigmoid of equal slope in place of its ramp: what differs is the surrogate alone."""

    name = "sigmoid"

    def _sums(self, scores: np.ndarray, weightings: np.ndarray) -> RampSums:
        return SigmoidSums.of(scores, weightings)


@dataclass(frozen=True)
class SigmoidSums(RampSums):
    """Sums of sigmoids, pair by pair: there is no shortcut by sorting."""

    def at(self, scores: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
        rate = 4 / width
        exponents = (rate * (self.scores[:, np.newaxis] - (scores - self.center))).astype(np.float32)
        risen = 1 / (1 + np.exp(np.minimum(exponents, 80)))
        weights = np.diff(self.weights, axis=1)
        return weights @ risen, rate * (weights @ (risen * (1 - risen)))


@dataclass(frozen=True)
class Parts:
    """Two parts of a split, standardised on the first."""

    train: TensorDataset
    validation: TensorDataset


def split(dataset: str, seed: int) -> Parts:
    """Return 60 and 20 % of a data set; the rest is left alone."""
    data = load(dataset)
    rows = stratified_split(data.labels, (0.6, 0.2, 0.2), seed)[:2]
    mean, spread = data.features[rows[0]].mean(axis=0), data.features[rows[0]].std(axis=0) + 1e-12
    features = torch.from_numpy((data.features - mean) / spread).float()
    labels = torch.from_numpy(data.labels).float()
    return Parts(*(TensorDataset(features[part], labels[part]) for part in rows))


def methods() -> dict[str, list[dict[str, Any]]]:
    """Return the settings of every method that can run here, as many for each."""
    of_ours = [{"learning_rate": rate} for rate in LEARNING_RATES]
    tried: dict[str, list[dict[str, Any]]] = {"cross-entropy": of_ours, OURS: of_ours, "sigmoid": of_ours}
    return tried if soap.missing() else {**tried, SOAP: list(SOAP_SETTINGS)}


def run_one(dataset: str, seed: int) -> list[dict[str, Any]]:
    """Train every method with every setting on one split; return a row a method, at its best setting."""
    torch.set_num_threads(1)
    parts = split(dataset, seed)
    loader = DataLoader(parts.train, batch_size=BATCH_SIZE, shuffle=True)
    epochs = math.ceil(NUM_STEPS / len(loader))
    warmup = round(WARMUP_FRACTION * epochs)
    torch.manual_seed(seed)
    model = torch.nn.Linear(parts.train.tensors[0].shape[1], 1)
    validation = DataLoader(parts.validation, batch_size=1024)
    arguments: dict[str, Any] = {"val_loader": validation, "seed": seed, "progress": False}
    metricopt.fit(model, loader, OAP(), solver="cross_entropy", epochs=warmup, **arguments)
    rows = []
    for method, settings in methods().items():
        began = time.perf_counter()
        runs = [_train(method, setting, model, parts, loader, epochs - warmup, arguments) for setting in settings]
        rows.append(
            {
                "dataset": dataset,
                "split": seed,
                "method": method,
                "train": max(on_train for _, on_train in runs),
                "statuses": " ".join(sorted({str(each.status) for each, _ in runs})),
                "seconds": round(time.perf_counter() - began, 2),
            }
        )
    return rows


def _train(
    method: str,
    setting: dict[str, float],
    warm: torch.nn.Module,
    parts: Parts,
    loader: DataLoader[Any],
    epochs: int,
    arguments: dict[str, Any],
) -> tuple[metricopt.FitResult, float]:
    """Continue from the warm model; return the result, and the best training value on the way."""
    model = copy.deepcopy(warm)
    on_train = [_average_precision(model, parts.train)]
    arguments = {
        **arguments,
        "warmup_epochs": 0,
        "callbacks": [lambda _: on_train.append(_average_precision(model, parts.train))],
    }
    if method != SOAP:
        solver: Solver = {"cross-entropy": Surrogate, OURS: ProfiledRanking, "sigmoid": SigmoidRanking}[method]()
        rate = setting["learning_rate"]
        result = metricopt.fit(model, loader, OAP(), solver=solver, epochs=epochs, learning_rate=rate, **arguments)
        return result, max(on_train)
    share = setting["positive_fraction"] or 2 * float(parts.train.tensors[1].mean())
    own_loader = DataLoader(
        parts.train,
        batch_size=BATCH_SIZE,
        sampler=soap.make_sampler(parts.train, parts.train.tensors[1].numpy(), BATCH_SIZE, share, arguments["seed"]),
    )
    result = metricopt.fit(
        model,
        own_loader,
        OAP(),
        solver=soap.Soap(setting["gamma"], setting["margin"], has_sigmoid=bool(setting["sigmoid"])),
        epochs=max(1, round(epochs * len(loader) / len(own_loader))),  # as many steps
        optimizer=soap.make_optimizer(setting["learning_rate"]),
        **arguments,
    )
    return result, max(on_train)


def _average_precision(model: torch.nn.Module, data: TensorDataset) -> float:
    with torch.no_grad():
        return float(metricopt.average_precision(model(data.tensors[0])[:, 0], data.tensors[1]))


def summaries(rows: list[dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """Return the means by data set and method, and how far the profiled solver is ahead, with 95 % intervals."""
    frame = pd.DataFrame(rows)
    order = list(dict.fromkeys(frame["method"]))
    values = frame.pivot(index=["dataset", "split"], columns="method", values="train")[order]
    means = values.groupby("dataset").mean().reindex(list(dict.fromkeys(frame["dataset"])))
    ahead = values.drop(columns=OURS).rsub(values[OURS], axis=0)
    lines = {name: ahead.xs(name, level="dataset").apply(with_interval) for name in means.index}
    lines["mean"] = ahead.groupby("split").mean().apply(with_interval)
    return {
        "Train average precision, mean over splits": pd.concat([means, means.mean().rename("mean").to_frame().T]),
        "Profiled OAP minus the other, paired by split, 95 % t-intervals": pd.DataFrame(lines).T,
    }


def main(quick: Quick = False, processes: Processes = 2) -> None:
    """Train linear models on average precision, judged on the training data, beside a sigmoid and LibAUC's SOAP."""
    jobs = [
        partial(run_one, dataset, split)
        for dataset in (("yeast3",) if quick else DATASETS)
        for split in range(1 if quick else NUM_SPLITS)
    ]
    rows = [row for part in run_all(jobs, processes) for row in part]
    title = "Linear models: average precision on training data"
    if soap.missing():
        title += f" (without SOAP, not installed: {', '.join(soap.missing())})"
    finish("average_precision", title, rows, summaries(rows), quick)
