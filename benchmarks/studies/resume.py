"""Kill a training at a random moment, resume it, and compare what it ends with to a run that was left alone.

Each training is a process of its own (``python -m benchmarks.studies.resume SOLVER FOLDER``): a network with dropout
and batch normalisation, augmentation, momentum and a schedule, so that everything that a checkpoint must hold is in
play. This file decides what is trained, when it is killed, and what counts as the same.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import typer
from torch import nn
from torch.utils.data import DataLoader, Dataset

import metricopt
from benchmarks.studies.study import Processes, Quick, finish, run_all
from metricopt.solvers import REGISTRY, Solver
from metricopt.training.checkpoint import flatten

NEEDS: tuple[str, ...] = ()
NUM_ROWS, BATCH, EPOCHS = 640, 32, 40
CHECKPOINT_EVERY = 7
"""Steps: no divisor of an epoch's, and so often that many kills hit a file that is being written."""
LONGEST_DELAY = 0.05
"""Seconds between the checkpoint that is waited for and the kill."""
LONGEST_WAIT = 300.0
"""Seconds after which a training that makes no progress is given up."""


class Noisy(Dataset[Any]):
    """A problem with augmentation, which draws from torch's global generator."""

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self.labels = (torch.rand(NUM_ROWS, generator=draw) < 0.2).float()
        self.features = torch.randn(NUM_ROWS, 8, generator=draw) + 0.4 * self.labels[:, None]

    def __len__(self) -> int:
        return NUM_ROWS

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.features[row] + 0.1 * torch.randn(8), self.labels[row]


def watched(solver: Solver) -> tuple[Solver, list[Solver]]:
    """Return a solver like this one, and a list that takes in the copies of it that train."""
    trained: list[Solver] = []

    class Watched(type(solver)):  # type: ignore[misc]
        def prepare(self, *problem: Any) -> None:
            trained.append(self)
            super().prepare(*problem)

    solver.__class__ = Watched
    return solver, trained


def train(solver_name: str, folder: Path) -> str:
    """Train from the beginning or from the folder's newest checkpoint; return a digest of all that came out."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.2), nn.ReLU(), nn.Linear(16, 1))
    solver, trained = watched(REGISTRY[solver_name]())
    result = metricopt.fit(
        model,
        DataLoader(Noisy(), batch_size=BATCH, shuffle=True),
        "FPOR",
        alpha=0.5,
        solver=solver,
        epochs=EPOCHS,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9),
        scheduler=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.7),
        progress=False,
        checkpoint_dir=folder,
        checkpoint_every=CHECKPOINT_EVERY,
        resume=True,
    )
    saved = result.save(folder / "result")
    skeleton, tensors = flatten(trained[-1].state_dict())
    said = json.loads((saved / "result.json").read_text(encoding="utf-8"))
    del said["seconds"]
    digest = hashlib.sha256(json.dumps([said, skeleton]).encode())
    for name in ("model.safetensors", "scores.safetensors"):
        digest.update((saved / name).read_bytes())
    for tensor in tensors.values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def run_whole(solver: str) -> tuple[str, int]:
    """Return the digest of a training that is left alone, and how many steps it takes."""
    with tempfile.TemporaryDirectory() as folder:
        return _finish(_start(solver, Path(folder))), _newest_step(Path(folder))


def run_killed(solver: str, seed: int, wanted: str, num_steps: int) -> dict[str, Any]:
    """Kill a training at a random moment, resume it, and say whether it ends like the one that was left alone.

    Parameters
    ----------
    solver : str
    seed : int
        Of the moment: after a checkpoint of a random step, plus a random delay.
    wanted, num_steps
        What :func:`run_whole` returned.
    """
    draw = random.Random(f"{solver} {seed}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process = _start(solver, folder)
        began = _wait_for_step(process, folder, 0)
        _wait_for_step(process, folder, draw.randrange(int(0.95 * num_steps)))
        time.sleep(draw.uniform(0, LONGEST_DELAY))
        process.kill()
        process.communicate()
        row = {
            "solver": solver,
            "kill": seed,
            "seconds": round(time.monotonic() - began, 3),
            "was_killed": process.returncode != 0,
            "while_writing": any(folder.glob("*.part")),
            "resumed_from_step": _newest_step(folder),
            "steps": num_steps,
        }
        return {**row, "identical": _finish(_start(solver, folder)) == wanted}


def _start(solver: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.studies.resume", solver, str(folder)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _finish(process: subprocess.Popen[str]) -> str:
    """Return the digest that a training prints at its end."""
    printed, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(errors)
    return printed.strip()


def _newest_step(folder: Path) -> int:
    return max((int(file.name[5:14]) for file in folder.glob("step-*.safetensors")), default=-1)


def _wait_for_step(process: subprocess.Popen[str], folder: Path, step: int) -> float:
    """Wait until there is a checkpoint of a step or a later one; return the moment."""
    until = time.monotonic() + LONGEST_WAIT
    while _newest_step(folder) < step and process.poll() is None:
        if time.monotonic() > until:
            process.kill()
            raise TimeoutError(f"no checkpoint of step {step} after {LONGEST_WAIT:g} s")
        time.sleep(0.001)
    return time.monotonic()


def main(quick: Quick = False, processes: Processes = 2) -> None:
    """Kill trainings with every solver at random moments, resume them, and compare with runs that were left alone."""
    whole = run_all([partial(run_whole, solver) for solver in REGISTRY], processes)
    jobs = [
        partial(run_killed, solver, kill, *known)
        for solver, known in zip(REGISTRY, whole, strict=True)
        for kill in range(2 if quick else 20)
    ]
    rows = run_all(jobs, processes)
    table = (
        pd.DataFrame(rows)
        .groupby("solver")
        .agg(
            kills=("was_killed", "sum"),
            while_a_file_was_written=("while_writing", "sum"),
            resumed_from_step=("resumed_from_step", lambda steps: f"{steps.min()} to {steps.max()}"),
            of_steps=("steps", "max"),
            identical=("identical", "sum"),
        )
    )
    title = "Checkpoints: training killed (kill -9) at random moments and resumed, compared bit for bit"
    finish("resume", title, rows, {"Kills": table}, quick)
    if not all(row["identical"] for row in rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    print(train(sys.argv[1], Path(sys.argv[2])))
