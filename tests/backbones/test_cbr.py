"""The CBR family has the paper's blocks and, to the integer, its parameters."""

import pytest
import torch
from torch import nn

from metricopt import InvalidInputError
from metricopt.backbones import (
    CBR_DESIGNS,
    CBRDesign,
    build_cbr,
    count_parameters,
    cut_points,
    freeze,
    load_backbone,
    transfuse,
    truncate,
)

# By name: with biases and five outputs, as published, and the smallest image.
KNOWN = {
    "cbr_large_t": (8_540_165, 8_532_480, 217),
    "cbr_large_w": (8_444_421, 8_432_128, 121),
    "cbr_small": (2_114_821, 2_108_672, 121),
    "cbr_tiny": (4_311_045, None, 91),
    "cbr_tiny_narrow": (None, 1_076_480, 91),
}


@pytest.mark.parametrize("name", KNOWN)
def test_parameters(name):
    counted, published, smallest = KNOWN[name]
    with torch.device("meta"):
        model = build_cbr(CBR_DESIGNS[name], num_outputs=5).eval()
        if counted is not None:
            assert count_parameters(model) == counted
        if published is not None:
            above = [block.conv.weight.numel() for block in list(model.body)[1:]]
            assert sum(above) + model.head.weight.numel() == published
        assert model(torch.empty(1, 3, smallest, smallest)).shape == (1, 5)
        with pytest.raises(RuntimeError, match="[Kk]ernel size|output size|Output size"):
            model(torch.empty(1, 3, smallest - 1, smallest - 1))


def test_blocks():
    model = build_cbr(CBRDesign(3, (4, 8, 16), ends_with_pool=False))
    kinds = [[type(layer) for layer in block] for block in model.body]
    whole = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d]
    assert kinds == [whole, whole, whole[:3]]
    assert [block.conv.out_channels for block in model.body] == [4, 8, 16]
    pool = model.body.block1.pool
    assert (pool.kernel_size, pool.stride, model.body.block2.conv.padding) == (3, 2, (0, 0))


def test_random_weights_are_he_normal_seeded_and_the_global_state_left_alone():
    state = torch.get_rng_state()
    first, same, other = (load_backbone("cbr_small", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in first.state_dict().items():
        assert torch.equal(value, same.state_dict()[name]), name
        if name.endswith("conv.weight"):
            assert not torch.equal(value, other.state_dict()[name]), name
            assert float(value.std()) == pytest.approx((2 / (len(value) * 49)) ** 0.5, rel=0.02), name
        if name.endswith("conv.bias"):
            assert not value.any(), name


def test_by_name_cut_transfused_and_frozen():
    model = load_backbone("cbr_tiny")
    assert model.head.out_features == 1000 and cut_points(model) == ["block1", "block2", "block3", "block4"]
    cut = truncate(model, "block2")
    assert cut(torch.randn(2, 3, 48, 48)).shape == (2, 1) and cut.head.in_features == 128
    assert torch.equal(cut.body.block2.conv.weight, model.body.block2.conv.weight)
    mixed = transfuse(model, "block2")
    assert mixed.body.block4.conv.weight.shape == (256, 128, 5, 5) and mixed.body.block4.conv.bias.shape == (256,)
    assert not freeze(mixed, "block1").body.block1.conv.weight.requires_grad


def test_weights_come_from_files_alone(tmp_path):
    torch.save(load_backbone("cbr_tiny_narrow", seed=3).state_dict(), tmp_path / "mine.pt")
    loaded = load_backbone("cbr_tiny_narrow", tmp_path / "mine.pt")
    assert torch.equal(loaded.body.block1.conv.weight, load_backbone("cbr_tiny_narrow", seed=3).body.block1.conv.weight)
    with pytest.raises(InvalidInputError, match="weights must be None or the path of a file for cbr_tiny, got 'imagen"):
        load_backbone("cbr_tiny", "imagenet")
    with pytest.raises(InvalidInputError, match="1 missing|of another shape"):
        load_backbone("cbr_tiny", tmp_path / "mine.pt")
