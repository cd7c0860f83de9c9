"""Weight transfusion: the lower blocks are pretrained, the upper ones random, and as wide as they were or slimmer."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from metricopt._validation import check_choice, check_fraction, reject
from metricopt.backbones.backbone import IMAGE_SIZE, Backbone, new_head, num_channels, num_features
from metricopt.backbones.families import as_backbone


def transfuse(
    model: nn.Module, up_to: str | None, *, width: float = 0.5, num_outputs: int = 1, seed: int = 0
) -> Backbone:
    """Return a network that keeps its weights up to a block and has random ones above it, in slimmer layers.

    Every convolution above the block gets ``width`` times its output channels, and as many input channels as the layer
    below puts out. Its weights are He-normal (fan out). Batch norms start with scale 1, shift 0 and fresh statistics.

    Parameters
    ----------
    model : Backbone, or a network of torchvision
        The pretrained network, which stays as it is.
    up_to : str or None
        The last block that keeps its weights, a name of ``model.blocks``. With None all weights are random.
    width : float, in (0, 1]
        The factor of the channels above the block. With 1 the layers keep their size (weight transfusion). The slim
        hybrid of the paper has 0.5 above the second block.
    num_outputs : int, >= 1
        The number of outputs, one for each label.
    seed : int
        The seed of the random weights. The global random state is left alone.

    Returns
    -------
    Backbone
        A copy in which no weight is frozen.

    Raises
    ------
    InvalidInputError
        If there is no such block, or with this width the channels of a grouped convolution do not divide.

    Examples
    --------
    >>> from metricopt.backbones import count_parameters, load_backbone
    >>> count_parameters(transfuse(load_backbone("resnet50"), "layer3", num_outputs=2))
    12947522

    References
    ----------
    M. Raghu, C. Zhang, J. Kleinberg, S. Bengio (2019). Transfusion: understanding transfer learning for medical
    imaging. NeurIPS, section 5.
    """
    source = as_backbone(model)
    if up_to is not None:
        check_choice("up_to", up_to, source.blocks)
    check_fraction("width", width)
    mixed = Backbone(copy.deepcopy(source.body), source.head, source.blocks, source.normalisation)
    mixed.requires_grad_(True)
    above = list(mixed.body) if up_to is None else mixed.split(mixed.blocks[up_to][-1])[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _redraw(mixed.body, above, width)
    mixed.head = new_head(num_features(mixed.body), num_outputs, seed, like=next(mixed.body.parameters()))
    return mixed.train(source.training)


def _redraw(body: nn.Module, above: Sequence[nn.Module], width: float) -> None:
    """Give the upper modules their width and new weights, in the order in which an image passes them."""

    def fit(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(module, nn.Conv2d):
            _redraw_convolution(module, inputs[0].shape[1], width)
        elif isinstance(module, nn.BatchNorm2d):
            _redraw_norm(module, inputs[0].shape[1])

    hooks = [part.register_forward_pre_hook(fit) for module in above for part in module.modules()]
    try:
        weight = next(body.parameters())
        with torch.no_grad():
            body.eval()(weight.new_zeros(1, num_channels(body), IMAGE_SIZE, IMAGE_SIZE))
    finally:
        for hook in hooks:
            hook.remove()


def _redraw_convolution(convolution: nn.Conv2d, in_channels: int, width: float) -> None:
    groups = 1 if convolution.groups == 1 else _scaled(convolution.groups, width)
    if in_channels % groups:
        remedy = "give one such as 0.5, or 1 for a top of its own size"
        reject("width", f"one whose {groups} groups divide {in_channels} channels", width, remedy)
    convolution.in_channels, convolution.groups = in_channels, groups
    convolution.out_channels = _scaled(convolution.out_channels, width)
    shape = (convolution.out_channels, in_channels // groups, *convolution.kernel_size)
    convolution.weight = nn.Parameter(convolution.weight.new_empty(shape))
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    if convolution.bias is not None:
        convolution.bias = nn.Parameter(convolution.bias.new_zeros(convolution.out_channels))


def _redraw_norm(norm: nn.BatchNorm2d, channels: int) -> None:
    norm.num_features = channels
    norm.weight = nn.Parameter(norm.weight.new_ones(channels))
    norm.bias = nn.Parameter(norm.bias.new_zeros(channels))
    norm.running_mean, norm.running_var = norm.weight.new_zeros(channels), norm.weight.new_ones(channels)
    norm.reset_running_stats()


def _scaled(count: int, width: float) -> int:
    return max(1, round(width * count))
