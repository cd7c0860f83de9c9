"""Small networks on data made up here, for as many epochs as it takes to see what is written down."""

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.reporting.learning_curves import curves, means
from benchmarks.studies import networks
from benchmarks.studies.networks import (
    FULL,
    LINEAR,
    METHODS,
    NARROW,
    PLAIN,
    REGROUPED,
    SmallNetwork,
    cells_of,
    gains,
    network,
    run_one,
)
from metricopt.solvers import GroupedHead

SERIES, IMAGES = "heartbeats, 6 %", "dresses, 5 %"


def made_up():
    random = np.random.RandomState(0)
    labels = (random.rand(300) < 0.2).astype(np.float64)
    series = random.randn(300, 1, 140).astype(np.float32)
    series[:, 0, 40:60] += 2 * labels[:, np.newaxis]
    return torch.from_numpy(series), labels


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.setattr(networks, "DATA", {SERIES: made_up})
    return [row for method in METHODS for row in run_one(SERIES, FULL, method, 0, epochs=3)]


def test_networks_grow_and_take_their_data():
    for data, shape in ((SERIES, (2, 1, 140)), (IMAGES, (2, 1, 28, 28))):
        models = [network(data, size) for size in (LINEAR, NARROW, FULL)]
        assert all(model(torch.zeros(shape)).shape == (2, 1) for model in models)
    assert isinstance(network(IMAGES, FULL, is_grouped=True)[-1], GroupedHead)


def test_every_epoch_leaves_a_row_and_the_last_columns_are_those_of_what_is_returned(rows):
    frame = pd.DataFrame(rows)
    assert list(frame["epoch"]) == [1, 2, 3] * len(METHODS)
    assert frame[["train_value", "test_value", "returned_test_value", "delivered"]].stack().between(0, 1).all()
    plain = frame[frame["method"] == PLAIN]
    assert plain["returned_train_value"].iloc[0] in plain["train_value"].tolist()
    table = means(frame, PLAIN)
    assert list(table.index) == [(SERIES, FULL, method) for method in METHODS]
    assert set(table[f"test, minus {PLAIN}"]) == {""}  # one seed has no interval
    axes = curves(frame, FULL, "recall", networks.COLORS).axes[0]
    assert len(axes.lines) == 2 * len(METHODS)
    test_of_regrouping = axes.lines[-1].get_ydata()
    assert list(test_of_regrouping) == list(frame[frame["method"] == REGROUPED]["test_value"])


def test_what_the_results_hold_is_known_by_its_cell():
    cells = cells_of()
    published = pd.DataFrame([{"data": SERIES, "network": FULL, "method": PLAIN, "seed": 9, "delivered": 0.5}])
    assert networks._with_cells(published)[0]["cell"] == SmallNetwork(SERIES, FULL, PLAIN, 9).key
    assert SmallNetwork(SERIES, FULL, PLAIN, 9) in cells and SmallNetwork(SERIES, LINEAR, PLAIN, 9) not in cells
    assert len({cell.key for cell in cells}) == len(cells)


def test_gains_are_paired_over_the_seeds():
    rows = [
        {"data": data, "network": FULL, "method": method, "seed": seed, "returned_test_value": value, "delivered": 0.0}
        for data, extra in ((SERIES, 0.1), (IMAGES, 0.3))
        for seed in range(3)
        for method, value in ((networks.DIRECT, 0.1 * seed + extra), (PLAIN, 0.1 * seed))
    ]
    table = gains(pd.DataFrame(rows))["test recall that scores allow"]
    assert list(table) == ["+0.1000 [+0.1000, +0.1000]", "+0.3000 [+0.3000, +0.3000]", "+0.2000 [+0.2000, +0.2000]"]
