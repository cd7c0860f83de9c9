"""``metricopt fit`` with bounds in subgroups and a threshold for each, and what the run does with new rows."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from metricopt.cli.commands import app
from metricopt.cli.saved_run import SavedRun

ASKED = [
    "--label",
    "sick",
    "--maximize",
    "recall",
    "--subject-to",
    "precision >= 0.5 in every site",
    "--model",
    "linear",
]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    sick = rng.random(500) < 0.3
    rows = {"a": rng.normal(size=500) + 2.5 * sick, "site": rng.integers(10, 12, 500), "sick": sick.astype(int)}
    path = tmp_path / "patients.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.mark.slow
def test_a_run_has_a_threshold_for_each_site(table, tmp_path):
    out = tmp_path / "run"
    done = run("fit", table, *ASKED, "--threshold-per", "site", "--epochs", 3, "--drop", "site", "--out", out,
               "--confidence", "none")  # fmt: skip
    assert done.exit_code in (0, 4), done.output
    saved = SavedRun.load(out)
    limits = saved.result.subgroup_thresholds
    assert set(limits) == {"10", "11"} and len(saved.result.validation.bounds) == 2
    assert "site" not in json.dumps(json.loads((out / "preprocessing.json").read_text()))
    told = run("predict", out, table)
    predicted = pd.read_csv(io.StringIO(told.output))
    expected = predicted["score"] >= pd.read_csv(table)["site"].astype(str).map(limits)
    np.testing.assert_array_equal(predicted["alarm"], expected.astype(int))


def test_a_column_that_is_not_there_is_named_before_training(table, tmp_path):
    ended = run("fit", table, *ASKED[:-3], "precision >= 0.5 in every ward", "--out", tmp_path / "run")
    assert ended.exit_code == 2 and "ward" in ended.output
