import numpy as np
import pandas as pd
import pytest

from benchmarks.peers.fairness import FairRows, exponentiated_gradient, oxonfair_thresholds, threshold_optimizer
from benchmarks.studies.programs_tables import OURS, Outcome, Split, ours, paired, summary
from metricopt.problem.program import Program

PROGRAM = Program("recall", ["precision >= 0.5", "recall >= 0.4 in every subgroup"])


def rows(seed, num_rows=600):
    random = np.random.default_rng(seed)
    labels = (random.random(num_rows) < 0.3).astype(int)
    subgroup = np.array(["a", "b"])[random.integers(0, 2, num_rows)]
    scores = random.normal(size=num_rows) + 2 * labels + 0.5 * (subgroup == "b")
    return 1 / (1 + np.exp(-scores)), labels, subgroup


def test_alarms_are_judged_bound_by_bound_and_subgroup_by_subgroup():
    labels = np.array([1, 1, 0, 0, 1, 1, 0, 0])
    subgroup = np.array(list("aaaabbbb"))
    outcome = Outcome.of(PROGRAM, np.array([1, 1, 1, 0, 0, 0, 0, 0]), labels, subgroup)
    assert outcome.value == 0.5 and outcome.missed == pytest.approx((0, 0, 1.0))  # recall 0 in b, all of .4 missed
    told = outcome.told(True)
    assert told["met"] == 0 and told["delivered"] == 0 and told["net"] == pytest.approx(-0.5)
    assert outcome.told(False)["net"] == 0 and outcome.told(False)["met"] is None
    assert Outcome.of(PROGRAM, np.array([1, 1, 1, 0, 1, 0, 0, 0]), labels, subgroup).told(True)["delivered"] == 0.75


def test_our_thresholds_keep_the_bounds_of_the_rows_that_chose():
    known, new = rows(0), rows(1)
    folds = np.arange(600) % 5
    split = Split(PROGRAM, "", 0, (known[0], new[0]), (known[1], new[1]), (known[2], new[2]), folds)
    for own in (False, True):
        told = ours(split, (known[0], new[0]), own, 0.9)
        assert told["claimed"] == 1 and told["met"] == 1 and told["delivered"] > 0.4


def test_peers_are_asked_for_what_they_can_be_asked_for():
    pytest.importorskip("fairlearn")
    pytest.importorskip("oxonfair")
    values, labels, subgroup = rows(2, 300)
    known = FairRows(values, labels, subgroup)

    def judge(alarms):
        return Outcome.of(PROGRAM, alarms, labels, subgroup).key

    found = {
        "OxonFair": oxonfair_thresholds(known, [("precision", "overall", 0.5), ("recall", "min", 0.4)]),
        "ThresholdOptimizer": threshold_optimizer(known, "true_positive_rate_parity", judge, 0),
    }
    features = FairRows(np.column_stack([values, subgroup == "b"]).astype(float), labels, subgroup)
    gradient = exponentiated_gradient(features, features, "true_positive_rate_parity", judge, 0)
    assert judge(found["OxonFair"](values, subgroup))[0] == 0  # all bounds met
    recalls = [found["ThresholdOptimizer"](values, subgroup)[(subgroup == g) & (labels == 1)].mean() for g in "ab"]
    assert abs(recalls[0] - recalls[1]) < 0.1
    assert set(gradient(features.values, subgroup)) == {0, 1}


def test_tables_average_splits_within_sets_and_compare_split_by_split():
    head = [{"asked": "x", "dataset": d, "split": s} for d in "pq" for s in (0, 1, 2)]
    frame = pd.DataFrame(
        [
            {
                **each,
                "method": m,
                "claimed": 1,
                "met": 1,
                "delivered": v + 0.1 * each["split"],
                "net": v,
                "shortfall": 0.0,
            }
            for each in head
            for m, v in ((OURS, 0.5), ("other", 0.4))
        ]
    ).assign(seconds=0.1)
    assert summary(frame).loc[OURS, "delivered"] == pytest.approx(0.6)
    assert paired(frame).loc["other", "delivered"] == "+0.100 +- 0.000"
