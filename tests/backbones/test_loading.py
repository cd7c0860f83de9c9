"""Weights come from files that fit, never from elsewhere; what does not fit is named."""

import socket

import pytest
import torch
from safetensors.torch import save_file

from metricopt import InvalidInputError
from metricopt._torchvision import import_torchvision
from metricopt.backbones import as_backbone, load_backbone, truncate
from metricopt.backbones.backbone import IMAGENET
from metricopt.backbones.families import InceptionInput

models = import_torchvision().models


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """torch's cache, empty, and no way to fill it from elsewhere."""

    def refuse(*_):
        raise AssertionError("something was asked of the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(5)
    return models.resnet18(weights=None, num_classes=7)


def same_outputs(backbone, model, size=64):
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        return torch.equal(backbone.eval()(x), model.eval()(x))


@pytest.mark.parametrize("kind", ["plain.pt", "plain.pth", "plain.safetensors", "checkpoint.pth", "parallel.pt"])
def test_files_of_torchvision_networks(kind, tmp_path, resnet):
    state, path = resnet.state_dict(), tmp_path / kind
    if kind == "plain.safetensors":
        save_file(state, path)
    elif kind.startswith("plain"):
        torch.save(state, path)
    elif kind == "checkpoint.pth":
        torch.save({"state_dict": state, "epoch": 3}, path)
    else:
        torch.save({"model": {f"module.{name}": value for name, value in state.items()}}, path)
    backbone = load_backbone("resnet18", str(path) if kind == "plain.pt" else path)
    assert backbone.head.out_features == 7 and same_outputs(backbone, resnet)


def test_a_whole_backbone_is_loaded_back(tmp_path):
    backbone = truncate(load_backbone("efficientnet_lite0", seed=1), num_outputs=14)
    torch.save(backbone.state_dict(), tmp_path / "mine.pt")
    assert same_outputs(load_backbone("efficientnet_lite0", tmp_path / "mine.pt"), backbone)


def with_old_names(state):
    """The names that torchvision's published DenseNet files have, which count no batches."""
    renamed = {}
    for name, value in state.items():
        for layer in ("norm", "conv"):
            for number in "12":
                if "denselayer" in name:
                    name = name.replace(f".{layer}{number}.", f".{layer}.{number}.")
        if not name.endswith("num_batches_tracked"):
            renamed[name] = value
    return renamed


@pytest.mark.parametrize(
    ("name", "file", "extra"),
    [
        ("resnet18", "resnet18-f37072fd.pth", {}),
        ("densenet121", "densenet121-a639ec97.pth", {}),
        ("efficientnet_b0", "efficientnet_b0_rwightman-7f5810bc.pth", {}),
        ("inception_v3", "inception_v3_google-0cc3c7bd.pth", {"transform_input": True, "init_weights": False}),
    ],
)
def test_torchvision_s_cache(name, file, extra, hub):
    torch.manual_seed(6)
    model = getattr(models, name)(weights=None, **extra)
    state = with_old_names(model.state_dict()) if name == "densenet121" else model.state_dict()
    if name == "densenet121":
        assert "features.denseblock1.denselayer1.norm.1.weight" in state
    with pytest.raises(InvalidInputError, match="no such file; nothing is downloaded silently") as error:
        load_backbone(name, "imagenet")
    assert str(hub / file) in str(error.value)
    torch.save(state, hub / file)
    assert same_outputs(load_backbone(name, "imagenet"), model, 96)


@pytest.mark.parametrize(("other", "found"), [("resnet34", "unknown: body.layer1.2.conv1"), ("resnet50", "shape")])
def test_weights_of_another_network(other, found, tmp_path, resnet):
    path = tmp_path / "weights.pth"
    torch.save(load_backbone(other).state_dict(), path)
    with pytest.raises(InvalidInputError, match="weights must be those of resnet18, got ") as error:
        load_backbone("resnet18", path)
    assert found in str(error.value) and str(path) in str(error.value)
    if other == "resnet50":
        assert "body.layer1.0.conv1.weight (64, 64, 1, 1) for (64, 64, 3, 3)" in str(error.value)
    torch.save(resnet.state_dict(), path)
    assert same_outputs(load_backbone("resnet18", path), resnet)


def test_weights_that_lack_something(tmp_path, resnet):
    state = resnet.state_dict()
    whole, part = tmp_path / "whole.pth", tmp_path / "part.pth"
    torch.save(state, whole)
    torch.save({name: value for name, value in state.items() if "layer4.1" not in name}, part)
    with pytest.raises(InvalidInputError, match=r"10 missing: body\.layer4\.1\.conv1\.weight, .* and 5 more"):
        load_backbone("resnet18", part)
    assert same_outputs(load_backbone("resnet18", whole), resnet)


def test_files_that_are_no_state_dict(tmp_path, resnet):
    sound = tmp_path / "sound.pth"
    torch.save(resnet.state_dict(), sound)
    cases = {
        "whole model": "got .*: UnpicklingError",
        "truncated": "weights must be a state dict, got .*truncated.pth",
        "truncated.safetensors": "weights must be a state dict, got .*SafetensorError",
        "list": "a state dict, got something else",
        "empty": "a state dict, got something else",
    }
    torch.save(resnet, tmp_path / "whole model.pth")
    (tmp_path / "truncated.pth").write_bytes(sound.read_bytes()[:100_000])
    (tmp_path / "truncated.safetensors").write_bytes(b"x" * 100)
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({}, tmp_path / "empty.pth")
    for case, expected in cases.items():
        path = tmp_path / (case if "." in case else f"{case}.pth")
        with pytest.raises(InvalidInputError, match=expected):
            load_backbone("resnet18", path)
    (tmp_path / "weights.bin").write_bytes(sound.read_bytes())
    with pytest.raises(InvalidInputError, match=r"weights must be a file of type \.pt, \.pth, \.safetensors"):
        load_backbone("resnet18", tmp_path / "weights.bin")
    assert same_outputs(load_backbone("resnet18", sound), resnet)


@pytest.mark.parametrize("weights", ["imagnet", "nowhere/weights.pth"])
def test_files_that_are_not_there(weights):
    with pytest.raises(InvalidInputError, match=f"None, 'imagenet' or the path of a file, got '{weights}'; no such"):
        load_backbone("resnet18", weights)


def test_arguments(tmp_path):
    with pytest.raises(InvalidInputError, match="name must be one of .* got 'resnet5'; did you mean 'resnet50'"):
        load_backbone("resnet5")
    with pytest.raises(InvalidInputError, match="weights must be None, 'imagenet' or a path, got bool"):
        load_backbone("resnet18", True)
    assert load_backbone("resnet18", weights=None).training


def test_random_weights_are_seeded_and_the_global_state_left_alone(tmp_path, resnet):
    torch.save(resnet.state_dict(), tmp_path / "weights.pth")
    state = torch.get_rng_state()
    first, same, other = (load_backbone("resnet18", seed=seed).body.conv1.weight for seed in (0, 0, 1))
    load_backbone("resnet18", tmp_path / "weights.pth")
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_inception_rescales_its_input_where_torchvision_does():
    x = torch.randn(1, 3, 96, 96)
    with torch.device("meta"):
        plain = models.inception_v3(weights=None, init_weights=False, transform_input=False)
    assert torch.equal(as_backbone(plain).body.input(x), x)
    channels = zip(x[0], *IMAGENET, strict=True)
    rescaled = torch.stack([(channel * std + mean - 0.5) / 0.5 for channel, mean, std in channels])[None]
    torch.testing.assert_close(InceptionInput()(x), rescaled)
