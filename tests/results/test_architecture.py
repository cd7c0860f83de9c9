"""Plain networks are built again from what is saved of them; all others are given to ``load``."""

import json
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from metricopt import DirectMetricClassifier, InvalidInputError, load
from metricopt.results.architecture import build, describe
from metricopt.scoring.standardize import Standardize

RANDOM = np.random.default_rng(0)
Y = (RANDOM.random(200) < 0.3).astype(int)
X = RANDOM.normal(size=(200, 3)) + Y[:, np.newaxis]


class Own(nn.Linear):
    pass


@pytest.mark.parametrize(
    "model",
    [
        nn.Linear(3, 1, bias=False),
        nn.Sequential(Standardize(3), nn.Linear(3, 1)).double(),
        nn.Sequential(Standardize(3), nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.ReLU())),
    ],
)
def test_a_chain_is_built_again(model):
    again = build(json.loads(json.dumps(describe(model))))
    assert repr(again) == repr(model)
    again.load_state_dict(model.state_dict())  # raises where a name or a shape is another
    assert {value.dtype for value in again.state_dict().values()} == {w.dtype for w in model.state_dict().values()}


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)),
        nn.Sequential(OrderedDict(first=nn.Linear(3, 1))),
        nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1).double()),
        nn.Linear(3, 1).half(),
        Own(3, 1),
        nn.ReLU(),
    ],
)
def test_others_are_not_described(model):
    assert describe(model) is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_a_model_with_a_name_comes_back_by_itself(model, dtype, tmp_path):
    asked = {"folds": 2, "epochs": 20, "dtype": dtype, "random_state": 0, "confidence": None}
    result = DirectMetricClassifier("OFBS", model=model, **asked).fit(X, Y).result_
    back = load(result.save(tmp_path / "x"))
    np.testing.assert_array_equal(back.scores(X), result.scores(X))
    assert back.summary() == result.summary()


def test_what_is_saved_of_another_network_is_told(tmp_path):
    network = nn.Sequential(nn.Linear(3, 2), nn.GELU(), nn.Linear(2, 1))
    asked = {"epochs": 2, "val_fraction": 0, "confidence": None, "dtype": "float32", "random_state": 0}
    result = DirectMetricClassifier("OFBS", model=network, **asked).fit(X, Y).result_
    folder = result.save(tmp_path / "x")
    with pytest.raises(InvalidInputError, match="model must be given, got None; pass a module of the architecture"):
        load(folder)
    assert torch.equal(load(folder, network).model[0].weight, result.model[0].weight)


@pytest.mark.parametrize("layers", [["Linear", 4, 1, True], ["os.system", "true"], ["Linear"], None, 3])
def test_a_damaged_description_is_told(layers, tmp_path):
    asked = {"epochs": 2, "val_fraction": 0, "confidence": None, "random_state": 0}
    folder = DirectMetricClassifier("OFBS", **asked).fit(X, Y).result_.save(tmp_path / "x")
    saved = json.loads((folder / "result.json").read_text())
    saved["architecture"] = {"dtype": "float64", "layers": layers}
    (folder / "result.json").write_text(json.dumps(saved))
    with pytest.raises(InvalidInputError, match="architecture that was saved|a folder with a readable result"):
        load(folder)
