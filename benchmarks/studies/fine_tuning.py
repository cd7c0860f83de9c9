"""The last layer of a text encoder, fine-tuned: does training on the objective gain with more capacity than a head has.

Posts on medicine among others, by all-MiniLM-L6-v2, of which the first 64 tokens are read. A linear head alone is
trained on the mean of the tokens, or the last layer of the encoder with it; the layers below are frozen, and what they
make of a post is computed once. Of its 64 vectors each four neighbours are averaged before the last layer, which makes
a training four times as short.

Both are trained on the objective, on cross-entropy, on weighted cross-entropy, on the focal loss and on groups of the
negatives, from the same first weights, with the same batches, without dropout. A method that knows no objective is
trained once for both, which choose among its epochs.

This file decides the problem, the networks and the budget; parts, curves and thresholds are those of
:mod:`benchmarks.running.learning_curve`. Budgets were chosen on another topic, :data:`FOR_DEVELOPMENT`: for the last
layer by cross-entropy, once for all methods; for a head alone, which takes seconds, by every method among as many.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from torch import Tensor, nn

from benchmarks.data.encoders.texts import LastLayers, token_vectors
from benchmarks.data.newsgroups import draw_posts
from benchmarks.packages import MINILM, POSTS, TORCHVISION, TRANSFORMERS
from benchmarks.reporting import files
from benchmarks.reporting.learning_curves import TRAINING, curves, gain, means
from benchmarks.reporting.pictures import BLACK, BLUE, GREEN, ORANGE, PURPLE
from benchmarks.running import runner
from benchmarks.running.learning_curve import train_with_curve
from benchmarks.studies.study import Processes, Quick, finish
from metricopt.losses import FocalLoss, WeightedCrossEntropy
from metricopt.problem.objectives import FPOR, OFBS, Objective
from metricopt.solvers import GroupedHead, Regrouping

NEEDS: tuple[str, ...] = (MINILM, POSTS, TORCHVISION, TRANSFORMERS)
TOPIC, FOR_DEVELOPMENT = "sci.med", "rec.autos"
NUM_POSTS, NUM_LAYERS, NEIGHBOURS = 3_000, 1, 4
OBJECTIVES: dict[str, Objective] = {"recall at precision .8": FPOR(0.8), "F1": OFBS(1.0)}
EPOCHS, BATCH_SIZE = 4, 32
RATE_OF_HEAD, RATE_OF_LAYERS = 0.003, 0.0003
NUM_SEEDS = 5
DIRECT, PLAIN, WEIGHTED, FOCAL, REGROUPED = "direct", "cross-entropy", "weighted", "focal", "regrouping"
METHODS = (DIRECT, PLAIN, WEIGHTED, FOCAL, REGROUPED)
COLORS = dict(zip(METHODS, (BLUE, ORANGE, GREEN, PURPLE, BLACK), strict=True))
HEAD, LAYER = "head", "last layer"
TRIED: tuple[tuple[int, float], ...] = tuple(product((4, 12, 40), (0.003, 0.01, 0.03)))
"""The epochs and rates of a head alone that every method tries on the other topic."""
BUDGETS_OF_HEADS: dict[str, tuple[int, float]] = {
    DIRECT: (40, 0.03),
    PLAIN: (40, 0.03),
    WEIGHTED: (12, 0.01),
    FOCAL: (40, 0.01),
    REGROUPED: (40, 0.003),
}
"""Of these the best by what test scores allow there, in the mean of objectives and seeds."""
NUM_GROUPS = 16
LEAST_SPREAD = 1e-3
"""Of a column that is standardised: three of the 384 are constant but for rounding."""


class Tuned(nn.Module):
    """The last layers of the encoder and a head on the standardised mean of the tokens.

    Parameters
    ----------
    layers : Module
        From tokens (B, T, 384) to one vector a text, (B, 384).
    head : Module
    mean, spread : Tensor, shape (384,)
        By which these vectors are standardised.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, layers: nn.Module, head: nn.Module, mean: Tensor, spread: Tensor) -> None:
        super().__init__()
        self.layers, self.head = layers, head
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the scores, shape (B, 1)."""
        return self.head((vectors_of(self.layers, tokens) - self.mean) / self.spread)


def vectors_of(layers: nn.Module, tokens: Tensor) -> Tensor:
    """Return what the last layers make of tokens, in bfloat16 inside, which takes half of the time."""
    with torch.autocast("cpu", torch.bfloat16):
        return layers(tokens)


@cache
def read_tokens() -> tuple[Tensor, Tensor, np.ndarray]:
    """Return what the last layer sees of each post, (n, 16, 384), the vectors that it makes, (n, 384), and the topics.

    The posts are drawn from the earlier ones, so that they are all alike.
    """
    topics, is_later, texts = draw_posts()
    rows = np.sort(np.random.RandomState(0).permutation(np.flatnonzero(~is_later))[:NUM_POSTS])
    tokens = averaged(torch.from_numpy(token_vectors([texts[row] for row in rows], NUM_LAYERS)), NEIGHBOURS)
    layers = LastLayers(NUM_LAYERS)
    with torch.no_grad():
        vectors = torch.cat([vectors_of(layers, batch) for batch in tokens.split(250)])
    return tokens, vectors, topics[rows]


def averaged(tokens: Tensor, num: int) -> Tensor:
    """Return the means of each so many neighbours of a text, padding left out: (n, T, d) to (n, T / num, d).

    Examples
    --------
    >>> averaged(torch.tensor([[[1.0], [3.0], [5.0], [0.0]]]), 2)
    tensor([[[2.],
             [5.]]])
    """
    neighbours = tokens.unflatten(1, (-1, num))
    return neighbours.sum(dim=2) / (neighbours != 0).any(dim=3).sum(dim=2).clamp(min=1).unsqueeze(2)


@dataclass(frozen=True)
class Tuning:
    """One training: a piece of work.

    Attributes
    ----------
    topic : str
        The topic whose posts are positive.
    network : str
        :data:`HEAD` or :data:`LAYER`.
    method : str
        One of :data:`METHODS`.
    asked : tuple of str
        Names in :data:`OBJECTIVES`: one for the direct method, all for the others.
    seed : int
        Of the division of the rows, the first weights and the batches.
    epochs : int
    rate : float
        The learning rate of the head.
    """

    topic: str
    network: str
    method: str
    asked: tuple[str, ...]
    seed: int
    epochs: int = EPOCHS
    rate: float = RATE_OF_HEAD

    @property
    def key(self) -> str:
        """What finished work is known by."""
        return repr(self)

    @property
    def title(self) -> str:
        """What progress calls it."""
        return f"{self.network}, {self.method}"

    def run(self) -> list[runner.Row]:
        """Train, and return a row an epoch for each objective; on the topic for development the last one alone."""
        torch.set_num_threads(1)
        tokens, vectors, topics = read_tokens()
        x = vectors if self.network == HEAD else tokens
        labels = (topics == self.topic).astype(np.float64)
        rows = rows_of(self, x, labels, vectors)
        return list({row["data"]: row for row in rows}.values()) if self.topic == FOR_DEVELOPMENT else rows


def rows_of(cell: Tuning, x: Tensor, labels: np.ndarray, vectors: Tensor) -> list[runner.Row]:
    """Train on rows x; the head sees vectors standardised as those of all rows are before the training."""
    torch.manual_seed(cell.seed)
    mean, spread = vectors.mean(dim=0), vectors.std(dim=0)
    spread = torch.where(spread > LEAST_SPREAD, spread, 1.0)
    is_grouped = cell.method == REGROUPED
    head = GroupedHead(len(mean), NUM_GROUPS) if is_grouped else nn.Linear(len(mean), 1)
    model = Tuned(nn.Identity() if cell.network == HEAD else LastLayers(NUM_LAYERS), head, mean, spread)
    solver: Any = {
        DIRECT: "profiled",
        PLAIN: "cross_entropy",
        WEIGHTED: WeightedCrossEntropy(),
        FOCAL: FocalLoss(),
        REGROUPED: Regrouping(model) if is_grouped else None,
    }[cell.method]
    found = train_with_curve(
        model,
        x,
        labels,
        {name: OBJECTIVES[name] for name in cell.asked},
        solver,
        seed=cell.seed,
        epochs=cell.epochs,
        batch_size=BATCH_SIZE,
        optimizer=lambda parameters: torch.optim.Adam(
            [
                {"params": model.head.parameters(), "lr": cell.rate},
                {"params": list(model.layers.parameters()), "lr": RATE_OF_LAYERS},
            ]
        ),
    )
    known = {"topic": cell.topic, "network": cell.network, "method": cell.method, "seed": cell.seed}
    known |= {"epochs": cell.epochs, "rate": cell.rate}
    return [{"data": name, **known, **row} for name, rows in found.items() for row in rows]


def cells_of(num_seeds: int = NUM_SEEDS, epochs: int | None = None) -> list[Tuning]:
    """Return all work; the direct method and cross-entropy come first. None takes the epochs of each method."""
    both = tuple(OBJECTIVES)
    main: list[tuple[str, tuple[str, ...]]] = [(PLAIN, both), *((DIRECT, (name,)) for name in OBJECTIVES)]
    others = [(method, both) for method in METHODS[2:]]
    kinds: Iterable[tuple[list[tuple[str, tuple[str, ...]]], str]] = (
        *((main, network) for network in (HEAD, LAYER)),
        *((others, network) for network in (HEAD, LAYER)),
    )
    cells = []
    for methods, network in kinds:
        for seed, (method, asked) in product(range(num_seeds), methods):
            own_epochs, rate = BUDGETS_OF_HEADS[method] if network == HEAD else (EPOCHS, RATE_OF_HEAD)
            cells.append(Tuning(TOPIC, network, method, asked, seed, own_epochs if epochs is None else epochs, rate))
    return cells


def cells_for_development() -> list[Tuning]:
    """Return the heads on the other topic, by which their epochs and rates are chosen."""
    both = tuple(OBJECTIVES)
    return [
        Tuning(FOR_DEVELOPMENT, HEAD, method, asked, seed, epochs, rate)
        for epochs, rate in TRIED
        for method in METHODS
        for asked in ([(name,) for name in OBJECTIVES] if method == DIRECT else [both])
        for seed in range(NUM_SEEDS)
    ]


def tried(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what test scores of heads on the other topic allow, in the mean of objectives and seeds, by budget."""
    table = frame.pivot_table(index=["epochs", "rate"], columns="method", values="returned_test_value", sort=False)
    return table.rename(lambda epochs: f"{epochs} epochs", level=0).rename(lambda rate: f"rate {rate:g}", level=1)


_READING = (
    f"{NUM_POSTS:,} posts, of which two fifths train, one fifth chooses epoch and threshold, and two fifths test; each "
    "seed divides them anew. Train and test are the best values that the scores of the returned weights allow on these "
    "rows. Delivered is the test value at the threshold that the held-out rows support, for a bound with confidence "
    ".9, and 0 where they support none or the bound fails on the test rows. Intervals are t-intervals at 95 % over the "
    "seeds, paired; nothing is corrected for the number of comparisons."
)


def capacity(frame: pd.DataFrame) -> pd.DataFrame:
    """Return for each objective and method what the last layer adds to a head alone, paired over the seeds."""
    return means(frame.assign(network=frame["method"], method=frame["network"]), HEAD)


def conclusions(frame: pd.DataFrame) -> list[str]:
    """Say what the direct method gains over cross-entropy, with a head alone and with the last layer."""
    runs = frame.drop_duplicates(TRAINING)
    said = []
    for (data, network), own in runs.groupby(["data", "network"], sort=False):
        of_test, of_train, delivered = (
            gain(own, DIRECT, PLAIN, column) for column in ("returned_test_value", "returned_train_value", "delivered")
        )
        if of_test:
            said.append(
                f"**{data}, {network}**: {DIRECT} minus {PLAIN} {of_test} on test rows, {of_train} on training rows; "
                f"delivered {delivered}."
            )
    return said


def main(quick: Quick = False, processes: Processes = 1) -> None:
    """Fine-tune a text encoder's last layer; what the results hold, or a killed run left, is not run again."""
    cells = cells_of(1, 1) if quick else [*cells_for_development(), *cells_of()]
    file, published = files.RUNS / f"fine_tuning{'-quick' * quick}.jsonl", files.RESULTS / "fine_tuning.csv"
    if quick:
        file.unlink(missing_ok=True)
    elif published.exists():
        runner.take_over(cells, _with_cells(pd.read_csv(published, keep_default_na=False)), file)
    failed = runner.run("fine_tuning", cells, file, processes, Console(stderr=True))
    everything = pd.DataFrame(runner.rows_of(cells, file)).drop(columns="cell")
    frame = everything[everything["topic"] == TOPIC]
    tables = {
        "What scores allow, and what is delivered": means(frame, PLAIN),
        f"What the {LAYER} adds to a {HEAD} alone": capacity(frame),
    }
    if not quick:
        other = everything[everything["topic"] == FOR_DEVELOPMENT]
        tables[f"Heads alone on {FOR_DEVELOPMENT}: what test scores allow, by epochs and rate"] = tried(other)
    said = [_READING, *conclusions(frame), *(f"Failed: {cell}: {error}" for cell, error in failed.items())]
    finish("fine_tuning", "A text encoder, fine-tuned", everything.to_dict("records"), tables, quick, said)
    if not quick:
        picture = curves(frame, LAYER, "best value within the bound", COLORS)
        picture.savefig(files.RESULTS / "fine_tuning.png", dpi=110, metadata={"Software": None})


def _with_cells(published: pd.DataFrame) -> list[runner.Row]:
    """Return the rows of a table of results with the cells that they come from."""
    rows = published.to_dict("records")
    for row in rows:
        asked = (str(row["data"]),) if row["method"] == DIRECT else tuple(OBJECTIVES)
        of = str(row["topic"]), str(row["network"]), str(row["method"]), asked, int(row["seed"])
        row["cell"] = Tuning(*of, int(row["epochs"]), float(row["rate"])).key
    return rows
