"""A truncated network is the bottom of its source: the same features, nothing above, fit to be trained and stored."""

import copy
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from metricopt import InvalidInputError
from metricopt._torchvision import import_torchvision
from metricopt.backbones import BACKBONES, Backbone, as_backbone, count_parameters, cut_points, load_backbone, truncate
from tests.held_out import fit

torchvision = import_torchvision()
from torchvision.models.feature_extraction import create_feature_extractor  # noqa: E402, needs what comes before

NUM_POINTS = {
    "resnet18": 9,
    "resnet34": 17,
    "resnet50": 17,
    "resnet101": 34,
    "densenet121": 1 + 58 + 4,
    "densenet201": 1 + 98 + 4,
    "inception_v3": 2 + 11,
    "efficientnet_b0": 1 + 16 + 1,
    "mobilenet_v2": 1 + 17 + 1,
    "efficientnet_lite0": 1 + 16 + 1,
    "cbr_large_t": 5,
    **dict.fromkeys(("cbr_large_w", "cbr_small", "cbr_tiny", "cbr_tiny_narrow"), 4),
}
# A cut and the node of torchvision's graph that it is.
NODES = {
    "resnet18": {"maxpool": "maxpool", "layer1.0": "layer1.0", "layer3.1": "layer3.1", "layer4.1": "layer4.1"},
    "densenet121": {
        "features.pool0": "features.pool0",
        "features.denseblock2.denselayer3": "features.denseblock2.denselayer4.cat",
        "features.denseblock3.denselayer24": "features.denseblock3.cat",
        "features.transition3": "features.transition3.pool",
        "features.relu5": "relu",
    },
    "inception_v3": {"maxpool1": "maxpool1", "Mixed_5d": "Mixed_5d", "Mixed_6c": "Mixed_6c", "Mixed_7c": "Mixed_7c"},
    "efficientnet_b0": {"features.0": "features.0", "features.4.1": "features.4.1", "features.8": "features.8"},
    "mobilenet_v2": {"features.0": "features.0", "features.7": "features.7", "features.18": "features.18"},
}


def torchvision_model(name):
    extra = {"transform_input": True, "init_weights": True} if name == "inception_v3" else {}
    torch.manual_seed(1)
    model = getattr(torchvision.models, name)(weights=None, **extra)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # not the ones and zeros that hide a mistake
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


@pytest.mark.parametrize("name", NODES)
def test_features_are_those_of_torchvision_s_extractor(name):
    model, x = torchvision_model(name), torch.randn(1, 3, 80, 80)
    nodes = NODES[name]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "NOTE: The nodes obtained by tracing")  # Inception's other head
        extractor = create_feature_extractor(model, list(nodes.values())).eval()
    with torch.no_grad():
        expected = extractor(x)
        for cut, node in nodes.items():
            network = truncate(model, cut, 2)
            pooled = expected[node].mean((2, 3))
            torch.testing.assert_close(network.embed(x), pooled, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(network(x), network.head(pooled), rtol=1e-5, atol=1e-5)
        # The whole, with its head.
        assert torch.equal(as_backbone(model)(x), model(x))


@pytest.fixture(scope="module")
def resnet18():
    return load_backbone("resnet18")


@pytest.mark.parametrize("name", BACKBONES)
def test_cut_points_of_every_network(name):
    with torch.device("meta"):
        model = load_backbone(name)
        points = cut_points(model)
        assert len(points) == len(set(points)) == NUM_POINTS[name]
        assert [point for block in model.blocks.values() for point in block] == points
        half = truncate(model, points[len(points) // 2])
        assert count_parameters(half.body) < count_parameters(model.body)


def test_inception_answers_with_a_tensor_in_training_mode():
    model, x = load_backbone("inception_v3"), torch.randn(2, 3, 96, 96)
    assert truncate(model, "Mixed_7a", 3).train()(x).shape == (2, 3)
    assert model.train()(x).shape == (2, 1000)
    assert not [name for name in model.state_dict() if "Aux" in name]


def test_every_cut_of_a_resnet_is_longer_than_the_one_before(resnet18):
    sizes = [count_parameters(truncate(resnet18, point).body) for point in cut_points(resnet18)]
    assert sizes == sorted(set(sizes)) and sizes[-1] == count_parameters(resnet18.body)


def test_what_is_above_is_gone_and_the_source_is_left_alone():
    model = torchvision_model("resnet18")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    network = truncate(model, "layer2.0", 2)
    assert set(network.state_dict()) == {
        *(f"body.{name}" for name in before if name.startswith(("conv1", "bn1", "layer1", "layer2.0"))),
        "head.weight",
        "head.bias",
    }
    assert network.blocks == {"stem": ("maxpool",), "layer1": ("layer1.0", "layer1.1"), "layer2": ("layer2.0",)}
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    # Cut again, it is what it would have been at once.
    again, at_once = truncate(truncate(model, "layer2.0"), "layer1.0"), truncate(model, "layer1.0")
    assert again.blocks == at_once.blocks
    assert all(torch.equal(value, at_once.state_dict()[name]) for name, value in again.state_dict().items())


def test_a_block_stands_for_its_end(resnet18):
    by_block, by_point = truncate(resnet18, "layer3"), truncate(resnet18, "layer3.1")
    assert by_block.blocks == by_point.blocks
    assert truncate(load_backbone("densenet121"), "block2").points[-1] == "features.transition2"


def test_head_is_seeded_and_the_global_state_left_alone(resnet18):
    state = torch.get_rng_state()
    first, same, other = (truncate(resnet18, "layer1", seed=seed).head.weight for seed in (3, 3, 4))
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert torch.equal(load_backbone("resnet18").head.weight, resnet18.head.weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_modes_and_precision_are_kept():
    source = load_backbone("resnet18").double().eval()
    network = truncate(source, "layer1")
    assert not network.training and not network.body.bn1.training
    assert network(torch.zeros(1, 3, 32, 32, dtype=torch.float64)).dtype == torch.float64
    assert truncate(source.train(), "layer1").training


def test_gradients_flow_to_every_weight(resnet18):
    network = truncate(resnet18, "layer2.0")
    network(torch.randn(4, 3, 32, 32)).square().sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in network.parameters())


@pytest.mark.parametrize("through", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0"])
def test_copies_and_states(name, through):
    model = load_backbone(name)
    network = truncate(model, model.points[2], 2).eval()
    copied, x = through(network), torch.randn(2, 3, 96, 96)
    other = truncate(load_backbone(name, seed=1), model.points[2], 2, seed=1).eval()
    with torch.no_grad():
        assert torch.equal(copied(x), network(x)) and not torch.equal(other(x), network(x))
        other.load_state_dict(network.state_dict())
        assert torch.equal(other(x), network(x))
    assert copied.blocks == network.blocks and copied.normalisation == network.normalisation


@pytest.mark.parametrize("at", ["layer3.6", "layer9", "fc", "layer2.conv1", 3])
def test_a_cut_that_does_not_exist(resnet18, at):
    with pytest.raises(InvalidInputError, match=r"at must be one of .*'layer3\.1'.*'maxpool'.*, got") as error:
        truncate(resnet18, at)
    if at == "layer3.6":
        assert "did you mean 'layer3" in str(error.value)
    assert truncate(resnet18, "layer3.1").points[-1] == "layer3.1"


@pytest.mark.parametrize("num_outputs", [0, -1, 1.5, True, None])
def test_bad_number_of_outputs(resnet18, num_outputs):
    with pytest.raises(InvalidInputError, match="num_outputs must be an integer >= 1"):
        truncate(resnet18, "layer1", num_outputs)
    assert truncate(resnet18, "layer1", 14).head.out_features == 14


def test_networks_that_are_not_known():
    with pytest.raises(InvalidInputError, match="model must be a Backbone or torchvision's ResNet, .* got Sequential"):
        truncate(nn.Sequential(nn.Conv2d(3, 4, 3)))
    body = nn.Sequential()
    body.add_module("only", nn.Conv2d(3, 4, 3))
    with pytest.raises(InvalidInputError, match=r"blocks must be points .* got \['second'\]"):
        Backbone(body, nn.Linear(4, 1), {"a": ["only", "second"]})
    assert truncate(Backbone(body, nn.Linear(4, 1), {"a": ["only"]}), "only", 2).head.in_features == 4


def test_training_under_fit():
    torch.manual_seed(0)
    y = (torch.arange(48) % 4 == 0).float()
    x = torch.randn(48, 3, 24, 24) + y[:, None, None, None]
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    network = truncate(load_backbone("resnet18"), at="layer1")
    before = network.body.conv1.weight.clone()
    result = fit(network, loader, "FPOR", alpha=0.8, epochs=2, warmup_epochs=1, progress=False)
    assert result.model is network and len(result.history) == 2
    assert not torch.equal(network.body.conv1.weight, before)
