"""Tokens made up here, and a small layer in the place of the encoder's last one."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from benchmarks.reporting import files
from benchmarks.studies import fine_tuning
from benchmarks.studies.fine_tuning import (
    BUDGETS_OF_HEADS,
    DIRECT,
    HEAD,
    LAYER,
    METHODS,
    OBJECTIVES,
    PLAIN,
    Tuning,
    capacity,
    cells_for_development,
    cells_of,
    conclusions,
    rows_of,
    tried,
)

RANDOM = np.random.RandomState(0)
LABELS = (RANDOM.rand(300) < 0.2).astype(np.float64)
TOKENS = torch.from_numpy((RANDOM.randn(300, 5, 6) + LABELS[:, None, None]).astype(np.float32))


class Layer(nn.Module):
    def __init__(self, num_layers):
        super().__init__()
        torch.manual_seed(1)  # pretrained: the same for everyone
        self.linear = nn.Linear(6, 6)

    def forward(self, tokens):
        return self.linear(tokens).tanh().mean(dim=1)


@pytest.fixture
def trained(monkeypatch):
    """Give the rows of every method on the last layer, and those of cross-entropy on a head alone."""
    monkeypatch.setattr(fine_tuning, "LastLayers", Layer)
    rows = []
    for cell in cells_of(num_seeds=1, epochs=2):
        if cell.network == HEAD and cell.method != PLAIN:
            continue
        x = TOKENS if cell.network == LAYER else TOKENS.mean(dim=1)
        rows += rows_of(cell, x, LABELS, TOKENS.mean(dim=1))
    return pd.DataFrame(rows)


def test_every_method_is_judged_by_every_objective(trained):
    runs = trained.drop_duplicates(["data", "network", "method", "seed"])
    assert len(runs) == len(OBJECTIVES) * (len(METHODS) + 1) and set(runs["data"]) == set(OBJECTIVES)
    assert trained[["train_value", "test_value", "delivered"]].stack().between(0, 1).all()
    table = capacity(pd.concat([trained, trained.assign(seed=1)]))
    line = table.loc["F1", PLAIN, LAYER]
    by_network = runs[(runs["data"] == "F1") & (runs["method"] == PLAIN)].set_index("network")["returned_test_value"]
    assert line[f"test, minus {HEAD}"].startswith(f"{by_network[LAYER] - by_network[HEAD]:+.4f}")


def test_the_layers_move_at_their_own_rate(monkeypatch):
    made = []
    adam = torch.optim.Adam
    monkeypatch.setattr(fine_tuning, "LastLayers", Layer)
    monkeypatch.setattr(torch.optim, "Adam", lambda groups: made.append(adam(groups)) or made[-1])
    rows_of(Tuning("x", LAYER, PLAIN, ("F1",), 0, 1), TOKENS, LABELS, TOKENS.mean(dim=1))
    sizes = [(group["lr"], sum(weight.numel() for weight in group["params"])) for group in made[0].param_groups]
    assert sizes == [(fine_tuning.RATE_OF_HEAD, 7), (fine_tuning.RATE_OF_LAYERS, 42)]


def test_what_the_results_hold_is_known_by_its_cell():
    cells = cells_of()
    assert len({cell.key for cell in cells}) == len(cells) == 2 * fine_tuning.NUM_SEEDS * (len(METHODS) + 1)
    for cell in [*cells, *cells_for_development()]:
        known = {"topic": cell.topic, "network": cell.network, "method": cell.method, "seed": cell.seed}
        known |= {"epochs": cell.epochs, "rate": cell.rate}
        published = pd.DataFrame([{"data": name, **known} for name in cell.asked])
        assert {row["cell"] for row in fine_tuning._with_cells(published)} == {cell.key}
    assert {cell.method for cell in cells if len(cell.asked) == 1} == {DIRECT}


def test_gains_are_paired_over_the_seeds_that_both_methods_have():
    rows = [
        {"data": "F1", "network": LAYER, "method": method, "seed": seed, "delivered": 0.0}
        | {"returned_test_value": 0.1 * seed + extra, "returned_train_value": 0.5 + extra}
        for method, extra, num in ((DIRECT, 0.25, 4), (PLAIN, 0.0, 3))
        for seed in range(num)
    ]
    (said,) = conclusions(pd.DataFrame(rows))
    assert "direct minus cross-entropy +0.2500 [+0.2500, +0.2500] on test rows" in said
    assert conclusions(pd.DataFrame([row for row in rows if row["method"] == DIRECT])) == []


def test_heads_have_the_budget_that_does_best_on_the_other_topic():
    rows = pd.read_csv(files.RESULTS / "fine_tuning.csv")
    best = tried(rows[rows["topic"] == fine_tuning.FOR_DEVELOPMENT]).idxmax()
    chosen = {method: (f"{epochs} epochs", f"rate {rate:g}") for method, (epochs, rate) in BUDGETS_OF_HEADS.items()}
    assert best.to_dict() == chosen
    assert {cell.epochs for cell in cells_of() if cell.network == LAYER} == {fine_tuning.EPOCHS}
