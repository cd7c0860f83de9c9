"""Federations of several sites under one bound: real institutions, drawings, and mixtures whose optimum is known.

The institutions and the drawings (:mod:`benchmarks.data.federations`) say what is gained at a site that took no part,
and how often the bound holds on new rows, inside and outside apart. The mixtures
(:mod:`benchmarks.studies.federated_mixtures`) say how near federated training comes to pooled training and to the
optimum.

Pooled training is a federation of one site that has all rows. All methods have the same rows, rounds and threshold
rule, and every site takes the same number of steps in a round.

This file decides which methods are compared, and by what.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.data.dealing import Rows, joined
from benchmarks.data.federations import INSIDE, OUTSIDE, Federation, of_drawings, of_institutions
from benchmarks.reporting import files
from benchmarks.running import runner
from benchmarks.studies.federated_mixtures import OfMixture, table_of_mixtures
from benchmarks.studies.study import Processes, Quick, finish
from metricopt.federated import Aggregation, FedAMP, FedAvg, FedBN, FedProx, LocalOnly, Server, Site, federate

NEEDS: tuple[str, ...] = ("torchxrayvision",)
ALONE, POOLED = "local only", "pooled"
AGGREGATIONS: dict[str, Callable[[], Aggregation]] = {
    "FedAvg": FedAvg,
    "FedProx": FedProx,
    "FedBN": FedBN,
    "FedAMP": FedAMP,
    ALONE: LocalOnly,
    POOLED: FedAvg,
}
KINDS: dict[str, Callable[[int, str, int], Federation]] = {"institutions": of_institutions, "drawings": of_drawings}
SPLITS = {"institutions": ("equal", "skewed"), "drawings": ("prevalence", "style")}
ROUNDS, STEPS, BATCH = 8, 3, 48
LEARNING_RATE = 0.03
NUM_SEEDS, NUM_MIXTURES = 10, 10


def new_network(num_features: int) -> nn.Module:
    """Return an MLP with a batch norm, the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.BatchNorm1d(num_features), nn.Linear(num_features, 16), nn.ReLU(), nn.Linear(16, 1))


@dataclass(frozen=True)
class OfSites:
    """One federation of institutions or drawings by one method: a piece of work.

    Attributes
    ----------
    kind : str
        Name in :data:`KINDS`.
    number : int
        The number of sites.
    split : str
        One of :data:`SPLITS` of the kind.
    seed : int
    method : str
        Name in :data:`AGGREGATIONS`.
    """

    kind: str
    number: int
    split: str
    seed: int
    method: str

    @property
    def key(self) -> str:
        """What finished work is known by."""
        return repr(self)

    @property
    def title(self) -> str:
        """What progress calls it."""
        return f"{self.kind}, {self.number} sites, {self.split}, {self.method}"

    def run(self) -> list[runner.Row]:
        """Train and judge; return one row."""
        began = time.process_time()
        row = run_one(self.kind, self.number, self.split, self.seed, self.method)
        return [row | {"seconds": round(time.process_time() - began, 2)}]


def run_one(kind: str, number: int, split: str, seed: int, method: str) -> dict[str, Any]:
    """Train a federation by one method, and judge it by new rows of each site and by rows from outside."""
    torch.set_num_threads(1)
    rows = KINDS[kind](number, split, seed)
    own, test = (rows.train, rows.test) if method != POOLED else ([joined(rows.train)], [joined(rows.test)])
    new_model = partial(new_network, own[0][0].shape[1])
    sites = [
        Site(
            f"site {at}",
            new_model,
            DataLoader(TensorDataset(*map(torch.from_numpy, each)), batch_size=BATCH, shuffle=True),
            learning_rate=LEARNING_RATE,
            seed=at,
            device="cpu",
        )
        for at, each in enumerate(own)
    ]
    server = Server(
        new_model(),
        "FPOR",
        alpha=rows.bound,
        aggregation=AGGREGATIONS[method](),
        rounds=ROUNDS,
        local_steps=STEPS,
    )
    found = federate(server, sites)
    threshold = found.result.threshold
    trained = [(site.result, new) for site, new in zip(sites, test, strict=True) if site.result is not None]
    inside = [(result.scores(torch.from_numpy(new[0])), new[1]) for result, new in trained]
    together = np.concatenate([scores for scores, _ in inside]), np.concatenate([labels for _, labels in inside])
    images = torch.from_numpy(rows.outside[0])
    models = trained[:1] if found.result.model is not None else trained
    outside = [(result.scores(images), rows.outside[1]) for result, _ in models]
    kept_at_sites = [_precision(*each, threshold) >= rows.bound for each in inside]
    return {
        "part": kind,
        "seed": seed,
        "sites": number,
        "split": split,
        "method": method,
        "bound": rows.bound,
        "claimed": found.result.status is metricopt.Status.FEASIBLE,
        **_judged("internal", [together], threshold, rows.bound),
        **_judged("external", outside, threshold, rows.bound),
        "kept_at_sites": float(np.mean(kept_at_sites)),
        "kept_at_every_site": all(kept_at_sites),
        "bytes": found.num_bytes,
        "rounds": found.rounds,
    }


def _judged(where: str, scored: list[Rows], threshold: float, bound: float) -> dict[str, float]:
    """Return average precision, the recall delivered within the bound, and how often it is kept, over some models.

    ``kept`` leaves out models that raise no alarm, and is NaN where all do.
    """
    precisions = np.array([_precision(*each, threshold) for each in scored])
    recalls = np.array([float((each[0][each[1] == 1] >= threshold).mean()) for each in scored])
    kept = (precisions >= bound)[~np.isnan(precisions)]
    return {
        where: float(np.mean([metricopt.average_precision(*each) for each in scored])),
        f"{where}_delivered": float(np.where(precisions >= bound, recalls, 0.0).mean()),
        f"{where}_kept": float(kept.mean()) if len(kept) else np.nan,
    }


def _precision(scores: np.ndarray, labels: np.ndarray, threshold: float) -> float:
    alarms = scores.astype(np.float64) >= threshold
    return float(labels[alarms].mean()) if alarms.any() else np.nan


def table_of_methods(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the means of each method over seeds, in thousands of bytes."""
    keys = ["sites", "split", "method"]
    columns = ["internal", "internal_delivered", "external", "external_delivered"]
    columns += ["kept_at_sites", "kept_at_every_site", "kilobytes"]
    frame = frame.assign(kilobytes=frame["bytes"] / 1000, kept_at_every_site=frame["kept_at_every_site"].astype(float))
    groups = frame.groupby(keys)
    table = groups[columns].mean()
    table.insert(0, "seeds", groups["seed"].nunique())
    table["rounds"] = groups["rounds"].first()
    return table.reindex(list(AGGREGATIONS), level="method")


def table_of_bounds(frame: pd.DataFrame) -> pd.DataFrame:
    """Return how often the bound is claimed, and kept on new rows where it is, with standard errors over seeds."""
    by_method = [(", ".join(map(str, keys)), own) for keys, own in frame.groupby(["sites", "split", "method"])]
    together = [(f"{number}, all of them", own) for number, own in frame.groupby("sites")]
    lines = {}
    for name, own in by_method + together:
        claimed = own[own["claimed"].astype(bool)].groupby("seed")
        lines[name] = {"claimed": f"{int(own['claimed'].sum())} of {len(own)}"} | {
            where: _mean_over_seeds(claimed[f"{where}_kept"].mean()) for where in ("internal", "external")
        }
    return pd.DataFrame(lines).T


def table_of_differences(frame: pd.DataFrame) -> pd.DataFrame:
    """Return by how much each method's quality differs from that of local training, paired by seed and rows."""
    lines = {}
    for (number, split), own in frame.groupby(["sites", "split"]):
        wide = own.pivot(index="seed", columns="method")
        for method in AGGREGATIONS:
            if method != ALONE and method in wide["external"]:
                lines[f"{number}, {split}, {method}"] = {
                    column: _mean_over_seeds(wide[column, method] - wide[column, ALONE], "+")
                    for column in ("external", "external_delivered", "internal", "internal_delivered")
                }
    return pd.DataFrame(lines).T


def _mean_over_seeds(each: pd.Series, sign: str = "") -> str:
    known = each.dropna()
    return f"{known.mean():{sign}.3f} ± {known.std() / np.sqrt(len(known)):.3f}" if len(known) else "none"


def cells_of(quick: bool) -> list[runner.Cell]:
    """Return all work."""
    settings = [("institutions", 2), ("institutions", 5), ("drawings", 4)]
    settings += [] if quick else [("institutions", 20)]  # the longest last
    of_sites = [
        OfSites(kind, number, split, seed, method)
        for kind, number in settings
        for seed in range(2 if quick else NUM_SEEDS)
        for split in SPLITS[kind]
        for method in AGGREGATIONS
    ]
    of_mixtures = [
        OfMixture(seed, name, number, min_cell)
        for seed in range(2 if quick else NUM_MIXTURES)
        for name in ("FPOR", "FROP")
        for number, min_cell in ((1, 1), (2, 1), (5, 1), (5, 5))
    ]
    return [*of_sites, *of_mixtures]


def tables_of(rows: Sequence[runner.Row]) -> dict[str, pd.DataFrame]:
    """Return the tables of all rows."""
    frame = pd.DataFrame(rows)
    tables = {"Random mixtures, linear models, equal sites": table_of_mixtures(frame[frame["part"] == "mixtures"])}
    headings = {
        "institutions": f"{' and '.join(INSIDE)} inside, {OUTSIDE} outside",
        "drawings": "Four sites with drawings",
    }
    for kind, heading in headings.items():
        own = frame[frame["part"] == kind]
        tables |= {
            f"{heading}: average precision, and recall delivered within the bound": table_of_methods(own),
            f"{heading}: how often a bound that is claimed holds on new rows": table_of_bounds(own),
            f"{heading}: above local training, on the same rows": table_of_differences(own),
        }
    return tables


def main(quick: Quick = False, processes: Processes = 2) -> None:
    """Train federations by every rule, beside pooled and local training; what is finished is not run again.

    A run that is stopped from the keyboard writes the results of what is finished.
    """
    cells, file = cells_of(quick), files.RUNS / f"federated{'-quick' * quick}.jsonl"
    published = files.RESULTS / "federated.csv"
    if quick:
        file.unlink(missing_ok=True)
    elif published.exists():
        runner.take_over(cells, pd.read_csv(published).to_dict("records"), file)
    failed: dict[str, str] = {}
    with suppress(KeyboardInterrupt):
        failed = runner.run("federated", cells, file, processes, Console(stderr=True))
    rows = runner.rows_of(cells, file)
    said = [f"Failed: {cell}: {error}" for cell, error in failed.items()]
    if len(rows) < len(cells):
        said.append(f"{len(rows)} of {len(cells)} federations are finished. The same command goes on with the others.")
    finish("federated", "Federations: several sites under one bound", rows, tables_of(rows), quick, said)
