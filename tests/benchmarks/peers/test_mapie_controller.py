import warnings

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.peers import mapie_controller
from benchmarks.peers.mapie_controller import certified_threshold
from benchmarks.running.roster import METHODS
from metricopt import FPOR, FROP, OFBS
from metricopt._validation import InvalidInputError
from metricopt.problem.metrics import confusion_counts


def scored(num_rows, seed, distance=3.0):
    random = np.random.default_rng(seed)
    labels = (random.random(num_rows) < 0.2).astype(np.float64)
    return random.normal(size=num_rows) + distance * labels, labels


TRAIN = scored(2000, 0)[0]


@pytest.mark.parametrize("objective", [FPOR(0.8), FROP(0.8)], ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_the_bound_holds_on_the_calibration_data_with_room_to_spare(objective, seed):
    scores, labels = scored(800, seed)
    threshold = certified_threshold(objective, TRAIN, scores, labels)
    counts = confusion_counts(scores, labels, threshold)
    trials = counts.true_positives + (counts.false_positives if objective == FPOR(0.8) else counts.false_negatives)
    # At the bound itself, as many hits or more would come with a probability of a tenth at most.
    assert binom.sf(counts.true_positives - 1, trials, 0.8) <= 0.1
    assert objective.value(counts) > 0.3


def test_it_holds_on_new_data_nine_times_in_ten():
    held = []
    for seed in range(30):
        threshold = certified_threshold(FPOR(0.8), TRAIN, *scored(500, seed))
        counts = confusion_counts(*scored(20_000, 1000 + seed), threshold)
        alarms = counts.true_positives + counts.false_positives
        held.append(counts.true_positives >= 0.8 * alarms)
    assert np.mean(held) >= 0.9


def test_more_confidence_is_more_careful():
    scores, labels = scored(300, 3)
    levels = (0.5, 0.9, 0.95, 0.999)
    thresholds = [certified_threshold(FPOR(0.8), TRAIN, scores, labels, level) for level in levels]
    assert thresholds == sorted(thresholds) and thresholds[0] < thresholds[1] < thresholds[3] == np.inf


@pytest.mark.parametrize(("num_alarms", "is_certified"), [(40, False), (60, True)])
def test_alarms_without_error_certify_only_if_they_are_many(num_alarms, is_certified):
    """Twenty thresholds at .9 with confidence .9: .9^n <= .1 / 20 from n = 51 on."""
    labels = np.repeat([1.0, 0.0], [num_alarms, 300])
    scores = np.where(labels == 1, 5.0, -5.0)
    threshold = certified_threshold(FPOR(0.9), np.linspace(-6, 6, 4000), scores, labels)
    assert np.isfinite(threshold) == is_certified
    assert ((scores >= threshold) == (labels == 1)).all() == is_certified


def test_mapies_own_holm_stops_at_a_threshold_without_alarms():
    """Which ours steps over; the note in the module goes when this fails."""
    from mapie.risk_control import BinaryClassificationController

    labels = np.repeat([1, 0], [60, 300])
    scores = np.where(labels == 1, 5.0, -5.0)
    for highest, is_certified in ((4.0, True), (6.0, False)):
        thresholds = np.array([0.0, highest])
        controller = BinaryClassificationController(
            lambda known: np.column_stack([-known, known]), "precision", 0.9, list_predict_params=thresholds
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            controller.calibrate(scores, labels)
        assert (controller.best_predict_param is not None) == is_certified
        assert certified_threshold(FPOR(0.9), np.repeat(thresholds, 5), scores, labels) == 0.0


def test_no_alarm_where_nothing_can_be_certified():
    random = np.random.default_rng(0)
    assert certified_threshold(FPOR(0.9), TRAIN, random.normal(size=300), scored(300, 0)[1]) == np.inf
    assert certified_threshold(FPOR(0.5), TRAIN, TRAIN[:300], np.zeros(300)) == np.inf


def test_thresholds_are_training_scores_and_do_not_depend_on_the_calibration_data():
    for seed in range(4):
        assert certified_threshold(FROP(0.7), TRAIN, *scored(400, seed)) in TRAIN
    tested = mapie_controller._thresholds(TRAIN)
    assert len(tested) == 20 and (np.diff(tested) > 0).all()
    assert tested[0] == TRAIN.min() and (tested[-1] <= TRAIN).sum() <= 11
    assert mapie_controller._thresholds(np.zeros(5)).tolist() == [0.0]


def test_flagging_all_is_certified_where_all_are_positive_enough():
    scores, labels = scored(500, 1)
    assert certified_threshold(FPOR(0.05), TRAIN, scores, labels) == TRAIN.min()


def test_missing_labels_are_left_out():
    scores, labels = scored(800, 1)
    gaps = np.r_[labels, np.full(50, np.nan)]
    assert certified_threshold(FPOR(0.8), TRAIN, np.r_[scores, np.full(50, 9.0)], gaps) == certified_threshold(
        FPOR(0.8), TRAIN, scores, labels
    )


def test_boosting_trains_on_its_rows_and_the_others_certify():
    random = np.random.default_rng(0)
    labels = (random.random(900) < 0.3).astype(np.float64)
    features = random.normal(size=(900, 2)) + 2 * labels[:, np.newaxis]
    train, validation, test = slice(400), slice(400, 800), slice(800, None)
    known = features[train], labels[train], features[validation], labels[validation]
    found = mapie_controller.gradient_boosting(FPOR(0.8), *known, features[test], seed=0)
    judge = HistGradientBoostingClassifier(random_state=0).fit(features[train], labels[train])
    np.testing.assert_array_equal(found.test, judge.decision_function(features[test]))
    np.testing.assert_array_equal(found.validation, judge.decision_function(features[validation]))
    assert found.threshold == certified_threshold(FPOR(0.8), found.train, found.validation, labels[validation])
    assert np.isfinite(found.threshold)
    peer = METHODS["boosting + MAPIE threshold"]
    assert peer.supports(FROP(0.8), "mlp") and not peer.supports(OFBS(1.0), "mlp")


@pytest.mark.parametrize(
    ("objective", "scores", "message"),
    [
        (OFBS(1.0), TRAIN, "objective must be FPOR or FROP with one bound, got OFBS"),
        (FPOR((0.5, 0.6)), TRAIN, "objective must be FPOR or FROP with one bound"),
        (FPOR(0.8), np.r_[np.nan, TRAIN], "train_scores must be finite"),
    ],
)
def test_faults(objective, scores, message):
    with pytest.raises(InvalidInputError, match=message):
        certified_threshold(objective, scores, *scored(400, 0))
    assert certified_threshold(FPOR(0.8), TRAIN, *scored(400, 0)) < 5


def test_missing(monkeypatch):
    assert mapie_controller.missing() == []
    monkeypatch.setattr(mapie_controller, "find_spec", lambda name: None)
    assert mapie_controller.missing() == ["mapie"]
