"""The ONNX file does in onnxruntime what the result does in torch, on its own, for any number of rows."""

import json
import os
import sys
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from metricopt import FPOR, OFBS, InvalidInputError
from metricopt.backbones import load_backbone, truncate
from metricopt.results.export import _check_packages, _WithThresholds
from tests.devices import WITHOUT_FLOAT64, NoFloat64
from tests.held_out import fit

pytestmark = pytest.mark.slow  # most wait for an exporter
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(200, 3, generator=GENERATOR)
Y = (X[:, :1] + 0.5 * torch.randn(200, 3, generator=GENERATOR) > 0.8).float()


@pytest.fixture(scope="module", autouse=True)
def operators_are_listed_once():
    """Let the exporter list the operators that it knows once, not anew for each file: that takes half of the time."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(cache(ONNXRegistry.from_torchlib)))
        yield


def trained(model, x=X, y=Y[:, 0], objective=None, **options):
    loader = DataLoader(TensorDataset(x, y), batch_size=64)
    return fit(model, loader, objective or FPOR(0.7), epochs=2, val_fraction=0, **options)


def run(file, *inputs):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    feed = {slot.name: value.numpy() for slot, value in zip(session.get_inputs(), inputs, strict=True)}
    return session.run(["scores", "decisions"], feed)


def agrees(file, result, data, *inputs):
    scores, decisions = run(file, *inputs)
    np.testing.assert_allclose(scores, result.scores(data), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(decisions, result.predict(data))
    assert scores.dtype == result.scores(data).dtype and decisions.dtype == np.int64
    return decisions


@pytest.fixture(scope="module")
def result():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 1))
    return trained(model)


@pytest.fixture(scope="module")
def file(result, tmp_path_factory):
    return result.export(tmp_path_factory.mktemp("onnx") / "new" / "model.onnx")


@pytest.mark.parametrize("num_rows", [1, 2, 7, 200])
def test_scores_and_alarms_are_those_of_the_result(file, result, num_rows):
    decisions = agrees(file, result, X[:num_rows], X[:num_rows])
    assert decisions.shape == (num_rows,)
    assert num_rows < 200 or 0 < decisions.sum() < 200


def test_one_file_is_left_and_the_model_as_it_was(file, result):
    onnx.checker.check_model(onnx.load(file), full_check=True)
    assert os.listdir(file.parent) == ["model.onnx"]
    assert result.model.training and result.model[3].training


def test_metadata_say_what_it_is_and_nothing_of_this_machine(file, result):
    model = onnx.load(file)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert (said["objective"], said["asked"]) == ("FPOR", "maximise recall subject to precision >= 0.7")
    assert json.loads(said["label_names"]) == list(result.label_names)
    assert json.loads(said["thresholds"]) == [result.threshold]
    assert json.loads(said["statuses"]) == [result.status.value]
    assert json.loads(said["versions"]) == result.versions
    assert said["rule"] == result.alarm_rule
    assert os.path.dirname(__file__).encode() not in file.read_bytes()
    assert os.path.dirname(torch.__file__).encode() not in file.read_bytes()
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_several_labels_one_without_threshold(tmp_path):
    y = torch.cat([Y[:, :2], torch.zeros(200, 1)], dim=1)
    result = trained(nn.Linear(3, 3), y=y, objective=FPOR((0.7, 0.6, 0.5)), label_names=["a", "b", "never"])
    decisions = agrees(result.export(str(tmp_path / "m.onnx")), result, X, X)
    assert np.isnan(result.threshold[2]) and decisions.shape == (200, 3)
    assert (decisions.sum(0) > 0).tolist() == [True, True, False]
    said = {entry.key: entry.value for entry in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert json.loads(said["thresholds"])[2] is None and json.loads(said["label_names"]) == ["a", "b", "never"]


def test_a_truncated_network_for_images(tmp_path):
    images = torch.rand(24, 3, 32, 32, generator=GENERATOR) + Y[:24, :1, None, None]
    network = truncate(load_backbone("resnet18", weights=None), at="layer1.0")
    result = trained(network, images, Y[:24, 0], OFBS(1.0))
    agrees(result.export(tmp_path / "m.onnx", images[:1]), result, images, images)


class Two(nn.Module):
    """Takes two inputs, by position or by name, and returns one logit a row without a second dimension."""

    def __init__(self):
        super().__init__()
        self.linear, self.site = nn.Linear(3, 1), nn.Embedding(4, 1)

    def forward(self, features, site):
        return (self.linear(features) + self.site(site))[:, 0]


class ByName(torch.utils.data.Dataset):
    def __len__(self):
        return 200

    def __getitem__(self, row):
        return {"site": torch.tensor(row % 4), "features": X[row]}, Y[row, 0]


def test_several_inputs_and_a_loader_as_example(tmp_path):
    loader = DataLoader(ByName(), batch_size=64)
    result = fit(Two(), loader, FPOR(0.7), epochs=2, val_fraction=0)
    site = torch.arange(200) % 4
    agrees(result.export(tmp_path / "named.onnx", loader), result, {"site": site, "features": X}, site, X)
    agrees(result.export(tmp_path / "placed.onnx", (X[:5], site[:5])), result, (X, site), X, site)
    inputs = {name: onnxruntime.InferenceSession(tmp_path / name).get_inputs() for name in os.listdir(tmp_path)}
    assert {name: [slot.name for slot in slots] for name, slots in inputs.items()} == {
        "named.onnx": ["site", "features"],
        "placed.onnx": ["x0", "x1"],
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_rounded_threshold_parts_scores_as_the_exact_one(dtype):
    random = np.random.default_rng(0)
    for low in random.normal(size=200).astype(np.float32):
        neighbours = np.array([np.nextafter(low, np.float32(-9)), low, np.nextafter(low, np.float32(9))])
        for threshold in (float(low), float(low) - 1e-12, float(low) + 1e-12, np.inf, np.nan):
            scores = torch.from_numpy(neighbours).to(dtype)
            module = _WithThresholds(nn.Flatten(), None, np.array([threshold]), scores)
            with np.errstate(invalid="ignore"):
                expected = neighbours.astype(np.float64) >= threshold
            assert module(scores[:, None])[1].bool().tolist() == expected.tolist()


def test_a_threshold_is_rounded_for_a_device_without_float64():
    scores = torch.zeros(1, device=WITHOUT_FLOAT64)
    with NoFloat64():
        threshold = _WithThresholds(nn.Flatten(), None, np.array([0.1, np.nan]), scores).threshold
    assert threshold.dtype == torch.float32 and threshold.device == WITHOUT_FLOAT64


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (X[:0], "example must be inputs of the same number of rows, at least one, got .0."),
        ((X, X[:5]), "example must be inputs of the same number of rows, at least one, got .5, 200."),
        (X[:, :2], "example must be inputs that the model takes, without labels, got shapes .64, 2.; the model says: "),
        ((X, Y), "example must be inputs that the model takes, without labels, got shapes .64, 3., .64, 3.; the model"),
        ({"x": "text"}, "example must be a tensor, or a tuple or dict of tensors, with a row a sample, got a dict"),
    ],
)
def test_examples_that_do_not_fit(result, tmp_path, example, message):
    with pytest.raises(InvalidInputError, match=message):
        result.export(tmp_path / "m.onnx", example)
    assert os.listdir(tmp_path) == []  # the next test passes rows that fit


def test_inputs_that_cannot_be_told_and_are_of_float64(tmp_path):
    x = X.double()
    result = trained(nn.Sequential(nn.Flatten(), nn.Linear(3, 1)).double(), x)
    with pytest.raises(InvalidInputError, match="example must be given for a Sequential, which .*; pass inputs as to"):
        result.export(tmp_path / "m.onnx")
    (tmp_path / "m.onnx").write_text("old")  # which is replaced
    agrees(result.export(tmp_path / "m.onnx", x.numpy()), result, x, x)


class Branches(nn.Linear):
    """Cannot be traced: what it computes depends on values."""

    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else super().forward(-x)


class Drawn(nn.Linear):
    """Never the same twice."""

    def forward(self, x):
        return super().forward(x) + torch.rand_like(x[:, :1])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Branches(3, 1), "model must be one that torch.onnx can export, got Branches; avoid branches on values"),
        (Drawn(3, 1), "model must be one whose scores onnxruntime repeats to 1e-05, got scores .*; check that"),
    ],
)
def test_a_failed_export_leaves_the_old_file(model, message, tmp_path):
    result = trained(model)
    (tmp_path / "m.onnx").write_text("old")
    with pytest.raises(InvalidInputError, match=message):
        result.export(tmp_path / "m.onnx")
    assert os.listdir(tmp_path) == ["m.onnx"] and (tmp_path / "m.onnx").read_text() == "old"


def test_a_folder_is_no_file(result, tmp_path):
    with pytest.raises(InvalidInputError, match="path must be a file, got the folder .*; name a file in it"):
        result.export(tmp_path)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_missing_packages_are_named_with_the_extra(result, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"export needs .*{package}.*; run pip install 'metricopt\[onnx\]'"):
        result.export(tmp_path / "m.onnx")
    monkeypatch.undo()
    _check_packages()


class Squeezes(nn.Module):
    """Returns what is left of a batch of one when all dimensions of 1 are gone."""

    def __init__(self, num_labels):
        super().__init__()
        self.layer = nn.Linear(3, num_labels)

    def forward(self, x):
        return self.layer(x).squeeze()


@pytest.mark.parametrize("num_labels", [1, 2])
def test_a_model_that_squeezes_a_batch_of_one_away(num_labels, tmp_path):
    result = trained(Squeezes(num_labels), y=Y[:, :num_labels])
    file = result.export(tmp_path / "model.onnx", X[:4].double())
    for num_rows in (1, 2, 7):
        agrees(file, result, X[:num_rows], X[:num_rows])
