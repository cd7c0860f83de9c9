"""What is frozen does not move, statistics of batch norms included, whoever calls ``train()``."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from metricopt import InvalidInputError
from metricopt._torchvision import import_torchvision
from metricopt.backbones import count_parameters, freeze, load_backbone, truncate
from tests.held_out import fit


@pytest.fixture(scope="module")
def resnet18():
    return load_backbone("resnet18")


@pytest.fixture
def network(resnet18):
    return truncate(resnet18, "layer2")


def trainable_blocks(model):
    return {name.split(".")[1] for name, weight in model.body.named_parameters(prefix="body") if weight.requires_grad}


def state_of(model, *prefixes):
    names = tuple(f"body.{prefix}" for prefix in prefixes)
    return {name: value.clone() for name, value in model.state_dict().items() if name.startswith(names)}


def train(model, steps=3):
    optimizer = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], lr=0.01)
    torch.manual_seed(0)
    for _ in range(steps):
        model.train()
        optimizer.zero_grad()
        model(torch.randn(4, 3, 32, 32) + 1).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("up_to", "trainable"),
    [
        ("stem", {"layer1", "layer2"}),
        ("layer1", {"layer2"}),
        ("layer1.0", {"layer1", "layer2"}),
        ("layer2.0", {"layer2"}),
        ("layer2", set()),
        (None, set()),
    ],
)
def test_what_takes_gradients(network, up_to, trainable):
    assert freeze(network, up_to) is network
    assert trainable_blocks(network) == trainable
    assert network.head.weight.requires_grad
    train(network)
    assert all((weight.grad is not None) == weight.requires_grad for weight in network.parameters())


def test_training_moves_nothing_that_is_frozen(network):
    freeze(network, "layer1")
    frozen, free = state_of(network, "conv1", "bn1", "layer1"), state_of(network, "layer2")
    train(network)
    after = network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in frozen.items())
    assert "body.bn1.running_mean" in frozen and "body.layer1.1.bn2.num_batches_tracked" in frozen
    assert not any(torch.equal(after[name], value) for name, value in free.items())


def test_without_freezing_the_same_statistics_do_move(network):
    before = state_of(network, "bn1", "layer1")
    train(network)
    assert not any(torch.equal(network.state_dict()[name], value) for name, value in before.items())


def test_under_fit_too(network):
    y = (torch.arange(32) % 4 == 0).float()
    loader = DataLoader(TensorDataset(torch.randn(32, 3, 24, 24), y), batch_size=16)
    freeze(network, "layer1")
    frozen, free = state_of(network, "conv1", "bn1", "layer1"), state_of(network, "layer2")
    options = {"epochs": 2, "warmup_epochs": 0, "val_fraction": 0, "progress": False}
    # Of what training leads to, fit returns the best, so the last epoch is looked at.
    last = {}
    fit(network, loader, "OAP", callbacks=[lambda _: last.update(state_of(network, ""))], **options)
    assert all(torch.equal(last[name], value) for name, value in frozen.items())
    assert not any(torch.equal(last[name], value) for name, value in free.items())


@pytest.mark.parametrize("through", [copy.deepcopy, lambda model: nn.Sequential(model)[0]])
def test_copies_and_wrappers_stay_frozen(network, through):
    model = through(freeze(network, "layer1"))
    wrapped = nn.Sequential(model).eval()
    wrapped.train()
    assert not model.body.bn1.training and not model.body.layer1[0].bn1.training
    assert model.training and model.body.layer2[0].bn1.training


def test_dense_layers_and_random_depth_are_frozen_too():
    dense = freeze(load_backbone("densenet121"), "features.denseblock1.denselayer2").train()
    block = dense.body.features.denseblock1
    assert [layer.norm1.training for layer in block.children()] == [False, False, True, True, True, True]
    efficient = freeze(load_backbone("efficientnet_b0")).train()
    x = torch.randn(4, 3, 64, 64)
    assert torch.equal(efficient(x), efficient(x))
    assert not torch.equal(freeze(efficient, "stem")(x), efficient(x))


def test_freezing_again_frees_what_is_above(network):
    everything = count_parameters(network)
    freeze(freeze(network), "stem")
    assert count_parameters(network, trainable_only=True) == everything - 9408 - 128
    assert network.body.layer1[0].bn1.training
    # A cut from it is free, as one from any other.
    assert count_parameters(truncate(network), trainable_only=True) == count_parameters(truncate(network))


def test_evaluation_mode_is_kept(network):
    freeze(network.eval(), "stem")
    assert not network.training and not network.body.layer1[0].bn1.training


def test_a_point_that_does_not_exist(network):
    with pytest.raises(InvalidInputError, match=r"up_to must be one of .*'layer2\.1'.*did you mean 'layer"):
        freeze(network, "layer3")
    assert freeze(network, "layer2").frozen_up_to == "layer2.1"


def test_networks_as_they_come_are_not_frozen():
    resnet = import_torchvision().models.resnet18(weights=None)
    with pytest.raises(InvalidInputError, match=r"model must be a Backbone, got ResNet; pass truncate\(model\)"):
        freeze(resnet)
    assert freeze(truncate(resnet)).frozen_up_to == "layer4.1"
