"""What a step of the default loss costs against cross-entropy, on whatever device there is.

Each step is one of a plain loop: the model, the loss, the way back and the optimizer, on batches that lie on the device
already. The thresholds are refreshed by a sort of all scores twice an epoch: refreshes are among the steps of whole
networks, and have a row of their own where there is no network. On a CPU the seconds are those of the thread, not those
of the clock on the wall. This file decides what is timed.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from benchmarks.packages import TORCHVISION
from benchmarks.studies.speed import in_turn
from benchmarks.studies.study import Quick, console, finish
from metricopt import DirectMetricLoss
from metricopt._torchvision import import_torchvision

NEEDS: tuple[str, ...] = (TORCHVISION,)


def device_here() -> torch.device:
    """Return the accelerator, or the CPU where there is none."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return torch.device("cpu") if found is None else found


def name_of(device: torch.device) -> str:
    """Return what a device is called."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({platform.machine()}), one thread" if device.type == "cpu" else device.type


def clock_of(device: torch.device) -> Callable[[], float]:
    """Return a clock: on a CPU that of the thread alone, which other work on the machine disturbs less."""
    return time.thread_time if device.type == "cpu" else time.perf_counter


def mlp() -> nn.Module:
    """Return an MLP 32-64-1."""
    return nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 1))


def scores_alone() -> nn.Module:
    """Return a model that has hardly anything to compute: a factor for each of 14 scores."""

    class Factors(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factors = nn.Parameter(torch.ones(14))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.factors

    return Factors()


def step_ratio(
    what: str,
    make_model: Callable[[], nn.Module],
    shape: tuple[int, ...],
    num_labels: int,
    device: torch.device,
    *,
    num_batches: int,
    repeats: int,
    budget: float,
    with_refreshes: bool = True,
) -> list[dict[str, Any]]:
    """Time a step of the default loss against one of cross-entropy; ``shape`` is that of a batch of inputs."""
    torch.manual_seed(0)
    num_rows, batch_size = num_batches * shape[0], shape[0]
    x = torch.randn(num_rows, *shape[1:], device=device)
    y = (torch.rand(num_rows, num_labels, device=device) < 0.05).float()
    batches = [(x[rows], y[rows], rows) for rows in torch.randperm(num_rows).split(batch_size)]

    clock = clock_of(device)

    def steps(is_direct: bool) -> Callable[[], float]:
        torch.manual_seed(0)
        model = make_model().to(device)
        optimizer = torch.optim.Adam(model.parameters())
        plain = nn.BCEWithLogitsLoss()
        in_an_epoch = num_batches if with_refreshes else 100_000
        loss = DirectMetricLoss("FPOR", y.cpu(), alpha=0.8, epochs=100, steps_per_epoch=in_an_epoch, warmup_epochs=0)
        loss.update(torch.randn(num_rows, num_labels))

        def seconds_a_step() -> float:
            began = clock()
            for inputs, labels, index in batches:
                optimizer.zero_grad()
                logits = model(inputs)
                (loss(logits, labels, index) if is_direct else plain(logits, labels)).backward()
                optimizer.step()
            if device.type != "cpu":
                torch.accelerator.synchronize()
            return (clock() - began) / num_batches

        return seconds_a_step

    return in_turn(f"step: {what}", steps(True), steps(False), repeats, budget)


def refresh_seconds(num_rows: int, num_labels: int, device: torch.device) -> dict[str, Any]:
    """Time a refresh of the exact thresholds from all scores."""
    torch.manual_seed(0)
    scores = torch.randn(num_rows, num_labels, device=device)
    labels = (torch.rand(num_rows, num_labels, device=device) < 0.05).float()
    loss = DirectMetricLoss("FPOR", labels.cpu(), alpha=0.8, epochs=2, steps_per_epoch=100, warmup_epochs=0)
    loss.update(scores.cpu())
    loss(scores.requires_grad_(), labels, torch.arange(num_rows))  # now the scores are kept where they lie
    found, clock = [], clock_of(device)
    for _ in range(5):
        began = clock()
        loss._driver.refresh()
        if device.type != "cpu":
            torch.accelerator.synchronize()
        found.append(clock() - began)
    return {"what": f"a refresh of the thresholds, {num_rows:,} x {num_labels}", "microseconds": 1e6 * min(found)}


def run(quick: bool) -> list[dict[str, Any]]:
    """Return a row a model."""
    torch.set_num_threads(1)
    device, repeats = device_here(), 3 if quick else 15
    ratio = partial(step_ratio, device=device, repeats=repeats)
    rows = [
        *ratio("MLP 32-64-1, batch 256", mlp, (256, 32), 1, num_batches=80, budget=1.15),
        *ratio(
            "scores alone, 65,536 x 14", scores_alone, (65_536, 14), 14, num_batches=4, budget=1.5, with_refreshes=False
        ),
        refresh_seconds(65_536, 14, device),
    ]
    size, pixels, num_batches = (8, 64, 2) if device.type == "cpu" else (128, 224, 8)
    resnet = partial(import_torchvision().models.resnet18, num_classes=1)
    shape = (size, 3, pixels, pixels)
    what = f"ResNet-18 at {pixels} pixels, batch {size}"
    rows += ratio(what, resnet, shape, 1, num_batches=num_batches, budget=1.02)
    return [{"device": name_of(device), **row} for row in rows]


def main(quick: Quick = False) -> None:
    """Time a step of the default loss against cross-entropy, on whatever device there is."""
    rows = run(quick)
    console.print(f"On {rows[0]['device']}")
    table = pd.DataFrame(rows).set_index("what")
    load = f"Measured on {os.cpu_count()} cores with {os.getloadavg()[0]:.0f} processes at work or waiting on average."
    title = "Steps on a device: the default loss against cross-entropy"
    finish("device", title, rows, {"Ratios": table}, quick, [load])
