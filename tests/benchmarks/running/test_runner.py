"""A finished cell is never run twice, whatever ended the run before."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.running import runner
from benchmarks.running.cells import cells_of
from benchmarks.suites import Plan, Suite

ROOT = Path(__file__).parents[3]
SUITE = Suite(
    "tiny",
    "Tiny",
    ("toy",),
    (Plan(("F1",), ("cross-entropy", "focal", "profiled"), ("linear",)),),
    num_splits=2,
    num_steps=12,
    batch_size=256,
)
QUIET = Console(file=io.StringIO())


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_runs_every_cell_once(tmp_path):
    file = tmp_path / "runs" / "tiny.jsonl"
    assert runner.run("tiny", cells_of(SUITE), file, 2, QUIET) == {}
    assert sorted(entry["cell"] for entry in lines(file)) == sorted(cell.key for cell in cells_of(SUITE))
    rows = runner.rows_of(cells_of(SUITE), file)
    assert [(row["split"], row["method"]) for row in rows[:3]] == [(0, "cross-entropy"), (0, "focal"), (0, "profiled")]
    before = file.read_bytes()
    assert runner.run("tiny", cells_of(SUITE), file, 2, QUIET) == {}
    assert file.read_bytes() == before


def test_goes_on_after_a_line_that_was_cut(tmp_path):
    file = tmp_path / "tiny.jsonl"
    runner.run("tiny", cells_of(SUITE), file, 1, QUIET)
    whole = lines(file)
    kept = [json.dumps(entry) for entry in whole[:3]]
    file.write_text("\n".join(kept) + "\n" + json.dumps(whole[3])[:40])
    assert len(runner.rows_of(cells_of(SUITE), file)) == 3
    runner.run("tiny", cells_of(SUITE), file, 1, QUIET)
    again = lines(file)
    assert [entry["cell"] for entry in again] == [entry["cell"] for entry in whole]
    assert again[:3] == whole[:3]  # with their seconds: they were not run again
    for one, other in zip(again[3:], whole[3:], strict=True):
        assert [{**row, "seconds": 0} for row in one["rows"]] == [{**row, "seconds": 0} for row in other["rows"]]


def test_failed_cell_costs_itself_alone_and_is_tried_again(tmp_path, monkeypatch):
    file = tmp_path / "tiny.jsonl"
    bad = Suite("tiny", "Tiny", ("toy", "no such set"), SUITE.plans, 1, 12, 256)
    failed = runner.run("bad", cells_of(bad), file, 1, QUIET)
    assert len(failed) == 3 and all("no such set" in key for key in failed)
    assert len(lines(file)) == 3
    assert len(runner.run("bad", cells_of(bad), file, 1, QUIET)) == 3


@pytest.mark.slow
def test_killed_run_goes_on_where_it_was(tmp_path):
    file = tmp_path / "tiny.jsonl"
    code = (
        "import io\nfrom pathlib import Path\nfrom rich.console import Console\nfrom benchmarks import runner\n"
        "from benchmarks.running.cells import cells_of\nfrom tests.benchmarks.test_runner import SUITE\n"
        f"if __name__ == '__main__':\n"
        f"    runner.run('tiny', cells_of(SUITE), Path({str(file)!r}), 1, Console(file=io.StringIO()))\n"
    )
    script = tmp_path / "go.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, script], env=environment, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (file.exists() and len(file.read_text().splitlines()) >= 2) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    survived = [line for line in file.read_text().split("\n")[:-1]]
    assert len(survived) >= 2
    assert runner.run("tiny", cells_of(SUITE), file, 1, QUIET) == {}
    after = file.read_text().splitlines()
    assert after[: len(survived)] == survived
    assert len(after) == len(cells_of(SUITE)) == len({json.loads(line)["cell"] for line in after})
