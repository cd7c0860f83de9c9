"""Mean-var initialisation keeps the mean and variance of every tensor, and nothing else of it."""

import pytest
import torch
from torch import nn

from metricopt import InvalidInputError
from metricopt.backbones import load_backbone, redraw_mean_var


@pytest.fixture(scope="module")
def lite0():
    """Pretrained weights, whose tensors differ in mean and scale."""
    return load_backbone("efficientnet_lite0", "imagenet")


def test_every_tensor_keeps_mean_and_variance(lite0):
    drawn = redraw_mean_var(lite0)
    source = dict(lite0.body.named_parameters())
    assert source.keys() == dict(drawn.body.named_parameters()).keys()
    for name, value in drawn.body.named_parameters():
        before, after = source[name].detach().double().flatten(), value.detach().double().flatten()
        number, std = len(before), before.std(correction=0)
        assert not torch.equal(before, after), name
        # Six standard errors of the mean and of the standard deviation of normal numbers.
        assert abs(after.mean() - before.mean()) <= 6 * std / number**0.5, name
        assert abs(after.std(correction=0) - std) <= 6 * std / (2 * number) ** 0.5 + std / number, name


def test_numbers_are_independent_and_normal(lite0):
    """No trace of the pretrained tensor is left, and none of its shape: its tails are heavier than the normal's."""
    name = "body.features.8.0.weight"
    before, after = (
        model.state_dict()[name].double().flatten() for model in (lite0, redraw_mean_var(lite0, num_outputs=1))
    )
    correlation = float(torch.corrcoef(torch.stack([before, after]))[0, 1])
    kurtosis = [float(((v - v.mean()) / v.std()).pow(4).mean()) for v in (before, after)]
    assert abs(correlation) < 6 / len(before) ** 0.5
    assert abs(kurtosis[1] - 3) < 0.05 < abs(kurtosis[0] - 3)


def test_running_statistics_start_anew(lite0):
    norms = [module for module in redraw_mean_var(lite0).body.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    for norm in norms:
        assert not norm.running_mean.any() and norm.running_var.eq(1).all() and norm.num_batches_tracked == 0


def test_constant_tensors_stay():
    drawn = redraw_mean_var(load_backbone("resnet18"))
    assert drawn.body.bn1.weight.eq(1).all() and not drawn.body.bn1.bias.any()


def test_head_seed_and_what_is_left_alone(lite0):
    before, state = {key: value.clone() for key, value in lite0.state_dict().items()}, torch.get_rng_state()
    first, same, other = (redraw_mean_var(lite0, num_outputs=3, seed=seed) for seed in (1, 1, 2))
    weights = [model.body.features[8][0].weight for model in (first, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert torch.equal(first.head.weight, same.head.weight) and first.head.out_features == 3
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in lite0.state_dict().items())
    assert first.blocks == lite0.blocks and first.normalisation == lite0.normalisation
    assert first(torch.randn(2, 3, 32, 32)).shape == (2, 3)


def test_bad_input(lite0):
    with pytest.raises(InvalidInputError, match="num_outputs must be an integer >= 1, got 0"):
        redraw_mean_var(lite0, num_outputs=0)
    with pytest.raises(InvalidInputError, match="model must be a Backbone or torchvision's"):
        redraw_mean_var(nn.Linear(2, 2))
    assert redraw_mean_var(lite0, num_outputs=2).head.out_features == 2
