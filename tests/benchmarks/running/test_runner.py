"""A finished cell is never run twice, whatever ended the run before."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from benchmarks.running import runner
from tests.benchmarks.running.quick_cells import CELLS, QuickCell

ROOT = Path(__file__).parents[3]
QUIET = Console(file=io.StringIO())


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_runs_every_cell_once(tmp_path):
    file = tmp_path / "runs" / "quick.jsonl"
    assert runner.run("quick", CELLS, file, 2, QUIET) == {}
    assert sorted(entry["cell"] for entry in lines(file)) == sorted(cell.key for cell in CELLS)
    assert runner.rows_of(CELLS, file) == [{"cell": cell.key, **row} for cell in CELLS for row in cell.run()]
    before = file.read_bytes()
    assert runner.run("quick", CELLS, file, 2, QUIET) == {}
    assert file.read_bytes() == before


def test_goes_on_after_a_line_that_was_cut(tmp_path):
    file = tmp_path / "quick.jsonl"
    runner.run("quick", CELLS, file, 1, QUIET)
    whole = lines(file)
    kept = [json.dumps(entry) for entry in whole[:3]]
    file.write_text("\n".join(kept) + "\n" + json.dumps(whole[3])[:40])
    assert len(runner.rows_of(CELLS, file)) == 6
    runner.run("quick", CELLS, file, 1, QUIET)
    again = lines(file)
    assert again[:3] == whole[:3]  # with their seconds: they were not run again
    assert [(entry["cell"], entry["rows"]) for entry in again] == [(entry["cell"], entry["rows"]) for entry in whole]


def test_failed_cell_costs_itself_alone_and_is_tried_again(tmp_path):
    file = tmp_path / "quick.jsonl"
    cells = [*CELLS[:3], QuickCell(-1), *CELLS[3:6]]
    assert runner.run("quick", cells, file, 2, QUIET) == {"quick -1": "ValueError: no such seed"}
    assert len(lines(file)) == 6
    assert runner.run("quick", cells, file, 1, QUIET).keys() == {"quick -1"}
    assert len(lines(file)) == 6


def test_takes_over_what_another_run_has_finished(tmp_path):
    elsewhere, file = tmp_path / "elsewhere.jsonl", tmp_path / "runs" / "here.jsonl"
    runner.run("quick", CELLS[:20], elsewhere, 1, QUIET)
    runner.run("quick", CELLS[:5], file, 1, QUIET)
    own = lines(file)
    rows = runner.rows_of(CELLS, elsewhere)
    runner.take_over(CELLS[:15], rows, file)
    assert lines(file)[:5] == own and len(lines(file)) == 15  # its own cells stay, others are not asked for
    assert runner.rows_of(CELLS, file) == rows[:30]
    runner.take_over(CELLS[:15], rows, file)
    assert len(lines(file)) == 15
    runner.run("quick", CELLS[:18], file, 1, QUIET)
    assert [entry["cell"] for entry in lines(file)[15:]] == [cell.key for cell in CELLS[15:18]]


def test_killed_run_goes_on_where_it_was(tmp_path):
    file, script = tmp_path / "quick.jsonl", tmp_path / "go.py"
    script.write_text(
        "import io\nfrom pathlib import Path\nfrom rich.console import Console\n"
        "from benchmarks.running import runner\nfrom tests.benchmarks.running.quick_cells import CELLS\n"
        f"if __name__ == '__main__':\n"
        f"    runner.run('quick', CELLS, Path({str(file)!r}), 2, Console(file=io.StringIO()))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, script], env=environment, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (file.exists() and len(file.read_text().splitlines()) >= 2) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    survived = file.read_text().split("\n")[:-1]
    assert 2 <= len(survived) < len(CELLS)
    assert runner.run("quick", CELLS, file, 1, QUIET) == {}
    after = file.read_text().splitlines()
    assert after[: len(survived)] == survived
    assert len(after) == len(CELLS) == len({json.loads(line)["cell"] for line in after})
