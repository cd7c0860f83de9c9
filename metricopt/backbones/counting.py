"""The size of a network: its parameters, and its multiply-accumulates for one image."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from metricopt._validation import reject
from metricopt.backbones.backbone import num_channels, shapes_alone


class MacCount(NamedTuple):
    """The multiply-accumulates for one image, counted in two ways.

    Attributes
    ----------
    paper : int
        The count of Peng et al. (2023): convolutions, 2 for every input element of a batch norm, 1 for every output
        element of a rectifier and every input element of a max or average pool, linear layers and their biases.
    torch : int
        Half the operations of torch's ``FlopCounterMode``: convolutions and matrix products.
    """

    paper: int
    torch: int


def count_parameters(model: nn.Module, trainable_only: bool = False) -> int:
    """Return the number of parameters. The statistics of batch norms are not counted.

    Parameters
    ----------
    model : Module
        The network.
    trainable_only : bool
        Whether to count only the parameters that take gradients.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1).requires_grad_(False))
    >>> count_parameters(model), count_parameters(model, trainable_only=True)
    (11, 8)
    """
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad or not trainable_only)


def count_macs(model: nn.Module, input_size: int | tuple[int, int] = 224) -> MacCount:
    """Return the multiply-accumulates of a forward pass in evaluation mode, for one image.

    Only shapes are computed, so counting takes no time. The paper's counter looks at modules. It does not count
    rectifiers and pools that a network calls as functions, as Inception does, and no other activations.

    Parameters
    ----------
    model : Module
        The network, which stays as it is.
    input_size : int or (height, width)
        The size of the image in pixels.

    Returns
    -------
    MacCount
        The two counts.

    Raises
    ------
    InvalidInputError
        If ``input_size`` is not a size, or too small for the network.

    Examples
    --------
    >>> from metricopt.backbones import load_backbone, truncate
    >>> count_macs(truncate(load_backbone("resnet50"), at="layer3.3", num_outputs=2))
    MacCount(paper=2870420482, torch=2841167872)
    """
    shapes_only = shapes_alone(model)
    total = 0

    def count(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal total
        total += _macs(module, inputs[0], output)

    for module in shapes_only.modules():
        module.register_forward_hook(count)
    image = one_image(model, input_size, "meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        try:
            shapes_only(image)
        except RuntimeError as error:
            got = f"{input_size}: {str(error).splitlines()[0]}"
            reject("input_size", "large enough for the network", got, "give the size of its images, e.g. 224")
    return MacCount(total, counter.get_total_flops() // 2)


def _macs(module: nn.Module, x: Tensor, output: Tensor) -> int:
    match module:
        case nn.Conv2d():
            return output.numel() * (module.weight[0].numel() + (module.bias is not None))
        case nn.BatchNorm2d():
            return 2 * x.numel()
        case nn.ReLU() | nn.ReLU6():
            return output.numel()
        case nn.MaxPool2d() | nn.AvgPool2d() | nn.AdaptiveAvgPool2d():
            return x.numel()
        case nn.Linear():
            return output.numel() * (module.in_features + (module.bias is not None))
    return 0


def one_image(model: nn.Module, input_size: int | tuple[int, int], device: str) -> Tensor:
    """Return a black image, shape (1, C, height, width), with the channels that the model's first convolution takes."""
    sizes = (input_size, input_size) if isinstance(input_size, int) else tuple(input_size)
    if len(sizes) != 2 or not all(isinstance(size, int) and size >= 1 for size in sizes):
        reject("input_size", "pixels or (height, width)", repr(input_size), "give for example 224")
    return torch.zeros(1, num_channels(model), *sizes, device=device)
