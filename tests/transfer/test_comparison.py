"""Two networks compared in one pass: equal to whole data, honest about few samples, and leaving them as they were."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from metricopt import InvalidInputError
from metricopt.backbones import CBRDesign, build_cbr, load_backbone
from metricopt.transfer import cca, compare, pwcca, svcca

LAYERS = ["block1", "block2"]


def images(number=24, seed=0):
    return torch.randn(number, 3, 20, 20, generator=torch.Generator().manual_seed(seed))


def network(seed):
    return build_cbr(CBRDesign(3, (4, 6)), seed=seed)


def loader(x, batch_size=7):
    return DataLoader(TensorDataset(x, torch.zeros(len(x))), batch_size=batch_size)


def outputs(model, layer, x):
    """(n, C, h, w), in evaluation mode."""
    body = copy.deepcopy(model).eval().body
    with torch.no_grad():
        return body.block1(x) if layer == "block1" else body(x)


@pytest.mark.parametrize("batch_size", [1, 7, 24])
@pytest.mark.parametrize("spatial", ["positions", "mean"])
def test_streamed_equals_whole(spatial, batch_size):
    a, b, x = network(0), network(1), images()
    comparison = compare(a, b, loader(x, batch_size), LAYERS, spatial=spatial, fraction=0.95)
    for layer in LAYERS:
        maps = [outputs(model, layer, x) for model in (a, b)]
        if spatial == "positions":
            whole = [each.permute(0, 2, 3, 1).flatten(0, 2) for each in maps]
        else:
            whole = [each.mean(dim=(2, 3)) for each in maps]
        pair = comparison[layer, layer]
        assert pair.samples == len(whole[0])
        # Convolutions of float32 depend on the batch in their last digits.
        assert pair.cca == pytest.approx(cca(*whole).mean(), abs=1e-5)
        assert pair.svcca == pytest.approx(svcca(*whole, fraction=0.95), abs=1e-5)
        assert pair.pwcca == pytest.approx(pwcca(*whole), abs=1e-5)


def test_layers_of_other_sizes_have_means_but_no_common_positions():
    a, b = network(0), network(1)
    by_position = compare(a, b, loader(images()), LAYERS).matrix("pwcca")
    assert np.isnan(by_position).tolist() == [[False, True], [True, False]]
    comparison = compare(a, b, loader(images()), LAYERS, spatial="mean")
    assert not np.isnan(comparison.matrix("cca")).any()
    assert comparison["block1", "block2"].samples == 24
    x = images()
    means = outputs(a, "block1", x).mean(dim=(2, 3)), outputs(b, "block2", x).mean(dim=(2, 3))
    assert comparison["block1", "block2"].pwcca == pytest.approx(pwcca(*means), abs=1e-5)
    assert comparison["block2", "block1"].pwcca != pytest.approx(comparison["block1", "block2"].pwcca, abs=1e-3)


def test_before_and_after_training():
    """A bottom that stays is like itself; the layer that was changed is not."""
    before = network(0)
    after = copy.deepcopy(before)
    with torch.no_grad():
        after.body.block2.conv.weight.copy_(network(5).body.block2.conv.weight)
    comparison = compare(before, after, loader(images()), LAYERS)
    assert comparison["block1", "block1"].cca == pytest.approx(1, abs=1e-6)
    assert comparison["block2", "block2"].cca < 0.9


def test_independent_features_lie_at_chance():
    """Two models that see different halves of the input."""

    def half(start):
        model = nn.Sequential(nn.Linear(20, 5, bias=False))
        with torch.no_grad():
            model[0].weight.zero_()[:, start : start + 10] = torch.randn(5, 10)
        return model

    torch.manual_seed(0)
    x = torch.randn(400, 20)
    pair = compare(half(0), half(10), [x[:200], x[200:]], ["0"])["0", "0"]
    assert pair.chance == pytest.approx(math.sqrt(5 / 399))
    assert 0.5 * pair.chance < pair.cca < 1.3 * pair.chance and pair.forced == 0


def test_layers_by_name_of_any_module_or_cut_point():
    model = load_backbone("resnet18")
    x = [images(2)]
    with pytest.warns(UserWarning, match="too few samples"):
        comparison = compare(model, model, x, ["stem", "layer2.0", "body.layer2.0", "layer2", "body.layer2.0.conv1"])
    assert comparison["layer2.0", "body.layer2.0"].cca == pytest.approx(1, abs=1e-4)
    # A block is its end: two 3 x 3 maps a channel of 128.
    assert comparison["layer2", "layer2"].rank_a == 2 * 9 - 1


def test_a_layer_that_later_ones_write_into():
    """The activations of a norm before a rectifier in place are those before it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(inplace=True), nn.Linear(3, 1))
    x = torch.randn(100, 4)
    with torch.no_grad():
        linear, rectified = model[0](x), model[0](x).relu()
    comparison = compare(model, model, [x], ["0", "1"])
    assert comparison["0", "1"].cca == pytest.approx(cca(linear, rectified).mean(), abs=1e-6)
    assert comparison["0", "1"].cca < 1 - 1e-3


def test_too_few_samples_are_said_and_counted():
    torch.manual_seed(0)
    a, b = (nn.Sequential(nn.Linear(8, 6)) for _ in range(2))
    x = torch.randn(10, 8)
    with pytest.warns(UserWarning, match="too few samples for 1 pairs of layers: of 0 and 0 3 of 6 correlations"):
        pair = compare(a, b, [x], ["0"])["0", "0"]
    assert (pair.forced, pair.samples, pair.rank_a, pair.rank_b) == (3, 10, 6, 6)
    enough = torch.randn(13, 8)
    assert compare(a, b, [enough], ["0"])["0", "0"].forced == 0


def test_a_silent_layer_is_nan():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    with torch.no_grad():
        model[0].bias.fill_(-100)
    pair = compare(model, model, [torch.randn(50, 4)], ["0", "1"])["0", "1"]
    assert math.isnan(pair.cca) and math.isnan(pair.svcca) and math.isnan(pair.pwcca) and pair.rank_b == 0


def test_modes_hooks_and_gradients_are_left_alone():
    a, b = network(0), network(1)
    a.body.block1.eval()
    b.eval()
    before = {key: value.clone() for key, value in a.state_dict().items()}
    compare(a, b, loader(images()), LAYERS)
    assert a.training and not a.body.block1.training and a.body.block2.training and not b.training
    assert all(torch.equal(value, before[key]) for key, value in a.state_dict().items())
    assert not any(module._forward_hooks for model in (a, b) for module in model.modules())
    with pytest.raises(InvalidInputError):
        compare(a, b, loader(images()), ["block1", "body.block2.conv.weight"])
    with pytest.raises(RuntimeError):
        compare(a, b, [torch.zeros(2, 5, 20, 20)], LAYERS)
    assert a.training and not any(module._forward_hooks for module in a.modules())


def test_table_matrix_and_picture(tmp_path):
    comparison = compare(network(0), network(1), loader(images()), LAYERS, spatial="mean")
    frame = comparison.to_frame()
    assert list(zip(frame["layer_a"], frame["layer_b"], strict=True)) == [(a, b) for a in LAYERS for b in LAYERS]
    assert {"cca", "svcca", "pwcca", "samples", "chance", "forced"} <= set(frame)
    assert comparison.to_frame(same_layer=True)["layer_b"].tolist() == LAYERS
    np.testing.assert_array_equal(comparison.matrix("svcca").ravel(), frame["svcca"])
    ax = comparison.plot("pwcca", title="two initialisations")
    assert [text.get_text() for text in ax.texts] == [f"{value:.2f}" for value in frame["pwcca"]]
    assert [label.get_text() for label in ax.get_xticklabels()] == LAYERS
    ax.figure.savefig(tmp_path / "layers.png")
    assert (tmp_path / "layers.png").stat().st_size > 1000
    with pytest.raises(InvalidInputError, match="measure must be one of 'cca', 'pwcca', 'svcca', got 'cka'"):
        comparison.plot("cka")


class Odd(nn.Module):
    """Layers that cannot be compared: one called twice, one never, one with three axes, one with a tuple."""

    def __init__(self):
        super().__init__()
        self.twice, self.never = nn.Linear(4, 4), nn.Linear(4, 4)
        self.sequence, self.pair = nn.Identity(), nn.LSTM(4, 2)

    def forward(self, x):
        x = self.twice(self.twice(x))
        return self.pair(self.sequence(x[:, None]))[0]


@pytest.mark.parametrize(
    ("layers", "fault"),
    [
        (["twise"], "layers must be one of 'never', 'pair', 'sequence', 'twice', got 'twise'; did you mean 'twice'"),
        (["twice"], "layers must be layers that are called once in a pass, got 'twice', called again"),
        (["never"], r"layers must be layers that the model calls, got \['never'\]"),
        (["sequence"], r"layers must be layers that put out \(B, C\) or \(B, C, h, w\), got shape \(6, 1, 4\)"),
        (["pair"], r"layers that put out \(B, C\) or \(B, C, h, w\), got tuple of 'pair'"),
        (["twice", "twice"], "layers must be a list of different names"),
        ("twice", "layers must be a list of different names of layers, got 'twice'"),
        ([], "layers must be a list of different names"),
    ],
)
def test_layers_that_cannot_be_compared(layers, fault):
    with pytest.raises(InvalidInputError, match=fault):
        compare(Odd(), Odd(), [torch.randn(6, 4)], layers)
    sound = nn.Sequential(nn.Linear(4, 2))
    assert compare(sound, sound, [torch.randn(6, 4)], ["0"])["0", "0"].cca == pytest.approx(1)


def test_bad_arguments():
    model = nn.Sequential(nn.Linear(4, 2))
    x = [torch.randn(20, 4)]
    for argument, value in (("spatial", "max"), ("fraction", 0), ("of", "mean")):
        with pytest.raises(InvalidInputError, match=f"{argument} must be "):
            compare(model, model, x, ["0"], **{argument: value})
    for empty in ([], [torch.randn(1, 4)]):
        with pytest.raises(InvalidInputError, match="loader must be one of at least 2 samples"):
            compare(model, model, empty, ["0"])
    with pytest.raises(InvalidInputError, match="model_a must be one whose layers put out finite values, got NaN"):
        compare(model, model, [x[0] * math.nan], ["0"])
    assert compare(model, model, x, ["0"], spatial="mean", fraction=1, of="variance")["0", "0"].samples == 20
