"""Linear heads on frozen features of texts and images, which is what is done most with large encoders.

These heads have fewer than two positives for each column and can learn their rows by heart. Mails lie in no package of
Python and are left out unless ``--root`` names their folder; what the results hold is not run again. This file decides
the sets and what is said of them; the protocol is that of :mod:`benchmarks.running.heads`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch
import typer
from rich.console import Console

from benchmarks.data.catalogue import FROM_A_FOLDER, FROZEN_FEATURES, OTHER_FROZEN_FEATURES
from benchmarks.data.problem import BenchmarkData
from benchmarks.data.spam import HOW_TO_GET
from benchmarks.packages import (
    CLOTHES,
    LITE0,
    MINILM,
    MNIST,
    MOBILENET,
    PILLOW,
    POSTS,
    SOLAR,
    TORCHVISION,
    TRANSFORMERS,
    WORDLLAMA,
)
from benchmarks.reporting import files
from benchmarks.reporting.heads import by_steps, conclusions, tables
from benchmarks.running import runner
from benchmarks.running.heads import (
    DIRECT,
    FOR_EACH_OBJECTIVE,
    METHODS,
    OBJECTIVES,
    divide,
    rows_of,
    training_for,
    trainings_of,
)
from benchmarks.studies.study import Processes, Quick, finish

_OF_IMAGES = (CLOTHES, LITE0, MNIST, MOBILENET, PILLOW, SOLAR, TORCHVISION)
NEEDS: tuple[str, ...] = (*_OF_IMAGES, MINILM, POSTS, TRANSFORMERS, WORDLLAMA)
NUM_SPLITS, NUM_STEPS = 10, 300
MORE_STEPS, FOR_MORE_STEPS = 1000, ("posts", "coats")
"""As many as ``fit`` takes by itself, for the direct method and cross-entropy under bounds, on two of the sets."""


@dataclass(frozen=True)
class Heads:
    """The heads of one method on one data set, for all splits: a piece of work.

    Attributes
    ----------
    dataset : str
        Name in :data:`benchmarks.data.catalogue.FROZEN_FEATURES`, ``OTHER_FROZEN_FEATURES`` or ``FROM_A_FOLDER``.
    method : str
        One of :data:`benchmarks.running.heads.METHODS`, or ``FROM_LOG_ODDS``.
    objectives : tuple of str
        Names in :data:`benchmarks.running.heads.OBJECTIVES`.
    num_splits, num_steps : int
    root : Path, optional
        The folder of the files of a set that lies in no package.
    """

    dataset: str
    method: str
    objectives: tuple[str, ...]
    num_splits: int = NUM_SPLITS
    num_steps: int = NUM_STEPS
    root: Path | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """What finished work is known by."""
        return repr(self)

    @property
    def title(self) -> str:
        """What progress calls it."""
        return f"{self.dataset} {self.method}"

    def run(self) -> list[runner.Row]:
        """Train, and judge every split on its test rows."""
        torch.set_num_threads(1)
        data = load(self.dataset, self.root)
        return rows_of(data, self.method, self.objectives, self.num_splits, self.num_steps)


def load(dataset: str, root: Path | None) -> BenchmarkData:
    """Return a data set of a package, or of the folder ``root``."""
    of_packages = FROZEN_FEATURES | OTHER_FROZEN_FEATURES
    if dataset in of_packages:
        return of_packages[dataset](dataset)
    assert root is not None  # only then there is such a cell
    return FROM_A_FOLDER[dataset](dataset, root)


def cells_of(num_splits: int = NUM_SPLITS, num_steps: int = NUM_STEPS, root: Path | None = None) -> list[Heads]:
    """Return all work, data set by data set; those of a folder only if there is one."""
    return [
        Heads(dataset, method, objectives, num_splits, num_steps, root)
        for dataset in (*FROZEN_FEATURES, *(FROM_A_FOLDER if root else ()))
        for method in METHODS
        for objectives in trainings_of(method)
    ]


def longer_cells() -> list[Heads]:
    """Return the same heads with more steps, where these are asked for."""
    bounds = [name for name, objective in OBJECTIVES.items() if objective.bounded is not None]
    return [
        Heads(dataset, method, (name,), num_steps=MORE_STEPS)
        for dataset in FOR_MORE_STEPS
        for name in bounds
        for method in FOR_EACH_OBJECTIVE
    ]


_READING = (
    "What test scores allow is the best value on the test curve; delivered is the value at the threshold that "
    "out-of-fold scores support, 0 where the bound fails on test rows or no alarm is raised.",
    "Intervals are t-intervals at 95 % over the splits, which share rows; nothing is corrected for the number of "
    "comparisons.",
    f"A quarter of the {DIRECT} method's steps are cross-entropy, the warm-up. These heads have fewer than two "
    "positives for each column, so that under counts it goes on from there on one path with wide ramps and some "
    "cross-entropy, and out-of-fold scores choose the epoch; for average precision the ends of two paths are averaged.",
)


def main(
    quick: Quick = False,
    processes: Processes = 2,
    root: Annotated[Path | None, typer.Option(help="The folder of the mails; without it they are left out.")] = None,
) -> None:
    """Train linear heads on frozen features, on the objective and on losses; killed, it goes on where it was."""
    cells = cells_of(3, 40, root) if quick else [*cells_of(root=root), *longer_cells()]
    file, published = files.RUNS / f"frozen_features{'-quick' * quick}.jsonl", files.RESULTS / "frozen_features.csv"
    if quick:
        file.unlink(missing_ok=True)
    elif published.exists():
        runner.take_over(cells, with_cells(pd.read_csv(published)), file)
    failed = runner.run("frozen_features", cells, file, processes, Console(stderr=True))
    frame = pd.DataFrame(runner.rows_of(cells, file))
    frame["steps"] = frame.pop("cell").map({cell.key: cell.num_steps for cell in cells})
    main_rows = frame[frame["steps"] != MORE_STEPS]
    of_mails = f"Mails are read with --root package, after {HOW_TO_GET}" + ("." if root else "; they were left out.")
    failures = (f"Failed: {cell}: {error}" for cell, error in failed.items())
    said = [*_READING, *conclusions(main_rows), of_mails, *failures]
    shown = tables(main_rows)
    if (frame["steps"] == MORE_STEPS).any():
        shown[f"With {MORE_STEPS} steps: what test scores allow, and what is delivered"] = by_steps(frame, MORE_STEPS)
    names = dict.fromkeys(frame["dataset"])
    shown["Data"] = pd.DataFrame({name: about(load(name, root)) for name in names}).T
    title = "Linear heads on frozen features of texts and images"
    finish("frozen_features", title, frame.to_dict("records"), shown, quick, said)


def with_cells(published: pd.DataFrame) -> list[runner.Row]:
    """Return the rows of a table of results with the cells that they come from."""
    rows = published.drop(columns="steps").fillna({"bounded": ""}).to_dict("records")
    for row, steps in zip(rows, published["steps"], strict=True):
        served = training_for(str(row["method"]), str(row["asked"]))
        row["cell"] = Heads(str(row["dataset"]), str(row["method"]), served, num_steps=int(steps)).key
    return rows


def about(data: BenchmarkData) -> dict[str, Any]:
    """Return the number of rows, known and for testing, and what the data are."""
    known, tested = divide(data)
    return {
        "features": data.features.shape[1],
        "known rows": len(known),
        "of these positive": int(data.labels[known].sum()),
        "test rows": len(tested),
        "positive": int(data.labels[tested].sum()),
        "what": data.task,
        "licence": data.licence,
    }
