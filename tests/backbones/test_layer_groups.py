"""Groups hold every free weight once, at the rate of its block, and train under fit."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from metricopt import InvalidInputError
from metricopt.backbones import freeze, load_backbone, parameter_groups, truncate
from tests.held_out import fit


@pytest.fixture(scope="module")
def resnet18():
    return load_backbone("resnet18")


@pytest.fixture
def network(resnet18):
    return truncate(resnet18, "layer2")


def test_every_weight_once(network):
    groups = parameter_groups(network, 0.1, decay=0.5)
    assert [(group["name"], group["lr"]) for group in groups] == [
        ("head", 0.1),
        ("layer2", 0.05),
        ("layer1", 0.025),
        ("stem", 0.0125),
    ]
    held = [id(weight) for group in groups for weight in group["params"]]
    assert sorted(held) == sorted(map(id, network.parameters()))
    of_layer1 = next(group for group in groups if group["name"] == "layer1")["params"]
    assert set(map(id, of_layer1)) == set(map(id, network.body.layer1.parameters()))


@pytest.mark.parametrize("name", ["densenet121", "inception_v3", "efficientnet_lite0"])
def test_every_weight_of_other_networks_once(name):
    with torch.device("meta"):
        model = load_backbone(name)
    held = [id(weight) for group in parameter_groups(model, 0.1) for weight in group["params"]]
    assert sorted(held) == sorted(map(id, model.parameters()))


def test_frozen_weights_are_left_out(network):
    groups = parameter_groups(freeze(network, "layer1.0"), 0.1)
    assert [group["name"] for group in groups] == ["head", "layer2", "layer1"]
    assert set(map(id, groups[-1]["params"])) == set(map(id, network.body.layer1[1].parameters()))
    assert [group["name"] for group in parameter_groups(freeze(network), 0.1)] == ["head"]


def test_under_fit_every_block_moves_at_its_rate(network):
    y = (torch.arange(32) % 4 == 0).float()
    loader = DataLoader(TensorDataset(torch.randn(32, 3, 24, 24), y), batch_size=32)
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    rates, moved = [], {}

    def make_optimizer(parameters):
        optimizer = torch.optim.Adam(parameter_groups(network, 1e-3, decay=0.1))
        rates.append([group["lr"] for group in optimizer.param_groups])
        return optimizer

    def look(_):
        if not moved:
            moved.update(
                {name: (weight.detach() - before[name]).abs().max() for name, weight in network.named_parameters()}
            )

    fit(
        network,
        loader,
        "FPOR",
        alpha=0.8,
        epochs=2,
        warmup_epochs=1,
        val_fraction=0,
        optimizer=make_optimizer,
        scheduler=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1),
        gradient_clip=1.0,
        callbacks=[look],
        progress=False,
    )
    # One optimizer for all, at the full rates of the groups, lives on from cross-entropy to the objective.
    assert rates == [pytest.approx([1e-3, 1e-4, 1e-5, 1e-6])]
    # The first step of Adam moves a weight by its rate.
    first = {"head": 1e-3, "body.layer2": 1e-4, "body.layer1": 1e-5, "body.conv1": 1e-6}
    for prefix, rate in first.items():
        largest = max(move for name, move in moved.items() if name.startswith(prefix))
        assert float(largest) == pytest.approx(rate, rel=0.05)


@pytest.mark.parametrize(("argument", "value"), [("learning_rate", 0), ("learning_rate", "1"), ("decay", 1.5)])
def test_bad_rates(network, argument, value):
    with pytest.raises(InvalidInputError, match=f"{argument} must be"):
        parameter_groups(network, **{"learning_rate": 0.1, "decay": 1.0, argument: value})
    assert len(parameter_groups(network, learning_rate=0.1, decay=1.0)) == 4


def test_other_models(network):
    with pytest.raises(InvalidInputError, match="model must be a Backbone, got Linear"):
        parameter_groups(torch.nn.Linear(2, 1), 0.1)
    assert parameter_groups(network, 0.1)
