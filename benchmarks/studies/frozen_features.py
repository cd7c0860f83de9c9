"""Linear heads on frozen features of texts and images, which is what is done most with large encoders.

A fixed part of every data set tests: the later posts, or two fifths of the images. Ten splits draw four fifths of the
other rows to know, and half of the test rows to be judged on. All methods share rows, folds, steps, batch size and
learning rate; each is trained once, with its defaults, one model for each of 5 folds, and averaged. Thresholds are
chosen on the out-of-fold scores by the default rule of the library. Mails lie in no package of Python and are left out
unless ``--root`` names their folder; what the results hold is not run again.

The splits of a data set are trained side by side: each is a label of one linear layer, missing in the rows that the
split does not know. Losses that know no objective are trained once for all of them, and average precision chooses among
their epochs; cross-entropy, with which the objective is compared, is trained for each objective, which chooses. One
epoch is chosen for all ten splits. This file decides the protocol; data and features come from :mod:`benchmarks.data`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
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
from benchmarks.reporting.heads import DIRECT, PLAIN, RANKING, by_steps, conclusions, tables
from benchmarks.running import runner
from benchmarks.studies.study import Processes, Quick, finish
from metricopt import losses
from metricopt.data import stratified_split
from metricopt.evidence.evaluation import evaluate
from metricopt.evidence.folds import DEFAULT_FOLDS, make_folds
from metricopt.evidence.rule import Rule
from metricopt.evidence.thresholds import choose_threshold
from metricopt.problem.objectives import FPOR, OAP, OFBS, Objective

_OF_IMAGES = (CLOTHES, LITE0, MNIST, MOBILENET, PILLOW, SOLAR, TORCHVISION)
NEEDS: tuple[str, ...] = (*_OF_IMAGES, MINILM, POSTS, TRANSFORMERS, WORDLLAMA)
OBJECTIVES: dict[str, Objective] = {
    "recall at precision .8": FPOR(0.8),
    "recall at precision .9": FPOR(0.9),
    "F1": OFBS(1.0),
    RANKING: OAP(),
}
OVERSAMPLED = "over-sampling"
LOSSES: dict[str, losses.Loss] = {
    "weighted": losses.WeightedCrossEntropy(),
    "focal": losses.FocalLoss(),
    "LDAM": losses.LDAM(),
    "logit adjustment": losses.LogitAdjustment(),
}
FROM_LOG_ODDS = "direct from log odds"
"""The direct method with the log odds of the prevalence as first intercept, as in logit adjustment; another study's."""
FOR_EACH_OBJECTIVE = (DIRECT, PLAIN)
METHODS = (DIRECT, PLAIN, *LOSSES, OVERSAMPLED)
NUM_SPLITS, NUM_STEPS, BATCH_SIZE, LEARNING_RATE = 10, 300, 256, 0.02
MORE_STEPS, FOR_MORE_STEPS = 1000, ("posts", "coats")
"""As many as ``fit`` takes by itself, for the direct method and cross-entropy under bounds, on two of the sets."""
TEST_FRACTION, KNOWN_FRACTION = 0.4, 0.8
WARMUP_FRACTION, RATIO = 0.25, 0.3


@dataclass(frozen=True)
class Heads:
    """The heads of one method on one data set, for all splits: a piece of work.

    Attributes
    ----------
    dataset : str
        Name in :data:`benchmarks.data.catalogue.FROZEN_FEATURES`, ``OTHER_FROZEN_FEATURES`` or ``FROM_A_FOLDER``.
    method : str
        One of :data:`METHODS`, or :data:`FROM_LOG_ODDS`.
    objectives : tuple of str
        Names in :data:`OBJECTIVES`; one of them for a method that is trained for each.
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
        return rows_of(load(self.dataset, self.root), self)


def load(dataset: str, root: Path | None) -> BenchmarkData:
    """Return a data set of a package, or of the folder ``root``."""
    of_packages = FROZEN_FEATURES | OTHER_FROZEN_FEATURES
    if dataset in of_packages:
        return of_packages[dataset](dataset)
    assert root is not None  # only then there is such a cell
    return FROM_A_FOLDER[dataset](dataset, root)


def rows_of(data: BenchmarkData, heads: Heads) -> list[dict[str, Any]]:
    """Return a row for each objective and split."""
    known, tested = divide(data)
    own, later = data.labels[known], data.labels[tested]
    mean, spread = data.features[known].mean(axis=0), data.features[known].std(axis=0)
    features = torch.from_numpy((data.features - mean) / np.where(spread > 0, spread, 1.0)).float()
    labels = np.stack([_masked(own, KNOWN_FRACTION, split) for split in range(heads.num_splits)], axis=1)
    folds = make_folds(DEFAULT_FOLDS, own, seed=0)
    is_for_one = heads.method in (*FOR_EACH_OBJECTIVE, FROM_LOG_ODDS)
    objective = OBJECTIVES[heads.objectives[0]] if is_for_one else OAP()
    began = time.perf_counter()
    result = train(features[known], labels, folds, heads.method, objective, heads.num_steps)
    seconds = time.perf_counter() - began
    out_of_fold = result.data_scores["validation"].scores[: len(known)]
    with torch.no_grad():
        scores = result.model(features[tested]).double().numpy()
    rows = []
    for name in heads.objectives:
        for split in range(heads.num_splits):
            judged = np.isfinite(_masked(later, 0.5, split))
            rows.append(
                {
                    **{"dataset": data.name, "method": heads.method, "asked": name, "split": split},
                    **_judged(
                        out_of_fold[:, split],
                        labels[:, split],
                        folds,
                        OBJECTIVES[name],
                        scores[judged, split],
                        later[judged],
                    ),
                    **{"stage": result.selected_stage, "seconds": round(seconds / len(heads.objectives), 1)},
                }
            )
    return rows


def divide(data: BenchmarkData) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows that are known and those that test, the same for all splits."""
    if data.later is not None:
        return np.flatnonzero(~data.later), np.flatnonzero(data.later)
    known, tested = stratified_split(data.labels, (1 - TEST_FRACTION, TEST_FRACTION), 0)
    return known, tested


def train(
    features: torch.Tensor,
    labels: NDArray[np.float64],
    folds: NDArray[np.intp],
    method: str,
    objective: Objective,
    num_steps: int = NUM_STEPS,
) -> metricopt.FitResult:
    """Train heads for all columns of labels, one model for each fold, and average them.

    Out-of-fold scores come in the order of the rows; those of repeated rows stand behind them.
    """
    if method == OVERSAMPLED:
        repeated = oversampled(labels)
        features, labels, folds = features[repeated], labels[repeated], folds[repeated]
    rows = TensorDataset(features, torch.from_numpy(labels).float())
    loader = DataLoader(rows, batch_size=BATCH_SIZE, shuffle=True)
    epochs = max(4, -(-num_steps // len(loader)))
    torch.manual_seed(0)
    is_direct = method in (DIRECT, FROM_LOG_ODDS)
    solver: Any = "profiled" if is_direct else LOSSES.get(method, "cross_entropy")

    def new_heads() -> nn.Module:
        heads = nn.Linear(features.shape[1], labels.shape[1])
        if method == FROM_LOG_ODDS:
            with torch.no_grad():
                heads.bias.copy_(torch.from_numpy(np.nanmean(labels, axis=0)).logit())
        return heads

    return metricopt.fit(
        new_heads,
        loader,
        objective,
        folds=folds,
        confidence=None,
        solver=solver,
        epochs=epochs,
        warmup_epochs=round(WARMUP_FRACTION * epochs) if is_direct else None,
        learning_rate=LEARNING_RATE,
        progress=False,
    )


def oversampled(labels: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return all rows and positives again, until there are three for ten negatives; labels have shape (n, S).

    Repeated rows stay in the fold of the first, so that no model is judged on a row that it has seen.
    """
    positive = np.flatnonzero((labels == 1).any(axis=1))
    wanted = round(RATIO * (len(labels) - len(positive)))
    return np.concatenate([np.arange(len(labels)), np.resize(positive, max(wanted - len(positive), 0))])


def _masked(labels: NDArray[np.float64], fraction: float, split: int) -> NDArray[np.float64]:
    """Return labels of which those of a random, stratified part are kept, and the others NaN."""
    kept = stratified_split(labels, (fraction, 1 - fraction), split)[0]
    masked = np.full(len(labels), np.nan)
    masked[kept] = labels[kept]
    return masked


def _judged(
    out_of_fold: NDArray[np.floating],
    labels: NDArray[np.float64],
    folds: NDArray[np.intp],
    objective: Objective,
    scores: NDArray[np.floating],
    truth: NDArray[np.float64],
) -> dict[str, Any]:
    """Return what test scores allow, and what the threshold that out-of-fold scores support gives on them."""
    seen, rule = np.isfinite(labels) & np.isfinite(out_of_fold), Rule()
    evidence = {} if objective.bounded is None else {"confidence": rule.confidence, "folds": folds[seen]}
    chosen = choose_threshold(out_of_fold[seen], labels[seen], objective, **evidence)
    columns = (scores[:, np.newaxis], truth[:, np.newaxis], np.array([float(chosen.threshold)]), objective)
    report = evaluate(*columns, label_names=("label",), data="")[0]
    allowed = choose_threshold(scores, truth, objective)
    return {
        "bounded": objective.bounded.name if objective.bounded else "",
        "bound": objective.bound,
        "threshold": float(chosen.threshold),
        "test_tp": int(report.true_positives),
        "test_fp": int(report.false_positives),
        "test_fn": int(report.false_negatives),
        "test_tn": int(report.true_negatives),
        "test_value": report.value,
        "test_curve_value": float(allowed.value) if allowed.feasible else 0.0,
    }


def cells_of(num_splits: int = NUM_SPLITS, num_steps: int = NUM_STEPS, root: Path | None = None) -> list[Heads]:
    """Return all work, data set by data set; those of a folder only if there is one."""
    cells = []
    for dataset in (*FROZEN_FEATURES, *(FROM_A_FOLDER if root else ())):
        for method in METHODS:
            asked = [(name,) for name in OBJECTIVES] if method in FOR_EACH_OBJECTIVE else [tuple(OBJECTIVES)]
            cells += [Heads(dataset, method, objectives, num_splits, num_steps, root) for objectives in asked]
    return cells


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
        alone = row["method"] in FOR_EACH_OBJECTIVE
        asked = (str(row["asked"]),) if alone else tuple(OBJECTIVES)
        row["cell"] = Heads(str(row["dataset"]), str(row["method"]), asked, num_steps=int(steps)).key
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
