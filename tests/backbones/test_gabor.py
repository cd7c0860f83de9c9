"""Gabor filters are waves of all orientations; a network gets them in its first layer alone."""

import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from metricopt import InvalidInputError
from metricopt.backbones import Backbone, CBRDesign, build_cbr, gabor_filters, load_backbone, with_gabor_filters


@pytest.mark.parametrize(("number", "size"), [(64, 7), (32, 3), (32, 7), (64, 5), (5, 4), (1, 3)])
def test_filters_are_centred_of_norm_one_and_different(number, size):
    bank = gabor_filters(number, size).double().flatten(1)
    assert bank.shape == (number, size**2)
    torch.testing.assert_close(bank.sum(dim=1), torch.zeros(number).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(bank.norm(dim=1), torch.ones(number).double(), atol=1e-6, rtol=0)
    likeness = (bank @ bank.T).abs() - torch.eye(number)
    assert likeness.max() < 1 - 1e-4


def test_the_formula():
    bank = gabor_filters(64, 7)
    # The fifth filter of the shortest wavelength: the third of 11 orientations, a stripe.
    angle, wavelength = 2 * math.pi / 11, 3
    expected = np.empty((7, 7))
    for row in range(7):
        for column in range(7):
            x, y = column - 3, row - 3
            wave = math.cos(2 * math.pi * (x * math.cos(angle) + y * math.sin(angle)) / wavelength)
            expected[row, column] = math.exp(-(x**2 + y**2) / (2 * (0.56 * wavelength) ** 2)) * wave
    expected -= expected.mean()
    np.testing.assert_allclose(bank[4], expected / np.linalg.norm(expected), atol=1e-6)


def test_orientation_and_phase():
    stripe, edge = gabor_filters(2, 7)[:2]  # of waves along x
    torch.testing.assert_close(stripe, stripe.flip(1))
    torch.testing.assert_close(edge, -edge.flip(1))


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "efficientnet_lite0", "cbr_tiny"])
def test_only_the_first_layer_changes(name):
    model = load_backbone(name, seed=2)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    changed = with_gabor_filters(model)
    differing = [key for key, value in changed.state_dict().items() if not torch.equal(value, before[key])]
    first = next(key for key in before if before[key].ndim == 4)
    assert differing in ([first], [first, first.replace("weight", "bias")])
    weight = changed.state_dict()[first]
    assert all(torch.equal(weight[:, channel], weight[:, 0]) for channel in range(3))
    assert float(weight.square().mean()) == pytest.approx(2 / (len(weight) * weight.shape[-1] ** 2), rel=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_biases_of_the_first_layer():
    model = build_cbr(CBRDesign(3, (4, 8)))
    nn.init.ones_(model.body.block1.conv.bias)
    changed = with_gabor_filters(model)
    assert not changed.body.block1.conv.bias.any() and model.body.block1.conv.bias.all()
    assert changed.training and changed.body.block1.conv.weight.requires_grad


def small(kernel):
    body = nn.Sequential(OrderedDict(first=nn.Conv2d(1, 4, kernel)))
    return Backbone(body, nn.Linear(4, 1), {"first": ["first"]})


def test_bad_input():
    with pytest.raises(InvalidInputError, match="kernel_size must be an integer >= 3, got 2"):
        gabor_filters(4, 2)
    for kernel in (1, (3, 5)):
        with pytest.raises(InvalidInputError, match="model must be one that begins with square kernels of at least 3"):
            with_gabor_filters(small(kernel))
    without = Backbone(nn.Sequential(OrderedDict(only=nn.ReLU())), nn.Linear(4, 1), {"only": ["only"]})
    with pytest.raises(InvalidInputError, match="model must be a network with convolutions"):
        with_gabor_filters(without)
    assert with_gabor_filters(small(3)).body.first.weight.shape == (4, 1, 3, 3)
