"""Which transferability scores find the best cut of a network without training, and which still do for a rare class.

EfficientNet-Lite0 with its ImageNet weights is cut at each of its 18 points. Every score judges the features of every
cut, on training digits alone; a linear head is trained on the same features under average precision. A score is right
where it orders the cuts as the heads' average precision on test digits does. This file decides the protocol.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.data.digits import load_all_digits
from benchmarks.data.encoders.images import BATCH_SIZE, embed
from benchmarks.packages import LITE0, MNIST, TORCHVISION
from benchmarks.studies.mnist import scale
from benchmarks.studies.study import Processes, Quick, finish, run_all
from metricopt.backbones import cut_points, load_backbone
from metricopt.problem.metrics import average_precision
from metricopt.problem.objectives import OAP
from metricopt.transfer import FEATURE_SCORES, TransferWarning

NEEDS: tuple[str, ...] = (MNIST, TORCHVISION, LITE0)
BACKBONE = "efficientnet_lite0"
BALANCED: dict[str, Callable[..., float]] = {
    f"{name}, balanced": partial(score, balanced=True) for name, score in FEATURE_SCORES.items()
}
SCORES: dict[str, Callable[..., float]] = {**FEATURE_SCORES, **BALANCED}
PREVALENCES, MAIN = (0.2, 0.05, 0.01), 0.05
# As many images at every prevalence, so that nothing but the share of the digit differs.
NUM_TRAIN, TEST_POSITIVES, TEST_NEGATIVES = 1500, 200, 1800
DEFAULT, SHORT = "default", "short"
EPOCHS = {DEFAULT: None, SHORT: 60}
"""By name of the training: ``fit`` by itself takes 600 epochs of 10 steps, of which the main prevalence gets all."""
NUM_SPLITS = 5
MEAN_RANK, DEPTH, CEILING = "mean rank of the four plain", "depth (no score)", "heads of the other splits"
TEST_AP = "test_average_precision"
TOLERANCE, SHARE_OF_TIME = 0.01, 0.1


def jobs(quick: bool = False) -> list[Callable[[], list[dict[str, Any]]]]:
    """Return what can run on its own, the longest first."""
    if quick:
        points = cut_points(load_backbone(BACKBONE))[::6]
        return [partial(run_one, split, MAIN, {DEFAULT: 12, SHORT: 4}, tuple(points)) for split in (0, 1)]
    order = sorted(PREVALENCES, key=lambda prevalence: prevalence != MAIN)
    return [
        partial(run_one, split, prevalence, EPOCHS if prevalence == MAIN else {SHORT: EPOCHS[SHORT]})
        for prevalence in order
        for split in range(NUM_SPLITS)
    ]


def run_one(
    split: int, prevalence: float, trainings: dict[str, int | None], points: tuple[str, ...] | None = None
) -> list[dict[str, Any]]:
    """Score every cut and train its head, once a kind of training; the split draws digits, first weights and batches.

    Seconds are of the processor, with one thread, so that a busy machine makes no difference.
    """
    torch.set_num_threads(1)
    labels, by_cut, seconds = features(points)
    train, test = draw(labels, prevalence, split)
    # The test part has one share of the digit, and counts as if it had that of the training part.
    weights = at_prevalence(labels[test], prevalence)
    rows = []
    for depth, (cut, pooled) in enumerate(by_cut.items()):
        judged = _judge(pooled[train].numpy(), labels[train])
        scaled = scale(pooled, train)
        for training, epochs in trainings.items():
            began = time.process_time()
            head, num_epochs = _train(scaled[train], labels[train], epochs, split)
            trained_in = time.process_time() - began
            with torch.no_grad():
                scores = head(scaled[test])[:, 0].numpy()
            rows.append(
                {
                    "split": split,
                    "prevalence": prevalence,
                    "training": training,
                    "cut": cut,
                    "depth": depth,
                    "width": pooled.shape[1],
                    "train_positives": int(labels[train].sum()),
                    TEST_AP: float(average_precision(scores, labels[test], weights)),
                    "epochs": num_epochs,
                    "feature_seconds": round(seconds * len(train) / len(labels), 4),
                    "train_seconds": round(trained_in, 4),
                    **judged,
                }
            )
    return rows


@cache
def features(points: tuple[str, ...] | None = None) -> tuple[NDArray[np.float64], dict[str, Tensor], float]:
    """Return the labels of all digits, their features by cut from one pass of the whole network, and its seconds."""
    images, labels = load_all_digits()
    model = load_backbone(BACKBONE, "imagenet").eval()
    chosen = cut_points(model) if points is None else points
    began = time.process_time()
    by_cut = embed(model, images, {point: point for point in chosen})
    return labels, by_cut, time.process_time() - began


def draw(labels: NDArray[np.float64], prevalence: float, split: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return training rows with that share of positives, and test rows, which are the same at every prevalence."""
    random = np.random.RandomState(split)
    positives, negatives = (random.permutation(np.flatnonzero(labels == label)) for label in (1, 0))
    number = round(NUM_TRAIN * prevalence)
    train = np.concatenate([positives[TEST_POSITIVES:][:number], negatives[TEST_NEGATIVES:][: NUM_TRAIN - number]])
    return train, np.concatenate([positives[:TEST_POSITIVES], negatives[:TEST_NEGATIVES]])


def at_prevalence(labels: NDArray[np.float64], prevalence: float) -> NDArray[np.float64]:
    """Return weights with which the positives are that share of the rows."""
    return np.where(labels == 1, prevalence / labels.mean(), (1 - prevalence) / (1 - labels.mean()))


def _judge(pooled: NDArray[np.float32], labels: NDArray[np.float64]) -> dict[str, Any]:
    """Return every score with its seconds, and whether it has caveats."""
    found: dict[str, Any] = {}
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", TransferWarning)  # counted below
        for name, function in SCORES.items():
            began = time.process_time()
            score = function(pooled, labels)
            found |= {name: float(score), f"{name} seconds": round(time.process_time() - began, 4)}
            found[f"{name} caveats"] = len(getattr(score, "caveats", ()))
    return found


def _train(pooled: Tensor, labels: NDArray[np.float64], epochs: int | None, seed: int) -> tuple[nn.Module, int]:
    torch.manual_seed(seed)
    loader = DataLoader(TensorDataset(pooled, torch.from_numpy(labels).float()), batch_size=BATCH_SIZE, shuffle=True)
    result = metricopt.fit(
        nn.Linear(pooled.shape[1], 1), loader, OAP(), folds=None, epochs=epochs, seed=seed, progress=False
    )
    return result.model, len(result.history)


def verdicts(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return, by split, prevalence, training and judge: rank correlation with the heads, and what its choice loses.

    Judges are the scores; beside them the mean rank that ``TransferRanking.best`` goes by, the depth of the cut, which
    costs nothing, and the heads trained on the other splits, which is as good as can be hoped for.
    """
    frame = pd.DataFrame(rows)
    found = []
    for (prevalence, training), group in frame.groupby(["prevalence", "training"], sort=False):
        trained = group.pivot(index="depth", columns="split", values=TEST_AP)
        for split, part in group.groupby("split"):
            part = part.set_index("depth").sort_index()
            others = trained.drop(columns=split).mean(axis=1)
            judges = {name: part[name] for name in SCORES}
            judges[MEAN_RANK] = part[list(FEATURE_SCORES)].rank().mean(axis=1)
            judges |= {DEPTH: pd.Series(part.index, part.index), CEILING: others}
            for judge, values in judges.items():
                chosen = values.idxmax()
                found.append(
                    {
                        "split": split,
                        "prevalence": prevalence,
                        "training": training,
                        "judge": judge,
                        "correlation": values.corr(part[TEST_AP], method="spearman"),
                        "loss": part[TEST_AP].max() - part.loc[chosen, TEST_AP],
                        "choice": part.loc[chosen, "cut"],
                    }
                )
    return pd.DataFrame(found)


def tables(rows: list[dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """Return correlations, losses and times at the main prevalence, and what is left of them at the others."""
    frame, judged = pd.DataFrame(rows), verdicts(rows)
    main = judged[(judged["prevalence"] == MAIN) & (judged["training"] == DEFAULT)].groupby("judge", sort=False)
    rank = main.agg(
        correlation=("correlation", "mean"),
        lowest=("correlation", "min"),
        loss=("loss", "mean"),
        largest_loss=("loss", "max"),
        within=("loss", lambda loss: f"{(loss <= TOLERANCE).sum()} of {len(loss)}"),
        choices=("choice", lambda choices: ", ".join(dict.fromkeys(choices))),
    )
    rank = rank.rename(
        columns={"loss": "AP below the best cut", "largest_loss": "at most", "within": f"within {TOLERANCE}"}
    )
    short = judged[judged["training"] == SHORT]
    trained = frame[(frame["prevalence"] == MAIN) & (frame["training"] == DEFAULT)]
    return {
        f"Rank correlation over the cuts with trained test AP, at a prevalence of {MAIN:.0%}": rank,
        "Seconds of one core for all cuts, beside training the head of each": times(rows),
        "Rank correlation by prevalence (short training)": _by_prevalence(short, "correlation"),
        "AP of the choice below the best cut, by prevalence (short training)": _by_prevalence(short, "loss"),
        "Share of the cuts for which a score warned, by prevalence": _warned(frame),
        f"Test AP of the heads at a prevalence of {MAIN:.0%}, mean over splits": trained.groupby("cut", sort=False).agg(
            width=("width", "first"), test_average_precision=(TEST_AP, "mean"), deviation=(TEST_AP, "std")
        ),
    }


def times(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the mean seconds of scores and trainings over all cuts, with and without the pass that both need."""
    frame = pd.DataFrame(rows)
    frame = frame[(frame["prevalence"] == MAIN) & (frame["training"] == DEFAULT)]
    pass_of_data = frame.groupby("split")["feature_seconds"].first().mean()
    training = frame.groupby("split")["train_seconds"].sum().mean()
    lines = {}
    for name in SCORES:
        scoring = frame.groupby("split")[f"{name} seconds"].sum().mean()
        lines[name] = {
            "features": pass_of_data,
            "scores": scoring,
            "trainings": training,
            "share of the time": (pass_of_data + scoring) / (pass_of_data + training),
            "share without features": scoring / training,
        }
    return pd.DataFrame.from_dict(lines, orient="index")


def _by_prevalence(judged: pd.DataFrame, what: str) -> pd.DataFrame:
    table = judged.pivot_table(index="judge", columns="prevalence", values=what, sort=False)
    return _named(table.reindex(columns=sorted(table.columns, reverse=True)))


def _warned(frame: pd.DataFrame) -> pd.DataFrame:
    shares = {
        prevalence: {name: (part[f"{name} caveats"] > 0).mean() for name in SCORES}
        for prevalence, part in sorted(frame.groupby("prevalence"), reverse=True)
    }
    return _named(pd.DataFrame(shares))


def _named(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns=lambda prevalence: f"{prevalence:.0%}")


def conclusions(rows: list[dict[str, Any]]) -> list[str]:
    """Say what was trained, which score was right, at what cost, and which stays right for rarer digits."""
    found = tables(rows)
    rank, clock, by_prevalence = list(found.values())[:3]
    best = rank.loc[list(SCORES), "correlation"].idxmax()
    loss, share = rank.loc[best, "AP below the best cut"], clock.loc[best, "share of the time"]
    worse = [name for name in SCORES if rank.loc[name, "AP below the best cut"] > TOLERANCE]
    rarest = by_prevalence.columns[-1]
    kept = by_prevalence.loc[list(SCORES), rarest].sort_values(ascending=False)
    gain = [by_prevalence.loc[f"{name}, balanced"] - by_prevalence.loc[name] for name in FEATURE_SCORES]
    balanced = "; ".join(
        f"{name} " + ", ".join(f"{value:+.2f} at {prevalence}" for prevalence, value in change.items())
        for name, change in zip(FEATURE_SCORES, gain, strict=True)
    )
    frame = pd.DataFrame(rows)
    own = frame[frame["training"] == SHORT].drop_duplicates("prevalence").sort_values("prevalence", ascending=False)
    positives = ", ".join(f"{row.train_positives} at {row.prevalence:.0%}" for row in own.itertuples())
    return [
        f"Handwritten digits, not medical images: eights among {NUM_TRAIN} training digits of MNIST-5k ({positives}), "
        f"tested on {TEST_POSITIVES} others among {TEST_NEGATIVES}, weighted to the same prevalence. Layers are "
        "frozen; a linear head is trained under OAP by the default solver, a fifth of the digits held out to select.",
        f"{best} orders the {frame['cut'].nunique()} cuts best: correlation {rank.loc[best, 'correlation']:.2f} with "
        f"trained test AP (heads of other splits: {rank.loc[CEILING, 'correlation']:.2f}, depth alone: "
        f"{rank.loc[DEPTH, 'correlation']:.2f}). Its choice is {loss:.4f} AP below the best cut of each split on "
        f"average, {rank.loc[best, 'at most']:.4f} at most: {_holds(loss <= TOLERANCE)} within {TOLERANCE}. That it is "
        "the best score is known from these very heads.",
        f"It takes {share:.1%} of the time of training all heads, the pass for the features counted on both sides "
        f"({clock.loc[best, 'share without features']:.1%} without): {_holds(share < SHARE_OF_TIME)} under a tenth. "
        "Trainings share one pass here; one after the other, each with its own network, they would take longer.",
        f"Choices more than {TOLERANCE} below the best cut on average: {', '.join(worse) or 'of no score'}. The mean "
        f"rank of the four plain scores: {rank.loc[MEAN_RANK, 'AP below the best cut']:.4f} below.",
        f"At {rarest}, correlations are: " + ", ".join(f"{name} {value:.2f}" for name, value in kept.items()) + ".",
        f"Balanced minus plain, correlation: {balanced}.",
        f"Warnings at {rarest}: {_warnings(found)}. Caveats speak of fewer samples than features and of "
        "classes below 10 samples.",
    ]


def _warnings(found: dict[str, pd.DataFrame]) -> str:
    """Return how much was lost at the lowest prevalence, and who warned."""
    loss, warned = (list(found.values())[number].iloc[:, -1] for number in (3, 4))
    lines = [f"{name} {warned[name]:.0%} of the cuts ({loss[name]:.3f} AP lost)" for name in SCORES]
    return ", ".join(lines)


def _holds(claim: bool) -> str:
    return "this is" if claim else "this is NOT"


def main(quick: Quick = False, processes: Processes = 2) -> None:
    """Rank the cuts of a network by transferability scores, train the head of each, and see which scores were right."""
    rows = [row for part in run_all(jobs(quick), processes) for row in part]
    title = "Where to cut, without training: transferability scores beside trained heads (a rare digit, not medical)"
    finish("rank_cuts", title, rows, tables(rows), quick, conclusions(rows))
