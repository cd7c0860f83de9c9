"""Freezing the bottom of a network: layer-wise fine-tuning (LWFT) and feature extraction."""

from __future__ import annotations

from metricopt._validation import reject
from metricopt.backbones.backbone import Backbone, weights_of


def freeze(model: Backbone, up_to: str | None = None) -> Backbone:
    """Freeze the body of a network up to a point, and free all that is above it.

    The weights there take no gradients. Batch norms there stay in evaluation mode, also after ``model.train()``, so
    that their statistics do not move; so does what is random in training.

    Differs from the paper's code: its frozen batch norms kept updating their running statistics.

    Parameters
    ----------
    model : Backbone
        Changed in place.
    up_to : str, optional
        The last unit that is frozen, one of :func:`metricopt.backbones.cut_points`, or the name of a block for its end:
        ``"stem"`` trains a ResNet from layer1 on. By default the whole body: feature extraction, where only the head
        learns.

    Returns
    -------
    Backbone
        The same.

    Raises
    ------
    InvalidInputError
        If there is no such point; the message lists those that there are.

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
        reject("model", "a Backbone", type(model).__name__, "pass truncate(model), which is one")
    point = model.points[-1] if up_to is None else model.resolve("up_to", up_to)
    frozen, _ = model.split(point)
    model.requires_grad_(True)
    for weight in weights_of(frozen):
        weight.requires_grad_(False)
    model.frozen_up_to = point
    return model.train(model.training)
