"""A vendor's scores in a file become a threshold, a certificate and pages; runs of a fit are judged the same way."""

import io
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from metricopt import from_scores, load
from metricopt.cli.commands import app
from metricopt.cli.saved_run import SavedRun
from metricopt.data import read_pieces
from metricopt.data.tables import text_files
from metricopt.evidence.reports import Report
from tests.cli.test_commands import FAST, patients

FILES = {"columns.json", "curve.png", "model", "report.html", "report.json", "summary.md"}


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def said_by(result):
    return " ".join(result.output.split())


def scored(num_rows, seed, separation=3.0):
    random = np.random.default_rng(seed)
    sick = random.random(num_rows) < 0.1
    return pd.DataFrame(
        {
            "patient": np.arange(num_rows) // 2,
            "site": np.where(random.random(num_rows) < 0.3, "north", "south"),
            "risk": random.normal(separation * sick).round(5),
            "other": random.normal(separation * sick),
            "sick": sick.astype(int),
            "outcome": np.where(sick, "sick", "well"),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scores")
    for seed, (name, num_rows) in enumerate((("scores", 3000), ("calibration", 2000), ("new", 1000))):
        scored(num_rows, seed).to_csv(folder / f"{name}.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def vendor(folder):
    """Return the folder of a run on scores, and what the command said."""
    asked = ["--score", "risk", "--label", "sick", "--objective", "FPOR", "--alpha", 0.8]
    result = run("threshold", folder / "scores.csv", *asked, "--out", folder / "vendor")
    assert result.exit_code == 0, result.output
    return folder / "vendor", result


def test_threshold_writes_what_the_library_computes(vendor, folder):
    out, said = vendor
    frame = pd.read_csv(folder / "scores.csv")
    expected = from_scores(frame["risk"], frame["sick"], "FPOR", alpha=0.8)
    assert {path.name for path in out.iterdir()} >= FILES
    assert load(out / "model").summary() == expected.summary()
    assert expected.summary() in (out / "summary.md").read_text()
    report = json.loads((out / "report.json").read_text())
    assert report["labels"]["sick"]["threshold"] == expected.threshold and report["supported"] is True
    assert Report.from_dict(report["reached"]) == expected.train
    assert f"{expected.train.recall:.3f}" in said.stdout and "Status feasible" in said_by(said)
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert "which chose the threshold" in (out / "report.html").read_text()


def test_evaluate_judges_new_rows_by_subgroup(vendor, folder):
    out, _ = vendor
    said = run("evaluate", out, folder / "new.csv", "--by", "site")
    frame = pd.read_csv(folder / "new.csv")
    report = load(out / "model").evaluate(frame["risk"], frame["sick"], by=frame["site"], data="new.csv")
    written = json.loads((out / "evaluation_new.json").read_text())
    assert Report.from_dict(written) == report
    assert written["said"][0]["headline"].startswith("On 1000 new.csv rows ")
    assert said.exit_code == 0 and written["said"][0]["headline"] in said_by(said)
    for part in (report, *report.subgroups.values()):
        assert f"{part.recall:.3f}" in said.stdout
    page = (out / "evaluation_new.html").read_text()
    assert "north" in page and "New.csv data</b>, which took no part in the choice" in page
    elsewhere = run("evaluate", out, folder / "new.csv", "--out", folder / "pages" / "page.html")
    assert elsewhere.exit_code == 0 and (folder / "pages" / "page.json").is_file()


def test_rows_that_miss_the_bound_by_far_end_with_code_4(vendor, folder, tmp_path):
    scored(1000, 7, separation=0.0).to_csv(tmp_path / "bad.csv", index=False)
    said = run("evaluate", vendor[0], tmp_path / "bad.csv")
    assert said.exit_code == 4 and "by more than chance explains" in said_by(said)


def test_certify_writes_a_run_of_its_own(vendor, folder):
    out, _ = vendor
    said = run("certify", out, folder / "calibration.csv", "--confidence", 0.8)
    assert said.exit_code == 0, said.output
    frame = pd.read_csv(folder / "calibration.csv")
    certificate = load(out / "model").certify(frame["risk"], frame["sick"], confidence=0.8)
    certified = load(out / "certified" / "model")
    assert certified.threshold == certificate.threshold > load(out / "model").threshold
    assert str(certificate) in said_by(said) and "Status certified" in said_by(said)
    assert {path.name for path in (out / "certified").iterdir()} == FILES
    assert "With 80 % confidence" in (out / "certified" / "report.html").read_text()
    assert run("evaluate", out / "certified", folder / "new.csv").exit_code == 0
    again = run("certify", out, folder / "calibration.csv")
    assert again.exit_code == 2 and "give another one, or add --overwrite" in said_by(again)
    grouped = run("certify", out, folder / "calibration.csv", "--group", "patient", "--out", folder / "grouped")
    assert grouped.exit_code in (0, 3) and load(folder / "grouped" / "model").certificates[0].num_groups == 1000


@pytest.fixture(scope="module")
def two(folder):
    pairs = ["--score", "risk", "--label", "outcome", "--score", "other", "--label", "sick", "--alpha", 0.7]
    told = ["--group", "patient", "--fold", "site", "--confidence", 0.8]
    said = run("threshold", folder / "scores.csv", *pairs, *told, "--out", folder / "two")
    assert said.exit_code == 0, said.output
    return folder / "two", said


def test_several_scores_have_a_label_each(two, folder):
    out, said = two
    result = load(out / "model")
    assert result.label_names == ("outcome = sick", "sick") and result.confidence == 0.8
    assert "in 2 folds, of 1,500 groups" in result.holdout
    assert "Positive outcome = sick: 'sick', the rarer class" in said_by(said)
    judged = run("evaluate", out, folder / "new.csv", "--by", "site")
    assert judged.exit_code == 0 and said_by(judged).count("On 1000 new.csv rows") == 2


def test_too_little_evidence_ends_with_code_3_and_is_written(folder, tmp_path):
    scored(60, 5).to_csv(tmp_path / "few.csv", index=False)
    asked = ["--score", "risk", "--label", "sick", "--alpha", 0.9]
    said = run("threshold", tmp_path / "few.csv", *asked, "--out", tmp_path / "few")
    assert said.exit_code == 3 and "Status unsupported" in said_by(said)
    assert json.loads((tmp_path / "few" / "report.json").read_text())["supported"] is False
    assert run("evaluate", tmp_path / "few", folder / "new.csv").exit_code == 3
    none = run("certify", tmp_path / "few", folder / "calibration.csv")
    assert none.exit_code in (0, 3) and (tmp_path / "few" / "certified" / "report.json").is_file()


@pytest.fixture(scope="module")
def fitted(folder):
    patients(600).to_csv(folder / "patients.csv", index=False)
    asked = ["--label", "outcome", "--positive", "sick", "--alpha", 0.6, "--drop", "id"]
    result = run("fit", folder / "patients.csv", *asked, *FAST, "--out", folder / "fitted")
    assert result.exit_code in (0, 4), result.output
    return folder / "fitted"


def test_runs_of_a_fit_are_judged_and_certified_too(fitted, folder):
    new = patients(400, seed=1)
    new.to_csv(folder / "new_patients.csv", index=False)
    said = run("evaluate", fitted, folder / "new_patients.csv", "--by", "ward")
    saved = SavedRun.load(fitted)
    data, _, _ = saved.read(folder / "new_patients.csv", {})
    expected = saved.result.evaluate(data, (new["outcome"] == "sick").to_numpy(float))
    assert said.exit_code in (0, 4) and f"{expected.recall:.3f}" in said.stdout
    assert json.loads((fitted / "evaluation_new_patients.json").read_text())["labels"][0]["recall"] == expected.recall
    patients(900, seed=2).to_csv(folder / "calibration_patients.csv", index=False)
    certified = run("certify", fitted, folder / "calibration_patients.csv")
    assert certified.exit_code in (0, 3), certified.output
    assert {path.name for path in (fitted / "certified").iterdir()} == FILES | {"preprocessing.json"}
    assert run("predict", fitted / "certified", folder / "new_patients.csv").exit_code == 0
    assert run("evaluate", fitted / "certified", folder / "new_patients.csv").exit_code in (0, 3, 4)


def test_a_long_table_is_read_in_pieces(fitted, folder, tmp_path, monkeypatch):
    path = tmp_path / "long.csv"
    new = patients(400, seed=1)
    new.loc[[3, 350], "ward"] = "elsewhere"
    new.to_csv(path, index=False)
    arguments = ["predict", fitted, path, "--keep", "outcome", "--out"]
    whole = run(*arguments, tmp_path / "whole.csv")
    monkeypatch.setattr(text_files, "PIECE_BYTES", 1 << 10)
    monkeypatch.setattr(text_files, "_PIECE_LINES", 8)
    assert len(list(read_pieces(path))) > 5
    pieces = run(*arguments, tmp_path / "pieces.csv")
    assert (tmp_path / "whole.csv").read_text() == (tmp_path / "pieces.csv").read_text()
    assert whole.exit_code == pieces.exit_code == 0 and pieces.stderr == whole.stderr
    assert "ward: 2 rows match no category that training kept: 'elsewhere' (2)" in pieces.stderr
    assert "400 rows" in pieces.stdout
    refused = run("predict", fitted, path, "--keep", "patients")
    assert refused.exit_code == 2 and "keep must be one of" in refused.stderr


def test_predict_applies_the_threshold_and_keeps_columns(vendor, fitted, folder, tmp_path):
    new = pd.read_csv(folder / "new.csv")
    plain = pd.read_csv(io.StringIO(run("predict", vendor[0], folder / "new.csv").stdout))
    assert list(plain.columns) == ["row", "score", "risk", "alarm", "label"]
    np.testing.assert_array_equal(plain["alarm"], new["risk"] >= load(vendor[0] / "model").threshold)
    keep = ["--keep", "patient", "--keep", "site"]
    said = run("predict", vendor[0], folder / "new.csv", *keep, "--out", tmp_path / "p.csv")
    kept = pd.read_csv(tmp_path / "p.csv")
    assert said.exit_code == 0 and list(kept.columns) == ["row", "patient", "site", "score", "risk", "alarm", "label"]
    assert kept["patient"].equals(new["patient"]) and set(kept["label"]) == {"sick"}
    assert f"{plain['alarm'].sum()} alarms in 1000 rows" in said_by(said)
    of_fit = run("predict", fitted, folder / "patients.csv", "--keep", "id").stdout
    assert pd.read_csv(io.StringIO(of_fit))["label"].unique().tolist() == ["outcome = sick"]
    for name, message in (
        ("idd", "keep must be one of"),
        ("risk", "named once, and not row, score, risk"),
        ("sick", None),
    ):
        result = run("predict", vendor[0], folder / "new.csv", "--keep", name)
        assert (result.exit_code == 0) if message is None else message in said_by(result)
    new.rename(columns={"site": "alarm"}).to_csv(tmp_path / "named.csv", index=False)
    clash = run("predict", vendor[0], tmp_path / "named.csv", "--keep", "alarm")
    assert clash.exit_code == 2 and "keep must be named once, and not row, score, risk, alarm or label" in said_by(
        clash
    )


def test_predictions_need_no_report_and_judgement_does(fitted, folder, tmp_path):
    shutil.copytree(fitted / "model", tmp_path / "model")
    shutil.copyfile(fitted / "preprocessing.json", tmp_path / "preprocessing.json")
    assert run("predict", tmp_path, folder / "patients.csv").exit_code == 0
    said = run("evaluate", tmp_path, folder / "patients.csv")
    assert said.exit_code == 2 and "a folder with report.json, which names the label" in said_by(said)


def test_each_label_has_a_program_of_its_own(folder, tmp_path):
    pairs = ["--score", "risk", "--label", "outcome", "--score", "other", "--label", "sick"]
    programs = {"sick": "maximise f1", "outcome": "maximise recall subject to recall >= 0.3 in every site"}
    told = [word for label, own in programs.items() for word in ("--program", f"{label}: {own}")]
    said = run("threshold", folder / "scores.csv", *pairs, *told, "--out", tmp_path / "x")
    assert said.exit_code == 0, said.output
    result = load(tmp_path / "x" / "model")
    assert [str(own) for own in result.objective.programs] == [programs["outcome"], programs["sick"]]
    lacking = run("threshold", folder / "scores.csv", *pairs, *told[:2], "--out", tmp_path / "y")
    assert lacking.exit_code == 2 and "none for outcome; add e.g. --program 'outcome:" in said_by(lacking)


def test_predictions_of_several_labels_are_a_line_each(two, folder):
    frame = pd.read_csv(io.StringIO(run("predict", two[0], folder / "new.csv").stdout))
    assert list(frame.columns) == ["row", "score", "risk", "alarm", "label"] and len(frame) == 2000
    result = load(two[0] / "model")
    expected = result.predict(pd.read_csv(folder / "new.csv")[["risk", "other"]])
    np.testing.assert_array_equal(frame["alarm"].to_numpy().reshape(-1, 2), expected)
    assert frame["label"].tolist()[:3] == ["outcome = sick", "sick", "outcome = sick"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--score", "site"], "score column 'site' must be of numbers, got '(north|south)'; name"),
        (
            ["--score", "rsk"],
            "score must be one of .* got 'rsk'; did you mean 'risk'",
        ),
        (["--label", "site2"], "label must be one of .* got 'site2'; did you mean 'site'"),
        (["--label", "patient"], "labels must be 0, 1 or NaN"),
        (["--alpha", 2], "min_precision must be in"),
        (["--confidence", "high"], "confidence must be a number, auto or none, got 'high'"),
        (["--score", "risk", "--score", "other"], "label must be given once for each score, got 1 for 2"),
        (
            ["--label", "outcome", "--positive", "Sick"],
            "positive .* got 'Sick'; did you mean 'sick'",
        ),
        (["--group", "ward"], "group must be one of"),
        (["--program", "sick: maximise f1"], "alpha must be left out beside --program, got 0.8; write it into"),
        (["--alpha", None, "--program", "maximise f1"], "program must be a label, a colon and a sentence"),
        (["--alpha", None, "--program", "sik: maximise f1"], "label of a program must be one of .* mean 'sick'"),
        (["--alpha", None, "--program", "sick: maximise f3x"], "f3x"),
        (["--alpha", None, *["--program", "sick: maximise f1"] * 2], "once for each label, got two for sick"),
    ],
)
def test_bad_input_ends_with_code_2_and_writes_nothing(folder, tmp_path, arguments, message):
    given = {"--score": ["risk"], "--label": ["sick"], "--alpha": [0.8]}
    changed = {}
    for name, value in zip(arguments[::2], arguments[1::2], strict=True):
        changed.setdefault(name, []).append(value)
    options = [
        word for name, values in {**given, **changed}.items() for value in values if value for word in (name, value)
    ]
    result = run("threshold", folder / "scores.csv", *options, "--out", tmp_path / "x")
    assert result.exit_code == 2 and not (tmp_path / "x").exists()

    assert re.search(message, said_by(result)), said_by(result)


def test_a_row_without_a_score_is_named(folder, vendor, tmp_path):
    frame = pd.read_csv(folder / "new.csv")
    frame.loc[5, "risk"] = np.nan
    frame.to_csv(tmp_path / "gap.csv", index=False)
    said = run("evaluate", vendor[0], tmp_path / "gap.csv")
    assert said.exit_code == 2 and "1 rows without a score, the first is row 5" in said_by(said)


def test_folders_that_hold_no_run_are_refused(folder, vendor, tmp_path):
    for command in ("evaluate", "certify"):
        said = run(command, tmp_path, folder / "new.csv")
        assert said.exit_code == 2 and "a folder that `metricopt fit` wrote, or `metricopt threshold`" in said_by(said)
    used = run("certify", vendor[0], folder / "scores.csv", "--out", tmp_path / "x")
    assert used.exit_code == 2 and "must be new to the model" in said_by(used)
    (tmp_path / "columns.json").write_text("{}")
    assert run("evaluate", tmp_path, folder / "new.csv").exit_code == 2


@pytest.mark.parametrize("command", ["threshold", "evaluate", "certify"])
def test_help_has_an_example(command):
    said = run(command, "--help")
    assert said.exit_code == 0 and f"For example: metricopt {command} " in said_by(said)
