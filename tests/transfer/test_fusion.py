"""Fused networks: weights from scores, features of one scale, one head that can be trained."""

import math

import pytest
import torch

from metricopt import InvalidInputError
from metricopt.backbones import CBRDesign, Normalisation, build_cbr, freeze
from metricopt.transfer import fuse
from tests.held_out import fit


def sources(*widths):
    return {f"s{seed}": build_cbr(CBRDesign(3, (4, width)), seed=seed) for seed, width in enumerate(widths)}


def standardised(features):
    return (features - features.mean(1, keepdim=True)) / (features.var(1, correction=0, keepdim=True) + 1e-5).sqrt()


def test_weighted_sum():
    models, x = sources(6, 6), torch.randn(5, 3, 24, 24)
    fused = fuse(models, {"s1": math.log(3), "s0": 0.0}, how="sum").eval()
    torch.testing.assert_close(fused.weights, torch.tensor([0.25, 0.75]))
    with torch.no_grad():
        own = [standardised(model.eval().embed(x)) for model in models.values()]
        torch.testing.assert_close(fused.embed(x), 0.25 * own[0] + 0.75 * own[1])
        torch.testing.assert_close(fused(x), fused.head(fused.embed(x)))
    torch.testing.assert_close(fuse(models, how="sum").weights, torch.tensor([0.5, 0.5]))


def test_scale_of_a_source_does_not_matter():
    models, x = sources(6, 6), torch.randn(5, 3, 24, 24)
    before = fuse(models, how="sum").eval().embed(x)
    with torch.no_grad():
        for values in (models["s1"].body.block2.norm.weight, models["s1"].body.block2.norm.bias):
            values.mul_(100)
    torch.testing.assert_close(fuse(models, how="sum").eval().embed(x), before, atol=2e-3, rtol=1e-2)


def test_concatenation():
    models, x = sources(6, 8), torch.randn(5, 3, 24, 24)
    fused = fuse(models, num_outputs=2).eval()
    with torch.no_grad():
        expected = torch.cat([standardised(model.eval().embed(x)) for model in models.values()], dim=1)
        torch.testing.assert_close(fused.embed(x), expected)
    assert fused(x).shape == (5, 2) and fused.head.in_features == 14


def test_images_are_rescaled_for_each_source():
    models, x = sources(6, 6), torch.randn(5, 3, 24, 24)
    models["s0"].normalisation = Normalisation((0.5,) * 3, (0.5,) * 3)
    fused = fuse(models, normalisation=models["s1"].normalisation).eval()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in models["s1"].normalisation)
    with torch.no_grad():
        first = standardised(models["s0"].eval().embed((x * std + mean - 0.5) / 0.5))
        torch.testing.assert_close(fused.embed(x)[:, :6], first, atol=1e-4, rtol=1e-4)


def test_copies_are_fused_and_frozen_ones_stay_frozen():
    models, state = sources(6, 6), torch.get_rng_state()
    freeze(models["s0"])
    fused = fuse(models).train()
    assert torch.equal(torch.get_rng_state(), state)
    norms = [source.body.block1.norm for source in fused.sources]
    assert not norms[0].training and norms[1].training
    assert models["s0"].head.out_features == 1  # the originals keep their heads
    with torch.no_grad():
        fused.sources[1].body.block1.conv.weight.zero_()
    assert models["s1"].body.block1.conv.weight.any()
    names = {name for name, _ in fused.named_parameters()}
    assert {name for name in names if "head" in name} == {"head.weight", "head.bias"}


def test_fit_trains_it_under_an_objective():
    torch.manual_seed(0)
    x, y = torch.randn(40, 3, 24, 24), (torch.arange(40) % 4 == 0).float()
    x[y == 1] *= 2
    models = sources(6, 6)
    for model in models.values():
        freeze(model)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=20)
    result = fit(fuse(models, {"s0": -0.2, "s1": -0.4}, how="sum"), loader, "FPOR", alpha=0.5, epochs=2, progress=False)
    assert result.scores(x).shape == (40,)


@pytest.mark.parametrize(
    ("widths", "arguments", "fault"),
    [
        ((6,), {}, "models must be a dict of at least two networks, got 1"),
        ((6, 8), {"how": "sum"}, r"models must be of one width for a sum, got \{'s0': 6, 's1': 8\}; give how='concat"),
        ((6, 6), {"how": "mean"}, "how must be one of 'concatenation', 'sum', got 'mean'"),
        ((6, 6), {"scores": {"s0": 1, "s1": 2}}, "scores must be None for a concatenation"),
        (
            (6, 6),
            {"how": "sum", "scores": {"s0": 1}},
            r"scores must be given for every network, got nothing for \['s1'\]",
        ),
        ((6, 6), {"how": "sum", "scores": {"s0": 1, "s2": 1}}, "scores must be one of 's0', 's1', got 's2'"),
        ((6, 6), {"how": "sum", "scores": {"s0": 1, "s1": math.nan}}, "scores must be finite"),
    ],
)
def test_bad_input(widths, arguments, fault):
    with pytest.raises(InvalidInputError, match=fault):
        fuse(sources(*widths), **arguments)
    assert fuse(sources(6, 6), {"s0": 1, "s1": 2}, how="sum").names == ("s0", "s1")
