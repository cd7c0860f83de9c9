import json
import warnings

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import metricopt
from metricopt import Program, Status
from metricopt._validation import InvalidInputError
from metricopt.cli.commands import app
from metricopt.evidence.bound_reports import BoundReport
from metricopt.evidence.reports import Report
from metricopt.results.verdict import Verdict, verdict_of

ASKED = ["precision >= 0.6", "false_positive_rate <= 0.3", "recall >= 0.5 in every site"]


def rows(seed=0, n=1500):
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.4).astype(float)
    sites = np.array(list("ABC"))[rng.integers(0, 3, n)]
    return np.round(rng.normal(size=n) + 2.5 * labels + 0.7 * (sites == "B"), 3), labels, sites


@pytest.fixture(scope="module")
def shared():
    scores, labels, sites = rows()
    return metricopt.from_scores(scores, labels, Program("recall", ASKED), subgroups={"site": sites})


@pytest.fixture(scope="module")
def own():
    scores, labels, sites = rows()
    return metricopt.from_scores(scores, labels, Program("recall", ASKED, threshold_per="site"), subgroups=sites)


def test_a_result_of_a_program_agrees_with_choose_threshold(shared):
    scores, labels, sites = rows()
    choice = metricopt.choose_threshold(scores, labels, Program("recall", ASKED), confidence=0.9, subgroups=sites)
    assert shared.status is Status.FEASIBLE and shared.threshold == float(choice.threshold)
    assert [each.value for each in shared.train.bounds] == [each.value for each in choice.program.bounds]


def test_each_bound_and_subgroup_has_a_line(shared):
    summary = shared.summary()
    for name in ("precision", "false positive rate", "recall in site=A", "recall in site=B", "recall in site=C"):
        assert f"    {name} " in summary
    assert summary.count(": met") == 5 and "5 of 5 bounds met" in repr(shared)
    for each in shared.train.bounds:
        assert each.low <= each.value <= each.high and each.met and each.is_within_chance


def test_new_rows_are_judged_bound_by_bound(shared):
    scores, labels, sites = rows(seed=1)
    report = shared.evaluate(scores, labels, subgroups={"site": sites}, by=sites)
    frame = report.bounds_to_frame().set_index(["metric", "subgroup"])
    in_b = sites == "B"
    recall = ((scores >= shared.threshold) & (labels == 1) & in_b).sum() / ((labels == 1) & in_b).sum()
    assert frame.loc[("recall", "site=B"), "value"] == pytest.approx(recall)
    assert frame.loc[("recall", "site=B"), "num_positives"] == ((labels == 1) & in_b).sum()
    assert [each.subgroup for each in report.subgroups["B"].bounds] == [None, None, "site=B"]
    assert Report.from_dict(json.loads(json.dumps(report.to_dict(), allow_nan=False))) == report
    with pytest.raises(InvalidInputError, match="subgroups must be given"):
        shared.evaluate(scores, labels)


def test_the_verdict_speaks_of_all_bounds(shared):
    scores, labels, sites = rows(seed=1)
    report = shared.evaluate(scores, labels, subgroups=sites)
    assert verdict_of(report[0], "min") is Verdict.MET
    worse = shared.evaluate(scores - 2 * (sites == "C"), labels, subgroups=sites)
    assert verdict_of(worse[0], "min") is Verdict.MISSED and not worse.met and worse.of_bound == "missed"
    few = np.flatnonzero((sites == "C") & (labels == 1))[:2]
    near = shared.evaluate(np.append(scores[few[:1]], -5.0), labels[few], subgroups=sites[few])
    assert isinstance(near.bounds[0], BoundReport)
    undefined = shared.evaluate(np.full(4, -9.0), [0, 0, 0, 0], subgroups=sites[:4])
    assert verdict_of(undefined[0], "min") is Verdict.UNDEFINED


def test_results_are_saved_with_their_subgroups(shared, own, tmp_path):
    for name, result in (("shared", shared), ("own", own)):
        again = metricopt.load(result.save(tmp_path / name))
        assert again.summary() == result.summary()
        assert again.subgroup_thresholds == result.subgroup_thresholds
        assert again.objective == result.objective


def test_subgroups_with_thresholds_of_their_own(shared, own):
    assert set(own.subgroup_thresholds) == {"A", "B", "C"} and own.threshold == shared.threshold
    assert own.train.value >= shared.train.value
    scores, labels, sites = rows()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alarms = own.predict(scores, subgroups={"site": sites})
    limits = np.array([own.subgroup_thresholds[site] for site in sites])
    np.testing.assert_array_equal(alarms, scores >= limits)
    assert own.train.true_positives == (alarms * labels).sum()
    with pytest.warns(UserWarning, match=r"1 row is of subgroups that chose no threshold \(site=Z\)"):
        assert own.predict([own.threshold, 9.0], subgroups=["Z", "A"]).tolist() == [1, 1]
    with pytest.raises(InvalidInputError, match="subgroups must be given"):
        own.predict(scores)


def test_a_program_that_cannot_be_met_names_the_bounds_that_clash():
    scores, labels, sites = rows()
    wanted = Program("recall", ["precision >= 0.99", "recall >= 0.9 in every site"])
    result = metricopt.from_scores(scores, labels, wanted, subgroups=sites)
    assert result.status is Status.INFEASIBLE
    assert "No cut meets precision >= 0.99 and recall >= 0.9 in every site" in result.advice()
    assert "least total violation" in result.summary()


def test_the_page_has_a_table_of_bounds(shared, tmp_path, undrawn):
    scores, labels, sites = rows(seed=1)
    page = shared.report(tmp_path / "report.html", shared.evaluate(scores, labels, subgroups=sites)).read_text()
    assert "recall in site=C" in page and "Each bound" in page


def test_sentences_and_single_bounds_need_no_subgroups():
    scores, labels, _ = rows()
    sentence = metricopt.from_scores(scores, labels, "maximise recall subject to precision >= 0.8")
    name = metricopt.from_scores(scores, labels, "FPOR", alpha=0.8)
    assert sentence.threshold == name.threshold and sentence.train.bounded_value == name.train.bounded_value
    cost = metricopt.from_scores(scores, labels, "minimise expected_cost(1, 5) subject to recall >= 0.8")
    assert cost.status is Status.FEASIBLE and cost.train.value < 0
    assert cost.with_bound(0.9).objective == Program(minimize="expected_cost(1, 5)", subject_to="recall >= 0.9")


def test_a_program_with_a_bound_on_precision_is_certified_as_its_name_is():
    pytest.importorskip("mapie")
    scores, labels, _ = rows()
    new, truth, _ = rows(seed=5)
    found = [
        metricopt.from_scores(scores, labels, objective).certify(new, truth).threshold
        for objective in (metricopt.FPOR(0.6), Program("recall", ["precision >= 0.6"]))
    ]
    assert found[0] == found[1] and not np.isnan(found[0])


def test_all_bounds_of_a_result_are_certified_together_saved_and_used(shared, tmp_path, undrawn):
    pytest.importorskip("mapie")
    new, truth, where = rows(seed=5)
    certificate = shared.certify(new, truth, subgroups={"site": where})
    certified = certificate.result
    assert certificate.is_certified and certified.status is Status.CERTIFIED and len(certificate.bounds) == 5
    assert f"Certified {certificate}" in certified.summary() and "recall in site=A" in str(certificate)
    report = certified.evaluate(new, truth, subgroups={"site": where})
    assert [each.value for each in report.bounds] == pytest.approx([each.value for each in certificate.bounds])
    assert report.value == pytest.approx(certificate.value) and all(each.met for each in report.bounds)
    read = metricopt.load(certified.save(tmp_path / "certified"))
    assert read.certificates == certified.certificates and read.summary() == certified.summary()
    certified.report(tmp_path / "report.html", report)
    assert "With 90 % confidence" in (tmp_path / "report.html").read_text(encoding="utf-8")
    patients = np.repeat(np.arange(len(new)), 2)
    twice = [np.repeat(part, 2) for part in (new, truth, where)]
    one_each = shared.certify(*twice[:2], subgroups=twice[2], groups=patients)
    assert one_each.num_groups == len(new) and one_each.threshold == certificate.threshold


def test_certificates_of_programs_ask_for_what_they_need(shared, own):
    pytest.importorskip("mapie")
    new, truth, where = rows(seed=5)
    with pytest.raises(InvalidInputError, match="subgroups must be given for bounds in every 'site'"):
        shared.certify(new, truth)
    with pytest.raises(InvalidInputError, match="calibration_data must be of one row at least"):
        shared.certify(new[:0], truth[:0], subgroups=where[:0])
    with pytest.raises(InvalidInputError, match="'centre'"):
        shared.certify(new, truth, subgroups={"centre": where})
    with pytest.raises(InvalidInputError, match="got one for each site; leave out threshold_per"):
        own.certify(new, truth, subgroups=where)


def test_the_command_line_certifies_programs(tmp_path, undrawn):
    pytest.importorskip("mapie")
    for name, seed in (("chose", 0), ("calibration", 5)):
        scores, labels, sites = rows(seed=seed)
        table = pd.DataFrame({"risk": scores, "sick": labels.astype(int), "site": sites})
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    table.drop(columns="site").to_csv(tmp_path / "without.csv", index=False)
    call, asked = CliRunner().invoke, [part for each in ASKED for part in ("--subject-to", each)]
    given = ["--score", "risk", "--label", "sick", "--maximize", "recall", *asked]
    run = str(tmp_path / "run")
    assert call(app, ["threshold", str(tmp_path / "chose.csv"), *given, "--out", run]).exit_code == 0
    done = call(app, ["certify", run, str(tmp_path / "calibration.csv")])
    assert done.exit_code == 0 and "With 90 % confidence" in done.output and "recall in site=C" in done.output
    saved = json.loads((tmp_path / "run" / "certified" / "report.json").read_text(encoding="utf-8"))
    assert len(saved["certificate"][0]["bounds"]) == 5
    missing = call(app, ["certify", run, str(tmp_path / "without.csv"), "--out", str(tmp_path / "x")])
    assert missing.exit_code == 2 and "site" in missing.output


def test_the_command_line_trains_for_programs(tmp_path, undrawn):
    scores, labels, _ = rows(n=300)
    table, out = tmp_path / "patients.csv", tmp_path / "run"
    pd.DataFrame({"marker": scores, "sick": labels.astype(int)}).to_csv(table, index=False)
    options = ["--model", "linear", "--epochs", "3", "--out", str(out), "--maximize", "recall"]
    bounds = ["--subject-to", "precision >= 0.5", "--subject-to", "fpr <= 0.5"]
    run = CliRunner().invoke(app, ["fit", str(table), "--label", "sick", *options, *bounds])
    assert run.exit_code in (0, 3, 4), run.output
    assert len(metricopt.load_run(out)[1].objective.bounds) == 2


def test_the_command_line_takes_programs(tmp_path, undrawn):
    scores, labels, sites = rows()
    table = tmp_path / "scores.csv"
    pd.DataFrame({"risk": scores, "sick": labels.astype(int), "site": sites}).to_csv(table, index=False)
    base = ["threshold", str(table), "--score", "risk", "--label", "sick", "--maximize", "recall"]
    bounds = [part for bound in ASKED for part in ("--subject-to", bound)]
    run = CliRunner().invoke(app, [*base, *bounds, "--threshold-per", "site", "--out", str(tmp_path / "run")])
    assert run.exit_code == 0, run.output
    assert "recall in site=B" in run.output
    judged = CliRunner().invoke(app, ["evaluate", str(tmp_path / "run"), str(table)])
    assert judged.exit_code == 0 and "All 5 bounds hold" in " ".join(judged.output.split())
    out = tmp_path / "alarms.csv"
    assert CliRunner().invoke(app, ["predict", str(tmp_path / "run"), str(table), "--out", str(out)]).exit_code == 0
    result = metricopt.load(tmp_path / "run" / "model")
    np.testing.assert_array_equal(pd.read_csv(out)["alarm"], result.predict(scores, subgroups=sites))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--maximize", "recal"], "did you mean 'recall'?"),
        (["--maximize", "recall", "--subject-to", "precison >= 0.8"], "^^^^^^^^"),
        (["--maximize", "recall", "--alpha", "0.8"], "left out beside --maximize"),
        (["--subject-to", "precision >= 0.8"], "add e.g. --maximize recall"),
        (["--maximize", "recall", "--subject-to", "recall >= 0.8 in every clinic"], "'clinic'"),
    ],
)
def test_the_command_line_says_what_is_wrong_with_a_program(options, said, tmp_path, undrawn):
    table = tmp_path / "scores.csv"
    pd.DataFrame({"risk": [1.0, 2, 3, 4], "sick": [0, 1, 0, 1], "site": list("aabb")}).to_csv(table, index=False)
    run = CliRunner().invoke(app, ["threshold", str(table), "--score", "risk", "--label", "sick", *options])
    assert run.exit_code == 2
    assert said in run.output + (run.stderr or "")
