"""What the first intercept of a linear head is worth, and whether logit adjustment gains more on frozen features.

For a linear model with an intercept, logit adjustment is cross-entropy that begins with the log odds of the prevalence
as intercept. So the direct method is trained with the same first intercept, beside itself, cross-entropy, logit
adjustment and weighted cross-entropy: on the sets of :mod:`benchmarks.studies.frozen_features`, whose results are taken
over, and on other topics, clothes and digits from the same files. Protocol and budget are those of that study; the
other sets have five splits.

Data sets are what the conclusions are about, so intervals are over sets. Sets share rows: posts on one topic are among
the negatives of another. This file decides the methods, the groups of sets and the table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.console import Console

from benchmarks.data.catalogue import FROM_A_FOLDER, FROZEN_FEATURES, OTHER_FROZEN_FEATURES
from benchmarks.reporting import delivered, files
from benchmarks.reporting.statistics import t_interval
from benchmarks.running import runner
from benchmarks.running.heads import DIRECT, FOR_EACH_OBJECTIVE, FROM_LOG_ODDS, OBJECTIVES, PLAIN
from benchmarks.studies import frozen_features
from benchmarks.studies.frozen_features import NUM_STEPS, Heads
from benchmarks.studies.study import Processes, Quick, finish

NEEDS = frozen_features.NEEDS
ASKED = ("recall at precision .8", "F1")
ADJUSTED, WEIGHTED = "logit adjustment", "weighted"
METHODS = (DIRECT, FROM_LOG_ODDS, PLAIN, ADJUSTED, WEIGHTED)
PAIRS = (
    (ADJUSTED, PLAIN),
    (WEIGHTED, PLAIN),
    (DIRECT, PLAIN),
    (FROM_LOG_ODDS, DIRECT),
    (FROM_LOG_ODDS, ADJUSTED),
)
NUM_SPLITS = 5
PUBLISHED, OTHERS_5, OTHERS_1 = "frozen_features", "others, 5 % positive", "others, 1 % positive"
ALL_OTHERS = "all others"


def cells_of(root: Path | None = None, num_steps: int = NUM_STEPS) -> list[Heads]:
    """Return all work: the sets of the other study first, with the cells that it has; those of a folder with one."""
    cells = []
    for dataset in (*FROZEN_FEATURES, *(FROM_A_FOLDER if root else ()), *OTHER_FROZEN_FEATURES):
        is_other = dataset in OTHER_FROZEN_FEATURES
        num_splits = NUM_SPLITS if is_other else frozen_features.NUM_SPLITS
        for method in METHODS:
            of_all = ASKED if is_other else tuple(OBJECTIVES)
            asked = [(name,) for name in ASKED] if method in FOR_EACH_OBJECTIVE else [of_all]
            cells += [Heads(dataset, method, objectives, num_splits, num_steps, root) for objectives in asked]
    return cells


def group_of(dataset: str) -> str:
    """Return the group of a data set."""
    if dataset not in OTHER_FROZEN_FEATURES:
        return PUBLISHED
    return OTHERS_1 if dataset.endswith("_1") else OTHERS_5


def differences(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a line for each objective, group and pair of methods: the mean difference over the sets of the group.

    Parameters
    ----------
    frame : DataFrame
        Rows with ``asked``, ``dataset``, ``split``, ``method``, and what test scores allow and deliver.
    """
    lines = {}
    frame = frame.assign(delivered=delivered.delivered(frame))
    for name, rows in frame.groupby("asked", sort=False):
        means = rows.groupby(["dataset", "method"], sort=False)[["test_curve_value", "delivered"]].mean().unstack()
        groups = means.index.map(group_of)
        for group in (PUBLISHED, OTHERS_5, OTHERS_1, ALL_OTHERS):
            own = means[groups != PUBLISHED if group == ALL_OTHERS else groups == group]
            for one, other in PAIRS if len(own) else ():
                allowed, got = (own[what][one] - own[what][other] for what in ("test_curve_value", "delivered"))
                lines[f"{name}, {group}: {one} minus {other}"] = {
                    "what test scores allow": str(t_interval(allowed)),
                    "median": f"{allowed.median():+.4f}",
                    "above": f"{int((allowed > 0).sum())} of {len(own)}",
                    "delivered": str(t_interval(got)),
                }
    return pd.DataFrame.from_dict(lines, orient="index")


_READING = (
    "What test scores allow is the best value on the test curve; delivered is the value at the threshold that "
    "out-of-fold scores support, 0 where the bound fails on test rows or no alarm is raised. A set counts with its "
    "mean over the splits; intervals are t-intervals at 95 % over the sets. On the others, settings of wide linear "
    "models are chosen; what is chosen is judged on the sets of frozen_features."
)


def main(
    quick: Quick = False,
    processes: Processes = 2,
    root: Annotated[Path | None, typer.Option(help="The folder of the mails; without it they are left out.")] = None,
) -> None:
    """Train linear heads with and without the log odds as first intercept; killed, it goes on where it was."""
    cells = cells_of(root)
    if quick:
        cells = [cell for cell in cells_of(root, 40) if cell.dataset in ("eights", "threes", "fives_1")]
    file = files.RUNS / f"first_intercept{'-quick' * quick}.jsonl"
    if quick:
        file.unlink(missing_ok=True)
    elif (published := files.RESULTS / "frozen_features.csv").exists():
        runner.take_over(cells, frozen_features.with_cells(pd.read_csv(published)), file)
    failed = runner.run("first_intercept", cells, file, processes, Console(stderr=True))
    frame = pd.DataFrame(runner.rows_of(cells, file)).drop(columns="cell")
    frame = frame[frame["asked"].isin(ASKED)]
    shown = {"Differences, over the sets": differences(frame)}
    for name, rows in frame.groupby("asked", sort=False):
        shown[f"{name}: what test scores allow"] = rows.pivot_table(
            index="dataset", columns="method", values="test_curve_value", sort=False
        )
    names = [name for name in dict.fromkeys(frame["dataset"]) if name in OTHER_FROZEN_FEATURES]
    shown["Data, the others"] = pd.DataFrame(
        {name: frozen_features.about(frozen_features.load(name, root)) for name in names}
    ).T
    said = [_READING, *(f"Failed: {cell}: {error}" for cell, error in failed.items())]
    finish(
        "first_intercept",
        "The first intercept of linear heads on frozen features",
        frame.to_dict("records"),
        shown,
        quick,
        said,
    )
