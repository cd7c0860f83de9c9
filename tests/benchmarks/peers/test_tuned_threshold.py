from functools import cache

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, fbeta_score, make_scorer, precision_score, recall_score
from sklearn.model_selection import StratifiedKFold, TunedThresholdClassifierCV, cross_val_score

from benchmarks.peers import tuned_threshold
from benchmarks.peers.tuned_threshold import goodness, gradient_boosting, logistic_regression
from metricopt import FPOR, FROP, OAP, OFBS, RecallAtFPR, choose_threshold
from metricopt._validation import InvalidInputError

OBJECTIVES = [FPOR(0.6), FROP(0.7), FPOR(1.0), OFBS(2.0), RecallAtFPR(0.1)]


def blobs(num_rows, seed):
    random = np.random.default_rng(seed)
    labels = (random.random(num_rows) < 0.25).astype(np.float64)
    return random.normal(size=(num_rows, 3)) + 1.2 * labels[:, None], labels


PARTS = (*blobs(200, 0), *blobs(80, 1), blobs(60, 2)[0])


@cache
def trained(objective, seed=0):
    return logistic_regression(objective, *PARTS, seed)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_goodness_orders_thresholds_as_the_exact_choice_does(objective, seed):
    random = np.random.default_rng(seed)
    labels = (random.random(40) < 0.3).astype(np.float64)
    scores = np.round(random.normal(size=40) + labels, 1)
    cuts = [*np.unique(scores), np.inf]
    values = [goodness(labels, (scores >= cut).astype(int), objective) for cut in cuts]
    exact = choose_threshold(scores, labels, objective)
    assert (max(values) >= 0) == exact.feasible
    if exact.feasible:
        assert max(values) == pytest.approx(exact.value)
    # As choose_threshold puts any two: what holds the bound first, by value; what misses it by how near it comes.
    keys = []
    for cut in cuts:
        flagged = scores >= cut
        if isinstance(objective, OFBS):
            keys.append((1, fbeta_score(labels, flagged, beta=2)))
            continue
        precision = precision_score(labels, flagged, zero_division=0)
        recall = recall_score(labels, flagged)
        if isinstance(objective, FPOR):
            holds, value, bounded = flagged.any() and precision >= objective.bound, recall, precision
        elif isinstance(objective, FROP):
            holds, value, bounded = recall >= objective.bound, precision, recall
        else:
            bounded = -flagged[labels == 0].mean()
            holds, value = -bounded <= objective.bound, recall
        keys.append((1, value) if holds else (0, bounded))
    order = sorted(range(len(cuts)), key=keys.__getitem__)
    assert (np.diff([values[place] for place in order]) >= -1e-12).all()
    for one in range(len(cuts)):
        for other in range(len(cuts)):
            assert (values[one] > values[other] + 1e-9) == (keys[one] > keys[other]) or keys[one][0] != keys[other][0]


def test_goodness_by_hand():
    labels = np.array([1, 1, 1, 0, 0])
    assert goodness(labels, np.array([1, 1, 0, 0, 0]), FPOR(0.9)) == pytest.approx(2 / 3)
    assert goodness(labels, np.array([1, 1, 0, 1, 0]), FPOR(0.9)) == pytest.approx(2 / 3 - 0.9)
    assert goodness(labels, np.zeros(5), FPOR(0.9)) == pytest.approx(-0.9)
    assert goodness(labels, np.array([1, 1, 0, 1, 0]), FROP(0.9)) == pytest.approx(2 / 3 - 0.9)
    assert goodness(labels, np.array([1, 1, 1, 1, 0]), FROP(0.9)) == pytest.approx(3 / 4)
    assert goodness(labels, np.array([1, 0, 0, 1, 0]), RecallAtFPR(0.1)) == pytest.approx(0.1 - 0.5)


@pytest.mark.parametrize("objective", [FPOR(0.6), OFBS(1.0)], ids=str)
def test_the_threshold_and_the_setting_are_scikit_learns_own(objective):
    def score(labels, predictions):
        hits, alarms, positives = (labels * predictions).sum(), predictions.sum(), labels.sum()
        if isinstance(objective, OFBS):
            return 2 * hits / (alarms + positives)
        precision = hits / max(alarms, 1)
        return hits / positives if precision >= 0.6 else precision - 0.6

    features, labels = np.concatenate(PARTS[::2][:2]), np.concatenate(PARTS[1:4:2])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    tuned = [
        TunedThresholdClassifierCV(LogisticRegression(C=strength, max_iter=5000), scoring=make_scorer(score), cv=folds)
        for strength in (0.1, 10)
    ]
    best = max((each.fit(features, labels) for each in tuned), key=lambda each: each.best_score_)
    peer = trained(objective)
    assert peer.setting == f"C={best.estimator.C:g}"
    assert peer.threshold == best.best_threshold_
    np.testing.assert_array_equal(peer.test, best.predict_proba(PARTS[4])[:, 1])
    np.testing.assert_array_equal(peer.test >= peer.threshold, best.predict(PARTS[4]))
    np.testing.assert_array_equal(np.r_[peer.train, peer.validation], best.predict_proba(features)[:, 1])
    assert peer.seconds > 0


def test_average_precision_chooses_a_setting_and_no_threshold():
    features, labels = np.concatenate(PARTS[::2][:2]), np.concatenate(PARTS[1:4:2])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    reached = {
        strength: cross_val_score(
            LogisticRegression(C=strength, max_iter=5000), features, labels, scoring="average_precision", cv=folds
        ).mean()
        for strength in (0.1, 10)
    }
    peer = trained(OAP())
    assert peer.threshold is None
    assert peer.setting == f"C={max(reached, key=reached.get):g}"
    assert average_precision_score(PARTS[1], peer.train) > 0.7


def test_the_seed_repeats():
    first, again = logistic_regression(FPOR(0.6), *PARTS, 3), logistic_regression(FPOR(0.6), *PARTS, 3)
    assert (first.threshold, first.setting) == (again.threshold, again.setting)
    np.testing.assert_array_equal(first.test, again.test)
    assert any(trained(FPOR(0.6), seed).threshold != first.threshold for seed in (0, 1))


def test_gradient_boosting(monkeypatch):
    monkeypatch.setattr(tuned_threshold, "BOOSTING_SETTINGS", ({"max_leaf_nodes": 4}, {"max_leaf_nodes": 8}))
    monkeypatch.setattr(tuned_threshold, "NUM_FOLDS", 2)
    train, validation, test = blobs(90, 0), blobs(40, 1), blobs(50, 2)
    peer = gradient_boosting(OFBS(1.0), *train, *validation, test[0], 0)
    assert peer.setting in ("max_leaf_nodes=4", "max_leaf_nodes=8") and 0 < peer.threshold < 1
    assert [len(part) for part in (peer.train, peer.validation, peer.test)] == [90, 40, 50]
    assert fbeta_score(train[1], peer.train >= peer.threshold, beta=1) > 0.8
    assert fbeta_score(test[1], peer.test >= peer.threshold, beta=1) > 0.5


def test_few_positives_take_fewer_folds_and_one_is_too_few():
    features, _ = blobs(60, 0)
    rare = np.zeros(60)
    rare[[3, 30]] = 1
    none = np.zeros(80)
    parts = (PARTS[2], none, PARTS[4])
    assert logistic_regression(OFBS(1.0), features, rare, *parts, 0).threshold is not None
    rare[3] = 0
    with pytest.raises(InvalidInputError, match="labels must be of 2 positives and 2 negatives at least, got 1 of one"):
        logistic_regression(OFBS(1.0), features, rare, *parts, 0)


def test_missing():
    assert tuned_threshold.missing() == []
