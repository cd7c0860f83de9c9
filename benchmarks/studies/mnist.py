"""Transfer, truncation and direct training on real images that are not medical: a rare digit, frozen features.

EfficientNet-Lite0, with weights of ImageNet or random ones, is cut at three places or left whole. Its layers stay as
they are: pooled features are computed once, and a linear head is trained on them, by the default solver or with
cross-entropy, for equal steps. This file decides the protocol; the digits come from :mod:`benchmarks.data.digits`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.data.digits import load_digits
from benchmarks.data.encoders.images import BATCH_SIZE, SIZE, embed
from benchmarks.packages import LITE0, MNIST, TORCHVISION
from benchmarks.reporting.statistics import t_interval
from benchmarks.studies.study import Processes, Quick, finish, run_all
from metricopt.backbones import count_macs, count_parameters, load_backbone, truncate
from metricopt.data import stratified_split
from metricopt.evidence.thresholds import choose_threshold, selection_criterion
from metricopt.problem.metrics import average_precision
from metricopt.problem.objectives import FPOR

NEEDS: tuple[str, ...] = (MNIST, TORCHVISION, LITE0)
BACKBONE = "efficientnet_lite0"
WEIGHTS = ("imagenet", "random")
# The ends of blocks at 1/3, 1/2 and 2/3 of the 18 cut points, and the last of these.
CUTS = {"early": "features.3.1", "middle": "features.4.2", "late": "features.5.2", "whole": "features.8"}
METHODS = {"profiled": 0.25, "cross_entropy": 0.0}
"""Solvers, with the share of cross-entropy warm-up in their epochs."""
LEARNING_RATES = (0.02, 0.002)
OBJECTIVE = FPOR(0.9)
PARTS = (0.6, 0.2, 0.2)
NUM_SPLITS, NUM_EPOCHS = 10, 80
NUM_FOR_STATISTICS = 1024
VALUE = "test_curve_value"


def run_one(split: int, epochs: int = NUM_EPOCHS) -> list[dict[str, Any]]:
    """Train all heads on one split; the split also draws the random weights."""
    torch.set_num_threads(1)
    _, labels = load_digits()
    parts = stratified_split(labels, PARTS, split)
    records = []
    for weights in WEIGHTS:
        by_cut = transferred_features() if weights == "imagenet" else random_features(split, parts[0])
        for cut, features in by_cut.items():
            cost = cost_of(cut)
            for method in METHODS:
                trained = _train_head(features, labels, parts, method, split, epochs)
                records.append({"split": split, "weights": weights, "cut": cut, "method": method, **trained, **cost})
    return records


@cache
def transferred_features() -> dict[str, Tensor]:
    """Return the features by cut with the weights of ImageNet; once a process, as they are the same for all splits."""
    return embed(load_backbone(BACKBONE, "imagenet").eval(), load_digits()[0], CUTS)


def random_features(seed: int, rows: np.ndarray) -> dict[str, Tensor]:
    """Return the features by cut with random weights; batch-norm statistics are those of training images.

    Without statistics of its own a random network would fade with depth, and comparing with it would prove nothing.
    """
    model = load_backbone(BACKBONE, None, seed=seed).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the plain mean over batches
            module.train()
    images, _ = load_digits()
    # The digits lie in the file one class after the other.
    embed(model, images[np.random.RandomState(seed).permutation(rows)[:NUM_FOR_STATISTICS]], CUTS)
    return embed(model.eval(), images, CUTS)


def scale(features: Tensor, rows: np.ndarray) -> Tensor:
    """Return features centred on the training rows, all divided by one number, their root mean square spread.

    A spread for each would not do: the whole network ends with rectifiers, of which a tenth is silent on the training
    rows. Divided by next to nothing, the few images that wake them get scores beyond all others.
    """
    known = features[rows]
    return (features - known.mean(dim=0)) / known.var(dim=0).mean().sqrt()


@cache
def cost_of(cut: str) -> dict[str, int]:
    """Return parameters and multiply-accumulates of the truncated network with its head."""
    model = truncate(load_backbone(BACKBONE), CUTS[cut])
    return {"parameters": count_parameters(model), "macs": count_macs(model, SIZE).paper}


def _train_head(
    features: Tensor, labels: np.ndarray, parts: Sequence[np.ndarray], method: str, seed: int, epochs: int
) -> dict[str, Any]:
    """Train with every learning rate; return what the one that validation data choose is worth on test data."""
    scaled = scale(features, parts[0])
    train, validation, test = (TensorDataset(scaled[rows], torch.from_numpy(labels[rows]).float()) for rows in parts)
    began, tried = time.perf_counter(), []
    for rate in LEARNING_RATES:
        torch.manual_seed(seed)
        result = metricopt.fit(
            nn.Linear(features.shape[1], 1),
            DataLoader(train, batch_size=BATCH_SIZE, shuffle=True),
            OBJECTIVE,
            val_loader=DataLoader(validation, batch_size=len(validation)),
            confidence=None,
            solver=method,
            epochs=epochs,
            warmup_epochs=round(METHODS[method] * epochs),
            learning_rate=rate,
            seed=seed,
            progress=False,
        )
        own = result.data_scores["validation"]
        chosen = choose_threshold(own.scores[:, 0], own.labels[:, 0], OBJECTIVE)
        tried.append((selection_criterion(chosen, OBJECTIVE), rate, result))
    _, rate, result = max(tried, key=lambda entry: entry[0])  # the first of equals
    with torch.no_grad():
        scores = result.model(test.tensors[0])[:, 0].numpy()
    truth = labels[parts[2]]
    curve = choose_threshold(scores, truth, OBJECTIVE)
    alarms, positives = scores >= result.threshold, truth == 1
    hits = int((alarms & positives).sum())
    return {
        VALUE: float(curve.value) if curve.feasible else 0.0,
        "test_average_precision": float(average_precision(scores, truth)),
        "deployed_recall": hits / int(positives.sum()),
        "deployed_precision": hits / int(alarms.sum()) if alarms.any() else np.nan,
        "validation_recall": result.validation.recall if result.validation is not None else np.nan,
        "test_positives": int(positives.sum()),
        "learning_rate": rate,
        "epochs": len(result.history),
        "stage": result.selected_stage,
        "status": str(result.status),
        "seconds": round(time.perf_counter() - began, 2),
    }


def tables(rows: list[dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """Return the means and the three families of paired differences."""
    frame = pd.DataFrame(rows)
    keys = ["weights", "cut", "method"]
    means = frame.groupby(keys, sort=False)[
        [VALUE, "test_average_precision", "deployed_recall", "deployed_precision"]
    ].mean()
    means["parameters"] = frame.groupby(keys, sort=False)["parameters"].first()
    means["macs"] = frame.groupby(keys, sort=False)["macs"].first()
    means = means.rename(columns={VALUE: "recall at precision .9, test curve"})
    return {
        "Means over splits": means,
        "Transferred minus random": _differences(frame, "weights", "imagenet", "random"),
        "Truncated minus whole": pd.concat(
            {cut: _differences(frame, "cut", cut, "whole") for cut in CUTS if cut != "whole"}, names=["cut"]
        ),
        "Profiled minus cross-entropy": _differences(frame, "method", "profiled", "cross_entropy"),
    }


def _paired(frame: pd.DataFrame, what: str, one: str, other: str, measure: str) -> dict[tuple[str, ...], pd.Series]:
    """Return the difference on every split, by all that is not compared."""
    keys = [key for key in ("weights", "cut", "method") if key != what]
    paired = {}
    for group, part in frame[frame[what].isin((one, other))].groupby(keys, sort=False):
        table = part.pivot(index="split", columns=what, values=measure)
        paired[group] = table[one] - table[other]
    return paired


def _differences(frame: pd.DataFrame, what: str, one: str, other: str) -> pd.DataFrame:
    """Return the mean difference with its intervals, by all that is not compared."""
    ranked = _paired(frame, what, one, other, "test_average_precision")
    lines = {
        group: {
            "recall at precision .9": str(t_interval(paired)),
            "the same, corrected for overlapping splits": str(t_interval(paired, PARTS[2] / PARTS[0])),
            "average precision": str(t_interval(ranked[group])),
            "splits above / equal / below": f"{(paired > 0).sum()} / {(paired == 0).sum()} / {(paired < 0).sum()}",
        }
        for group, paired in _paired(frame, what, one, other, VALUE).items()
    }
    return pd.DataFrame.from_dict(lines, orient="index")


def conclusions(rows: list[dict[str, Any]]) -> list[str]:
    """Say what the images and the layers are, and of each claim where it holds, on the means over splits."""
    frame = pd.DataFrame(rows)
    transferred = frame[frame["weights"] == "imagenet"]
    transfer = _paired(frame, "weights", "imagenet", "random", VALUE)
    truncation = {
        (cut, *group): values
        for cut in CUTS
        if cut != "whole"
        for group, values in _paired(transferred, "cut", cut, "whole", VALUE).items()
    }
    direct = _paired(frame, "method", "profiled", "cross_entropy", VALUE)
    return [
        "Handwritten digits, not medical images: 92 eights among 4592 digits of MNIST-5k (2 %). What holds here says "
        "nothing of X-rays or any other medical image.",
        f"The layers are frozen: only a linear head is trained, on pooled features of images enlarged to {SIZE} "
        "pixels. Fine-tuning all layers can turn out otherwise. "
        "Random networks have batch-norm statistics of training images.",
        "Features are centred and share one scale. Each by its own spread, rectifiers of the whole network that are "
        "silent on training images make outliers of others, and the whole network looks far worse than it is.",
        "A test part holds 18 positives, so that one of them is .056 of recall; splits overlap, which the plain "
        "t-interval ignores and the corrected one does not.",
        _said("Transferred above random weights", transfer, strictly=True),
        _said("Truncated (ImageNet) at or above the whole network", truncation, strictly=False),
        _said("Profiled at or above cross-entropy", direct, strictly=False),
    ]


def _said(claim: str, paired: dict[tuple[str, ...], pd.Series], *, strictly: bool) -> str:
    intervals = {", ".join(group): t_interval(values, PARTS[2] / PARTS[0]) for group, values in paired.items()}
    failing = [
        f"{name} ({own.mean:+.3f})"
        for name, own in intervals.items()
        if not (own.mean > 0 if strictly else own.mean > -1e-9)  # sums of the same numbers in another order
    ]
    where = f"not for {'; '.join(failing)}" if failing else "everywhere"
    verdicts = [own.verdict for own in intervals.values()]
    mean = sum(own.mean for own in intervals.values()) / len(intervals)
    return (
        f"{claim}, on mean recall at precision .9: in {len(intervals) - len(failing)} of {len(intervals)} cases, "
        f"{where}; mean {mean:+.3f}. Corrected intervals wholly above 0: {verdicts.count('above')}, "
        f"wholly below: {verdicts.count('below')}."
    )


def main(quick: Quick = False, processes: Processes = 2) -> None:
    """Train heads on frozen features of a rare digit: ImageNet against random weights, cuts, direct training."""
    epochs = 10 if quick else NUM_EPOCHS
    jobs = [partial(run_one, split, epochs) for split in range(1 if quick else NUM_SPLITS)]
    rows = [row for part in run_all(jobs, processes) for row in part]
    title = "A rare digit (not medical): transfer, truncation and direct training on frozen features"
    finish("mnist", title, rows, tables(rows), quick, conclusions(rows))
