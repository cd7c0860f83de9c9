import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from metricopt import FPOR, InvalidInputError, load
from tests.held_out import fit

X = torch.randn(120, 2, generator=torch.Generator().manual_seed(0))
Y = (X[:, :1] + torch.tensor([[0.0, -1.0]]) > 0.3).float()
FILES = ["model.safetensors", "result.json", "scores.safetensors"]


def network(num_labels=2):
    return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, num_labels))


@pytest.fixture(scope="module")
def result():
    """One label feasible, one without positives: reports with NaN and None."""
    y = torch.cat([Y[:, :1], torch.zeros(120, 1)], dim=1)
    loader = DataLoader(TensorDataset(X, y), batch_size=40, shuffle=True)
    weight = torch.rand(120, generator=torch.Generator().manual_seed(1)) + 0.5
    names = ["sick", "never"]
    return fit(network(), loader, FPOR((0.8, 0.7)), label_names=names, epochs=5, sample_weight=weight)


@pytest.fixture
def folder(result, tmp_path):
    return result.save(tmp_path / "runs" / "x")


def everything(result):
    """All that a result says, as text (NaN differs from itself, not its text)."""
    skipped = {"model", "data_scores"}
    return {name: repr(value) for name, value in vars(result).items() if name not in skipped}


def test_a_result_comes_back_as_it_was(result, folder):
    model = network()
    back = load(folder, model)
    assert back.model is model
    assert everything(back) == everything(result)
    np.testing.assert_array_equal(back.scores(X), result.scores(X))
    np.testing.assert_array_equal(back.predict(X), result.predict(X))
    assert back.summary() == result.summary() and repr(back) == repr(result)
    assert back.data_scores.keys() == result.data_scores.keys()
    for data, part in result.data_scores.items():
        for name, value in vars(part).items():
            np.testing.assert_array_equal(vars(back.data_scores[data])[name], value)
    assert everything(back.with_bound(0.5)) == everything(result.with_bound(0.5))


@pytest.mark.parametrize(
    ("objective", "number"), [("OFBS", 2.0), ("RecallAtFPR", 0.2), ("RecallAtAlarmRate", 0.5), ("OAP", None)]
)
@pytest.mark.parametrize("solver", ["profiled", "cross_entropy"])
def test_results_of_each_kind_come_back(objective, number, solver, tmp_path):
    loader = DataLoader(TensorDataset(X, Y[:, 0]), batch_size=40)
    short = {"beta" if objective == "OFBS" else "alpha": number}
    result = fit(network(1), loader, objective, **short, epochs=3, val_fraction=0, solver=solver)
    back = load(str(result.save(str(tmp_path / "x"))), network(1))
    assert everything(back) == everything(result) and back.validation is None


@pytest.mark.parametrize("objective", ["FPOR", "OFBS", "OAP"])
@pytest.mark.parametrize("solver", ["augmented_lagrangian", "lagrangian", "exact_penalty"])
def test_slacks_come_back_beside_the_model(solver, objective, tmp_path):
    """Also those of a label without positives, whose metrics are NaN and not missing."""
    y = torch.cat([Y[:, :1], torch.zeros(120, 1)], dim=1)
    loader, number = DataLoader(TensorDataset(X, y), batch_size=40), {"alpha": 0.8} if objective == "FPOR" else {}
    result = fit(network(), loader, objective, **number, epochs=4, solver=solver, label_names=["sick", "never"])
    back = load(result.save(tmp_path / "x"), network())
    assert everything(back) == everything(result) and back.summary() == result.summary()
    assert [compared.label for compared in back.slack] == ["sick", "never"]
    assert [compared.holds for compared in back.slack] == [compared.holds for compared in result.slack]
    assert np.isnan(back.slack[1].agreement) and back.slack[1].holds


@pytest.mark.slow
def test_a_result_comes_back_in_another_process(result, folder, tmp_path):
    torch.save(X, tmp_path / "x.pt")
    code = """
import sys, numpy as np, torch
from metricopt import load
from torch import nn
model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
result = load(sys.argv[1], model)
np.save(sys.argv[3], result.scores(torch.load(sys.argv[2])))
print(result.summary())
"""
    root = str(Path(metricopt.__file__).parents[1])
    ran = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(tmp_path / "x.pt"), str(tmp_path / "scores.npy")],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": root},
    )  # fmt: skip
    assert ran.stdout.strip() == result.summary()
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), result.scores(X))


def test_files_are_plain(folder):
    assert sorted(os.listdir(folder)) == FILES
    saved = json.loads((folder / "result.json").read_text())
    assert saved["format"] == 1 and saved["objective"] == {"name": "FPOR", "min_precision": [0.8, 0.7]}
    assert "NaN" not in (folder / "result.json").read_text()
    for name in ("model.safetensors", "scores.safetensors"):
        content = (folder / name).read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        assert all({"dtype", "shape"} <= tensor.keys() for key, tensor in header.items() if key != "__metadata__")


def test_saving_again_replaces(result, folder):
    (folder / "notes.txt").write_text("mine")
    result.with_bound(0.5).save(folder)
    assert load(folder, network()).objective == FPOR(0.5)
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_loaded_result_leaves_its_files_alone(folder):
    """What is read lies in memory: a file that is still mapped shows through, and Windows cannot replace it."""
    back = load(folder, network())
    before = {
        data: {name: np.copy(value) for name, value in arrays_of(part)} for data, part in back.data_scores.items()
    }
    for name in ("scores.safetensors", "model.safetensors"):
        size = (folder / name).stat().st_size
        with open(folder / name, "r+b") as file:
            file.write(b"\xff" * size)
    for data, part in back.data_scores.items():
        for name, value in arrays_of(part):
            np.testing.assert_array_equal(value, before[data][name])
    assert everything(load(back.save(folder), network())) == everything(back)


def arrays_of(part):
    return [(name, value) for name, value in vars(part).items() if isinstance(value, np.ndarray)]


def test_a_failed_save_leaves_the_old_result(result, folder, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError, match="disk full"):
        result.with_bound(0.5).save(folder)
    monkeypatch.undo()
    assert load(folder, network()).objective == FPOR((0.8, 0.7))


def test_saving_over_something_else_is_refused(result, tmp_path):
    (tmp_path / "photo.jpg").write_text("mine")
    for path in (tmp_path, tmp_path / "photo.jpg"):
        with pytest.raises(InvalidInputError, match="path must be a new folder or one with a result, got .*; choose"):
            result.save(path)
    assert os.listdir(tmp_path) == ["photo.jpg"]
    (tmp_path / "empty").mkdir()
    result.save(tmp_path / "empty")


@pytest.mark.parametrize("name", FILES)
def test_missing_files_are_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(
        InvalidInputError, match=f"path must be a folder with a saved result, got .*; {name} is missing"
    ):
        load(folder, network())


def test_folders_that_are_none(folder, tmp_path):
    for path in (tmp_path / "nowhere", tmp_path, folder / "result.json"):
        with pytest.raises(
            InvalidInputError, match="path must be a folder with a saved result, got .*; result.json is"
        ):
            load(path, network())


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"", b"\x00\x01", None])
def test_damaged_files_are_told(folder, name, content):
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
    model = network()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(
        InvalidInputError, match="path must be a folder with a readable result, got .*; a file there is"
    ):
        load(folder, model)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    (folder / name).write_bytes(whole)
    load(folder, model)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "path must be a folder with a readable result"),
        ('{"format": 1}', "path must be a folder with a readable result, got .*KeyError: 'objective'"),
        ('{"format": 2}', "path must be a result of format 1, got 2; update metricopt"),
        ('{"name": "other"}', "path must be a result of format 1, got None"),
    ],
)
def test_foreign_results_are_told(folder, text, message):
    (folder / "result.json").write_text(text)
    with pytest.raises(InvalidInputError, match=message):
        load(folder, network())


def test_unknown_objectives_are_told(folder):
    saved = json.loads((folder / "result.json").read_text())
    saved["objective"]["name"] = "FPRR"
    (folder / "result.json").write_text(json.dumps(saved))
    with pytest.raises(InvalidInputError, match="objective must be one of .*, got 'FPRR'"):
        load(folder, network())


@pytest.mark.parametrize("model", [nn.Linear(2, 2), network(3), nn.Sequential(nn.Linear(2, 4))], ids=str)
def test_models_of_another_architecture_are_told(folder, model):
    message = "model must be of the architecture that was saved, got (Linear|Sequential); build the same one: "
    with pytest.raises(InvalidInputError, match=message):
        load(folder, model)
