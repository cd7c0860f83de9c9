"""Which pretrained blocks make training faster: weight transfusion of the lowest k blocks, on a rare digit.

EfficientNet-Lite0 with its ImageNet weights up to a block and random ones above, at full width, is trained in all its
layers; beside it, random weights drawn with the mean and variance of the pretrained ones, and random weights with Gabor
filters in the first layer. This file decides the protocol of training and what counts as fast.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.data.digits import load_digits
from benchmarks.packages import LITE0, MNIST, TORCHVISION
from benchmarks.reporting.statistics import t_interval
from benchmarks.studies.study import Processes, Quick, finish, run_all
from metricopt.backbones import Backbone, load_backbone, redraw_mean_var, transfuse, with_gabor_filters
from metricopt.data import stratified_split
from metricopt.problem.metrics import average_precision

NEEDS: tuple[str, ...] = (MNIST, TORCHVISION, LITE0)
BACKBONE, SIZE = "efficientnet_lite0", 32
# What is kept of the pretrained weights, from nothing to all layers below the head.
BLOCKS = (
    None,
    "stem",
    "features.1",
    "features.2",
    "features.3",
    "features.4",
    "features.5",
    "features.6",
    "features.8",
)
NOTHING, MEAN_VAR, GABOR = "nothing", "nothing, mean-var", "nothing, Gabor stem"
STARTS = (NOTHING, MEAN_VAR, GABOR, *(block for block in BLOCKS if block))
LEVEL = 0.5
BATCH_SIZE, LEARNING_RATE, NUM_STEPS, EVERY = 32, 1e-3, 80, 10
NUM_SEEDS, NUM_TEST_NEGATIVES = 3, 600


def start(kept: str, seed: int) -> Backbone:
    """Return the network that a training starts from, one of :data:`STARTS`."""
    pretrained = load_backbone(BACKBONE, "imagenet")
    if kept == MEAN_VAR:
        return redraw_mean_var(pretrained, seed=seed)
    model = transfuse(pretrained, None if kept in (NOTHING, GABOR) else kept, width=1, seed=seed)
    return with_gabor_filters(model) if kept == GABOR else model


def run_one(kept: str, seed: int, num_steps: int = NUM_STEPS) -> dict[str, Any]:
    """Train once; the seed draws split, weights and batches. Return average precision on held-out digits by step."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)  # blocks are left out at random in training
    images, labels = load_digits()
    train, held_out = stratified_split(labels, (0.6, 0.4), seed)
    random = np.random.RandomState(seed)
    negatives = random.choice(held_out[labels[held_out] == 0], NUM_TEST_NEGATIVES, replace=False)
    test = np.concatenate([held_out[labels[held_out] == 1], negatives])
    model = start(kept, seed).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    classes = [train[labels[train] == label] for label in (0, 1)]
    began, curve = time.perf_counter(), {}
    for step in range(1, num_steps + 1):
        # Half of a batch positive: with one in fifty most steps would see none.
        rows = np.concatenate([random.choice(each, BATCH_SIZE // 2) for each in classes])
        x, y = prepare(images[rows], model), torch.from_numpy(labels[rows]).float()
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(model(x)[:, 0], y).backward()
        optimizer.step()
        if step % EVERY == 0:
            curve[step] = score(model, images[test], labels[test])
    return {
        "kept": kept,
        "seed": seed,
        "steps_to_level": next((step for step, value in curve.items() if value >= LEVEL), num_steps + EVERY),
        "reached": max(curve.values()) >= LEVEL,
        "mean_over_training": float(np.mean(list(curve.values()))),
        "final": curve[max(curve)],
        "seconds": round(time.perf_counter() - began, 2),
        **{f"step_{step}": value for step, value in curve.items()},
    }


def score(model: Backbone, images: NDArray[np.uint8], labels: NDArray[np.float64]) -> float:
    """Return the average precision of a network, in evaluation mode."""
    model.eval()
    with torch.no_grad():
        scores = torch.cat([model(prepare(part, model))[:, 0] for part in np.array_split(images, 5)])
    model.train()
    return float(average_precision(scores.numpy(), labels))


def prepare(images: NDArray[np.uint8], model: Backbone) -> Tensor:
    """Return gray images (n, h, w) as the backbone wants them: three channels, normalised, with a black border."""
    border = (SIZE - images.shape[-1]) // 2
    gray = nn.functional.pad(torch.from_numpy(images).float()[:, None] / 255, [border] * 4).expand(-1, 3, -1, -1)
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in model.normalisation)
    return (gray - mean) / std


def tables(rows: list[dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """Return the means by what was kept, and the paired gain of each further block."""
    frame = pd.DataFrame(rows)
    grouped = frame.groupby("kept", sort=False)
    steps = sorted(int(name.removeprefix("step_")) for name in frame if name.startswith("step_"))
    shown = steps[:: max(1, len(steps) // 6)]
    means = grouped.agg(
        median_steps=("steps_to_level", "median"),
        reached=("reached", "sum"),
        runs=("seed", "size"),
        mean_over_training=("mean_over_training", "mean"),
        final=("final", "mean"),
    )
    curves = grouped[[f"step_{step}" for step in shown]].mean().rename(columns=lambda name: name.replace("_", " "))
    return {
        f"Steps until average precision {LEVEL} on held-out digits, by the last block kept": means,
        "Average precision along the training": curves,
        "Average precision, mean over training, minus that with one block less": _gains(frame),
    }


def _gains(frame: pd.DataFrame) -> pd.DataFrame:
    order = [NOTHING, *(block for block in BLOCKS if block)]
    by_seed = frame.pivot(index="seed", columns="kept", values="mean_over_training")
    pairs = [(MEAN_VAR, NOTHING), (GABOR, NOTHING), *zip(order[1:], order, strict=False)]
    lines = {
        f"{one} minus {other}": {"difference": str(t_interval(by_seed[one] - by_seed[other]))} for one, other in pairs
    }
    return pd.DataFrame.from_dict(lines, orient="index")


def conclusions(rows: list[dict[str, Any]]) -> list[str]:
    """Say what was trained, and what the rows say of each block."""
    frame = pd.DataFrame(rows)
    by_seed = frame.pivot(index="seed", columns="kept", values="mean_over_training")
    order = [NOTHING, *(block for block in BLOCKS if block)]
    gains = {one: (by_seed[one] - by_seed[other]).mean() for one, other in zip(order[1:], order, strict=False)}
    largest = max(gains, key=lambda block: gains[block])
    best = by_seed[order].mean().idxmax()
    parts = {name: by_seed[name].mean() - by_seed[NOTHING].mean() for name in (MEAN_VAR, GABOR, order[-1])}
    return [
        "Handwritten digits, not medical images: an eight among ten digits of MNIST-5k, 92 of 4592. Held out: "
        f"{round(0.4 * 92)} eights and {NUM_TEST_NEGATIVES} others, which also makes average precision higher than at "
        "2 %.",
        f"Adam {LEARNING_RATE:g}, {frame.filter(like='step_').columns[-1].removeprefix('step_')} steps of {BATCH_SIZE} "
        f"images of {SIZE} pixels, half of them eights, cross-entropy, all layers trained; a run that does not reach "
        "the level counts with the step after the last.",
        f"Fastest on average over the training: kept up to {best}. The block that adds most is {largest} "
        f"({gains[largest]:+.3f}).",
        "Mean over training, minus random weights: "
        + "; ".join(f"{name} {value:+.3f}" for name, value in parts.items())
        + ".",
    ]


def main(quick: Quick = False, processes: Processes = 2) -> None:
    """Train a network that keeps its lowest k pretrained blocks, and see which blocks make training faster."""
    steps = 20 if quick else NUM_STEPS
    jobs = [partial(run_one, kept, seed, steps) for seed in range(2 if quick else NUM_SEEDS) for kept in STARTS]
    rows = run_all(jobs, processes)
    title = "Weight transfusion: which pretrained blocks make training faster (a rare digit, not medical)"
    finish("transfusion", title, rows, tables(rows), quick, conclusions(rows))
