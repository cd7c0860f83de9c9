"""A slim hybrid keeps its bottom tensor by tensor and draws all that is above."""

import pytest
import torch
from torch import nn

from metricopt import InvalidInputError
from metricopt.backbones import count_parameters, load_backbone, transfuse, truncate


@pytest.fixture(scope="module")
def resnet18():
    model = load_backbone("resnet18")
    with torch.no_grad():
        for buffer in model.buffers():
            buffer.add_(1)
    return model


def test_bottom_is_copied_and_top_drawn(resnet18):
    mixed, source = transfuse(resnet18, "layer2", num_outputs=2), resnet18.state_dict()
    for name, value in mixed.state_dict().items():
        if name.startswith(("body.conv1", "body.bn1", "body.layer1", "body.layer2")):
            assert torch.equal(value, source[name]), name
        elif value.ndim == 4:
            assert value.shape[0] * 2 == source[name].shape[0], name
        elif name.endswith("running_var"):
            assert torch.equal(value, torch.ones_like(value)), name
    assert mixed.body.layer4[1].conv2.weight.shape == (256, 256, 3, 3)
    assert mixed.head.weight.shape == (2, 256)
    assert mixed(torch.randn(2, 3, 64, 64)).shape == (2, 2)


def test_of_full_width_no_tensor_is_copied_because_its_shape_fits(resnet18):
    mixed, source = transfuse(resnet18, "layer3", width=1, num_outputs=1000), resnet18.state_dict()
    assert count_parameters(mixed) == count_parameters(resnet18)
    above = {name: value for name, value in mixed.state_dict().items() if "layer4" in name and value.ndim == 4}
    assert above and not any(torch.equal(value, source[name]) for name, value in above.items())
    # He: variance 2 / (output channels x kernel).
    weight = mixed.body.layer4[1].conv2.weight
    assert float(weight.detach().std()) == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
    assert not torch.equal(mixed.head.weight, resnet18.head.weight)


def test_up_to_the_last_block_only_the_head_is_new(resnet18):
    mixed = transfuse(resnet18, "layer4")
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(mixed.eval().embed(x), truncate(resnet18).eval().embed(x))


@pytest.mark.parametrize(("name", "block"), [("densenet121", "block2"), ("efficientnet_b0", "features.3")])
def test_other_networks(name, block):
    model = load_backbone(name)
    mixed = transfuse(model, block)
    bottom, above = mixed.split(mixed.blocks[block][-1])
    original, _ = model.split(model.blocks[block][-1])
    for mine, source in zip(bottom, original, strict=True):
        for tensor, other in zip(mine.state_dict().values(), source.state_dict().values(), strict=True):
            assert torch.equal(tensor, other)
    with torch.device("meta"):
        whole = count_parameters(truncate(load_backbone(name)))
        assert count_parameters(transfuse(load_backbone(name), block, width=1)) == whole
    assert count_parameters(mixed) < whole
    mixed.train()(torch.randn(2, 3, 96, 96)).sum().backward()
    convolutions = [part for module in above for part in module.modules() if isinstance(part, nn.Conv2d)]
    assert all(part.weight.grad is not None and part.weight.requires_grad for part in convolutions)


def test_inception():
    with torch.device("meta"):
        model = load_backbone("inception_v3")
        mixed = transfuse(model, "Mixed_5")
        assert mixed.body.Mixed_5d.branch1x1.conv.weight.shape == model.body.Mixed_5d.branch1x1.conv.weight.shape
        assert mixed.body.Mixed_6b.branch1x1.conv.weight.shape == (96, 192 + 48 + 288, 1, 1)  # 288 pooled ones pass
        assert mixed.head.in_features == 1024


def test_seeded_and_source_and_global_state_left_alone(resnet18):
    state, before = torch.get_rng_state(), {name: value.clone() for name, value in resnet18.state_dict().items()}
    first, same, other = (transfuse(resnet18, "layer3", seed=seed).body.layer4[0].conv1.weight for seed in (1, 1, 2))
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in resnet18.state_dict().items())
    assert resnet18.training and transfuse(resnet18, "layer3").body.layer4[0].bn1.training


def test_a_block_that_does_not_exist(resnet18):
    with pytest.raises(InvalidInputError, match="up_to must be one of 'layer1', .*'stem', got 'layer5'; did you mean"):
        transfuse(resnet18, "layer5")
    # Inside a block a residual unit would add features of two widths.
    with pytest.raises(InvalidInputError, match="up_to must be one of"):
        transfuse(resnet18, "layer3.0")
    assert transfuse(resnet18, "layer3").points == resnet18.points


@pytest.mark.parametrize("width", [0, 1.5, "half"])
def test_bad_width(resnet18, width):
    with pytest.raises(InvalidInputError, match=r"width must be in \(0, 1\]"):
        transfuse(resnet18, "layer3", width=width)
    assert transfuse(resnet18, "layer3", width=0.25).head.in_features == 128


def test_widths_that_do_not_divide():
    model = load_backbone("efficientnet_lite0")
    with pytest.raises(InvalidInputError, match="width must be one whose 24 groups divide 32 channels, got 0.75"):
        transfuse(model, "stem", width=0.75)
    assert transfuse(model, "stem", width=0.5).head.in_features == 640


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "efficientnet_lite0", "cbr_small"])
def test_weight_transfusion_tensor_by_tensor(name):
    """Up to every block of a network: below, each tensor is the source's; above, no tensor of random numbers is."""
    model = load_backbone(name, seed=1)
    source = model.state_dict()
    blocks = list(model.blocks)
    for up_to in [None, *blocks[:2], blocks[-1]]:
        mixed = transfuse(model, up_to, width=1, num_outputs=1000)
        below = [] if up_to is None else mixed.split(mixed.blocks[up_to][-1])[0]
        kept = {id(tensor) for module in below for tensor in [*module.parameters(), *module.buffers()]}
        tensors = mixed.state_dict(keep_vars=True)
        assert tensors.keys() == source.keys() and (up_to is None) == (not kept)
        for key, value in tensors.items():
            assert value.shape == source[key].shape, key
            if id(value) in kept:
                assert torch.equal(value, source[key]), (up_to, key)
            elif value.ndim == 4:
                assert not torch.equal(value, source[key]), (up_to, key)


def test_nothing_is_kept_without_a_block(resnet18):
    mixed = transfuse(resnet18, None, width=0.5)
    assert mixed.body.conv1.weight.shape == (32, 3, 7, 7) and mixed.head.in_features == 256
    assert not torch.equal(mixed.body.bn1.running_var, resnet18.body.bn1.running_var[:32])


def test_the_slim_hybrid_of_the_paper():
    """Up to the second block as it was, half as many channels above it."""
    with torch.device("meta"):
        model = load_backbone("resnet50")
        slim = transfuse(model, "layer2", width=0.5, num_outputs=2)
        assert slim.body.layer2[3].conv3.weight.shape == (512, 128, 1, 1)
        assert slim.body.layer3[0].conv1.weight.shape == (128, 512, 1, 1)
        assert slim.body.layer4[2].conv3.weight.shape == (1024, 256, 1, 1)
        assert count_parameters(slim) < count_parameters(transfuse(model, "layer3", num_outputs=2))
