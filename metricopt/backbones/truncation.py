"""Truncated transfer learning (TTL): the lower part of a network, with a pool and a linear head of its own."""

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
        The network. ``model.blocks`` of a backbone says which block each place is in.

    Returns
    -------
    list of str
        The stem and every unit above it: residual units, dense layers and transitions, Inception's mixed modules,
        inverted residuals. The last one keeps the whole body.

    Examples
    --------
    >>> from metricopt.backbones import load_backbone
    >>> cut_points(load_backbone("resnet18"))
    ['maxpool', 'layer1.0', 'layer1.1', 'layer2.0', 'layer2.1', 'layer3.0', 'layer3.1', 'layer4.0', 'layer4.1']
    """
    return as_backbone(model).points


def truncate(model: nn.Module, at: str | None = None, num_outputs: int = 1, *, seed: int = 0) -> Backbone:
    """Return the lower part of a network, up to a point, with a pool and a new linear head.

    Features near the image are general, and those near the output belong to the classes that the network was trained
    for. If these have nothing to do with the task, the lower part alone is smaller, faster and often better.

    Parameters
    ----------
    model : Backbone, or a network of torchvision
        The network, which stays as it is.
    at : str, optional
        The last unit that is kept, one of :func:`cut_points`, or the name of a block for its last unit. By default the
        whole body is kept, under a new head (full transfer learning).
    num_outputs : int, >= 1
        The number of outputs, one for each label.
    seed : int
        The seed of the weights of the head. The global random state is left alone.

    Returns
    -------
    Backbone
        A copy in which no weight of the body is frozen.

    Raises
    ------
    InvalidInputError
        If the network cannot be cut there. The message lists the points where it can.

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
