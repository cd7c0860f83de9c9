"""Heads on sets made up here: which work there is, and what is said of all sets together."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.data.fashion import KINDS
from benchmarks.data.newsgroups import TOPICS
from benchmarks.data.problem import BenchmarkData
from benchmarks.reporting.heads import gains_by_family
from benchmarks.reporting.statistics import t_interval
from benchmarks.running.heads import DIRECT, METHODS, OBJECTIVES, PLAIN
from benchmarks.studies import compact_heads
from benchmarks.studies.compact_heads import FAMILIES, CompactHeads, cells_of

BOUND = "recall at precision .8"


def test_every_topic_and_kind_is_trained_by_every_method_for_every_objective():
    cells = cells_of()
    assert len({cell.key for cell in cells}) == len(cells)
    done = {(cell.dataset, cell.method, name) for cell in cells for name in cell.objectives}
    assert done == {(name, method, asked) for name in (*TOPICS, *KINDS) for method in METHODS for asked in OBJECTIVES}


def test_a_cell_trains_on_its_set(monkeypatch):
    random = np.random.RandomState(0)
    labels = (random.rand(600) < 0.15).astype(np.float64)
    features = random.randn(600, 5) + 2 * labels[:, np.newaxis]
    loaded = []

    def load(name):
        loaded.append(name)
        return BenchmarkData(name, features, labels, "", "", "")

    monkeypatch.setattr(compact_heads, "SETS", {"coat": load})
    rows = CompactHeads("coat", DIRECT, (BOUND,), num_splits=2, num_steps=20).run()
    assert loaded == ["coat"] and [row["split"] for row in rows] == [0, 1]
    assert {(row["dataset"], row["method"], row["asked"]) for row in rows} == {("coat", DIRECT, BOUND)}


def test_gains_are_those_of_the_means_over_sets_and_over_splits():
    random = np.random.RandomState(0)
    rows = [
        {"dataset": dataset, "split": split, "method": method, "asked": BOUND, "test_curve_value": random.rand()}
        | {"bounded": "precision", "bound": 0.8, "test_value": 0.5}
        | {"test_tp": 5, "test_fp": 1 + 9 * (method == PLAIN), "test_fn": 5, "test_tn": 90}
        for dataset in (*TOPICS[:3], *KINDS[:2])
        for split in range(4)
        for method in (DIRECT, PLAIN)
    ]
    found = gains_by_family(pd.DataFrame(rows), FAMILIES)
    allowed, got = (
        found[f"{BOUND}, {what}: {DIRECT} minus the other"] for what in ("what test scores allow", "delivered")
    )
    values = pd.DataFrame(rows).pivot(index=["dataset", "split"], columns="method", values="test_curve_value")
    gain = (values[DIRECT] - values[PLAIN]).unstack("split")
    assert allowed.loc["all, over the splits", PLAIN] == str(t_interval(gain.mean(axis=0)))
    assert allowed.loc["all, over the sets", PLAIN] == str(t_interval(gain.mean(axis=1)))
    assert allowed.loc["topics, over the sets", PLAIN] == str(t_interval(gain.loc[list(TOPICS[:3])].mean(axis=1)))
    assert allowed.loc["kinds of clothes, over the splits", PLAIN] == str(t_interval(gain.loc[list(KINDS[:2])].mean()))
    assert set(got[PLAIN]) == {"+0.5000 [+0.5000, +0.5000]"}  # cross-entropy breaks the bound
    of_topics = gains_by_family(pd.DataFrame(rows[:-16]), FAMILIES)[f"{BOUND}, delivered: {DIRECT} minus the other"]
    assert set(of_topics.index) == {
        f"{family}, over the {of}" for family in ("topics", "all") for of in ("splits", "sets")
    }


@pytest.mark.parametrize("cell", [cells_of()[0], cells_of()[-1]])
def test_what_the_results_hold_is_known_by_its_cell(cell):
    known = {"dataset": cell.dataset, "method": cell.method, "bounded": "", "split": 0}
    rows = compact_heads._with_cells(pd.DataFrame([{"asked": name, **known} for name in cell.objectives]))
    assert {row["cell"] for row in rows} == {cell.key} and {row["bounded"] for row in rows} == {""}
