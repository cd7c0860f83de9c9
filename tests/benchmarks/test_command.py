"""``python -m benchmarks run`` and ``report``, on a suite that takes seconds."""

import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks.reporting import files as results
from benchmarks.suites import Plan, Suite
from benchmarks.suites import command as suites

pytestmark = pytest.mark.usefixtures("undrawn")
SUITE = Suite(
    "tiny",
    "A tiny suite",
    ("toy",),
    (Plan(("FPOR .8",), ("cross-entropy", "profiled"), ("linear",)),),
    num_splits=2,
    num_steps=20,
    batch_size=256,
)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setattr(suites, "SUITES", {"tiny": SUITE})
    monkeypatch.setattr(results, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    (tmp_path / "results").mkdir()
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(command.app, list(arguments))


def said(outcome):
    return " ".join(outcome.output.replace("│", " ").split())


def test_run_then_report_and_go_on_from_the_results_that_came_with_the_code(folders):
    assert run("run", "tiny", "--processes", "1").exit_code == 0
    page, table = folders / "results" / "tiny.md", folders / "results" / "tiny.parquet"
    text, frame = page.read_text(), pd.read_parquet(table)
    assert "# A tiny suite" in text and "`python -m benchmarks run tiny`" in text
    assert "| toy | 570 | 2 | 120 |" in text and "AP-Perf" in text
    assert list((folders / "results" / "tiny").glob("*.png"))
    # The rows that come with the code are enough for the same report.
    (folders / "runs" / "tiny.jsonl").unlink()
    page.unlink()
    assert run("report", "tiny").exit_code == 0
    assert page.read_text() == text
    is_lost = frame["cell"] == frame["cell"].iloc[2]
    frame[~is_lost].to_parquet(table, index=False)
    assert run("run", "tiny", "--processes", "1").exit_code == 0
    again = pd.read_parquet(table)
    assert again[~is_lost].equals(frame[~is_lost])  # with the seconds of the first run: no cell was run again
    assert again[is_lost].drop(columns="seconds").equals(frame[is_lost].drop(columns="seconds"))
    assert len(again) == len(frame) and is_lost.any()  # the lost cell, and it alone, was run again


def test_quick_leaves_results_alone_and_fresh_forgets_what_is_finished(folders):
    (folders / "runs").mkdir()
    kept = folders / "runs" / "tiny-quick.jsonl"
    kept.write_text('{"cell": "of old", "seconds": 1, "rows": []}\n')
    outcome = run("run", "tiny", "--quick", "--fresh", "--processes", "1")
    assert outcome.exit_code == 0, outcome.output
    assert "quick" in (folders / "runs" / "tiny-quick.md").read_text()
    assert not list((folders / "results").iterdir())
    assert len(kept.read_text().splitlines()) > 0 and "of old" not in kept.read_text()


def test_nothing_to_report_and_unknown_suites_are_said_so(folders):
    outcome = run("report", "tiny")
    assert outcome.exit_code == 2 and "nothing of tiny is finished" in said(outcome)
    outcome = run("run", "tables")
    assert outcome.exit_code == 2 and "must be one of tiny" in said(outcome)
