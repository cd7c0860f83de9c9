"""A result of scores alone says what the same scores of a model would say, and what it cannot do without one."""

import time
from html import unescape

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from torch import nn

from metricopt import FPOR, FitResult, InvalidInputError, Status, choose_threshold, from_scores, load
from metricopt.evidence.evaluation import evaluate
from tests.results.made import result_of

RANDOM = np.random.default_rng(0)


def draw(num_rows, seed=0, separation=2.5):
    random = np.random.default_rng(seed)
    labels = random.random(num_rows) < 0.1
    return random.normal(separation * labels), labels


SCORES, LABELS = draw(3000)
TEXT = np.where(LABELS, "sick", "well")
SITE = np.where(np.arange(3000) % 3, "north", "south")


@pytest.fixture(scope="module")
def result():
    return from_scores(SCORES, LABELS, "FPOR", alpha=0.8)


def everything(result):
    """All that a result says, as text (NaN differs from itself, not its text)."""
    return {name: repr(value) for name, value in vars(result).items() if name not in ("data_scores", "choice")}


def test_threshold_and_report_are_those_of_the_rule(result):
    choice = choose_threshold(SCORES, LABELS, "FPOR", alpha=0.8, confidence=0.9)
    assert isinstance(result, FitResult) and result.model is None and result.baseline is None
    assert result.threshold == choice.threshold and result.status is Status.FEASIBLE and choice.supported
    columns = SCORES[:, None], LABELS[:, None].astype(float)
    expected = evaluate(*columns, result.thresholds, FPOR(0.8), label_names=["label"], data="given")
    assert result.selection == expected
    assert result.empirical_threshold == choose_threshold(SCORES, LABELS, "FPOR", alpha=0.8).threshold
    assert from_scores(SCORES, LABELS, "FPOR", alpha=0.8, confidence=None).threshold == result.empirical_threshold


def test_groups_folds_weights_and_prevalence_reach_the_choice():
    options = {
        "groups": np.arange(3000) // 2,
        "folds": np.arange(3000) % 5,
        "sample_weight": np.where(np.arange(3000) % 4, 1.0, 2.0),
        "prevalence": 0.05,
    }
    for names in ([name] for name in options):
        own = {name: options[name] for name in names}
        found = from_scores(SCORES, LABELS, "FPOR", alpha=0.7, **own)
        assert found.threshold == choose_threshold(SCORES, LABELS, "FPOR", alpha=0.7, confidence=0.9, **own).threshold
    told = from_scores(SCORES, LABELS, "FPOR", alpha=0.7, **options).summary()
    assert "the 3,000 rows given, in 5 folds, of 1,500 groups: they must not have trained" in told
    assert "a prevalence of 0.05" in told


@pytest.mark.parametrize(
    ("scores", "labels"),
    [
        (SCORES.tolist(), LABELS.tolist()),
        (torch.from_numpy(SCORES), torch.from_numpy(LABELS)),
        (pd.Series(SCORES), pd.Series(LABELS)),
        (pd.Series(SCORES, dtype="Float64"), pd.Series(LABELS, dtype="boolean")),
        (pd.Series(SCORES, dtype="Float64"), pd.Series(LABELS.astype(int), dtype="Int64")),
        (pl.Series(SCORES), pl.Series(LABELS)),
        (pd.DataFrame({"risk": SCORES}), pd.DataFrame({"label": LABELS})),
        (SCORES[:, None], LABELS),
    ],
    ids=["lists", "tensors", "pandas", "nullable", "nullable integers", "polars", "frames", "column"],
)
def test_whatever_holds_them_scores_choose_the_same(result, scores, labels):
    assert everything(from_scores(scores, labels, "FPOR", alpha=0.8))["train"] == repr(result.train)


@pytest.mark.parametrize("missing", [None, pd.NA, np.nan], ids=["None", "NA", "NaN"])
def test_missing_labels_count_nowhere(missing):
    labels = [missing if row < 1000 else bool(label) for row, label in enumerate(LABELS)]
    found = from_scores(SCORES, labels, "FPOR", alpha=0.8)
    assert found.threshold == from_scores(SCORES[1000:], LABELS[1000:], "FPOR", alpha=0.8).threshold
    assert found.train.num_samples == 2000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_new_scores_of_the_same_precision_are_divided_as_the_given_ones(dtype):
    scores = torch.from_numpy(SCORES).to(dtype)
    found = from_scores(scores, LABELS, "FPOR", alpha=0.8)
    assert found.predict(scores).sum() == found.train.true_positives + found.train.false_positives


def test_text_classes_are_named(result):
    found = from_scores(SCORES, TEXT, "FPOR", alpha=0.8)
    assert found.threshold == result.threshold and found.label_names == ("sick",)
    assert "Positive  'sick', the rarer class" in found.summary()
    named = from_scores(SCORES, pd.Series(TEXT, name="outcome"), "FROP", alpha=0.8, positive="well")
    assert named.label_names == ("outcome = well",) and named.train.counts.positives == (~LABELS).sum()
    assert found.evaluate(SCORES[:50], TEXT[:50]) != found.evaluate(SCORES[50:], TEXT[50:])
    with pytest.raises(InvalidInputError, match="label 'sick' must be of the classes 'sick', 'well', got 'ill'"):
        found.evaluate([1.0], ["ill"])


def test_several_labels_have_bounds_and_classes_of_their_own(result):
    frame = pd.DataFrame({"Edema": LABELS, "Flu": TEXT})
    found = from_scores(np.stack([SCORES, SCORES], 1), frame, "FPOR", alpha={"Edema": 0.8, "Flu": 0.7})
    assert found.label_names == ("Edema", "Flu = sick")
    assert found.thresholds[0] == result.threshold > found.thresholds[1]
    other = from_scores(np.stack([SCORES, -SCORES], 1), frame, "FROP", alpha=0.7, positive={"Flu": "well"})
    assert other.label_names == ("Edema", "Flu = well")
    assert "Positive  Flu = well: 'well'; negative: 'sick'" in other.summary()


def test_it_evaluates_moves_and_predicts(result):
    scores, labels = draw(2000, seed=1)
    site = np.where(np.arange(2000) % 3, "north", "south")
    report = result.evaluate(scores, labels, by=site)
    assert report == result.evaluate((scores, labels), by=site)
    alarms = scores >= result.threshold
    assert report.true_positives == (alarms & labels).sum() and set(report.subgroups) == {"north", "south"}
    np.testing.assert_array_equal(result.predict(scores), alarms)
    np.testing.assert_array_equal(result.scores(scores), scores)
    assert result.with_bound(0.6).threshold == from_scores(SCORES, LABELS, "FPOR", alpha=0.6).threshold
    moved = from_scores(SCORES, LABELS, "FPOR", alpha=0.8, prevalence=0.02)
    assert result.at_prevalence(0.02).threshold == moved.threshold != result.threshold


def test_certificates_are_those_of_a_model_with_these_scores(result):
    calibration = draw(2000, seed=2)
    certificate = result.certify(*calibration, confidence=0.8)
    as_data = tuple(torch.from_numpy(np.array(part, np.float32)).reshape(-1, 1) for part in calibration)
    expected = result_of(SCORES, LABELS, FPOR(0.8), names=["label"], confidence=0.9).certify(as_data, confidence=0.8)
    assert certificate.is_certified and certificate.threshold == pytest.approx(expected.threshold, abs=1e-5)
    assert certificate.result.status is Status.CERTIFIED and certificate.result.threshold == certificate.threshold
    assert result.certify(calibration).confidence == 0.9
    with pytest.raises(InvalidInputError, match="calibration_data must be new to the model"):
        result.certify(SCORES, LABELS)
    with pytest.raises(InvalidInputError, match="confidence must be given by its name, got 0.8; pass confidence=0.8"):
        result.certify(calibration, 0.8)


def test_it_comes_back_as_it_was_saved(result, tmp_path):
    for each in (result, from_scores(SCORES, TEXT, "OFBS", beta=2.0, prevalence=0.05)):
        each.save(tmp_path / "x")
        back = load(tmp_path / "x")
        assert everything(back) == everything(each) and back.summary() == each.summary()
        for name, value in vars(each.data_scores["train"]).items():
            np.testing.assert_array_equal(vars(back.data_scores["train"])[name], value)
    assert back.evaluate(SCORES, TEXT) == each.evaluate(SCORES, TEXT)
    with pytest.raises(InvalidInputError, match="model must be left out for a result of scores alone, got Linear"):
        load(tmp_path / "x", nn.Linear(1, 1))


def test_weights_of_another_result_do_not_stay_in_its_folder(result, tmp_path):
    trained = result_of(SCORES, LABELS, FPOR(0.8))
    trained.save(tmp_path / "x")
    result.save(tmp_path / "x")
    assert {file.name for file in (tmp_path / "x").iterdir()} == {"result.json", "scores.safetensors"}
    trained.save(tmp_path / "x")
    with pytest.raises(InvalidInputError, match="model must be given, got None; pass a module of the architecture"):
        load(tmp_path / "x")
    assert load(tmp_path / "x", trained.model).threshold == trained.threshold


def test_what_needs_a_model_says_so(result, tmp_path):
    with pytest.raises(InvalidInputError, match="scores of 1 label, because the result has no model, got 3 columns"):
        result.predict(np.zeros((5, 3)))
    with pytest.raises(InvalidInputError, match="must be one with a model to export, got a result of scores alone"):
        result.export(tmp_path / "x.onnx")
    with pytest.raises(InvalidInputError, match="labels must be given beside scores, got None"):
        result.evaluate(SCORES)


def test_the_page_speaks_of_no_training(result, tmp_path, undrawn):
    page = tmp_path / "report.html"
    result.report(page, result.evaluate(*draw(500, seed=3), by=SITE[:500]))
    text = unescape(page.read_text())
    for said in ("which chose the threshold", "which took no part in the choice", 'metricopt.load("scores")', "north"):
        assert said in text
    for wrong in ("trained on</th>", "chose model", "Training", "fitted the weights", "warm-up", "None"):
        assert wrong not in text
    result.report(page)
    assert "optimistic, because these chose the threshold." in page.read_text()


def test_pictures_show_one_curve(result):
    assert len(result.plot().lines) == 3  # the curve, the bound and the mark
    assert result.plot_scores().get_title().endswith("on given data")
    assert len(result.plot_labels()) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.where(np.arange(3000) == 7, np.nan, SCORES)}, "scores must be finite, got 1 NaN"),
        ({"scores": np.zeros(3000)}, "scores of 'label' must be of two different values at least, got 0 in every row"),
        ({"scores": SCORES[1:]}, r"labels must be one a row of the scores \(2999\), got 3000 rows"),
        ({"scores": np.stack([SCORES] * 2, 1)}, r"labels must be one column a score \(2\), got 1 columns"),
        ({"scores": TEXT}, "scores must be numbers, got text, such as 'well'; give the column"),
        ({"scores": pd.Series(SCORES.astype(str))}, "scores must be numbers, got text, such as "),
        ({"scores": None}, r"scores must be of shape \(n,\) or \(n, L\), got shape \(\)"),
        ({"scores": [], "labels": []}, "scores must be of one row at least, got none"),
        ({"labels": None}, "labels must be text, numbers or booleans"),
        ({"labels": np.arange(3000) % 3}, r"labels must be 0, 1 or NaN \(missing\), got \[2.0\]"),
        ({"labels": np.array(["a", "b", "c"])[np.arange(3000) % 3]}, "label 'label' must be of two classes, got 'a'"),
        ({"positive": "sick"}, "positive .* must be one of 'False', 'True', got 'sick'"),
        ({"positive": {"Edema": 1}}, "positive's labels must be one of 'label', got 'Edema'"),
        ({"confidence": 2}, r"confidence must be in \(0, 1\), got 2"),
        ({"confidence": "high"}, r"confidence must be in \(0, 1\), got 'high'"),
        ({"alpha": None}, "alpha must be given for FPOR"),
        ({"label_names": ["a", "b"]}, r"label_names must be different names, one a label \(1\)"),
        ({"label_names": "a"}, "label_names must be a sequence of names, got 'a'"),
        ({"groups": [1, 2]}, r"groups must be one value a row \(3000\), got 2 values"),
        ({"folds": np.zeros(3000)}, "folds must be of two folds at least"),
    ],
)
def test_bad_input_is_rejected(change, message):
    given = {"scores": SCORES, "labels": LABELS, "objective": "FPOR", "alpha": 0.8, **change}
    with pytest.raises(InvalidInputError, match=message):
        from_scores(**given)


def test_a_label_without_positives_and_too_few_rows_are_statuses(result):
    none = from_scores(SCORES, np.zeros(3000), "FPOR", alpha=0.8)
    assert none.status is Status.NO_POSITIVES and not none.predict(SCORES).any()
    few = from_scores(SCORES[:60], LABELS[:60], "FPOR", alpha=0.8)
    assert few.status is Status.UNSUPPORTED and few.threshold == np.inf
    assert "more positives, with their negatives, are needed" in few.summary()


def test_a_fifth_of_a_million_rows_takes_a_fifth_of_the_time(tmp_path):
    (scores, labels), new = draw(200_000, seed=4), draw(200_000, seed=5)
    began = time.process_time()
    found = from_scores(scores, labels, "FPOR", alpha=0.8)
    found.summary()
    assert time.process_time() - began < 1
    from_scores(*draw(1000, seed=6), "FPOR", alpha=0.8).certify(*draw(1000, seed=7))  # imports what certifies
    began = time.process_time()
    assert found.certify(*new).is_certified
    assert time.process_time() - began < 2
    page = found.report(tmp_path / "report.html", found.evaluate(*new, by=np.arange(200_000) % 10))
    assert page.stat().st_size < 2e6
