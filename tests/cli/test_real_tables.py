"""Tables as they are in the wild, through the commands: nothing is silently wrong."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from metricopt.cli.commands import app

FAST = ["--model", "linear", "--epochs", 2, "--val-fraction", 0.2, "--confidence", "none", "--alpha", 0.3]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def fit(folder, text, *options, label="y"):
    """Train on the text of a table; return the folder of the run and what was printed."""
    (folder / "table.csv").write_text(text)
    printed = run("fit", folder / "table.csv", "--label", label, *FAST, *options, "--out", folder / "run")
    assert printed.exit_code in (0, 3, 4), printed.output
    return folder / "run", printed


def text_of(num_rows=200, **columns):
    random = np.random.default_rng(0)
    sick = random.random(num_rows) < 0.25
    frame = pd.DataFrame({"marker": random.normal(sick * 2.0).round(3), **columns})
    frame["y"] = np.where(sick, "sick", "well")
    return frame.to_csv(index=False)


def scores(out, folder, lines):
    (folder / "new.csv").write_text("\n".join(lines) + "\n")
    printed = run("predict", out, folder / "new.csv")
    assert printed.exit_code == 0, printed.output
    return pd.read_csv(io.StringIO(printed.stdout), converters={"score": float})["score"].to_numpy(), printed.stderr


def test_a_row_gets_the_same_score_alone(tmp_path):
    random = np.random.default_rng(1)
    text = text_of(s=random.choice(["TRUE", "FALSE", "UNK"], 200), c=random.choice(["001", "250.00", "V10"], 200))
    out, _ = fit(tmp_path, text)
    header, *rows = text.splitlines()
    whole, said = scores(out, tmp_path, [header, *rows])
    assert said == ""
    for row in (0, 1, 7, 20):
        alone, said = scores(out, tmp_path, [header, rows[row]])
        assert alone[0] == pytest.approx(whole[row], rel=1e-5) and said == ""  # its features are the same exactly
    path = out / "preprocessing.json"
    saved = json.loads(path.read_text())
    for column in (*saved["columns"]["numeric"], *saved["columns"]["categorical"]):
        column.pop("decimal", None), column.pop("num_rare", None)
    path.write_text(json.dumps({**saved, "format": 1}))  # as an older version wrote it
    np.testing.assert_array_equal(scores(out, tmp_path, [header, *rows])[0], whole)
    _, said = scores(out, tmp_path, ["s,c,marker", "maybe,001,", "TRUE,1,0.5"])
    assert said.splitlines() == [
        "Note: s: 1 row matches no category that training kept: 'maybe' (1)",
        "Note: c: 1 row matches no category that training kept: '1' (1)",
        "Note: Missing cells of 2 rows: marker 1",
    ]


def test_caveats_are_printed_before_the_training_and_kept(tmp_path):
    numbers = np.arange(200)
    text = text_of(patient_id=numbers // 4, code=numbers)
    lines = text.splitlines()
    for row in range(1, 201):
        marker, patient, _, outcome = lines[row].split(",")
        lines[row] = f"{marker},{patient},{'K70' if outcome == 'sick' else 'Z00'},{outcome if row > 40 else ''}"
    out, printed = fit(tmp_path, "\n".join(lines) + "\n")
    said = printed.stderr[: printed.stderr.index("Training on")]
    parts = [
        "40 of 200 rows (20%) have no value in 'y'",
        "code alone separates",
        "patient_id repeats (50 values in 200 rows)",
    ]
    for part in parts:
        assert part in " ".join(said.split()) and part in (out / "summary.md").read_text()
    report = json.loads((out / "report.json").read_text())
    assert len(report["caveats"]) == 3 and report["dropped_columns"] == {"patient_id": "an identifier"}


@pytest.mark.parametrize("header", ["outcome,a,outcome", "a,a ,outcome"])
def test_two_columns_of_one_name_end_before_training(tmp_path, header):
    (tmp_path / "table.csv").write_text(header + "\n" + "\n".join(f"{i % 2},{i},{i % 2}" for i in range(50)) + "\n")
    refused = run("fit", tmp_path / "table.csv", "--label", "outcome", "--alpha", 0.9, "--out", tmp_path / "run")
    assert refused.exit_code == 2 and "got twice ['" in refused.stderr and "rename or remove one" in refused.stderr


@pytest.mark.parametrize(
    ("values", "options", "positive", "said"),
    [
        (["abnormal", "normal"], [], "abnormal", "Positive: 'abnormal' ({} rows), the rarer class. Negative: 'normal'"),
        (["-1", "1"], [], "-1", "Positive: '-1' ({} rows), the rarer class. Negative: '1'"),
        (["0", "1.0"], [], "1", "Positive: '1' ({} rows), though it is not the rarer class. Negative: '0'"),
        (["mild", "well"], ["--positive", "mild", "--positive", "well"], None, "got all of them: ['mild', 'well']"),
    ],
)
def test_the_positive_class_is_said(tmp_path, values, options, positive, said):
    text = text_of().replace("sick", values[0]).replace("well", values[1])
    if positive is None:
        (tmp_path / "table.csv").write_text(text)
        refused = run("fit", tmp_path / "table.csv", "--label", "y", *FAST, *options, "--out", tmp_path / "run")
        assert refused.exit_code == 2 and said in refused.stderr
        return
    out, printed = fit(tmp_path, text, *options)
    number = text.count(f",{values[1] if positive == '1' and values[0] == '0' else values[0]}\n")
    assert said.format(number) in " ".join(printed.stdout.split())
    assert ("To find the rarer one, name it: --positive 0." in " ".join(printed.stdout.split())) == ("though" in said)
    assert json.loads((out / "report.json").read_text())["positive"] == positive
    last = printed.stdout[printed.stdout.index("Features used") :]
    assert last.startswith("Features used: 1 numeric (marker); left out: none.\nWritten:")


@pytest.mark.parametrize(
    ("options", "positive"), [(["malignant"], "malignant"), (["benign", "cyst"], "benign or cyst")]
)
def test_values_against_the_rest(tmp_path, options, positive):
    lines = text_of().splitlines()
    kinds = ["malignant", "benign", "cyst", "none"]
    lines = [lines[0], *(f"{line.rpartition(',')[0]},{kinds[row % 4]}" for row, line in enumerate(lines[1:]))]
    text = "\n".join(lines) + "\n"
    out, printed = fit(tmp_path, text, *(word for option in options for word in ("--positive", option)))
    report = json.loads((out / "report.json").read_text())
    assert report["positive"] == positive and f"Positive: {' and '.join(map(repr, options))} (" in printed.stdout
    refused = run("fit", tmp_path / "table.csv", "--label", "y", *FAST, "--out", tmp_path / "other")
    assert refused.exit_code == 2 and "(--positive, or positive=...): it is then told from the rest" in refused.stderr
    assert "OneVsRestClassifier" in refused.stderr


def test_dates_are_days_where_asked(tmp_path):
    days = pd.date_range("2020-01-01", periods=200).strftime("%d.%m.%Y")
    text = text_of(admission=days, birth=days)
    out, printed = fit(tmp_path, text, "--days", "admission")
    last = " ".join(printed.stdout.split())
    assert "Features used: 2 numeric (marker, admission); left out: birth (dates or times)." in last
    assert json.loads((out / "report.json").read_text())["options"]["days"] == ["admission"]
    header, *rows = text.splitlines()
    whole, said = scores(out, tmp_path, [header, *rows])
    alone, _ = scores(out, tmp_path, [header, rows[7]])
    assert alone[0] == whole[7] and said == ""
    refused = run("fit", tmp_path / "table.csv", "--label", "y", *FAST, "--days", "birthday", "--out", tmp_path / "no")
    assert refused.exit_code == 2 and "days must be one of" in refused.stderr
