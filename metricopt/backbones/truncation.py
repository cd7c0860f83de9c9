"""Truncated transfer learning (TTL): the bottom of a network, a pool and a linear head; the rest is gone."""

from __future__ import annotations

import copy

from torch import nn

from metricopt.backbones.backbone import Backbone, new_head, num_features
from metricopt.backbones.families import as_backbone


def cut_points(model: nn.Module) -> list[str]:
    """Return the names of all places where a network can be cut, from the image upwards.

    Parameters
    ----------
    model : Backbone, or a network of torchvision
        The blocks that they are in: ``model.blocks`` of a backbone.

    Returns
    -------
    list of str
        The stem and every unit above it: residual units, dense layers and transitions, Inception's mixed modules,
        inverted residuals. The last one is the whole body.

    Examples
    --------
    >>> from metricopt.backbones import load_backbone
    >>> cut_points(load_backbone("resnet18"))
    ['maxpool', 'layer1.0', 'layer1.1', 'layer2.0', 'layer2.1', 'layer3.0', 'layer3.1', 'layer4.0', 'layer4.1']
    """
    return as_backbone(model).points


def truncate(model: nn.Module, at: str | None = None, num_outputs: int = 1, *, seed: int = 0) -> Backbone:
    """Keep the bottom of a network, discard what is above, and put a pool and a new linear head on it.

    Features near the image are general, those near the top belong to the classes that they were learnt for: where these
    have nothing to do with the task, the bottom alone is smaller, faster and often better.

    Parameters
    ----------
    model : Backbone, or a network of torchvision
        Left as it is.
    at : str, optional
        The last unit that is kept, one of :func:`cut_points`, or the name of a block for its end. By default nothing is
        discarded but the old head: the whole network, to be trained in all its layers (FTL).
    num_outputs : int, >= 1
        One a label.
    seed : int
        Of the head's weights; the global random state is left alone.

    Returns
    -------
    Backbone
        A copy, with all weights of the body free.

    Raises
    ------
    InvalidInputError
        If the network cannot be cut there; the message lists where it can.

    Examples
    --------
    >>> from metricopt.backbones import count_parameters, load_backbone
    >>> model = load_backbone("resnet18")
    >>> count_parameters(truncate(model, at="layer2.1")), count_parameters(truncate(model))
    (683201, 11177025)

    References
    ----------
    L. Peng, H. Liang, G. Luo, T. Li, J. Sun (2023). Rethinking transfer learning for medical image classification.
    BMVC.
    """
    source = as_backbone(model)
    point = source.points[-1] if at is None else source.resolve("at", at)
    kept = copy.deepcopy(source.body)
    _discard_above(kept, point)
    remaining = source.points[: source.points.index(point) + 1]
    blocks = {name: [each for each in points if each in remaining] for name, points in source.blocks.items()}
    cut = Backbone(
        kept.requires_grad_(True),
        new_head(num_features(kept), num_outputs, seed, like=next(kept.parameters())),
        {name: points for name, points in blocks.items() if points},
        source.normalisation,
    )
    return cut.train(source.training)


def _discard_above(container: nn.Module, point: str) -> None:
    step, _, rest = point.partition(".")
    names = [name for name, _ in container.named_children()]
    for name in names[names.index(step) + 1 :]:
        delattr(container, name)
    if rest:
        _discard_above(container.get_submodule(step), rest)
