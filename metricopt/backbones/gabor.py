"""Synthetic Gabor filters for the first layer, which respond to edges and stripes without any pretraining."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import Tensor, nn

from metricopt._validation import reject
from metricopt.backbones.backbone import Backbone
from metricopt.backbones.families import as_backbone

# Standard deviation of the envelope in wavelengths: a bandwidth of one octave, about that of cells that see edges.
_SIGMA = 0.56
_PHASES = (0.0, math.pi / 2)
_SMALLEST_WAVELENGTH = 3.0


def gabor_filters(number: int, kernel_size: int) -> Tensor:
    r"""Return Gabor filters, plane waves under a Gaussian, of several orientations and wavelengths and two phases.

    .. math:: g(x, y) = \exp\Big(-\frac{x^2 + y^2}{2 \sigma^2}\Big) \cos\Big(\frac{2 \pi}{\lambda}
        (x \cos \theta + y \sin \theta) - \phi\Big), \qquad \sigma = 0.56 \lambda,

    with phases :math:`\phi \in \{0, \pi/2\}` (stripes and edges), (size - 1) / 2 wavelengths :math:`\lambda` in equal
    ratios from 3 pixels to the size of the kernel, and as many orientations :math:`\theta` in equal steps as are needed
    for the number of filters. Each filter is then shifted to mean 0 and scaled to norm 1.

    Parameters
    ----------
    number : int, >= 1
        The number of filters.
    kernel_size : int, >= 3
        The side of a filter in pixels.

    Returns
    -------
    Tensor, shape (number, kernel_size, kernel_size), float32

    Raises
    ------
    InvalidInputError
        If the kernel is smaller than 3 pixels.

    Examples
    --------
    >>> gabor_filters(64, 7).shape
    torch.Size([64, 7, 7])

    References
    ----------
    J. P. Jones, L. A. Palmer (1987). An evaluation of the two-dimensional Gabor filter model of simple receptive
    fields in cat striate cortex. Journal of Neurophysiology 58(6).
    """
    if kernel_size < 3:
        reject("kernel_size", "an integer >= 3", kernel_size, "give 3 or more, because a wave needs 3 pixels")
    wavelengths = np.geomspace(_SMALLEST_WAVELENGTH, kernel_size, (kernel_size - 1) // 2)
    num_orientations = math.ceil(number / (len(wavelengths) * len(_PHASES)))
    angles = math.pi * np.arange(num_orientations) / num_orientations
    axis = np.arange(kernel_size) - (kernel_size - 1) / 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    filters = []
    for wavelength in wavelengths:
        envelope = np.exp(-(x**2 + y**2) / (2 * (_SIGMA * wavelength) ** 2))
        for angle in angles:
            along = 2 * math.pi / wavelength * (x * math.cos(angle) + y * math.sin(angle))
            filters += [envelope * np.cos(along - phase) for phase in _PHASES]
    bank = np.stack(filters[:number])
    bank -= bank.mean(axis=(1, 2), keepdims=True)
    return torch.from_numpy(bank / np.linalg.norm(bank, axis=(1, 2), keepdims=True)).float()


def with_gabor_filters(model: nn.Module) -> Backbone:
    """Return a copy of a network whose first convolution has Gabor filters. All other weights stay as they are.

    As in the paper, a filter is the same in every channel of the image. The filters are scaled to the average size of
    He-normal weights, so that training starts at the usual scale. If the layer has biases, they become 0.

    Parameters
    ----------
    model : Backbone, or a network of torchvision
        The network, which stays as it is. In the paper its weights are random.

    Returns
    -------
    Backbone
        A copy with the filters.

    Raises
    ------
    InvalidInputError
        If there is no convolution, or its kernel has fewer than 3 x 3 pixels.

    Examples
    --------
    >>> from metricopt.backbones import load_backbone
    >>> model = with_gabor_filters(load_backbone("resnet18"))
    >>> red, green, _ = model.body.conv1.weight[0]
    >>> torch.equal(red, green)
    True

    References
    ----------
    M. Raghu, C. Zhang, J. Kleinberg, S. Bengio (2019). Transfusion: understanding transfer learning for medical
    imaging. NeurIPS, section 5.2.
    """
    backbone = copy.deepcopy(as_backbone(model))
    first = next((module for module in backbone.body.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None:
        reject("model", "a network with convolutions", type(model).__name__, "pass one for images")
    if first.kernel_size[0] != first.kernel_size[1] or first.kernel_size[0] < 3:
        reject("model", "one that begins with square kernels of at least 3", first.kernel_size, "pass another network")
    number, in_channels, size = first.weight.shape[:3]
    filters = gabor_filters(number, size)[:, None].expand(-1, in_channels, -1, -1)
    # He, fan out: variance 2 / (number size^2); a filter of norm 1 has a mean square of 1 / size^2.
    with torch.no_grad():
        first.weight.copy_(filters * math.sqrt(2 / number))
        if first.bias is not None:
            first.bias.zero_()
    return backbone
