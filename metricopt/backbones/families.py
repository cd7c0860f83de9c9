"""How torchvision's networks are taken apart: ResNet, DenseNet, Inception v3, EfficientNet, MobileNetV2.

This file decides the order of their modules and the names of their blocks and cuts. Modules, and so weights, keep the
names that they have in torchvision.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metricopt._torchvision import import_torchvision
from metricopt._validation import reject
from metricopt.backbones.backbone import IMAGENET, Backbone, Normalisation

# What torchvision calls the last linear layer, by the name of the network's class.
HEADS = {
    **{"ResNet": "fc", "DenseNet": "classifier", "Inception3": "fc"},
    **{"EfficientNet": "classifier.1", "MobileNetV2": "classifier.1"},
}


def as_backbone(model: nn.Module, normalisation: Normalisation = IMAGENET) -> Backbone:
    """Return a network of torchvision as a :class:`Backbone` made of its modules. A backbone is returned as it is.

    In evaluation mode both give the same outputs. Inception's auxiliary head is left out, and so is dropout before the
    last layer.

    Parameters
    ----------
    model : Backbone, ResNet, DenseNet, Inception3, EfficientNet or MobileNetV2
        The network, with any number of outputs.
    normalisation : Normalisation
        The scale that the network expects of its input.

    Returns
    -------
    Backbone
        The network as body, pool and head.

    Raises
    ------
    InvalidInputError
        If the model is another network.
    """
    if isinstance(model, Backbone):
        return model
    known = import_torchvision().models
    for family, take_apart in _FAMILIES.items():
        if isinstance(model, getattr(known, family)):
            children, blocks = take_apart(model)
            body = nn.Sequential(OrderedDict(children))
            head: Any = model.get_submodule(HEADS[family])
            backbone = Backbone(body, head, blocks, normalisation)
            return backbone.train(model.training)
    remedy = "make a metricopt.backbones.Backbone of it"
    reject("model", f"a Backbone or torchvision's {', '.join(HEADS)}", type(model).__name__, remedy)


Parts = tuple[Mapping[str, nn.Module], Mapping[str, Sequence[str]]]


def _resnet(model: Any) -> Parts:
    layers = [name for name, _ in model.named_children() if name.startswith("layer")]
    children = {name: getattr(model, name) for name in ("conv1", "bn1", "relu", "maxpool", *layers)}
    return children, {"stem": ["maxpool"], **{name: _children(children[name], name) for name in layers}}


def _densenet(model: Any) -> Parts:
    features = nn.Sequential(OrderedDict([*model.features.named_children(), ("relu5", LastRectifier())]))
    blocks = {"stem": ["features.pool0"]}
    for number in range(1, 5):
        layers = _children(features.get_submodule(f"denseblock{number}"), f"features.denseblock{number}")
        # Transitions belong to the block that they end, as in the paper.
        end = f"features.transition{number}" if number < 4 else "features.relu5"
        blocks[f"block{number}"] = [*layers, end]
    return {"features": features}, blocks


def _inception(model: Any) -> Parts:
    children = dict(model.named_children())
    for name in ("AuxLogits", "avgpool", "dropout", "fc"):
        children.pop(name, None)
    blocks: dict[str, list[str]] = {"stem": ["maxpool1", "maxpool2"]}
    for name in children:
        if name.startswith("Mixed"):
            blocks.setdefault(name[:-1], []).append(name)
    return {"input": InceptionInput() if model.transform_input else nn.Identity(), **children}, blocks


def _efficientnet(model: Any) -> Parts:
    names = [f"features.{name}" for name, _ in model.features.named_children()]
    blocks = {name: _children(model.get_submodule(name), name) for name in names[1:-1]}
    return {"features": model.features}, {"stem": names[:1], **blocks, names[-1]: names[-1:]}


def _mobilenet(model: Any) -> Parts:
    names = [f"features.{name}" for name, _ in model.features.named_children()]
    blocks: dict[str, list[str]] = {}
    widths: list[int] = []
    for name in names[1:-1]:  # a block is the units of one width
        width = model.get_submodule(name).out_channels
        if [width] != widths[-1:]:
            widths.append(width)
        blocks.setdefault(f"block{len(widths)}", []).append(name)
    return {"features": model.features}, {"stem": names[:1], **blocks, names[-1]: names[-1:]}


def _children(module: nn.Module, prefix: str) -> list[str]:
    return [f"{prefix}.{name}" for name, _ in module.named_children()]


_FAMILIES = {
    **{"ResNet": _resnet, "DenseNet": _densenet, "Inception3": _inception},
    **{"EfficientNet": _efficientnet, "MobileNetV2": _mobilenet},
}


class LastRectifier(nn.Module):
    """The last rectifier of a DenseNet, which torchvision calls as a function and the paper's counter leaves out."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x, inplace=True)


class InceptionInput(nn.Module):
    """Rescales images normalised as for the other networks to [-1, 1], as Inception's ImageNet weights expect."""

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        scale = torch.tensor([std / 0.5 for std in IMAGENET.std])
        shift = torch.tensor([(mean - 0.5) / 0.5 for mean in IMAGENET.mean])
        self.register_buffer("scale", scale.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", shift.view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift
