"""Linear heads on compact features: every topic of 20 newsgroups and every kind of clothes, each against all others.

The heads of :mod:`benchmarks.studies.frozen_features` have fewer than two positives for each column and can learn their
rows by heart. Here are the same methods, protocol and defaults where there are several: 64 features of a post, 112 of
an image, all posts, and enough images that held-out rows can testify to a bound. Each of the 20 topics and of the 10
kinds is a set, so that nobody chose among them; a set of clothes is thinned to 5 %, and posts are as rare as they are.
This file decides the sets and what is said of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import torch
from rich.console import Console

from benchmarks.data.fashion import KINDS, load_kind
from benchmarks.data.newsgroups import TOPICS, load_topic
from benchmarks.packages import CLOTHES, LITE0, PILLOW, POSTS, TORCHVISION, WORDLLAMA
from benchmarks.reporting import files
from benchmarks.reporting.heads import gains_by_family, tables
from benchmarks.running import runner
from benchmarks.running.heads import METHODS, rows_of, training_for, trainings_of
from benchmarks.studies.study import Processes, Quick, finish

NEEDS: tuple[str, ...] = (CLOTHES, LITE0, PILLOW, POSTS, TORCHVISION, WORDLLAMA)
SETS = {**dict.fromkeys(TOPICS, load_topic), **dict.fromkeys(KINDS, load_kind)}
"""What loads each set."""
FAMILIES = {"topics": TOPICS, "kinds of clothes": KINDS, "all": tuple(SETS)}
NUM_SPLITS, NUM_STEPS = 10, 1000
"""As many steps as ``fit`` takes by itself."""


@dataclass(frozen=True)
class CompactHeads:
    """The heads of one method on one set, for all splits: a piece of work.

    Attributes
    ----------
    dataset : str
        Name in :data:`SETS`.
    method : str
        One of :data:`benchmarks.running.heads.METHODS`.
    objectives : tuple of str
        Names in :data:`benchmarks.running.heads.OBJECTIVES`.
    num_splits, num_steps : int
    """

    dataset: str
    method: str
    objectives: tuple[str, ...]
    num_splits: int = NUM_SPLITS
    num_steps: int = NUM_STEPS

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
        data = SETS[self.dataset](self.dataset)
        return rows_of(data, self.method, self.objectives, self.num_splits, self.num_steps)


def cells_of(num_splits: int = NUM_SPLITS, num_steps: int = NUM_STEPS) -> list[CompactHeads]:
    """Return all work, set by set."""
    return [
        CompactHeads(dataset, method, objectives, num_splits, num_steps)
        for dataset in SETS
        for method in METHODS
        for objectives in trainings_of(method)
    ]


_READING = (
    "What test scores allow is the best value on the test curve; delivered is the value at the threshold that "
    "out-of-fold scores support, 0 where the bound fails on test rows or no alarm is raised.",
    "Intervals are t-intervals at 95 %: over the splits, of the means of all sets, and over the sets, of the means of "
    "all splits; splits share rows, and so do sets. Nothing is corrected for the number of comparisons.",
)


def main(quick: Quick = False, processes: Processes = 2) -> None:
    """Train linear heads for every topic and kind of clothes; what the results hold, or a killed run, is kept."""
    # Two topics: to encode the images takes a quarter of an hour, once.
    cells = [cell for cell in cells_of(3, 40) if cell.dataset in TOPICS[:2]] if quick else cells_of()
    file, published = files.RUNS / f"compact_heads{'-quick' * quick}.jsonl", files.RESULTS / "compact_heads.csv"
    if quick:
        file.unlink(missing_ok=True)
    elif published.exists():
        runner.take_over(cells, _with_cells(pd.read_csv(published)), file)
    failed = runner.run("compact_heads", cells, file, processes, Console(stderr=True))
    frame = pd.DataFrame(runner.rows_of(cells, file)).drop(columns="cell")
    said = [*_READING, *(f"Failed: {cell}: {error}" for cell, error in failed.items())]
    shown = {**gains_by_family(frame, FAMILIES), **tables(frame)}
    title = "Linear heads on compact features of every topic and every kind of clothes"
    finish("compact_heads", title, frame.to_dict("records"), shown, quick, said)


def _with_cells(published: pd.DataFrame) -> list[runner.Row]:
    """Return the rows of a table of results with the cells that they come from."""
    rows = published.fillna({"bounded": ""}).to_dict("records")
    for row in rows:
        served = training_for(str(row["method"]), str(row["asked"]))
        row["cell"] = CompactHeads(str(row["dataset"]), str(row["method"]), served).key
    return rows
