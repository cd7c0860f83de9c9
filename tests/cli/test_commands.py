"""The command line: what it writes agrees with what the library computes, and bad input ends with code 2."""

import io
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import metricopt
from metricopt import FPOR
from metricopt.cli.commands import app
from metricopt.cli.options import Options
from metricopt.cli.run_folder import load_run, notes
from metricopt.data import Findings, make_table, stratified_split
from metricopt.evidence.evaluation import evaluate
from metricopt.evidence.reports import Report
from metricopt.results.verdict import Verdict

ASKED = ["--label", "outcome", "--positive", "sick", "--alpha", 0.7, "--drop", "id", "--group", "family"]
# A held-out part and no confidence, so that few rows are enough.
HELD_OUT = ["--val-fraction", 0.2, "--confidence", "none"]
FAST = ["--model", "linear", "--epochs", "8", "--learning-rate", "0.1", "--batch-size", "64", *HELD_OUT]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def patients(num_rows=300, seed=0):
    random = np.random.default_rng(seed)
    sick = random.random(num_rows) < 0.2
    age = random.normal(50 + 20 * sick, 10).round()
    age[::17] = np.nan
    return pd.DataFrame(
        {
            "id": np.arange(num_rows),
            "family": np.arange(num_rows) // 3,
            "age": age,
            "marker": random.normal(2.0 * sick),
            "ward": np.where(random.random(num_rows) < 0.5, "north", "south"),
            "outcome": np.where(sick, "sick", "well"),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def table(folder):
    patients().to_csv(folder / "patients.csv", index=False)
    return folder / "patients.csv"


@pytest.fixture(scope="module")
def fitted(folder, table):
    """Return the folder of a run, and what the command printed."""
    out = folder / "run"
    result = run("fit", table, *ASKED, *FAST, "--out", out)
    assert result.exit_code == 0, result.output
    return out, result


def report_of(out):
    """Return the report of a run without what it took."""
    report = json.loads((out / "report.json").read_text())
    del report["seconds"]
    return report


def parts_of(frame, seed=0):
    """Return the rows that train and select, and those of the test, as the command splits them."""
    labels = (frame["outcome"] == "sick").to_numpy(float)
    return stratified_split(labels, (0.8, 0.2), seed, frame["family"].astype(str))


def test_fit_writes_everything(fitted):
    out, result = fitted
    assert {path.name for path in out.iterdir()} == {
        *("model", "preprocessing.json", "report.html", "report.json", "curve.png", "summary.md")
    }
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    summary = (out / "summary.md").read_text()
    report = json.loads((out / "report.json").read_text())
    for text in (summary, result.stdout):
        assert "maximise recall subject to precision >= 0.7" in " ".join(text.split())
        assert f"{report['reached']['test']['recall']:.3f}" in text
        assert f"{report['cross_entropy']['test']['recall']:.3f}" in text
    assert "](curve.png)" in summary


def test_prevalence_reaches_training_reports_and_text(table, folder):
    out = folder / "rare"
    asked = ["--label", "outcome", "--positive", "sick", "--objective", "FROP", "--alpha", 0.7, "--prevalence", 0.02]
    result = run("fit", table, *asked, *FAST, "--drop", "id", "--group", "family", "--out", out)
    assert result.exit_code == 0, result.output
    report = json.loads((out / "report.json").read_text())
    assert report["options"]["prevalence"] == 0.02 == load_run(out)[1].prevalence
    for part in (*report["reached"].values(), *report["cross_entropy"].values()):
        positives = part["true_positives"] + part["false_negatives"]
        assert positives / (positives + part["false_positives"] + part["true_negatives"]) == pytest.approx(0.02)
    assert "weighted to a prevalence of 0.02" in (out / "summary.md").read_text()
    wrong = run("fit", table, *asked[:-1], 2, *FAST, "--out", folder / "wrong")
    assert wrong.exit_code == 2 and "prevalence must be in (0, 1), got 2" in wrong.stderr


def test_report_equals_an_evaluation_of_the_written_model(fitted, table):
    out, _ = fitted
    report = json.loads((out / "report.json").read_text())
    frame = pd.read_csv(table)
    rest, test = parts_of(frame)
    preprocessor, result = load_run(out)
    held = make_table(frame.iloc[test], "outcome", "sick")
    again = result.evaluate((preprocessor.transform(held.features), held.labels))[0]
    written = report["reached"]["test"]
    for name in ("true_positives", "false_positives", "false_negatives", "true_negatives"):
        assert written[name] == getattr(again, name)
    for name in ("precision", "recall", "f_beta", "average_precision"):
        assert written[name] == pytest.approx(getattr(again, name), abs=1e-12)
    assert written["met"] == (written["precision"] >= 0.7)
    assert {name: tuple(ends) for name, ends in written["intervals"].items()} == again.intervals
    assert report["threshold"] == result.threshold
    for own in (result.validation, result.train, Report("test", (again,))):
        saved = {"data": own.data, "labels": [report["reached"][own.data]], "subgroups": {}}
        assert Report.from_dict(saved) == own
    sizes = {data: report["reached"][data]["num_samples"] for data in ("train", "validation", "test")}
    assert sizes["train"] + sizes["validation"] == len(rest)
    assert sizes == {data: report["cross_entropy"][data]["num_samples"] for data in sizes}
    assert abs(sizes["validation"] - 60) <= 6  # a fifth of all rows, like the test


def test_report_says_what_was_asked(fitted):
    out, _ = fitted
    report = json.loads((out / "report.json").read_text())
    assert report["asked"] == "maximise recall subject to precision >= 0.7"
    assert (report["label"], report["positive"], report["epochs"]) == ("outcome", "sick", 8)
    assert report["options"]["alpha"] == 0.7
    assert report["options"]["drop"] == ["id"]
    assert report["options"]["group"] == "family"
    assert report["versions"]["metricopt"] == metricopt.__version__
    assert report["status"] == "feasible"
    assert report["selected_on"] == "validation"


def test_preprocessing_is_learnt_from_the_training_rows_alone(fitted, table):
    out, _ = fitted
    frame = pd.read_csv(table)
    rest, _ = parts_of(frame)
    held = frame.iloc[rest]
    labels = (held["outcome"] == "sick").to_numpy(float)
    train, validation = stratified_split(labels, (0.75, 0.25), 0, held["family"].astype(str).tolist())
    preprocessor, result = load_run(out)
    for rows, report in ((train, result.train), (validation, result.validation)):
        assert (report.num_samples, report.counts.positives) == (len(rows), labels[rows].sum())
    (age,) = [column for column in preprocessor.numeric if column.name == "age"]
    assert age.median == held["age"].iloc[train].median() != held["age"].median()
    assert age.mean == pytest.approx(held["age"].iloc[train].fillna(age.median).mean())
    for seen in (frame, held):
        assert age.mean != pytest.approx(seen["age"].fillna(age.median).mean())
    assert {column.name for column in (*preprocessor.numeric, *preprocessor.categorical)} == {"age", "marker", "ward"}


def test_baseline_is_cross_entropy_for_as_many_epochs(fitted, table):
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from metricopt.training.table_models import make_table_model

    out, _ = fitted
    report = json.loads((out / "report.json").read_text())
    frame = pd.read_csv(table)
    rest, test = parts_of(frame)
    preprocessor, _ = load_run(out)
    data = []
    for rows in (rest, test):
        held = make_table(frame.iloc[rows], "outcome", "sick")
        features = preprocessor.transform(held.features)
        data.append((torch.from_numpy(features), torch.from_numpy(held.labels).float()))
    baseline = metricopt.fit(
        make_table_model("linear", data[0][0].shape[1], seed=0),
        DataLoader(TensorDataset(*data[0]), batch_size=64, shuffle=True),
        metricopt.FPOR(0.7),
        groups=frame["family"].iloc[rest].astype(str).tolist(),
        val_fraction=0.25,
        confidence=None,
        solver="cross_entropy",
        epochs=8,
        learning_rate=0.1,
    )
    again = baseline.evaluate(data[1])[0]
    written = report["cross_entropy"]["test"]
    assert (written["threshold"], written["recall"]) == (again.threshold, again.recall)


def test_predict_agrees_with_the_result(fitted, folder):
    out, _ = fitted
    new = patients(40, seed=1).drop(columns=["outcome", "id", "family"])
    new.loc[3, "ward"] = "a new ward"
    new.to_csv(folder / "new.csv", index=False)
    printed = run("predict", out, folder / "new.csv")
    assert printed.exit_code == 0
    # Left to itself, pandas 2 reads a number to within its last bit.
    predictions = pd.read_csv(io.StringIO(printed.stdout), converters={"score": float})
    assert list(predictions.columns) == ["row", "score", "risk", "alarm", "label"]
    preprocessor, result = load_run(out)
    features, _ = preprocessor.transform_with_findings(pd.read_csv(folder / "new.csv"))
    assert "Note: ward: 1 row matches no category that training kept: 'a new ward' (1)" in printed.stderr
    assert "Note: Missing cells of 40 rows: age 3" in printed.stderr
    assert predictions["row"].tolist() == list(range(40))
    np.testing.assert_array_equal(predictions["score"], result.scores(features))
    np.testing.assert_array_equal(predictions["alarm"], result.predict(features))
    np.testing.assert_allclose(predictions["risk"], result.probabilities(features), rtol=1e-12)
    assert set(predictions["label"]) == {"outcome = sick"}
    np.testing.assert_array_equal(predictions["alarm"], predictions["score"] >= result.threshold)
    assert 0 < predictions["alarm"].sum() < 40

    written = run("predict", out, folder / "new.csv", "--out", folder / "made" / "predictions.csv")
    assert written.exit_code == 0
    assert (folder / "made" / "predictions.csv").read_text() == printed.stdout


def test_parquet_gives_the_same_as_csv(fitted, folder, table):
    """Training is repeatable, too, and of two classes the rarer one is positive."""
    pd.read_csv(table).to_parquet(folder / "patients.parquet")
    options = [option for option in ASKED if option not in ("--positive", "sick")]
    assert run("fit", folder / "patients.parquet", *options, *FAST, "--out", folder / "parquet").exit_code == 0
    first, second = (report_of(path) for path in (fitted[0], folder / "parquet"))
    assert first["options"].pop("table") != second["options"].pop("table")
    assert first == second
    predictions = [run("predict", fitted[0], path).stdout for path in (table, folder / "patients.parquet")]
    assert predictions[0] == predictions[1] != ""


def test_rows_without_a_label_are_left_out(folder):
    frame = patients()
    frame.loc[:99, "outcome"] = None
    frame.to_csv(folder / "gaps.csv", index=False)
    result = run("fit", folder / "gaps.csv", "--label", "outcome", "--alpha", 0.5, *FAST, "--out", folder / "gaps")
    assert result.exit_code == 0, result.output
    report = json.loads((folder / "gaps" / "report.json").read_text())
    assert sum(part["num_samples"] for part in report["reached"].values()) == 200
    assert report["num_unlabelled"] == 100
    assert "100 rows without a label" in result.stdout


def test_f_beta_and_no_validation_part(folder, table):
    options = ["--label", "outcome", "--objective", "OFBS", "--beta", 2, "--val-fraction", 0, "--model", "mlp"]
    result = run("fit", table, *options, "--epochs", 4, "--out", folder / "f2")
    assert result.exit_code == 0, result.output
    report = json.loads((folder / "f2" / "report.json").read_text())
    assert report["asked"] == "maximise f2"
    assert report["status"] == "optimized"
    assert set(report["reached"]) == {"train", "test"}
    assert report["selected_on"] == "train"
    assert report["reached"]["test"]["num_samples"] == 60
    assert len(run("predict", folder / "f2", table).stdout.splitlines()) == 301


def test_average_precision(folder, table, drawn):
    out = folder / "oap"
    result = run("fit", table, "--label", "outcome", "--objective", "OAP", "--drop", "id", *FAST, "--out", out)
    assert result.exit_code == 0, result.output
    report = json.loads((out / "report.json").read_text())
    assert report["asked"] == "maximise average_precision" and report["status"] == "optimized"
    for part in ("train", "validation", "test"):
        reached = report["reached"][part]
        assert reached["metric"] == "average_precision" and reached["value"] == reached["average_precision"]
        assert f"{reached['value']:.3f}" in result.stdout
    assert "chosen for the best f1" in (out / "summary.md").read_text()
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_bound_that_cannot_be_met_is_code_3_with_all_files(folder, drawn):
    frame = patients()[["ward", "outcome"]]  # two scores, and nothing to learn
    frame.to_csv(folder / "useless.csv", index=False)
    out = folder / "infeasible"
    asked = ["--alpha", 0.9, *FAST, "--confidence", 0.9]
    result = run("fit", folder / "useless.csv", "--label", "outcome", *asked, "--out", out)
    assert result.exit_code == 3
    report = json.loads((out / "report.json").read_text())
    assert report["status"] == "infeasible"
    assert "Best achievable precision" in report["advice"]
    assert "Best achievable precision" in " ".join(result.stdout.split())
    assert (out / "curve.png").is_file()
    assert (out / "summary.md").is_file()
    assert run("predict", out, folder / "useless.csv").exit_code == 0


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (["--alpha", 0.1], 0, "asked >= 0.1: the bound holds there."),
        (["--alpha", 0.9], 3, "no alarm is raised, and 0 of"),
        (["--alpha", 0.9, *HELD_OUT], 4, "asked >= 0.9: the bound fails there, by more than chance explains."),
    ],
)
def test_exit_code_says_whether_the_bound_is_supported_and_holds(folder, asked, code, said):
    patients(600)[["ward", "outcome"]].to_csv(folder / "useless.csv", index=False)  # nothing to learn
    out = folder / f"exit {code}"
    fast = [option for option in FAST if option not in HELD_OUT]
    result = run("fit", folder / "useless.csv", "--label", "outcome", *fast, *asked, "--out", out)
    assert result.exit_code == code, result.output
    report = json.loads((out / "report.json").read_text())
    first = " ".join(result.stdout.split())
    assert first.startswith("On 120 test rows") and said in first
    assert first.startswith(report["headline"]) and report["headline"] in (out / "summary.md").read_text()
    assert report["supported"] == (code == 0)
    assert (report["threshold"] == "inf") == (code == 3)


def test_folds_and_confidence_are_the_default(table, folder):
    out = folder / "folds"
    fast = [option for option in FAST if option not in HELD_OUT]
    assert run("fit", table, *ASKED[:4], "--alpha", 0.3, *ASKED[6:], *fast, "--out", out).exit_code == 0
    report = json.loads((out / "report.json").read_text())
    assert report["confidence"] == 0.9 and report["judged_by"].startswith("5 folds")
    assert set(report["reached"]) == {"test", "out-of-fold", "train"}
    assert report["reached"]["out-of-fold"]["num_samples"] == report["reached"]["train"]["num_samples"]
    preprocessor, result = load_run(out)
    frame = pd.read_csv(table)
    held = make_table(frame.iloc[parts_of(frame)[1]], "outcome", "sick")
    again = result.evaluate((preprocessor.transform(held.features), held.labels))[0]
    assert again.recall == report["reached"]["test"]["recall"]
    # Rows of a family lie in one fold.
    folds = result.selection_scores.folds
    families = frame["family"].to_numpy()[parts_of(frame)[0]]
    assert all(len(set(folds[families == family])) == 1 for family in set(families))


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_a_number_of_folds_and_a_confidence_can_be_given(table, folder, model):
    out = folder / f"three folds {model}"
    asked = ["--label", "outcome", "--alpha", 0.3, "--folds", 3, "--confidence", 0.6, "--model", model, "--epochs", 2]
    assert run("fit", table, *asked, "--out", out).exit_code in (0, 3)
    report = json.loads((out / "report.json").read_text())
    assert report["confidence"] == 0.6 and report["judged_by"].startswith("3 folds")
    assert run("predict", out, table).exit_code == 0
    none = run("fit", table, *asked[:4], *asked[8:], "--folds", "none", "--out", folder / f"no folds {model}")
    assert none.exit_code in (0, 3)
    report = json.loads((folder / f"no folds {model}" / "report.json").read_text())
    assert report["selected_on"] == "validation" and abs(report["reached"]["validation"]["num_samples"] - 60) <= 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--folds", "one"], "folds must be a number, auto or none, got 'one'; give e.g. 5"),
        (["--folds", 1], "folds must be"),
        (["--folds", 1000], "folds must be"),
        (["--confidence", "sure"], "confidence must be a number, auto or none, got 'sure'; give e.g. 0.9"),
        (["--confidence", 90], 'confidence must be "auto", None or a number in (0, 1), got 90.0'),
        (
            ["--confidence", 0.9, "--val-fraction", 0, "--model", "mlp"],
            "confidence must be left out where the training rows choose",
        ),
    ],
)
def test_bad_folds_and_confidence_end_before_training(table, tmp_path, wrong, message):
    result = run("fit", table, "--label", "outcome", "--alpha", 0.5, *wrong, "--out", tmp_path / "out")
    assert result.exit_code == 2 and message in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("confidence", "best"), [(0.9, "best that these rows support, if they support one."), (None, "best on these rows.")]
)
@pytest.mark.parametrize("verdict", Verdict)
def test_notes_explain_a_bound_that_is_missed_on_the_test_rows(verdict, confidence, best):
    scores = np.array([[1.0], [0.0], [0.0], [0.0]])
    report = evaluate(scores, scores, np.array([1.0]), FPOR(0.7), label_names=["label"], data="validation")
    run = SimpleNamespace(
        options=Options(model="linear"),
        rows=SimpleNamespace(
            divided="",
            num_unlabelled=0,
            meaning="Positive: 'sick'.",
            caveats=(),
            findings=Findings(4),
            preprocessor=SimpleNamespace(summary="Features used"),
        ),
        result=SimpleNamespace(selection=report, confidence=confidence, objective=FPOR(0.7)),
        reports=[(report, {})],
        epochs=3,
        verdict=verdict,
        is_supported=True,
    )
    assert notes(run)[1].endswith(f"the threshold of each is the {best}")
    *rest, last = notes(run)[2:]
    assert last == "Features used"
    assert len(rest) == (verdict in (Verdict.NEAR, Verdict.MISSED))
    assert all("ask for a higher confidence or a stricter bound" in note for note in rest)


def test_result_is_not_overwritten_unasked(fitted, table, tmp_path):
    out = shutil.copytree(fitted[0], tmp_path / "kept")
    before = (out / "report.json").read_text()
    refused = run("fit", table, *ASKED, *FAST, "--out", out, "--seed", 1)
    assert refused.exit_code == 2
    assert "add --overwrite" in refused.stderr
    assert (out / "report.json").read_text() == before
    assert run("fit", table, *ASKED, *FAST, "--out", out, "--seed", 1, "--overwrite").exit_code == 0
    assert json.loads((out / "report.json").read_text())["options"]["seed"] == 1


def test_an_interrupted_training_is_resumed_by_the_same_command(fitted, folder, table, monkeypatch):
    import torch

    out = folder / "interrupted"
    command = ["fit", table, *ASKED, *FAST, "--out", out, "--checkpoint-dir", out / "checkpoints", "--resume"]
    step = torch.optim.Adam.step
    for steps_left in (8, 20, 10):  # of 48, for both trainings
        left = iter(range(steps_left))

        def interrupted(*arguments, left=left):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return step(*arguments)

        monkeypatch.setattr(torch.optim.Adam, "step", interrupted)
        monkeypatch.setattr("metricopt.training.checkpoint.SECONDS_BETWEEN_EPOCHS", 0)
        assert run(*command).exit_code == 130
        assert not (out / "report.json").exists()
    monkeypatch.undo()
    for _ in range(2):  # finished, it is not trained again
        assert run(*command).exit_code == 0
        assert report_of(out) == report_of(fitted[0])
    refused = run(*command[:-1], "--overwrite")
    assert refused.exit_code == 2 and "without checkpoints" in refused.stderr


def test_resume_needs_the_checkpoints_and_spares_other_results(folder, fitted, table):
    options = ["--label", "outcome", "--alpha", 0.7, *FAST, "--resume"]
    nowhere = run("fit", table, *options, "--out", folder / "nowhere")
    assert nowhere.exit_code == 2 and "checkpoint_dir must be given to resume" in nowhere.stderr
    before = (fitted[0] / "report.json").read_text()
    refused = run("fit", table, *options, "--out", fitted[0], "--checkpoint-dir", folder / "no checkpoints")
    assert refused.exit_code == 2 and "add --overwrite" in refused.stderr
    assert (fitted[0] / "report.json").read_text() == before


BASE = {"label": "outcome", "alpha": 0.7, "out": "OUT"}


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"label": "outcom"}, ["label must be one of", "did you mean 'outcome'?"]),
        ({"positive": "ill"}, ["positive must be one of 'sick', 'well'", "'ill'"]),
        ({"label": "ward3"}, ["label column 'ward3'", "'a'", "say which one is positive"]),
        ({"objective": "FPR"}, ["objective must be one of", "'FPR'", "did you mean 'FPOR'?"]),
        ({"model": "linaer"}, ["model must be one of 'auto', 'boosting', 'linear', 'mlp'", "did you mean 'linear'?"]),
        ({"alpha": 1.5}, ["min_precision must be in (0, 1], got 1.5", "0.9"]),
        ({"alpha": None}, ["alpha must be given for FPOR", "e.g. alpha=0.9"]),
        ({"objective": "OFBS"}, ["alpha must be left out for OFBS", "takes beta"]),
        ({"objective": "OFBS", "alpha": None, "beta": -1}, ["beta must be a finite number above 0", "-1"]),
        ({"objective": "OAP"}, ["alpha must be left out for OAP", "takes neither"]),
        ({"beta": 2}, ["beta must be left out for FPOR", "takes alpha"]),
        ({"drop": "idd"}, ["drop must be one of", "'idd'", "did you mean 'id'?"]),
        ({"drop": "outcome"}, ["drop must be one of", "'outcome'"]),
        ({"group": "famly"}, ["group must be one of", "did you mean 'family'?"]),
        ({"group": "age"}, ["group must be a column with a value in every row", "missing values in 'age'"]),
        ({"test-fraction": 0}, ["test_fraction must be in (0, 1), got 0"]),
        ({"val-fraction": 0.8}, ["val_fraction must be in [0, 0.8)", "got 0.8"]),
        ({"learning-rate": -1}, ["learning_rate must be a finite number above 0"]),
        ({"device": "abacus"}, ["device must be one that torch can use here, got 'abacus'"]),
        ({"out": "TABLE"}, ["out must be a folder, got the file", "patients.csv; choose another name"]),
    ],
)
def test_bad_input_is_code_2_and_a_message(folder, tmp_path, change, parts):
    frame = patients()
    frame["ward3"] = np.resize(["a", "b", "c"], len(frame))
    path = tmp_path / "patients.csv"
    frame.to_csv(path, index=False)
    places = {"OUT": tmp_path / "out", "TABLE": path}
    options = {**BASE, **change}
    arguments = [f"--{name}={places.get(value, value)}" for name, value in options.items() if value is not None]
    result = run("fit", path, *arguments, "--epochs", "2")
    assert result.exit_code == 2
    assert result.stdout == ""
    message = result.stderr.replace("Training linear ...\n", "")
    message = message.removeprefix("300 rows and 6 columns beside outcome are read.\n")
    assert message.startswith("Error: ")
    for part in parts:
        assert part in message
    assert "Traceback" not in result.output
    assert not (tmp_path / "out" / "report.json").exists()


def test_label_with_three_values_works_once_positive_is_said(folder):
    frame = patients()
    frame["outcome"] = np.where(frame["age"] > 75, "dead", frame["outcome"])
    frame.to_csv(folder / "three.csv", index=False)
    options = ["--label", "outcome", "--alpha", 0.5, *FAST, "--out", folder / "three"]
    assert run("fit", folder / "three.csv", *options).exit_code == 2
    assert run("fit", folder / "three.csv", *options, "--positive", "sick").exit_code == 0


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("absent.csv", None, "path must be an existing file"),
        ("empty.csv", b"", "path must be a readable table"),
        ("header.csv", b"a,outcome\n", "path must be a table with at least one row"),
        ("binary.csv", b"\xff\xfe\x00\x01", "path must be a table with at least one row"),
        ("broken.parquet", b"not parquet", "path must be a readable table"),
        ("patients.xlsx", b"", "path must be a .csv, .tsv or .parquet file"),
    ],
)
def test_unreadable_table_is_code_2(tmp_path, name, content, part):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    result = run("fit", tmp_path / name, "--label", "outcome", "--alpha", "0.9", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert part in result.stderr


def test_predict_needs_a_result_and_its_columns(fitted, folder, table, tmp_path):
    no_result = run("predict", tmp_path, table)
    assert no_result.exit_code == 2
    assert "run must be a folder that `metricopt fit` wrote" in no_result.stderr

    patients(5).drop(columns=["marker", "ward"]).to_csv(tmp_path / "short.csv", index=False)
    short = run("predict", fitted[0], tmp_path / "short.csv")
    assert short.exit_code == 2
    assert "['marker', 'ward']" in short.stderr

    suffix = run("predict", fitted[0], table, "--out", tmp_path / "predictions.parquet")
    assert suffix.exit_code == 2
    assert "out must be a .csv file" in suffix.stderr


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"format": 99}'])
def test_damaged_run_is_code_2(tmp_path, table, content):
    (tmp_path / "preprocessing.json").write_text(content)
    result = run("predict", tmp_path, table)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: run must be")


def test_demo(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr("metricopt.training.plan.DEFAULT_STEPS_WITH_FOLDS", 60)  # the real one takes its time
    monkeypatch.setattr("metricopt.training.plan.MIN_DEFAULT_EPOCHS_WITH_FOLDS", 2)
    shutil.copytree(fitted[0], tmp_path / "demo")  # results are replaced
    result = run("demo", "--out", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "demo" / "report.json").read_text())
    assert report["asked"] == "maximise recall subject to precision >= 0.9"
    assert report["reached"]["out-of-fold"]["precision"] >= 0.9
    assert report["reached"]["test"]["num_samples"] + report["reached"]["train"]["num_samples"] == 9172

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert run("demo", "--out", tmp_path / "mine").exit_code == 2


def test_version_and_help():
    assert run("--version").stdout.strip() == f"metricopt {metricopt.__version__}"
    for arguments in (["--help"], ["fit", "--help"], ["predict", "--help"], ["demo", "--help"]):
        assert run(*arguments).exit_code == 0
    assert run("fti").exit_code == 2


def test_as_a_module_and_light_until_used():
    code = (
        "import atexit, gc, runpy, sys\n"
        "heavy = {'accelerate', 'matplotlib', 'pandas', 'scipy', 'sklearn'}\n"
        "atexit.register(lambda: print(heavy & sys.modules.keys(), gc.get_freeze_count() > 10_000))\n"
        "sys.argv = ['metricopt', '--version']\n"
        "runpy.run_module('metricopt', run_name='__main__')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n") == [f"metricopt {metricopt.__version__}", "set() True", ""]
