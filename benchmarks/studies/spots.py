"""A small image network that looks for a faint spot in noise: ``fit`` beside the same loss in a plain loop.

Both get the same images, the same first weights, the same optimizer and as many epochs. The plain loop returns its last
weights; ``fit`` returns the weights that did best on images held apart. Cross-entropy in a plain loop stands beside
them. What counts is the recall at precision .8 that the scores of fresh images allow, so that luck with a threshold
plays no part. The learning rate of AdamW is the one with which cross-entropy does best on average in draws of their
own: a schedule that falls to zero in 8 epochs leaves a small rate too little time. This file decides the problem and
the loops.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.reporting.statistics import with_interval
from benchmarks.studies.study import Processes, Quick, finish, run_all

NEEDS: tuple[str, ...] = ()
MIN_PRECISION = 0.8
EPOCHS = 8
METHODS = ("fit", "own loop", "cross-entropy")
NUM_SEEDS = 7
TRIED_RATES = (0.003, 0.005, 0.007, 0.01)
SEEDS_OF_RATES = range(100, 105)


def spots(num_images: int, seed: int, *, size: int = 32, prevalence: float = 0.05) -> TensorDataset:
    """Return noisy images, shape (n, 1, size, size), of which a few hold a faint round spot, and their labels (n,)."""
    random = np.random.default_rng(seed)
    labels = np.zeros(num_images, dtype=np.float32)
    labels[: round(prevalence * num_images)] = 1
    random.shuffle(labels)
    images = random.standard_normal((num_images, size, size), dtype=np.float32)
    centers = random.uniform(size / 4, 3 * size / 4, (num_images, 2, 1, 1)).astype(np.float32)
    down, across = np.mgrid[:size, :size].astype(np.float32)
    distance = (down - centers[:, 0]) ** 2 + (across - centers[:, 1]) ** 2
    images += 2.2 * labels[:, None, None] * np.exp(-distance / (2 * 1.5**2))
    return TensorDataset(torch.from_numpy(images[:, None]), torch.from_numpy(labels))


def small_network() -> nn.Module:
    """Return two convolutions and a linear layer, for images of 32 x 32 pixels."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(16 * 8 * 8, 1)),
    )


def _cosine(optimizer: torch.optim.Optimizer) -> Any:
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)


OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], float, Callable[[Any], Any] | None]] = {
    "Adam": (torch.optim.Adam, 0.003, None),
    "SGD, momentum": (partial(torch.optim.SGD, momentum=0.9), 0.05, None),
    "AdamW, cosine": (torch.optim.AdamW, 0.005, _cosine),
}
"""Each with its learning rate and its schedule."""


def run_one(
    optimizer: str, method: str, seed: int, num_images: int = 3000, rate: float | None = None
) -> dict[str, Any]:
    """Train once; return the recall at precision .8 that the scores of fresh images allow."""
    torch.set_num_threads(1)
    train, validation, test = (spots(count, 10 * seed + k) for k, count in enumerate((num_images, 1000, 4000)))
    torch.manual_seed(seed)
    network, began = small_network(), time.perf_counter()
    make, own_rate, make_scheduler = OPTIMIZERS[optimizer]
    rate = own_rate if rate is None else rate
    make_optimizer = partial(make, lr=rate)
    if method == "fit":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # whether the bound is supported is not the question here
            network = metricopt.fit(
                network,
                DataLoader(train, batch_size=64, shuffle=True),
                "FPOR",
                alpha=MIN_PRECISION,
                val_loader=DataLoader(validation, batch_size=500),
                epochs=EPOCHS,
                optimizer=make_optimizer,
                scheduler=make_scheduler,
                seed=seed,
                progress=False,
            ).model
    else:
        own_loop(network, train, make_optimizer, make_scheduler, is_direct=method == "own loop")
    with torch.no_grad():
        scores = torch.cat([network.eval()(images)[:, 0] for (images, _) in DataLoader(test, batch_size=500)])
    choice = metricopt.choose_threshold(scores, test.tensors[1], "FPOR", alpha=MIN_PRECISION)
    return {
        "optimizer": optimizer,
        "method": method,
        "rate": rate,
        "seed": seed,
        "recall": round(float(choice.value), 4) if choice.feasible else 0.0,
        "seconds": round(time.perf_counter() - began, 1),
    }


def own_loop(
    network: nn.Module,
    train: TensorDataset,
    make_optimizer: Callable[[Any], torch.optim.Optimizer],
    make_scheduler: Callable[[Any], Any] | None,
    *,
    is_direct: bool,
) -> None:
    """Train a network in a plain loop, on the objective or on cross-entropy."""
    loader = DataLoader(train, batch_size=64, shuffle=True)
    optimizer = make_optimizer(network.parameters())
    scheduler = None if make_scheduler is None else make_scheduler(optimizer)
    loss: Callable[[Tensor, Tensor], Tensor] = nn.BCEWithLogitsLoss()
    if is_direct:
        labels = train.tensors[1]
        loss = metricopt.DirectMetricLoss(
            "FPOR", labels, alpha=MIN_PRECISION, epochs=EPOCHS, steps_per_epoch=len(loader)
        )
    for _ in range(EPOCHS):
        for images, labels in loader:
            optimizer.zero_grad()
            loss(network(images)[:, 0], labels).backward()
            optimizer.step()
        if scheduler is not None:
            scheduler.step()


def main(quick: Quick = False, processes: Processes = 2) -> None:
    """Train a small image network with `fit` and in a plain loop, with three optimizers."""
    num_seeds, num_images = (2, 1500) if quick else (NUM_SEEDS, 3000)
    jobs = [
        partial(run_one, optimizer, method, seed, num_images)
        for optimizer, method, seed in product(OPTIMIZERS, METHODS, range(num_seeds))
    ]
    jobs += [
        partial(run_one, "AdamW, cosine", "cross-entropy", seed, num_images, rate)
        for rate, seed in product(TRIED_RATES, SEEDS_OF_RATES[:num_seeds])
    ]
    rows = run_all(jobs, processes)
    frame = pd.DataFrame(rows)
    is_rate = frame.seed >= SEEDS_OF_RATES.start
    tables = {
        "Recall at precision .8 on fresh images": _recalls(frame[~is_rate], ["optimizer", "method"]),
        "What fit gains, paired by seed, with 95 % intervals": _gains(frame[~is_rate]),
        "The rate of AdamW with the cosine, by cross-entropy on draws of their own": _recalls(frame[is_rate], ["rate"]),
    }
    finish("spots", "A faint spot in noisy images: fit beside a plain loop", rows, tables, quick)


def _recalls(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    table = frame.groupby(by, sort=False).agg(
        recall=("recall", "mean"), lowest=("recall", "min"), highest=("recall", "max"), seconds=("seconds", "mean")
    )
    table["seeds"] = frame.groupby(by, sort=False).recall.agg(lambda each: " ".join(f"{r:.2f}" for r in each))
    return table


def _gains(frame: pd.DataFrame) -> pd.DataFrame:
    recall = frame.pivot(index="seed", columns=["optimizer", "method"], values="recall")
    return pd.DataFrame(
        {
            f"over {other}": {name: with_interval(recall[name]["fit"] - recall[name][other]) for name in OPTIMIZERS}
            for other in METHODS[1:]
        }
    )
