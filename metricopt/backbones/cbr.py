"""The CBR family: small networks of convolution, batch norm and rectifier, to compare large pretrained ones with.

This file decides their architecture. No weights were ever published, so they are random, or come from a file of your
own.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import nn

from metricopt.backbones.backbone import Backbone, new_head


class CBRDesign(NamedTuple):
    """The properties in which the networks of the family differ.

    Attributes
    ----------
    kernel_size : int
        The size of the kernels of all convolutions.
    widths : tuple of int
        The number of output channels of each block.
    ends_with_pool : bool
        Whether the last block has a max-pool like the other blocks.
    """

    kernel_size: int
    widths: tuple[int, ...]
    ends_with_pool: bool = True


# The text of the paper gives Tiny the widths of LargeW, its table the parameters of Small's widths: both are here.
CBR_DESIGNS = {
    "cbr_large_t": CBRDesign(7, (32, 64, 128, 256, 512), ends_with_pool=False),
    "cbr_large_w": CBRDesign(7, (64, 128, 256, 512)),
    "cbr_small": CBRDesign(7, (32, 64, 128, 256)),
    "cbr_tiny": CBRDesign(5, (64, 128, 256, 512)),
    "cbr_tiny_narrow": CBRDesign(5, (32, 64, 128, 256)),
}


def build_cbr(design: CBRDesign, num_outputs: int = 1, *, seed: int = 0) -> Backbone:
    """Return a network of the CBR family with random weights.

    Each block is a convolution (stride 1, with bias), a batch norm, a rectifier and a max-pool of 3 x 3 with stride 2.
    Nothing is padded, so images must not be too small: the designs of the paper need 217 pixels (``cbr_large_t``), 121
    (the others with kernels of 7) or 91.

    Parameters
    ----------
    design : CBRDesign
        One of :data:`CBR_DESIGNS`, which :func:`metricopt.backbones.load_backbone` knows by name, or your own.
    num_outputs : int, >= 1
        The number of outputs, one for each label.
    seed : int
        The seed of the weights, which are He-normal (fan out) with biases of 0. The global random state is left alone.

    Returns
    -------
    Backbone
        The network. Its blocks and cut points are ``block1``, ``block2``, ...

    Examples
    --------
    >>> from metricopt.backbones import count_parameters
    >>> count_parameters(build_cbr(CBR_DESIGNS["cbr_small"], num_outputs=5))
    2114821
    >>> build_cbr(CBRDesign(3, (4, 8)))(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 1])

    References
    ----------
    M. Raghu, C. Zhang, J. Kleinberg, S. Bengio (2019). Transfusion: understanding transfer learning for medical
    imaging. NeurIPS, section 3 and appendix A. The table there gives fewer parameters, because it counts only the
    kernels above the first block and the weights of the last layer, without biases and batch norms.
    """
    names = [f"block{number}" for number in range(1, len(design.widths) + 1)]
    body = nn.Sequential()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, before, width in zip(names, (3, *design.widths), design.widths, strict=False):
            has_pool = design.ends_with_pool or name != names[-1]
            body.add_module(name, _block(before, width, design.kernel_size, has_pool))
    head = new_head(design.widths[-1], num_outputs, seed, like=next(body.parameters()))
    return Backbone(body, head, {name: [name] for name in names})


def _block(in_channels: int, width: int, kernel_size: int, has_pool: bool) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, width, kernel_size)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # it has one
    layers: list[tuple[str, nn.Module]] = [("conv", convolution), ("norm", nn.BatchNorm2d(width)), ("relu", nn.ReLU())]
    if has_pool:
        layers.append(("pool", nn.MaxPool2d(3, stride=2)))
    return nn.Sequential(OrderedDict(layers))
