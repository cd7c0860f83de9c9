"""The form that every network has here: a body of blocks that can be cut, a pool, and a linear head.

This file decides that form and how points in it are named. :mod:`metricopt.backbones.loading` and
:mod:`metricopt.backbones.families` decide where a network comes from.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from metricopt._validation import check_choice, check_integer, reject


class Normalisation(NamedTuple):
    """The scale that a network expects of its input: ``torchvision.transforms.v2.Normalize(*normalisation)``.

    Attributes
    ----------
    mean, std : tuple of float
        The mean and the deviation of each channel, for images in [0, 1].
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


# Large enough for every network, where only shapes are asked for.
IMAGE_SIZE = 224
IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Backbone(nn.Module):
    """A convolutional network that consists of a body, a global average pool and a linear head.

    Parameters
    ----------
    body : Sequential
        The layers that map images (B, C, H, W) to feature maps (B, F, h, w). Its modules have the names of the network
        that they come from, nested in the same way, so that ``body.layer3.3`` was ``layer3.3`` there.
    head : Linear
        The layer that maps pooled features (B, F) to outputs (B, K).
    blocks : dict of str to sequence of str
        The blocks in their order, each with the points at which it can be cut. A point is the name of a module in the
        body, in dotted form where it is nested. The network ends with the last point.
    normalisation : Normalisation
        The scale that the network expects of its input.

    Raises
    ------
    InvalidInputError
        If a point is not a module of the body.

    Attributes
    ----------
    blocks : dict of str to tuple of str
        The blocks in their order, each with its points.
    frozen_up_to : str or None
        The point up to which :func:`metricopt.backbones.freeze` froze the body. The frozen part stays in evaluation
        mode even after :meth:`train`, so its batch-norm statistics do not move.

    Examples
    --------
    >>> from collections import OrderedDict
    >>> layers = [("first", nn.Conv2d(1, 4, 3)), ("second", nn.Conv2d(4, 8, 3))]
    >>> body = nn.Sequential(OrderedDict(layers))
    >>> model = Backbone(body, nn.Linear(8, 1), {"first": ["first"], "second": ["second"]})
    >>> model(torch.zeros(2, 1, 9, 9)).shape, model.embed(torch.zeros(2, 1, 9, 9)).shape
    (torch.Size([2, 1]), torch.Size([2, 8]))
    """

    def __init__(
        self,
        body: nn.Sequential,
        head: nn.Linear,
        blocks: Mapping[str, Sequence[str]],
        normalisation: Normalisation = IMAGENET,
    ) -> None:
        super().__init__()
        named = {name for name, _ in body.named_modules()}
        absent = [point for points in blocks.values() for point in points if point not in named]
        if absent:
            reject("blocks", "points that are modules of the body", absent, "give names as body.named_modules() does")
        self.body, self.pool, self.head = body, nn.AdaptiveAvgPool2d(1), head
        self.blocks = {name: tuple(points) for name, points in blocks.items()}
        self.normalisation = normalisation
        self.frozen_up_to: str | None = None

    def embed(self, x: Tensor) -> Tensor:
        """Return the input of the head, pooled features (B, F), for images (B, C, H, W)."""
        return torch.flatten(self.pool(self.body(x)), 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x))

    def train(self, mode: bool = True) -> Backbone:
        """Set the mode of all layers that are not frozen."""
        super().train(mode)
        if self.frozen_up_to is not None:
            for module in self.split(self.frozen_up_to)[0]:
                module.eval()
        return self

    @property
    def points(self) -> list[str]:
        """The names of all places where the body can be cut, from the image upwards."""
        return [point for points in self.blocks.values() for point in points]

    def resolve(self, argument: str, point: str) -> str:
        """Return the point of that name, or the last point of the block of that name.

        Raises
        ------
        InvalidInputError
            If no point or block has that name. The message names ``argument`` and lists all points and blocks.
        """
        check_choice(argument, point, {*self.blocks, *self.points})
        return self.blocks[point][-1] if point in self.blocks else point

    def split(self, point: str) -> tuple[list[nn.Module], list[nn.Module]]:
        """Return the outermost modules of the body up to a point, the point included, and those above it."""
        bottom: list[nn.Module] = []
        above: list[nn.Module] = []
        here: nn.Module = self.body
        for step in point.split("."):
            children = dict(here.named_children())
            names = list(children)
            at = names.index(step)
            bottom += [children[name] for name in names[:at]]
            above = [children[name] for name in names[at + 1 :]] + above
            here = children[step]
        return [*bottom, here], above


def new_head(num_features: int, num_outputs: int, seed: int, like: Tensor) -> nn.Linear:
    """Return a linear head on the device and in the precision of a tensor. Global random states are left alone."""
    num_outputs = check_integer("num_outputs", num_outputs, 1, "give the number of labels, e.g. 1")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(num_features, num_outputs).to(like)


def num_channels(body: nn.Module) -> int:
    """Return how many channels the images of a body have."""
    first = next((module for module in body.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None:
        reject("model", "a network with convolutions", type(body).__name__, "pass one for images")
    return first.in_channels


def num_features(body: nn.Module) -> int:
    """Return how many channels the feature maps of a body have, without computing the feature maps."""
    image = torch.empty(1, num_channels(body), IMAGE_SIZE, IMAGE_SIZE, device="meta")
    return shapes_alone(body)(image).shape[1]


def shapes_alone(model: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode that computes the shapes of its outputs, on torch's meta device."""
    copied = copy.deepcopy(model).to("meta").eval()
    for module in copied.modules():
        if isinstance(module, nn.BatchNorm2d):  # leaves shapes alone, and takes most of the time there
            vars(module)["forward"] = lambda x: x
    return copied


def weights_of(modules: Sequence[nn.Module]) -> Iterator[nn.Parameter]:
    """Yield the parameters of several modules."""
    for module in modules:
        yield from module.parameters()
