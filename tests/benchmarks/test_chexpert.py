"""The benchmark on chest X-rays, end to end on a few drawings; what is asked wrongly is told before training."""

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.chexpert.methods import METHODS, obstacle
from benchmarks.chexpert.request import Request
from benchmarks.chexpert.self_training import drawn_labels
from metricopt.backbones import load_backbone
from metricopt.data import write_synthetic_chexpert
from metricopt.problem.objectives import FPOR, OAP
from metricopt.solvers import GroupedHead

LABELS = "Pleural Effusion,Support Devices"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_synthetic_chexpert(tmp_path_factory.mktemp("drawn"), num_patients=30, image_size=32)


def call(*arguments):
    return CliRunner().invoke(app, ["chexpert", *map(str, arguments)])


@pytest.fixture
def small(tree, tmp_path):
    asked = ("--root", tree, "--labels", LABELS, "--image-size", 32, "--cut", "layer1.0", "--epochs", 2)
    return (*asked, "--seeds", 1, "--processes", 1, "--methods", "profiled,cross_entropy,soap", "--out", tmp_path)


@pytest.mark.slow
def test_compares_methods_and_never_runs_a_cell_twice(small, tmp_path, request):
    result = call(*small)
    assert result.exit_code == 0, result.output
    page = (tmp_path / "report.md").read_text()
    assert page.startswith("# Synthetic chest X-rays (drawings, not patients): resnet18 up to layer1.0")
    for expected in (
        "## Pleural Effusion",
        "## Support Devices",
        "recall subject to precision >= 0.6",
        "- soap: takes one",
    ):
        assert expected in page
    assert (tmp_path / "precision_recall_Pleural_Effusion.png").stat().st_size > 10_000
    assert "](labels.png)" in page and (tmp_path / "labels.png").stat().st_size > 10_000
    (cells,) = tmp_path.glob("cells-*.jsonl")
    before = cells.read_bytes()
    rows = pd.DataFrame([row for line in pd.read_json(cells, lines=True)["rows"] for row in line])
    assert list(rows["method"]) == ["profiled"] * 2 + ["cross_entropy"] * 2 and rows["steps"].nunique() == 1
    assert (rows["test_curve_value"].between(0, 1)).all() and (rows["train_positives"] > 0).all()
    request.getfixturevalue("undrawn")  # the pictures of the same rows
    assert call(*small).exit_code == 0 and cells.read_bytes() == before


def test_intact_images_pass_the_check(small):
    result = call(*small, "--check")
    assert result.exit_code == 0 and "there and whole" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--labels", "Edemas"), "did you mean 'Edema'"),
        (("--methods", "profile"), "did you mean 'profiled'"),
        (("--alpha", "Edema=.6"), "alpha"),
        (("--alpha", "high"), "alpha must be a number"),
        (("--alpha", "1.5"), "in (0, 1]"),
        (("--cut", "layer9.1"), "layer1.0"),
        (("--backbone", "resnet19"), "did you mean 'resnet18'"),
        (("--weights", "nowhere.pt"), "nowhere.pt"),
        (("--policy", "zero"), "did you mean 'zeros'"),
        (("--synthetic",), "--root"),
        (("--root", "nowhere"), "nowhere"),
    ],
)
def test_what_is_wrong_is_told_before_training(small, arguments, message):
    result = call(*small, *arguments)
    assert result.exit_code == 2 and message in result.stderr


def test_methods_that_cannot_run_say_why():
    assert obstacle("sigmoid", 2) == "takes one label at a time" and obstacle("sigmoid", 1) == ""
    network = load_backbone("cbr_tiny")
    assert all(METHODS[name](FPOR(0.5), network) is not None for name in METHODS)
    assert METHODS["sigmoid"](OAP(), network) is not None
    assert isinstance(network.head, GroupedHead) and network(torch.zeros(2, 3, 96, 96)).shape == (2, 1)


def test_a_model_says_what_uncertain_training_rows_count_as(tree):
    request = Request(
        str(tree), ("Edema",), "FPOR", (0.5,), "resnet18", "layer1.0", "", "self_trained", "frontal", 32, 1, 16, 1e-3
    )
    table = request.read_table()
    rows, model = request.split(table, 0), request.make_model(0)
    own = table.take(rows["train"])
    images = [request.make_images(table.take(rows[name]), model) for name in ("train", "validation")]
    before = images[0].labels
    drawn = drawn_labels(request, own, *images, seed=0)
    is_uncertain = own.raw_labels == -1
    assert is_uncertain.any() and np.isnan(before[is_uncertain]).all()
    assert np.isin(drawn, (0, 1)).all() and (drawn == before)[~is_uncertain].all()
    assert (drawn == drawn_labels(request, own, *images, seed=0)).all()
