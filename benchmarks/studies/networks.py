"""Small networks on heartbeats and clothes: does training on the bound gain, and on which rows.

A convolutional network is trained on the objective, on cross-entropy, weighted cross-entropy and groups of the
negatives, from the same first weights, for as many epochs. After each epoch the recall that the scores allow at the
bound is taken on training rows and on test rows: a method that is ahead on the first alone has learnt its rows by
heart. The same is done with fewer layers, down to a linear head. This file decides the problems and the networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from torch import Tensor, nn

from benchmarks.data.fashion import draw_clothes
from benchmarks.data.heartbeats import read_all_beats
from benchmarks.data.thinning import thin
from benchmarks.packages import BEATS, CLOTHES
from benchmarks.reporting import files
from benchmarks.reporting.learning_curves import curves, means
from benchmarks.reporting.pictures import BLACK, BLUE, GREEN, ORANGE
from benchmarks.reporting.statistics import t_interval
from benchmarks.running import runner
from benchmarks.running.learning_curve import train_with_curve
from benchmarks.studies.study import Processes, Quick, finish
from metricopt.losses import WeightedCrossEntropy
from metricopt.problem.objectives import FPOR
from metricopt.solvers import GroupedHead, Regrouping

NEEDS: tuple[str, ...] = (BEATS, CLOTHES)
MIN_PRECISION = 0.8
EPOCHS, BATCH_SIZE, LEARNING_RATE = 8, 64, 0.003
NUM_SEEDS, NUM_SEEDS_OF_MAIN = 5, 10
"""Of all trainings, and of those of the full networks on the bound and on cross-entropy."""
DIRECT, PLAIN, WEIGHTED, REGROUPED = "direct", "cross-entropy", "weighted", "regrouping"
METHODS = (DIRECT, PLAIN, WEIGHTED, REGROUPED)
COLORS = dict(zip(METHODS, (BLUE, ORANGE, GREEN, BLACK), strict=True))
LINEAR, NARROW, FULL = "linear", "narrow", "full"
NUM_GROUPS = 16


def _beats() -> tuple[Tensor, np.ndarray]:
    beats, labels = read_all_beats()
    return torch.from_numpy(beats).float().unsqueeze(1), labels


def _clothes(kind: str, num_positives: int, num_negatives: int) -> tuple[Tensor, np.ndarray]:
    images, labels = draw_clothes(kind)
    rows = thin(labels, num_positives, num_negatives)
    return torch.from_numpy(images[rows]).float().div(255).unsqueeze(1), labels[rows]


DATA: Mapping[str, Callable[[], tuple[Tensor, np.ndarray]]] = {
    "heartbeats, 6 %": _beats,
    "dresses, 5 %": partial(_clothes, "dress", 200, 3_800),
    "bags, 1 %": partial(_clothes, "bag", 40, 3_960),
}


def network(data: str, size: str, *, is_grouped: bool = False) -> nn.Module:
    """Return a network for one of :data:`DATA`: linear, two narrow convolutions, or wider ones and a hidden layer."""
    is_series = data.startswith("heartbeats")
    convolution, pool = (nn.Conv1d, nn.MaxPool1d) if is_series else (nn.Conv2d, nn.MaxPool2d)
    if size == LINEAR:
        return nn.Sequential(nn.Flatten(), nn.Linear(140 if is_series else 28 * 28, 1))
    first, second = (12, 24) if size == FULL else (4, 4)
    width = second * (33 if is_series else 25)
    layers: list[nn.Module] = [
        *(convolution(1, first, 5, stride=2), nn.ReLU(), convolution(first, second, 3), nn.ReLU(), pool(2)),
        nn.Flatten(),
    ]
    if size == FULL:
        layers += [nn.Linear(width, 64), nn.ReLU()]
        width = 64
    return nn.Sequential(*layers, GroupedHead(width, NUM_GROUPS) if is_grouped else nn.Linear(width, 1))


@dataclass(frozen=True)
class SmallNetwork:
    """One training: a piece of work.

    Attributes
    ----------
    data : str
        Name in :data:`DATA`.
    network : str
        :data:`LINEAR`, :data:`NARROW` or :data:`FULL`.
    method : str
        One of :data:`METHODS`.
    seed : int
        Of the division of the rows, the first weights and the batches.
    epochs : int
    """

    data: str
    network: str
    method: str
    seed: int
    epochs: int = EPOCHS

    @property
    def key(self) -> str:
        """What finished work is known by."""
        return repr(self)

    @property
    def title(self) -> str:
        """What progress calls it."""
        return f"{self.data}, {self.network}, {self.method}"

    def run(self) -> list[runner.Row]:
        """Train, and return a row an epoch."""
        return run_one(self.data, self.network, self.method, self.seed, self.epochs)


def cells_of(
    num_seeds: int = NUM_SEEDS, num_seeds_of_main: int = NUM_SEEDS_OF_MAIN, epochs: int = EPOCHS
) -> list[SmallNetwork]:
    """Return all work; the full networks on the bound and on cross-entropy come first."""
    main = list(product((FULL,), METHODS[:2]))
    others = [*product((FULL,), METHODS[2:]), *product((NARROW, LINEAR), METHODS[:2])]
    return [
        SmallNetwork(data, size, method, seed, epochs)
        for kinds, number in ((main, num_seeds_of_main), (others, num_seeds))
        for seed, data, (size, method) in product(range(number), DATA, kinds)
    ]


def run_one(data: str, size: str, method: str, seed: int, epochs: int = EPOCHS) -> list[dict[str, Any]]:
    """Train once; return a row an epoch with what the scores allow, and what was delivered."""
    torch.set_num_threads(1)
    x, labels = DATA[data]()
    torch.manual_seed(seed)
    model = network(data, size, is_grouped=method == REGROUPED)
    solver: Any = {
        DIRECT: "profiled",
        PLAIN: "cross_entropy",
        WEIGHTED: WeightedCrossEntropy(),
        REGROUPED: Regrouping(model) if method == REGROUPED else None,
    }[method]
    rows = train_with_curve(
        model,
        x,
        labels,
        {"bound": FPOR(MIN_PRECISION)},
        solver,
        seed=seed,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        optimizer=partial(torch.optim.Adam, lr=LEARNING_RATE),
    )["bound"]
    return [{"data": data, "network": size, "method": method, "seed": seed, **row} for row in rows]


def gains(frame: pd.DataFrame) -> pd.DataFrame:
    """Return by how much full networks trained on the bound are above cross-entropy, paired over the seeds."""
    runs = frame.drop_duplicates(["data", "network", "method", "seed"])
    runs = runs[runs["network"] == FULL]
    found = {}
    for name, column in (("test recall that scores allow", "returned_test_value"), ("delivered", "delivered")):
        values = runs.pivot(index=["seed", "data"], columns="method", values=column)
        by_data = (values[DIRECT] - values[PLAIN]).unstack("data")[list(dict.fromkeys(runs["data"]))]
        found[name] = {data: str(t_interval(by_data[data])) for data in by_data}
        found[name]["mean of all"] = str(t_interval(by_data.mean(axis=1, skipna=False)))
    return pd.DataFrame(found)


_READING = (
    f"The full networks were trained from {NUM_SEEDS_OF_MAIN} seeds on the bound and on cross-entropy, all others from "
    f"{NUM_SEEDS}. Delivered is the test recall at the threshold that the held-out rows support with confidence .9, 0 "
    "where they support none or the bound fails on the test rows. Intervals are t-intervals at 95 % over the seeds, "
    "which divide the rows anew; nothing is corrected for the number of comparisons."
)


def main(quick: Quick = False, processes: Processes = 2) -> None:
    """Train small networks on heartbeats and clothes; what the results hold, or a killed run left, is not run again."""
    cells = cells_of(2, 2, 2) if quick else cells_of()
    file, published = files.RUNS / f"networks{'-quick' * quick}.jsonl", files.RESULTS / "networks.csv"
    if quick:
        file.unlink(missing_ok=True)
    elif published.exists():
        runner.take_over(cells, _with_cells(pd.read_csv(published)), file)
    failed = runner.run("networks", cells, file, processes, Console(stderr=True))
    frame = pd.DataFrame(runner.rows_of(cells, file)).drop(columns="cell")
    tables = {
        "Recall at precision .8 that scores allow, and what is delivered": means(frame, PLAIN),
        f"Full networks: {DIRECT} minus {PLAIN}, paired over the seeds": gains(frame),
    }
    said = [_READING, *(f"Failed: {cell}: {error}" for cell, error in failed.items())]
    finish("networks", "Small networks on heartbeats and clothes", frame.to_dict("records"), tables, quick, said)
    if not quick:
        curves(frame, FULL, f"recall at precision {MIN_PRECISION:g}", COLORS).savefig(
            files.RESULTS / "networks.png", dpi=110, metadata={"Software": None}
        )


def _with_cells(published: pd.DataFrame) -> list[runner.Row]:
    """Return the rows of a table of results with the cells that they come from."""
    cells = [
        SmallNetwork(*known).key for known in published[["data", "network", "method", "seed"]].itertuples(index=False)
    ]
    return published.assign(cell=cells).to_dict("records")
