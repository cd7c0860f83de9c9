import builtins
import dataclasses

import numpy as np
import pytest
import torch
from mapie.risk_control import BinaryClassificationController
from scipy.stats import binom, norm

import metricopt
from metricopt import FPOR, FROP, OAP, OFBS, InvalidInputError, RecallAtFPR, Status, choose_threshold
from metricopt._arrays import Samples
from metricopt.evidence.certification import (
    NUM_THRESHOLDS,
    LabelCertificate,
    certify_label,
    p_values,
    thresholds_to_test,
)
from metricopt.problem.metrics import Counts, Ranking
from metricopt.problem.prevalence import weights_at
from metricopt.results.history import History
from metricopt.results.result import result_from_scores
from metricopt.results.scores import DataScores

DISTANCE = 2.5


class Scores(torch.nn.Module):
    """Returns its input: what a test says the scores are."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x * self.weight


def drawn(random, num_rows, prevalence=0.2):
    labels = (random.random(num_rows) < prevalence).astype(np.float64)
    return random.normal(size=num_rows) + DISTANCE * labels, labels


def ranked(scores, labels):
    return Ranking.of(Samples.read(scores, labels), 0)


def worth(threshold, prevalence=0.2):
    """Precision and recall on new data: exact, for the scores are normal."""
    recall, wrong = norm.sf(threshold - DISTANCE), norm.sf(threshold)
    return prevalence * recall / (prevalence * recall + (1 - prevalence) * wrong), recall


def counts_of(right, wrong, missed=10.0, quiet=100.0):
    return Counts(*(np.array([float(number)]) for number in (right, wrong, missed, quiet)))


def result_of(scores, labels, objective, prevalence=None, names=None):
    """A result whose model returns its input; the training data chose the threshold."""
    columns = [np.reshape(part, (len(part), -1)).astype(np.float32) for part in (scores, labels)]
    weight = None if prevalence is None else weights_at(prevalence, columns[1])
    again = [part.copy() for part in columns]  # a saved tensor shares no memory with another
    scored = {"train": DataScores("train", columns[0], again[0], columns[1], again[1], weight)}
    return result_from_scores(
        Scores(), objective, scored, diverged=False, prevalence=prevalence,
        label_names=names or ("sick",), baseline_name="cross-entropy", history=History(), selected_stage="-",
        solver="none", seconds=0.0, versions={},
    )  # fmt: skip


def as_data(scores, labels):
    return tuple(torch.from_numpy(np.asarray(part, np.float32).reshape(len(part), -1)) for part in (scores, labels))


@pytest.mark.parametrize(("objective", "share_missed"), [(FPOR(0.8), 0.4), (FROP(0.8), 0.4)], ids=str)
def test_certified_bounds_hold_on_new_data_where_tuned_ones_fail_in_half(objective, share_missed):
    """500 draws: at most as many misses as a sound procedure has, but for one time in a thousand."""
    random = np.random.default_rng(0)
    bounded = 0 if isinstance(objective, FPOR) else 1
    tuned_missed, missed, given_up = 0, 0, []
    for _ in range(500):
        selection, calibration = drawn(random, 400), drawn(random, 400)
        tuned = float(choose_threshold(*selection, objective).threshold)
        certificate = certify_label(objective, ranked(*calibration), ranked(*selection), tuned, 0.9)
        tuned_missed += worth(tuned)[bounded] < 0.8
        if certificate.is_certified:
            missed += worth(certificate.threshold)[bounded] < 0.8
            given_up.append(worth(tuned)[1 - bounded] - worth(certificate.threshold)[1 - bounded])
    assert missed <= binom.ppf(0.999, 500, 0.1)
    assert share_missed < tuned_missed / 500 < 0.6
    assert len(given_up) > 400 and 0 < np.mean(given_up) < 0.2


@pytest.mark.parametrize("deployed", [None, 0.05])
def test_it_is_wrong_as_rarely_as_it_says_where_every_threshold_misses_by_a_hair(deployed):
    """Precision just below .8 at every threshold: whatever is certified is wrong."""
    random = np.random.default_rng(1)
    meant = 0.3 if deployed is None else deployed
    objective, top = FPOR(0.8), 0.6
    false_top = 1.001 * top * meant / (1 - meant) * 0.25

    def flat(num_rows):
        labels = (random.random(num_rows) < 0.3).astype(np.float64)
        return random.random(num_rows) + (random.random(num_rows) < np.where(labels == 1, top, false_top)), labels

    wrong = 0
    for _ in range(300):
        selection, calibration = ranked(*flat(300)), ranked(*flat(500))
        wrong += certify_label(objective, calibration, selection, 1.05, 0.9, prevalence=deployed).is_certified
    assert wrong <= binom.ppf(0.999, 300, 0.1)
    if deployed is None:
        assert wrong >= 3  # or the draws were no test


def test_precision_at_another_prevalence_is_certified_and_holds():
    random = np.random.default_rng(2)
    objective, missed, found = FPOR(0.5), 0, 0
    for _ in range(100):
        selection, calibration = drawn(random, 1000, 0.4), drawn(random, 3000, 0.4)
        weight = weights_at(0.05, selection[1][:, np.newaxis])[:, 0]
        tuned = float(choose_threshold(*selection, objective, sample_weight=weight).threshold)
        one = certify_label(objective, ranked(*calibration), ranked(*selection), tuned, 0.9, prevalence=0.05)
        found += one.is_certified
        missed += one.is_certified and worth(one.threshold, 0.05)[0] < 0.5
    assert found > 80 and missed <= binom.ppf(0.999, 100, 0.1)


@pytest.mark.parametrize("prevalence", [None, 0.05])
def test_p_values_are_valid_at_the_bound(prevalence):
    """P(p <= u) <= u, by the exact distribution of the counts of one threshold at the bound."""
    positives, negatives, recall = 30, 3000, 0.7
    if prevalence is None:
        alarms = np.arange(31.0)
        p = p_values(FPOR(0.8), Counts(alarms, 30 - alarms, 0 * alarms, 0 * alarms))
        mass = binom.pmf(alarms, 30, 0.8)
    else:
        wrong_rate = 0.25 * recall * prevalence / (1 - prevalence)
        right, wrong = (part.ravel().astype(float) for part in np.mgrid[8 : positives + 1, 0:60])
        p = p_values(FPOR(0.8), Counts(right, wrong, positives - right, negatives - wrong), prevalence)
        mass = binom.pmf(right, positives, recall) * binom.pmf(wrong, negatives, wrong_rate)
    for level in (0.01, 0.05, 0.1, 0.3, 0.6):
        assert mass[p <= level].sum() <= level
    assert mass[p <= 0.6].sum() > 0.1


def test_p_values_without_anything_to_judge_are_one():
    assert p_values(FPOR(0.8), counts_of(0, 0))[0] == 1
    assert p_values(FPOR(0.8), counts_of(0, 0), 0.1)[0] == 1
    assert p_values(FROP(0.8), counts_of(0, 5, 0))[0] == 1
    assert p_values(FROP(0.8), counts_of(50, 5, 1), 0.1)[0] == p_values(FROP(0.8), counts_of(50, 5, 1))[0] < 0.01


def test_mapies_p_values_are_ours_or_larger():
    """MAPIE takes ceil(n * (1 - k / n)) errors, which rounding makes one too many now and then."""
    random = np.random.default_rng(3)
    scores, labels = drawn(random, 400)
    thresholds = np.quantile(scores, np.linspace(0, 0.98, 50))
    for objective, risk in ((FPOR(0.8), "precision"), (FROP(0.8), "recall")):
        controller = BinaryClassificationController(
            lambda known: np.column_stack([-known, known]), risk, 0.8, 0.9, list_predict_params=thresholds
        )
        controller.calibrate(scores, labels.astype(int))
        own = p_values(objective, ranked(scores, labels).counts(thresholds))
        assert (controller.p_values[:, 0] >= own - 1e-12).all()
        same = np.isclose(controller.p_values[:, 0], own, rtol=1e-9, atol=1e-12)
        assert 0.5 < same.mean() < 1


def test_thresholds_are_few_and_go_step_by_step_from_the_likeliest_to_the_tuned():
    scores, labels = drawn(np.random.default_rng(4), 1000)
    for objective in (FPOR(0.8), FROP(0.8)):
        tuned = float(choose_threshold(scores, labels, objective).threshold)
        tested = thresholds_to_test(objective, ranked(scores, labels), tuned)
        assert 10 <= len(tested) <= NUM_THRESHOLDS and tested[-1] == tuned
        assert (np.sign(np.diff(tested)) == {FPOR: -1, FROP: 1}[type(objective)]).all()
        p = p_values(objective, ranked(scores, labels).counts(tested))
        assert p.argmin() == 0


def test_no_step_is_left_out_where_p_rises_and_falls_again():
    labels = np.repeat([1.0, 0.0, 1.0, 0.0, 0.0], [30, 6, 20, 4, 40])
    selection = ranked(np.arange(100.0)[::-1], labels)
    tested = thresholds_to_test(FPOR(0.8), selection, 40.0)
    p = p_values(FPOR(0.8), selection.counts(tested))
    assert p.argmin() == 0 and (np.diff(p) > 0).any() and (np.diff(p) < 0).any()
    assert (np.diff(tested) < 0).all() and tested[-1] == 40


def test_of_equally_likely_thresholds_the_safest_is_the_first_and_none_lies_beyond_the_safe_end():
    scores, labels = np.arange(100.0), np.zeros(100)
    labels[0] = labels[99] = 1  # bound 0.99 is out of reach: three alarms, p = 1 from the second on
    tested = thresholds_to_test(FPOR(0.99), ranked(scores, labels), 97.0)
    assert list(tested) == [99, 98, 97]
    labels[99] = 0  # p = 1 for each
    assert list(thresholds_to_test(FPOR(0.99), ranked(scores, labels), 97.0)) == [99, 98, 97]
    labels[50:] = 1  # the more alarms, all of them right, the smaller is p: only the tuned one is tested
    assert list(thresholds_to_test(FPOR(0.9), ranked(scores, labels), 50.0)) == [50]


def test_calibration_data_do_not_move_the_thresholds():
    random = np.random.default_rng(5)
    selection = drawn(random, 500)
    tuned = float(choose_threshold(*selection, FPOR(0.7)).threshold)
    fixed = set(thresholds_to_test(FPOR(0.7), ranked(*selection), tuned))
    for _ in range(5):
        found = certify_label(FPOR(0.7), ranked(*drawn(random, 2000)), ranked(*selection), tuned, 0.9)
        assert found.threshold in fixed


@pytest.mark.parametrize(("num_right", "is_certified"), [(21, False), (22, True)])
def test_error_free_alarms_certify_from_the_number_that_is_named(num_right, is_certified):
    """0.9^22 <= 0.1 < 0.9^21."""
    selection = (np.repeat([3.0, -3.0], 50), np.repeat([1.0, 0.0], 50))
    calibration = np.repeat([3.0, -3.0], [num_right, 40]), np.repeat([1.0, 0.0], [num_right, 40])
    for objective in (FPOR(0.9), FROP(0.9)):
        one = certify_label(objective, ranked(*calibration), ranked(*selection), 0.0, 0.9)
        assert one.is_certified == is_certified and one.num_needed == 22 == one.num_positives_needed
        assert (one.num_units, one.num_right) == (num_right, num_right)
        if not is_certified:
            assert "21 of 21" in one.guarantee and "too few, it takes 22 at least" in one.guarantee


@pytest.mark.parametrize("enough", [False, True])
def test_negatives_without_a_false_alarm_certify_precision_at_another_prevalence(enough):
    selection = (np.repeat([3.0, -3.0], [100, 900]), np.repeat([1.0, 0.0], [100, 900]))

    def certified(num_negatives):
        rows = [100, num_negatives]
        data = np.repeat([3.0, -3.0], rows), np.repeat([1.0, 0.0], rows)
        return certify_label(FPOR(0.8), ranked(*data), ranked(*selection), 0.0, 0.9, prevalence=0.05)

    needed = certified(50).num_needed
    one = certified(needed - (not enough))
    assert one.is_certified == enough and one.unit == "negatives" and one.num_positives_needed is None
    assert enough or f"too few, it takes {needed} at least, all of them without a false alarm" in one.guarantee


def test_what_would_be_needed_in_words():
    random = np.random.default_rng(6)
    selection = drawn(random, 500)
    tuned = float(choose_threshold(*selection, FPOR(0.9)).threshold)
    few = certify_label(FPOR(0.9), ranked(*drawn(random, 60)), ranked(*selection), tuned, 0.9)
    assert not few.is_certified and np.isnan(few.value) and few.num_positives_needed > 22
    assert f"it takes 22 at least (about {few.num_positives_needed} positives), all of them right" in few.guarantee
    noisy = random.normal(size=500), selection[1]
    many = certify_label(FPOR(0.9), ranked(*noisy), ranked(*selection), 0.0, 0.9)
    assert not many.is_certified and "with these errors it takes more calibration data" in many.guarantee
    none = certify_label(FPOR(0.9), ranked(*noisy), ranked(*selection), 99.0, 0.9, prevalence=0.1)
    assert none.num_needed is None and "while no positive is found" in none.guarantee
    empty = certify_label(FPOR(0.9), ranked(noisy[0], np.zeros(500)), ranked(*selection), tuned, 0.9)
    assert empty.num_tested == 0 and "lacks a class" in empty.guarantee


def test_more_confidence_asks_for_more():
    random = np.random.default_rng(7)
    selection, calibration = drawn(random, 800), drawn(random, 2000)
    tuned = float(choose_threshold(*selection, FPOR(0.8)).threshold)
    levels = [
        certify_label(FPOR(0.8), ranked(*calibration), ranked(*selection), tuned, confidence)
        for confidence in (0.5, 0.9, 0.99)
    ]
    thresholds, needed = [one.threshold for one in levels], [one.num_needed for one in levels]
    assert thresholds == sorted(thresholds) and thresholds[0] < thresholds[-1] and needed == [4, 11, 21]


@pytest.fixture(scope="module")
def problem():
    random = np.random.default_rng(8)
    return drawn(random, 1000), drawn(random, 2000)


def test_a_result_is_certified_used_and_described(problem):
    selection, calibration = problem
    result = result_of(*selection, FPOR(0.8))
    certificate = result.certify(as_data(*calibration))
    assert len(certificate) == 1 and certificate.is_certified and certificate.threshold > result.threshold
    certified = certificate.result
    assert certified.threshold == certificate.threshold and certified.status is Status.CERTIFIED
    on_them = certified.evaluate(as_data(*calibration))
    assert on_them.recall == pytest.approx(certificate.value) and on_them.precision == pytest.approx(
        certificate.bounded_value
    )
    tuned = result.evaluate(as_data(*calibration))
    assert (tuned.recall, tuned.precision) == pytest.approx((certificate.tuned_value, certificate.tuned_bounded_value))
    alarms = certified.predict(as_data(*calibration)[0])
    assert alarms.sum() == on_them.true_positives + on_them.false_positives
    threshold = f"{certificate.threshold:.6g}"
    text = f"With 90 % confidence, the threshold {threshold} has a precision of at least 0.8 on new data"
    assert text in str(certificate) and text in certified.summary() and str(certificate).startswith("sick: ")
    assert certified.train.threshold == certificate.threshold and certified.baseline_train == result.baseline_train
    assert result.certificates is None and certified.with_bound(0.7).certificates is None
    assert "sick" in repr(certificate)


def test_nothing_certified_raises_no_alarm_and_says_so(problem):
    selection, calibration = problem
    few = tuple(part[:30] for part in calibration)
    certificate = result_of(*selection, FPOR(0.95)).certify(as_data(*few))
    assert not certificate.is_certified and np.isnan(certificate.threshold)
    assert certificate.result.status is Status.NOT_CERTIFIED and certificate.result.predict(as_data(*few)[0]).sum() == 0
    assert "No threshold could be certified" in certificate.result.summary()


def test_the_results_prevalence_is_what_is_certified(problem):
    selection, calibration = problem
    moved = result_of(*selection, FPOR(0.5)).at_prevalence(0.05)
    certificate = moved.certify(as_data(*calibration))
    assert certificate.prevalence == 0.05 and certificate.unit == "negatives" and certificate.is_certified
    assert "at least 0.5 on new data of a prevalence of 0.05" in certificate.guarantee
    assert certificate.result.prevalence == 0.05
    report = certificate.result.evaluate(as_data(*calibration))
    assert report.precision == pytest.approx(certificate.bounded_value)
    # A bound on recall is the same at any prevalence; the precision beside it is not.
    plain, rare = (one.certify(as_data(*calibration)) for one in (
        result_of(*selection, FROP(0.8)), result_of(*selection, FROP(0.8), prevalence=0.01)
    ))  # fmt: skip
    assert plain.threshold == rare.threshold and rare.value < plain.value
    assert plain.bounded_value == pytest.approx(rare.bounded_value)


def test_several_labels_missing_ones_and_one_without_a_threshold():
    random = np.random.default_rng(9)
    (a, of_a), (b, of_b), (c, _) = (drawn(random, 1500) for _ in range(3))
    scores, labels = np.stack([a, b, c], 1), np.stack([of_a, of_b, np.zeros(1500)], 1)
    result = result_of(scores[:700], labels[:700], FPOR((0.8, 0.99, 0.8)), names=("a", "b", "c"))
    missing = labels[700:].copy()
    missing[:100, 0] = np.nan
    certificate = result.certify(as_data(scores[700:], missing))
    without = result_of(a[:700], of_a[:700], FPOR(0.8)).certify(as_data(a[800:], of_a[800:]))
    assert certificate["a"].threshold == without.threshold and certificate[0].bound == 0.8
    assert [one.is_certified for one in certificate] == [True, False, False]
    assert certificate.result.statuses == (Status.CERTIFIED, Status.NOT_CERTIFIED, Status.NO_POSITIVES)
    assert str(certificate).count("\n") == 2
    with pytest.raises(AttributeError, match="has 3 labels: choose one"):
        _ = certificate.threshold
    with pytest.raises(InvalidInputError, match="label must be one of"):
        _ = certificate["d"]
    with pytest.raises(AttributeError, match="no attribute 'limit'"):
        _ = certificate.limit


def test_saved_with_the_result(problem, tmp_path):
    selection, calibration = problem
    for objective in (FPOR(0.8), FPOR(0.99)):
        certified = result_of(*selection, objective).certify(as_data(*calibration)).result
        certified.save(tmp_path)
        read = metricopt.load(tmp_path, Scores())
        assert read.statuses == certified.statuses and read.summary() == certified.summary()
        for own, other in zip(read.certificates, certified.certificates, strict=True):
            assert own.to_dict() == other.to_dict() and own.is_certified == other.is_certified
    assert LabelCertificate.from_dict(read.certificates[0].to_dict()).num_needed == read.certificates[0].num_needed


@pytest.mark.parametrize(
    ("objective", "why"),
    [
        (OFBS(1.0), "got OFBS; there is no bound to hold"),
        (OAP(), "got OAP; there is no bound to hold"),
        (RecallAtFPR(0.1), "got RecallAtFPR; the bound is on false_positive_rate"),
        (FPOR(1.0), "min_precision must be below 1 to be certified"),
    ],
    ids=str,
)
def test_what_cannot_be_certified_is_refused_with_the_reason(problem, objective, why):
    selection, calibration = problem
    with pytest.raises(InvalidInputError, match=why):
        result_of(*selection, objective).certify(as_data(*calibration))
    assert result_of(*selection, FPOR(0.8)).certify(as_data(*calibration)).is_certified


@pytest.mark.parametrize("confidence", [0, 1, 90, "0.9", True])
def test_bad_confidence(problem, confidence):
    selection, calibration = problem
    with pytest.raises(InvalidInputError, match=r"confidence must be in \(0, 1\)"):
        result_of(*selection, FPOR(0.8)).certify(as_data(*calibration), confidence=confidence)
    assert result_of(*selection, FPOR(0.8)).certify(as_data(*calibration), confidence=0.8).confidence == 0.8


def test_data_that_chose_the_threshold_certify_nothing(problem):
    selection, _ = problem
    result = result_of(*selection, FPOR(0.8))
    shuffled = np.random.default_rng(0).permutation(len(selection[0]))
    for rows in (slice(None), shuffled):
        with pytest.raises(InvalidInputError, match="calibration_data must be new to the model, got the train data"):
            result.certify(as_data(selection[0][rows], selection[1][rows]))
    assert result.certify(as_data(selection[0][1:], selection[1][1:])).confidence == 0.9


def test_the_data_that_fit_divided_certify_nothing(problem):
    """What was passed to ``fit`` is neither part alone: a fifth of it chose, the rest trained."""
    selection, calibration = problem
    result = result_of(*selection, FPOR(0.8))
    train = result.data_scores["train"]
    parts = {"train": slice(0, 400), "validation": slice(400, None)}
    fields = ("scores", "baseline_scores", "labels", "baseline_labels")
    divided = {
        name: DataScores(name, *(getattr(train, field)[rows] for field in fields)) for name, rows in parts.items()
    }
    result = dataclasses.replace(result, data_scores=divided)
    with pytest.raises(InvalidInputError, match="must be new to the model, got the train and validation data"):
        result.certify(as_data(selection[0][::-1], selection[1][::-1]))
    assert result.certify(as_data(*calibration)).confidence == 0.9


def test_without_mapie_the_extra_is_named(problem, monkeypatch):
    selection, calibration = problem
    known = builtins.__import__

    def without(name, *rest):
        if name.startswith("mapie"):
            raise ImportError(name)
        return known(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"metricopt\[certify\]"):
        result_of(*selection, FPOR(0.8)).certify(as_data(*calibration))


def test_mapies_own_fixed_sequence_begins_at_the_end_that_the_calibration_data_choose():
    """No order fixed before them can lead to both; the note in the module goes when this fails."""
    found = []
    for share_above, share_below in ((0.7, 0.95), (0.95, 0.5)):
        scores = np.repeat([1.0, 0.5], 500)
        labels = np.concatenate([np.arange(500) < 500 * share for share in (share_above, share_below)])
        controller = BinaryClassificationController(
            lambda known: np.column_stack([-known, known]), "precision", 0.8, 0.9,
            list_predict_params=np.array([0.2, 0.9]), fwer_method="fixed_sequence",
        )  # fmt: skip
        controller.calibrate(scores, labels.astype(int))
        found.append(controller.valid_predict_params.tolist())
    assert found == [[0.2], [0.9]]
