"""Launches of two processes on CPU: they end as one process with batches as large as theirs together."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from metricopt import InvalidInputError
from metricopt.cli.commands import app
from tests import launched_loops
from tests.launched import ASKED, BATCH, BETWEEN, CASES, EQUAL, NAMES, kept, outcome

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SECONDS = 240
"""Many times what both launches take; one that hangs fails."""


def told(folder, name):
    """What both processes wrote down, which must agree but for the calls of callbacks: the main one's alone."""
    both = [json.loads((folder / f"{name}-{position}.json").read_text()) for position in range(2)]
    assert both[1].pop("calls") == 0 and both[0].pop("calls") > 0
    assert both[0] == both[1]
    return both[0]


def write_table(path):
    draw = torch.Generator().manual_seed(0)
    labels = (torch.rand(400, generator=draw) < 0.3).int()
    features = torch.randn(400, generator=draw) + 1.5 * labels
    lines = [f"{float(x):.4f},{int(y)}" for x, y in zip(features, labels, strict=True)]
    path.write_text("\n".join(["x,sick", *lines]))


@pytest.fixture(scope="module")
def launches(tmp_path_factory):
    """The folders of two launches and what the first said: see :mod:`tests.launches`."""
    killed, folder = tmp_path_factory.mktemp("killed"), tmp_path_factory.mktemp("launch")
    write_table(killed / "table.csv")
    own = {name: value for name, value in os.environ.items() if not name.startswith(("ACCELERATE", "PYTEST"))}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.launches", killed, folder],
        cwd=ROOT, env={**own, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS,
    )  # fmt: skip
    first, _, _ = ran.stdout.partition(BETWEEN)
    # Which of both ends the launcher sees first is chance: the one that was killed, or the one that lost it.
    assert ran.returncode == 0 and "FAILED" in first and not list(killed.glob("killed-*.json")), ran.stdout
    return killed, folder, first


@pytest.fixture(scope="module")
def after_a_kill(launches):
    """The folder of the launch that ran the command line and trained until one process was killed; what it said."""
    return launches[0], launches[2]


@pytest.fixture(scope="module")
def folder(launches):
    """Where the other launch wrote down all that does not end it; "resumed" goes on after the kill."""
    return launches[1]


# The same as one process


def assert_close(own, other):
    """Compare outcomes: numbers up to rounding, all else exactly."""
    if isinstance(own, dict):
        assert own.keys() == other.keys()
        for key in own:
            assert_close(own[key], other[key])
    elif isinstance(own, list):
        assert len(own) == len(other)
        for one, another in zip(own, other, strict=True):
            assert_close(one, another)
    else:
        assert own == (pytest.approx(other, rel=1e-4, abs=1e-5) if isinstance(own, float) else other)


@pytest.mark.parametrize("name", EQUAL)
def test_two_processes_end_as_one_with_batches_of_twice_the_size(name, folder):
    two, one = told(folder, name), json.loads(json.dumps(outcome(EQUAL[name], 2 * BATCH, 1)))
    assert one.pop("calls") == 5 and two.pop("seconds") > 0 and one.pop("seconds") > 0
    assert two["counts"] == one["counts"] and np.isfinite(two["thresholds"]).any()
    assert_close(two, one)


def test_random_draws_and_batch_statistics_are_each_process_s_own_yet_both_end_alike(folder):
    two = told(folder, "batch_norm_and_dropout")
    one = outcome(CASES["batch_norm_and_dropout"], 2 * BATCH, 1)
    assert two["weights"]["1.running_mean"] != one["weights"]["1.running_mean"]
    assert two["statuses"] == one["statuses"]


# Faults


def test_what_one_process_cannot_train_on_ends_all_with_the_reason(folder):
    first, second = (json.loads((folder / f"faults-{position}.json").read_text()) for position in range(2))
    assert first.keys() == second.keys() == {
        "stream", "val_stream", "few_rows", "NaN", "unreadable", "held", "device",
    }  # fmt: skip
    for argument, name in (("loader", "stream"), ("val_loader", "val_stream")):
        rule = f"InvalidInputError: {argument} must be over a map-style data set in a launch of several processes, got "
        assert first[name].startswith(rule) and second[name].startswith(rule)
    for name, start in {
        "few_rows": "InvalidInputError: loader must be one with a row for each of 2 processes in every part, got 1 ",
        "NaN": "InvalidInputError: features must be finite, got NaN or infinity in x of batch ",
        "held": "InvalidInputError: checkpoint_dir must be a folder without checkpoints, got ",
        "device": "InvalidInputError: device must be left out in a launch, or 'cpu', got 'cuda:0'; ",
    }.items():
        assert first[name].startswith(start) and second[name] == first[name]
    assert second["unreadable"] == "OSError: image 39 is damaged"
    assert first["unreadable"].startswith("ProcessLostError: Process 1 of 2 failed: OSError: image 39 is damaged; ")


# Killed and resumed


def test_a_killed_process_ends_the_others_with_an_error_that_names_the_checkpoints(after_a_kill):
    checkpoints, said = after_a_kill[0] / "checkpoints", after_a_kill[1]
    assert "ProcessLostError: Process 0 of 2 ends: another one was lost" in said
    assert f"start all again with resume=True to go on from the checkpoints in '{checkpoints}'" in said
    assert [file.name for file in sorted(checkpoints.iterdir())][-1] == "step-000000016.safetensors"


def test_two_processes_go_on_as_if_none_had_been_killed(folder):
    resumed, whole = told(folder, "resumed"), told(folder, "whole")
    assert resumed.pop("seconds") > 0 and whole.pop("seconds") > 0
    assert resumed == whole


def test_one_process_goes_on_where_two_were_with_batches_of_twice_the_size(after_a_kill, folder, tmp_path):
    shutil.copytree(after_a_kill[0] / "checkpoints", tmp_path / "checkpoints")
    with pytest.raises(InvalidInputError, match=r"differs in batch size \(40 there, 20 now\)"):
        kept(tmp_path / "checkpoints", resume=True, batch=BATCH, number=1)
    alone, whole = kept(tmp_path / "checkpoints", resume=True, batch=2 * BATCH, number=1), told(folder, "whole")
    assert len(alone["loss"]) == len(whole["loss"]) == 5 * len(NAMES) and alone["calls"] == 2
    assert alone["loss"][: 3 * len(NAMES)] == whole["loss"][: 3 * len(NAMES)]  # trained before the checkpoint
    assert np.isfinite(alone["thresholds"]).all()


# The command line


def test_the_command_line_in_a_launch(after_a_kill, tmp_path, undrawn):
    folder, said = after_a_kill
    assert said.count("Training on FPOR, 6 epochs") == said.count("Written: ") == 1
    options = [*ASKED, "--batch-size", "100"]
    alone = CliRunner().invoke(app, ["fit", str(folder / "table.csv"), *options, "--out", str(tmp_path / "one")])
    assert alone.exit_code == 0
    two, one = (json.loads((place / "report.json").read_text()) for place in (folder / "two", tmp_path / "one"))
    for unlike in ("seconds", "options"):
        two.pop(unlike), one.pop(unlike)
    assert_close(two, one)


# Own loops


@pytest.mark.parametrize(("name", "with_index"), [("plain", False), ("accelerate", True), ("lightning", True)])
def test_own_loops_have_one_threshold_and_one_multiplier(folder, name, with_index):
    if name == "lightning" and importlib.util.find_spec(name) is None:
        pytest.skip("lightning is not installed")
    both = [json.loads((folder / f"{name}-{position}.json").read_text()) for position in range(2)]
    assert both[0] == both[1]
    alone = launched_loops.train(with_index)
    assert alone["threshold"] == pytest.approx(both[0]["threshold"], abs=1e-4)
    assert alone["multiplier"] == pytest.approx(both[0]["multiplier"], abs=1e-4) and alone["multiplier"] > 0
    np.testing.assert_allclose(both[0]["losses"], alone["losses"], atol=1e-4)
    for weight, expected in zip(both[0]["weights"], alone["weights"], strict=True):
        np.testing.assert_allclose(weight, expected, atol=1e-4)
