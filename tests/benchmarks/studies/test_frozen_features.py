"""Heads on features made up here: which rows train and judge, and that methods differ in nothing else."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import ttest_1samp

from benchmarks.data.problem import BenchmarkData
from benchmarks.reporting import delivered
from benchmarks.reporting import heads as heads_shown
from benchmarks.studies import frozen_features
from benchmarks.studies.frozen_features import (
    DIRECT,
    LOSSES,
    OBJECTIVES,
    OVERSAMPLED,
    PLAIN,
    Heads,
    cells_of,
    divide,
    longer_cells,
    oversampled,
    rows_of,
    train,
)
from metricopt.evidence.folds import make_folds
from metricopt.problem.objectives import OAP

RANDOM = np.random.RandomState(0)
LABELS = (RANDOM.rand(600) < 0.15).astype(np.float64)
FEATURES = RANDOM.randn(600, 5) + 2 * LABELS[:, np.newaxis]
LATER = np.arange(600) >= 400
BOUND = "recall at precision .8"


def made_up(later=None):
    return BenchmarkData("made_up", FEATURES, LABELS, "", "", "", later=later)


def heads(method, *, objectives=(BOUND,), num_splits=3, num_steps=20):
    return Heads("made_up", method, objectives, num_splits, num_steps)


def test_later_rows_test_and_elsewhere_two_fifths():
    known, tested = divide(made_up(LATER))
    assert (known == np.arange(400)).all() and (tested == np.arange(400, 600)).all()
    known, tested = divide(made_up())
    assert sorted([*known, *tested]) == list(range(600)) and len(tested) == 240


def test_test_labels_decide_nothing_that_is_not_theirs():
    """Other test labels leave thresholds alone, and other test features leave thresholds alone too."""
    rows = rows_of(made_up(LATER), heads(DIRECT))
    changed = BenchmarkData("made_up", FEATURES.copy(), LABELS.copy(), "", "", "", later=LATER)
    changed.labels[400:] = LABELS[400:][::-1]
    changed.features[400:] *= 3
    others = rows_of(changed, heads(DIRECT))
    assert [row["threshold"] for row in rows] == [row["threshold"] for row in others]
    assert np.isfinite([row["threshold"] for row in rows]).any()
    assert [row["test_curve_value"] for row in rows] != [row["test_curve_value"] for row in others]


def test_a_split_of_many_is_judged_on_half_of_the_test_rows_and_in_its_own_way():
    rows = rows_of(made_up(LATER), heads(PLAIN, objectives=("F1",)))
    assert [row["split"] for row in rows] == [0, 1, 2]
    sizes = {row["test_tp"] + row["test_fp"] + row["test_fn"] + row["test_tn"] for row in rows}
    assert sizes == {100}
    assert len({row["threshold"] for row in rows}) == 3


@pytest.mark.parametrize("method", [*LOSSES, OVERSAMPLED])
def test_methods_without_an_objective_are_judged_by_all(method):
    rows = rows_of(made_up(LATER), heads(method, objectives=tuple(OBJECTIVES), num_splits=2))
    assert [row["asked"] for row in rows] == [name for name in OBJECTIVES for _ in range(2)]
    by_name = {row["asked"]: row for row in rows if row["split"] == 1}
    assert by_name["average precision"]["test_curve_value"] > 2 * LABELS[400:].mean()  # it has learnt something
    assert by_name["recall at precision .9"]["test_curve_value"] <= by_name[BOUND]["test_curve_value"]
    assert by_name["F1"]["bounded"] == "" and by_name[BOUND]["bound"] == 0.8


def test_repeated_positives_stay_in_their_folds_and_behind_the_rows():
    labels = np.stack([np.where(np.arange(100) < 10, 1.0, 0.0)] * 2, axis=1)
    labels[3, 0], labels[50, 1] = np.nan, np.nan
    rows = oversampled(labels)
    assert (rows[:100] == np.arange(100)).all()
    assert len(rows) == 100 + round(0.3 * 90) - 10 and (rows[100:] < 10).all()
    more = np.where(np.arange(100) < 60, 1.0, 0.0)[:, np.newaxis]
    assert (oversampled(more) == np.arange(100)).all()  # as many already


def test_splits_side_by_side_are_as_if_alone():
    """A column's head is that of a training without the other columns, but for the epoch that is chosen."""
    labels = np.stack([np.where(np.arange(400) % 5 == split, np.nan, LABELS[:400]) for split in range(2)], axis=1)
    features, folds = torch.from_numpy(FEATURES[:400]).float(), make_folds(5, LABELS[:400], seed=0)
    torch.manual_seed(0)
    together = train(features, labels, folds, PLAIN, OAP(), 200)
    alone = train(features, labels[:, 1:], folds, PLAIN, OAP(), 200)
    scores = [result.model(features)[:, -1].detach().numpy() for result in (together, alone)]
    assert np.corrcoef(*scores)[0, 1] > 0.98


def test_differences_are_paired_over_the_splits():
    rows = [row for method in (DIRECT, PLAIN) for row in rows_of(made_up(LATER), heads(method, num_splits=4))]
    frame = pd.DataFrame(rows)
    found = heads_shown.tables(frame)
    by_split = frame.pivot(index="split", columns="method", values="test_curve_value")
    gain = by_split[DIRECT] - by_split[PLAIN]
    interval = ttest_1samp(gain, 0).confidence_interval()
    shown = found[f"{BOUND}: {DIRECT} minus the other, paired over the splits"].loc["made_up", PLAIN]
    assert shown == f"{gain.mean():+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"
    got = found[f"{BOUND}: delivered at the deployed threshold"].loc["made_up", DIRECT]
    assert got == pytest.approx(delivered.delivered(frame[frame["method"] == DIRECT]).mean())
    assert "above on" in heads_shown.conclusions(frame)[0]


def test_more_steps_stand_beside_few_where_there_are_some():
    made = [
        {"dataset": "made_up", "asked": asked, "method": method, "split": split, "steps": steps, "stage": "warm-up"}
        | {"test_curve_value": 0.5 + 0.1 * (method == DIRECT) * (steps == 1000) + 0.01 * split}
        | {"bounded": "precision", "bound": 0.8, "test_value": 0.5 + 0.3 * (method == DIRECT)}
        | {"test_tp": 8, "test_fp": 2 * (steps == 1000), "test_fn": 2, "test_tn": 90}
        for asked, budgets in ((BOUND, (300, 1000)), ("F1", (300,)))
        for steps in budgets
        for method in (DIRECT, PLAIN)
        for split in range(3)
    ]
    table = heads_shown.by_steps(pd.DataFrame(made), frozen_features.MORE_STEPS)
    assert list(table.index) == [f"made_up, {BOUND}, 1000 steps", f"made_up, {BOUND}, 300 steps"]
    assert [cell.split()[0] for cell in table["difference"]] == ["+0.1000", "+0.0000"]
    assert [cell.split()[0] for cell in table["delivered, difference"]] == ["+0.3000", "+0.3000"]


def test_what_the_results_hold_is_known_by_its_cell(tmp_path):
    cells = [*cells_of(root=tmp_path), *longer_cells()]
    assert len({cell.key for cell in cells}) == len(cells)
    for cell in cells:
        known = {"dataset": cell.dataset, "method": cell.method, "steps": cell.num_steps, "bounded": "", "split": 0}
        published = pd.DataFrame([{"asked": name, **known} for name in cell.objectives])
        rows = frozen_features.with_cells(published)
        assert {row["cell"] for row in rows} == {cell.key} and "steps" not in rows[0]


def test_a_set_of_a_folder_is_there_if_the_folder_is(tmp_path):
    sets = {cell.dataset for cell in cells_of(root=tmp_path)}
    assert sets - {cell.dataset for cell in cells_of()} == {"spam"}
    with pytest.raises(FileNotFoundError, match="no mails in"):
        Heads("spam", PLAIN, (BOUND,), root=tmp_path).run()
