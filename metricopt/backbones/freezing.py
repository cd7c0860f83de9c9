"""Freezing the bottom of a network: layer-wise fine-tuning (LWFT) and feature extraction."""

from __future__ import annotations

from metricopt._validation import reject
from metricopt.backbones.backbone import Backbone, weights_of


def freeze(model: Backbone, up_to: str | None = None) -> Backbone:
    """Freeze the body of a network up to a point, and let everything above it train.

    Frozen weights take no gradients. Frozen batch norms and dropout stay in evaluation mode, also after
    ``model.train()``, so that the statistics of batch norms do not move.

    Differs from the paper's code: there the running statistics of frozen batch norms kept moving.

    Parameters
    ----------
    model : Backbone
        The network, which is changed in place.
    up_to : str, optional
        The last unit that is frozen, one of :func:`metricopt.backbones.cut_points`, or the name of a block for its last
        unit. With ``"stem"`` a ResNet trains from layer1 on. By default the whole body is frozen and only the head
        trains (feature extraction).

    Returns
    -------
    Backbone
        The same network.

    Raises
    ------
    InvalidInputError
        If there is no such point. The message lists the points.

    Examples
    --------
    >>> from metricopt.backbones import count_parameters, load_backbone, truncate
    >>> model = freeze(truncate(load_backbone("resnet18"), at="layer1"), up_to="layer1.0")
    >>> count_parameters(model), count_parameters(model, trainable_only=True)
    (157569, 74049)
    >>> _ = model.train()
    >>> model.body.bn1.training, model.body.layer1[1].bn1.training
    (False, True)
    """
    if not isinstance(model, Backbone):
        reject("model", "a Backbone", type(model).__name__, "pass truncate(model), which returns one")
    point = model.points[-1] if up_to is None else model.resolve("up_to", up_to)
    frozen, _ = model.split(point)
    model.requires_grad_(True)
    for weight in weights_of(frozen):
        weight.requires_grad_(False)
    model.frozen_up_to = point
    return model.train(model.training)
