"""Heads on features made up here: which rows train and judge, and that methods differ in nothing else."""

import numpy as np
import pytest
import torch

from benchmarks.data.problem import BenchmarkData
from benchmarks.running.heads import (
    DIRECT,
    LOSSES,
    METHODS,
    OBJECTIVES,
    OVERSAMPLED,
    PLAIN,
    divide,
    oversampled,
    rows_of,
    train,
    training_for,
    trainings_of,
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


def trained(data, method, *, objectives=(BOUND,), num_splits=3):
    return rows_of(data, method, objectives, num_splits, 20)


def test_later_rows_test_and_elsewhere_two_fifths():
    known, tested = divide(made_up(LATER))
    assert (known == np.arange(400)).all() and (tested == np.arange(400, 600)).all()
    known, tested = divide(made_up())
    assert sorted([*known, *tested]) == list(range(600)) and len(tested) == 240


def test_test_labels_decide_nothing_that_is_not_theirs():
    """Other test labels leave thresholds alone, and other test features leave thresholds alone too."""
    rows = trained(made_up(LATER), DIRECT)
    changed = BenchmarkData("made_up", FEATURES.copy(), LABELS.copy(), "", "", "", later=LATER)
    changed.labels[400:] = LABELS[400:][::-1]
    changed.features[400:] *= 3
    others = trained(changed, DIRECT)
    assert [row["threshold"] for row in rows] == [row["threshold"] for row in others]
    assert np.isfinite([row["threshold"] for row in rows]).any()
    assert [row["test_curve_value"] for row in rows] != [row["test_curve_value"] for row in others]


def test_a_split_of_many_is_judged_on_half_of_the_test_rows_and_in_its_own_way():
    rows = trained(made_up(LATER), PLAIN, objectives=("F1",))
    assert [row["split"] for row in rows] == [0, 1, 2]
    sizes = {row["test_tp"] + row["test_fp"] + row["test_fn"] + row["test_tn"] for row in rows}
    assert sizes == {100}
    assert len({row["threshold"] for row in rows}) == 3


@pytest.mark.parametrize("method", [*LOSSES, OVERSAMPLED])
def test_methods_without_an_objective_are_judged_by_all(method):
    rows = trained(made_up(LATER), method, objectives=tuple(OBJECTIVES), num_splits=2)
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


@pytest.mark.parametrize("method", METHODS)
def test_each_objective_is_served_by_one_training(method):
    assert sorted(name for served in trainings_of(method) for name in served) == sorted(OBJECTIVES)
    assert all(training_for(method, name) == served for served in trainings_of(method) for name in served)
