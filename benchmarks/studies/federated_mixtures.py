"""Federations on random mixtures: how near they come to pooled training and to the optimum, and whether claims hold.

The population of a problem are the rows of a mixture (:mod:`benchmarks.studies.mixtures`) with a little noise, so that
new rows can be drawn at will. A sweep finds the best that any linear model reaches on the rows that were drawn.

This file decides the problems and the judge. It leaves other federations to :mod:`benchmarks.studies.federated`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.data.dealing import dealt
from benchmarks.running import runner
from benchmarks.studies.mixtures import Mixture, best_by_sweep, draw_mixture, objectives_for
from metricopt.federated import Server, Site, federate
from metricopt.problem.metrics import confusion_counts
from metricopt.problem.objectives import CountObjective

ROUNDS, LOCAL_EPOCHS, BATCH, SMALLEST_BATCH = 24, 4, 64, 16
# With one epoch a round, paths are too short to reach optima far from that of cross-entropy, at any number of sites.
NUM_ROWS, NUM_NEW = 1000, 50_000
NEAR = 0.02
"""How far below pooled training a federation may stay, to count as near."""
NOISE = 0.3
"""The standard deviation of the noise, in those of the features."""


@dataclass(frozen=True)
class OfMixture:
    """One federation on the rows of a mixture: a piece of work.

    Attributes
    ----------
    seed : int
        That of the problem.
    objective : "FPOR" or "FROP"
    number : int
        The number of sites.
    min_cell : int
    """

    seed: int
    objective: str
    number: int
    min_cell: int

    @property
    def key(self) -> str:
        """What finished work is known by."""
        return repr(self)

    @property
    def title(self) -> str:
        """What progress calls it."""
        return f"mixture {self.seed}, {self.objective}, {self.number} sites"

    def run(self) -> list[runner.Row]:
        """Train and judge; return one row."""
        began = time.process_time()
        row = run_mixture(self.seed, self.objective, self.number, self.min_cell)
        return [row | {"seconds": round(time.process_time() - began, 2)}]


def draw_rows(problem: Mixture, number: int, random: np.random.Generator) -> Mixture:
    """Return new rows of a population."""
    at = random.integers(len(problem.labels), size=number)
    noise = random.normal(0, NOISE, (number, problem.features.shape[1]))
    return Mixture((problem.features[at] + noise).astype(np.float32), problem.labels[at])


@cache
def optimum_of(seed: int, name: str) -> float:
    """Return the best value of any linear model on the rows that train, 0 where the bound cannot be met."""
    drawn, objective = _rows(seed)[0], objectives_for(seed)[name]
    return float(np.nan_to_num(best_by_sweep(drawn, objective, num_directions=1000)))


@cache
def _rows(seed: int) -> tuple[Mixture, Mixture]:
    problem, random = draw_mixture(seed), np.random.default_rng(seed)
    return draw_rows(problem, NUM_ROWS, random), draw_rows(problem, NUM_NEW, random)


def run_mixture(seed: int, name: str, number: int, min_cell: int) -> dict[str, Any]:
    """Train on the rows of one problem, dealt to sites, and compare with the optimum and with what is claimed."""
    torch.set_num_threads(1)
    (drawn, new), objective = _rows(seed), objectives_for(seed)[name]
    batch_size = max(BATCH // number, SMALLEST_BATCH)  # so that a round has as many steps everywhere
    sites = [
        Site(
            f"site {at}",
            _new_model,
            DataLoader(TensorDataset(*map(torch.from_numpy, part)), batch_size=batch_size, shuffle=True),
            seed=at,
            min_cell=min_cell,
            device="cpu",
        )
        for at, part in enumerate(dealt((drawn.features, drawn.labels), number, seed))
    ]
    server = Server(_new_model(), objective, rounds=ROUNDS, local_epochs=LOCAL_EPOCHS, min_sites=number)
    result = federate(server, sites).result
    allowed = metricopt.choose_threshold(result.scores(torch.from_numpy(drawn.features)), drawn.labels, objective)
    held_out = [site.report[0] for site in sites if site.report is not None]
    return {
        "part": "mixtures",
        "seed": seed,
        "objective": name,
        "sites": number,
        "min_cell": min_cell,
        "optimum": optimum_of(seed, name),
        "value": float(allowed.value) if allowed.feasible else 0.0,
        "claimed": result.status is metricopt.Status.FEASIBLE,
        "holds_on_held_out": _holds_together(held_out, objective),
        "holds_on_new": _holds(result, new, objective),
    }


def _new_model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(2, 1)


def _holds_together(reports: list[Any], objective: CountObjective) -> bool:
    names = ("true_positives", "false_positives", "false_negatives", "true_negatives")
    counts = metricopt.problem.ratios.Counts(*(sum(getattr(report, each) for report in reports) for each in names))
    return bool(objective.feasible(counts))


def _holds(result: metricopt.FitResult, new: Mixture, objective: CountObjective) -> bool:
    scores = result.scores(torch.from_numpy(new.features))
    return bool(objective.feasible(confusion_counts(scores, new.labels, result.threshold)))


def table_of_mixtures(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what federations reach beside pooled training on the same rows, and how often claims hold."""
    keys = ["objective", "seed"]
    pooled = frame[frame["sites"] == 1].set_index(keys)["value"]
    frame = frame.assign(
        min_cell=frame["min_cell"].astype(int),
        below_pooled=frame.set_index(keys).index.map(pooled).to_numpy() - frame["value"],
        below_optimum=frame["optimum"] - frame["value"],
    )
    lines = {}
    for setting, own in frame.groupby(["objective", "sites", "min_cell"]):
        claims = own[own["claimed"].astype(bool)]
        lines[", ".join(map(str, setting))] = {
            "mean_value": own["value"].mean(),
            "below_pooled": f"{own['below_pooled'].mean():+.3f} ± {own['below_pooled'].sem():.3f}",
            f"within_{NEAR}_of_pooled": _part_of(own["below_pooled"] <= NEAR),
            "most_below_pooled": own["below_pooled"].max(),
            "below_optimum": own["below_optimum"].mean(),
            "claimed": _part_of(own["claimed"]),
            "holds_on_held_out": _part_of(claims["holds_on_held_out"]),
            "holds_on_new": _part_of(claims["holds_on_new"]),
        }
    return pd.DataFrame(lines).T


def _part_of(each: pd.Series) -> str:
    return f"{int(each.astype(bool).sum())} of {len(each)}"
