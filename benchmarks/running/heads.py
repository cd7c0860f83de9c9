"""Linear heads on frozen features: rows, folds, steps, methods and evidence, alike for all sets and methods.

A fixed part of a set tests: the later rows, or two fifths of them. Each split draws four fifths of the other rows to
know, and half of the test rows to be judged on. All methods share rows, folds, steps, batch size and learning rate;
each is trained once, with its defaults, one model for each of 5 folds, and averaged. Thresholds are chosen on the
out-of-fold scores by the default rule of the library.

The splits of a set are trained side by side: each is a label of one linear layer, missing in the rows that the split
does not know. Losses that know no objective are trained once for all of them, and average precision chooses among their
epochs; cross-entropy, with which the objective is compared, is trained for each objective, which chooses. One epoch is
chosen for all splits. This file decides the protocol; which sets there are is up to the studies.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.data.problem import BenchmarkData
from benchmarks.running import runner
from metricopt import losses
from metricopt.data import stratified_split
from metricopt.evidence.evaluation import evaluate
from metricopt.evidence.folds import DEFAULT_FOLDS, make_folds
from metricopt.evidence.rule import Rule
from metricopt.evidence.thresholds import choose_threshold
from metricopt.problem.objectives import FPOR, OAP, OFBS, Objective

DIRECT, PLAIN = "direct", "cross-entropy"
RANKING = "average precision"
"""The objective that speaks of no threshold, so that nothing is delivered at one."""
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
"""The direct method with the log odds of the prevalence as first intercept, as in logit adjustment; not one of all."""
FOR_EACH_OBJECTIVE = (DIRECT, FROM_LOG_ODDS, PLAIN)
METHODS = (DIRECT, PLAIN, *LOSSES, OVERSAMPLED)
BATCH_SIZE, LEARNING_RATE = 256, 0.02
TEST_FRACTION, KNOWN_FRACTION = 0.4, 0.8
WARMUP_FRACTION, RATIO = 0.25, 0.3


def trainings_of(method: str) -> list[tuple[str, ...]]:
    """Return the objectives that each training of a method serves."""
    return [(name,) for name in OBJECTIVES] if method in FOR_EACH_OBJECTIVE else [tuple(OBJECTIVES)]


def training_for(method: str, asked: str) -> tuple[str, ...]:
    """Return those that the training serves which served one of them."""
    return next(served for served in trainings_of(method) if asked in served)


def rows_of(
    data: BenchmarkData, method: str, objectives: tuple[str, ...], num_splits: int, num_steps: int
) -> list[runner.Row]:
    """Train the heads of one method for all splits; return a row for each objective and split.

    Parameters
    ----------
    data : BenchmarkData
    method : str
        One of :data:`METHODS`, or :data:`FROM_LOG_ODDS`.
    objectives : tuple of str
        Names in :data:`OBJECTIVES`, as :func:`trainings_of` gives them.
    num_splits, num_steps : int
    """
    known, tested = divide(data)
    own, later = data.labels[known], data.labels[tested]
    mean, spread = data.features[known].mean(axis=0), data.features[known].std(axis=0)
    features = torch.from_numpy((data.features - mean) / np.where(spread > 0, spread, 1.0)).float()
    labels = np.stack([_masked(own, KNOWN_FRACTION, split) for split in range(num_splits)], axis=1)
    folds = make_folds(DEFAULT_FOLDS, own, seed=0)
    objective = OBJECTIVES[objectives[0]] if method in FOR_EACH_OBJECTIVE else OAP()
    began = time.perf_counter()
    result = train(features[known], labels, folds, method, objective, num_steps)
    seconds = time.perf_counter() - began
    out_of_fold = result.data_scores["validation"].scores[: len(known)]
    with torch.no_grad():
        scores = result.model(features[tested]).double().numpy()
    rows = []
    for name in objectives:
        for split in range(num_splits):
            judged = np.isfinite(_masked(later, 0.5, split))
            rows.append(
                {
                    **{"dataset": data.name, "method": method, "asked": name, "split": split},
                    **_judged(
                        out_of_fold[:, split],
                        labels[:, split],
                        folds,
                        OBJECTIVES[name],
                        scores[judged, split],
                        later[judged],
                    ),
                    **{"stage": result.selected_stage, "seconds": round(seconds / len(objectives), 1)},
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
    num_steps: int,
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
