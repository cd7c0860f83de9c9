"""What calibration data certify of a result."""

import builtins
import dataclasses

import numpy as np
import pytest
import torch

import metricopt
from metricopt import FPOR, FROP, OAP, OFBS, InvalidInputError, RecallAtFPR, Status
from metricopt.evidence.certification import LabelCertificate
from metricopt.results.scores import DataScores
from tests.results.made import Scores, result_of

DISTANCE = 2.5


def drawn(random, num_rows, prevalence=0.2):
    labels = (random.random(num_rows) < prevalence).astype(np.float64)
    return random.normal(size=num_rows) + DISTANCE * labels, labels


def as_data(scores, labels):
    return tuple(torch.from_numpy(np.asarray(part, np.float32).reshape(len(part), -1)) for part in (scores, labels))


@pytest.fixture(scope="module")
def problem():
    random = np.random.default_rng(8)
    return drawn(random, 1000), drawn(random, 2000)


def test_a_result_is_certified_used_and_described(problem):
    selection, calibration = problem
    result = result_of(*selection, FPOR(0.8), names=("sick",))
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
        result_of(*selection, FROP(0.8)), result_of(*selection, FROP(0.8)).at_prevalence(0.01)
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
