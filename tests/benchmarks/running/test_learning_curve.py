"""One small training with its curve; a second objective chooses among the same epochs."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.running.learning_curve import allowed, scores_of, train_with_curve
from metricopt.data import stratified_split
from metricopt.problem.objectives import FPOR, OFBS

RANDOM = np.random.RandomState(0)
LABELS = (RANDOM.rand(400) < 0.2).astype(np.float64)
X = torch.from_numpy((RANDOM.randn(400, 3) + 1.5 * LABELS[:, np.newaxis]).astype(np.float32))
BOUND, OTHER = "recall at precision .8", "F1"


def test_what_scores_allow():
    scores, labels = np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([1.0, 1.0, 0.0, 1.0, 1.0])
    assert allowed(scores, labels, FPOR(0.8)) == 1.0  # 4 of 5 alarms are right
    assert allowed(-scores, 1 - labels, FPOR(0.8)) == 0.0


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))
    rows = train_with_curve(
        model,
        X,
        LABELS,
        {BOUND: FPOR(0.8), OTHER: OFBS(1.0)},
        "cross_entropy",
        seed=3,
        epochs=5,
        batch_size=32,
        optimizer=partial(torch.optim.Adam, lr=0.01),
    )
    return model, rows


def test_each_objective_has_a_row_an_epoch(trained):
    _, rows = trained
    for name in (BOUND, OTHER):
        assert [row["epoch"] for row in rows[name]] == [1, 2, 3, 4, 5]
        assert all(0 <= row["train_value"] <= 1 and 0 <= row["test_value"] <= 1 for row in rows[name])
        assert len({row["returned_test_value"] for row in rows[name]}) == 1
    assert rows[OTHER][-1]["test_value"] > 0.5  # it has learnt something


def test_what_is_returned_is_what_the_model_holds(trained):
    model, rows = trained
    train, _, test = stratified_split(LABELS, (0.4, 0.2, 0.4), 3)
    for part, own in (("train", train), ("test", test)):
        value = allowed(scores_of(model, X[own]), LABELS[own], FPOR(0.8))
        assert rows[BOUND][0][f"returned_{part}_value"] == pytest.approx(value)


def test_the_other_objective_takes_its_own_best_epoch(trained):
    _, rows = trained
    row = rows[OTHER][0]
    epoch = int(row["stage"].removeprefix("epoch "))
    assert row["returned_test_value"] == rows[OTHER][epoch - 1]["test_value"]
    assert 0 < row["delivered"] <= row["returned_test_value"]  # no cut is better than the best on the test rows


def test_scoring_leaves_the_mode_alone(trained):
    model, _ = trained
    model.train()
    first, again = scores_of(model, X), scores_of(model, X)
    assert model.training and (first == again).all()  # dropout was off
