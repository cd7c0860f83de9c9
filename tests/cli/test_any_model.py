"""``metricopt fit`` with boosting, and with the best of several models; rows divided by date."""

import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import metricopt
from metricopt.cli import running
from metricopt.cli.commands import app
from metricopt.cli.parts import Dates, divide
from metricopt.cli.run_folder import load_run
from metricopt.data import read_table

pytestmark = pytest.mark.usefixtures("small_forests")
ASKED = ["--label", "outcome", "--alpha", 0.6, "--epochs", 2]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def patients(num_rows=600, seed=0):
    """Patients whose outcome no line tells, nor a network after two epochs: sick is who is far from the middle."""
    random = np.random.default_rng(seed)
    marker, pressure = random.normal(size=(2, num_rows))
    sick = marker**2 + 0.3 * random.normal(size=num_rows) > 1.5
    days = pd.to_datetime("2021-01-01") + pd.to_timedelta(np.arange(num_rows), unit="D")
    return pd.DataFrame(
        {
            "patient": np.arange(num_rows) // 2,
            "visit": days.strftime("%Y-%m-%d"),
            "marker": marker,
            "pressure": pressure,
            "ward": np.where(random.random(num_rows) < 0.5, "north", "south"),
            "outcome": np.where(sick, "sick", "well"),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("any model")


@pytest.fixture(scope="module")
def table(folder):
    patients().to_csv(folder / "patients.csv", index=False)
    return folder / "patients.csv"


@pytest.fixture(scope="module")
def fitted(folder, table):
    """Return the folder of a run of the default, and what the command printed."""
    out = folder / "auto"
    result = run("fit", table, *ASKED, "--group", "patient", "--out", out)
    assert result.exit_code in (0, 4), result.output
    return out, result


def test_the_best_of_several_models_is_the_default(fitted):
    out, result = fitted
    report = json.loads((out / "report.json").read_text())
    assert report["options"]["model"] == "auto" and report["model"] == "boosting"
    assert [each["name"] for each in report["candidates"]] == [*("linear", "mlp", "boosting", "mlp + boosting")]
    assert [each["chosen"] for each in report["candidates"]] == [False, False, True, False]
    lines = result.stderr.splitlines()
    for name in ("linear", "mlp", "boosting"):
        assert f"Training {name} ..." in lines
        assert any(re.match(rf"{name}: \w+, recall \d\.\d+, precision .* \(\d+\.\d s\)", line) for line in lines)
    said = " ".join(result.stdout.split())
    assert "Of linear, mlp, boosting and mlp + boosting, boosting was chosen by 5 folds" in said
    for name in ("boosting (chosen)", "linear", "mlp"):
        assert re.search(rf"test {re.escape(name)} ", said) and f"| test | {name} |" in (out / "summary.md").read_text()
    assert not any(path.suffix in (".pkl", ".pickle", ".joblib") for path in out.rglob("*"))


def test_the_table_of_candidates_says_what_each_reaches(fitted):
    report = json.loads((fitted[0] / "report.json").read_text())
    _, result = load_run(fitted[0])
    for each, tried in zip(report["candidates"], result.candidates, strict=True):
        assert each["out-of-fold"]["recall"] == tried.report[0].recall and each["status"] == tried.status.value
    assert report["candidates"][2]["test"] == report["reached"]["test"]
    assert report["candidates"][0]["test"]["recall"] < report["candidates"][2]["test"]["recall"]


def test_a_run_of_trees_predicts_evaluates_and_certifies(fitted, folder):
    out, _ = fitted
    new = patients(900, seed=1)
    new.to_csv(folder / "new.csv", index=False)
    printed = run("predict", out, folder / "new.csv", "--keep", "patient")
    assert printed.exit_code == 0, printed.output
    predictions = pd.read_csv(io.StringIO(printed.stdout), converters={"score": float})
    assert list(predictions.columns) == ["row", "patient", "score", "risk", "alarm", "label"]
    preprocessor, result = load_run(out)
    features = preprocessor.transform(read_table(folder / "new.csv"))
    np.testing.assert_array_equal(predictions["score"], result.scores(features))
    np.testing.assert_array_equal(predictions["alarm"], result.predict(features))
    assert predictions["risk"].corr(predictions["score"], "spearman") == pytest.approx(1)
    sick = (new["outcome"] == "sick").to_numpy()
    assert predictions["risk"].mean() == pytest.approx(sick.mean(), abs=0.05)

    judged = run("evaluate", out, folder / "new.csv", "--by", "ward")
    assert judged.exit_code in (0, 4), judged.output
    written = json.loads((out / "evaluation_new.json").read_text())
    assert written["labels"][0]["true_positives"] == predictions["alarm"][sick].sum()
    assert set(written["subgroups"]) == {"north", "south"}

    certified = run("certify", out, folder / "new.csv", "--out", folder / "certified")
    assert certified.exit_code == 0, certified.output
    again = run("predict", folder / "certified", folder / "new.csv")
    scores = pd.read_csv(io.StringIO(again.stdout), converters={"score": float})["score"]
    np.testing.assert_array_equal(scores, predictions["score"])


@pytest.mark.parametrize(
    ("model", "tried"),
    [("linear", ("linear", "boosting")), ("mlp", ("linear", "mlp")), ("mlp + boosting", ("mlp", "boosting"))],
)
def test_a_torch_model_that_won_is_loaded_again(folder, model, tried):
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 2))
    line = x[:, 0] if model == "linear" else np.abs(x).sum(axis=1) * 1.3 - 1.5
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": (line + 0.2 * random.normal(size=400) > 0.8).astype(int)})
    frame.to_csv(folder / f"{model}.csv", index=False)
    asked = ["--label", "y", "--objective", "OFBS", "--epochs", 60, "--learning-rate", 0.05, "--folds", 2]
    out = folder / f"won by {model}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("metricopt.cli.table_run.NAMED", tried)
        position = [*tried, "mlp + boosting"].index(model)
        patch.setattr("metricopt.estimator.training.best_on_folds", lambda _, results: (position, results[position]))
        result = run("fit", folder / f"{model}.csv", *asked, "--out", out)
    assert result.exit_code == 0, result.output
    report = json.loads((out / "report.json").read_text())
    assert report["model"] == model
    preprocessor, loaded = load_run(out)
    predicted = loaded.predict(preprocessor.transform(frame[["a", "b"]]))
    assert ((predicted == frame["y"]).mean() > 0.9) and run("predict", out, folder / f"{model}.csv").exit_code == 0


def test_boosting_alone(folder, table):
    out = folder / "boosting"
    result = run("fit", table, *ASKED, "--model", "boosting", "--folds", 3, "--out", out)
    assert result.exit_code in (0, 4), result.output
    report = json.loads((out / "report.json").read_text())
    assert report["judged_by"].startswith("3 folds") and "candidates" not in report and "cross_entropy" not in report
    assert "The threshold was chosen by 3 folds" in " ".join(result.stdout.split())
    assert run("predict", out, table).exit_code == 0


def test_a_prevalence_reaches_every_model(folder, table):
    out = folder / "rare"
    assert run("fit", table, *ASKED, "--model", "boosting", "--prevalence", 0.02, "--out", out).exit_code in (0, 3, 4)
    _, result = load_run(out)
    assert result.prevalence == 0.02
    counts = result.selection[0].counts
    assert counts.positives / (counts.positives + counts.negatives) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--folds", "none"], "model must be linear or mlp without folds, got auto; add --model mlp"),
        (["--val-fraction", 0.2], "model must be linear or mlp without folds, got auto; add --model mlp"),
        (["--val-fraction", 0.2, "--model", "boosting"], "model must be linear or mlp without folds, got boosting"),
        (["--model", "bosting"], "got 'bosting'; did you mean 'boosting'?"),
        (["--split-by-date", "visits"], "split_by_date must be one of"),
        (["--split-by-date", "ward"], "date column 'ward' must be of dates such as 2024-05-31, got '"),
        (["--split-by-date", "visit", "--test-fraction", 0.0001], "parts hold both classes, got no positive row from"),
    ],
)
def test_what_does_not_fit_is_said_before_training(table, tmp_path, options, message):
    result = run("fit", table, *ASKED, *options, "--out", tmp_path / "out")
    assert result.exit_code == 2 and message in " ".join(result.stderr.split())
    assert "Training" not in result.stderr


def test_a_tampered_run_is_refused(fitted, folder, table, tmp_path):
    import shutil

    out = shutil.copytree(fitted[0], tmp_path / "tampered")
    (out / "model" / "classifiers.skops").write_bytes(b"\x80\x04\x95cos\nsystem\n.")
    for command in (["predict"], ["evaluate"], ["certify"]):
        refused = run(*command, out, table)
        assert refused.exit_code == 2 and "a pickle is never read" in refused.stderr


def test_long_trainings_tell_a_line_now_and_then(table, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "SECONDS_BETWEEN_LINES", 0.0)
    result = run("fit", table, *ASKED, "--out", tmp_path / "out", "--folds", 2)
    for said in ("linear: ", "epoch 2", "boosting: fold 2 of 2 is trained"):
        assert said in result.stderr
    named = run("fit", table, *ASKED, "--model", "linear", "--out", tmp_path / "linear", "--folds", 2)
    assert "FPOR: epoch 2 of 2: recall" in named.stderr and "cross-entropy: epoch 2 of 2" in named.stderr


# Dates


def test_the_past_trains_and_the_last_part_tests(folder, table):
    out = folder / "dates"
    asked = [*ASKED, "--model", "boosting", "--split-by-date", "visit", "--test-fraction", 0.25]
    result = run("fit", table, *asked, "--out", out)
    assert result.exit_code in (0, 3, 4), result.output
    said = "Divided by visit: rows before 2022-03-27 trained (450), those from then on are the test (150)."
    report = json.loads((out / "report.json").read_text())
    assert report["divided"] == said and said in " ".join(result.stdout.split())
    assert said in (out / "summary.md").read_text()
    preprocessor, saved = load_run(out)
    assert "visit" not in (*preprocessor.dropped, *preprocessor.feature_names)
    last = read_table(table).iloc[450:]
    again = saved.evaluate((preprocessor.transform(last), (last["outcome"] == "sick").to_numpy(float)))[0]
    assert again.recall == report["reached"]["test"]["recall"] and again.num_samples == 150


def test_rows_of_one_date_stay_together_and_groups_of_the_test_do_not_train():
    labels = np.tile([0.0, 1.0], 50)
    dates = Dates("year", np.repeat(np.arange(2000.0, 2010.0), 10), are_numbers=True)
    parts = divide(labels, None, dates, 0.23, 0)
    assert parts.test.tolist() == list(range(80, 100)) and parts.rest.tolist() == list(range(80))
    assert "rows before 2008 trained (80)" in parts.said
    groups = np.arange(100) % 25
    parts = divide(labels, groups, dates, 0.05, 0)
    assert not set(groups[parts.rest]) & set(groups[parts.test])
    num_left_out = 100 - len(parts.rest) - len(parts.test)
    assert parts.said.endswith(f" {num_left_out} earlier rows of groups that are in the test part were left out.")
    assert num_left_out == 30  # ten groups, three times before


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        (["1970-01-02", "1970-01-01T00:00:05"], [86400.0, 5.0]),
        (["1970-01-01 01:00+01:00", "1970-01-01"], [0.0, 0.0]),
        (pd.to_datetime(["1970-01-02", "1970-01-03"]), [86400.0, 172800.0]),
        (["2019", "2020"], [2019.0, 2020.0]),
        ([2019.5, 2020.0], [2019.5, 2020.0]),
    ],
)
def test_dates_are_read(values, seconds):
    column = pd.Series(values, dtype="string" if isinstance(values[0], str) else None)  # as text files are read
    assert Dates.of(pd.DataFrame({"when": column}), "when").values.tolist() == seconds


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["2020-01-01", "31.12.2020"], "got '31.12.2020' in row 1; write year-month-day"),
        (["soon", "later"], "got 'soon' in row 0, and 1 more that cannot be read"),
        (["2020-01-01", None], "must be given for every row, got 1 rows without one, the first is row 1"),
        (["2020-13-01", "2020-01-01"], "got '2020-13-01' in row 0"),
    ],
)
def test_dates_that_cannot_be_read_are_named(values, message):
    with pytest.raises(metricopt.InvalidInputError, match=re.escape(message)):
        Dates.of(pd.DataFrame({"when": values}), "when")
