"""Radiographs as a data set, with the usual resizing, augmentation and normalisation.

This file decides what the input of a network is. It leaves files and the cache to
:mod:`metricopt.data.chexpert.decoding`.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from metricopt._arrays import to_numpy
from metricopt._torchvision import import_transforms
from metricopt._validation import Faults, reject
from metricopt.data.chexpert.checking import check_images
from metricopt.data.chexpert.decoding import ResizedCache, read_gray
from metricopt.data.chexpert.policies import COMMON_POLICY, apply_policy
from metricopt.data.chexpert.table import CheXpertTable

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class CheXpertImages(Dataset[tuple[Tensor, Tensor]]):
    """The images of a table with their labels, for a :class:`~torch.utils.data.DataLoader`.

    An item is ``(image, labels)``. The image is squeezed into a square of gray levels, repeated in three channels and
    normalised: float32 of shape (3, image_size, image_size). The labels are a row of :attr:`labels`. ::

        table = read_chexpert_table("CheXpert-v1.0-small", labels=["Edema", "Pneumonia"], view="frontal")
        check_images(table).raise_if_any()
        images = CheXpertImages(table, augment=True)
        fit(
            model,
            DataLoader(images, batch_size=32, shuffle=True, num_workers=2),
            "FPOR",
            alpha={"Edema": 0.8, "Pneumonia": 0.3},
            groups=images.groups,
            eval_dataset=images.without_augmentation(),
            label_names=images.label_names,
        )

    The class checks that all files exist. :func:`metricopt.data.check_images` also checks that they are whole.

    Parameters
    ----------
    table : CheXpertTable
        The table that lists the images.
    policy, unmentioned
        The meaning of uncertain findings and of blanks (:func:`metricopt.data.apply_policy`).
    root : str or Path, optional
        The folder with ``train/`` and ``valid/``. The default is the folder of the table.
    image_size : int, >= 1
        The side of the square in pixels. Usual is 224, and the networks of the paper took 320.
    augment : bool
        Whether to turn, shift and scale every image at random, by up to 10 degrees, 5 % and 5 %. The random numbers
        come from torch's global generator.
    mean, std : sequence of 3 float
        The mean and the deviation that each channel, with gray levels in [0, 1], is normalised by. The default is those
        of ImageNet.
    cache_dir : str or Path, optional
        A folder that keeps the resized images (:class:`metricopt.data.ResizedCache`).

    Attributes
    ----------
    labels : ndarray, shape (n, L), float32
        0, 1 or NaN (missing).
    label_names : tuple of str, length L
        The name of each column of ``labels``.
    groups : ndarray, shape (n,), int64
        The patient of each image, for ``fit(..., groups=images.groups)`` and :func:`metricopt.data.stratified_split`.
    paths : list of str, length n
        The file of each image.
    is_synthetic : bool
        Whether the images are drawings.

    Raises
    ------
    InvalidInputError
        If an argument is not as above, or images do not exist, which the message lists.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from metricopt.data import read_chexpert_table, write_synthetic_chexpert
    >>> with TemporaryDirectory() as root:
    ...     folder = write_synthetic_chexpert(root, num_patients=4, image_size=32)
    ...     images = CheXpertImages(read_chexpert_table(folder, labels=["Edema"]), image_size=32)
    ...     image, label = images[0]
    >>> images.label_names, image.shape, label.shape
    (('Edema',), torch.Size([3, 32, 32]), torch.Size([1]))
    """

    def __init__(
        self,
        table: CheXpertTable,
        *,
        policy: str | Mapping[str, str] = COMMON_POLICY,
        unmentioned: str = "negative",
        root: str | Path | None = None,
        image_size: int = 224,
        augment: bool = False,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        cache_dir: str | Path | None = None,
    ) -> None:
        self.labels, self.label_names = apply_policy(table, policy, unmentioned=unmentioned)
        faults = Faults()
        faults.check_integer("image_size", image_size, 1, "give e.g. 224")
        faults.check(isinstance(augment, bool), "augment", "True or False", repr(augment), "give one of them")
        for name, values in (("mean", mean), ("std", std)):
            are_three = np.shape(values) == (3,) and np.isfinite(values).all()
            is_positive = are_three and (name == "mean" or np.min(values) > 0)
            faults.check(bool(is_positive), name, "three numbers, std above 0", repr(values), "leave it out")
        faults.raise_if_any()
        check_images(table, root, decode=False).raise_if_any()
        folder = table.folder if root is None else root
        self.paths = [os.path.join(folder, path) for path in table.paths]
        self.groups = table.patients
        self.is_synthetic = table.is_synthetic
        self.image_size, self.augment = int(image_size), augment
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))
        self._cache = None if cache_dir is None else ResizedCache(cache_dir, self.image_size)
        self._transform: Callable[[Tensor], Tensor] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        kind = "synthetic, " if self.is_synthetic else ""
        return f"CheXpertImages({kind}{len(self)} images of {self.image_size} px, {', '.join(self.label_names)})"

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        if self._transform is None:
            self._transform = _make_transform(self.augment, self.mean, self.std)
        path = self.paths[row]
        gray = read_gray(path, self.image_size) if self._cache is None else self._cache.read(path)
        return self._transform(torch.from_numpy(gray.copy())), torch.from_numpy(self.labels[row].copy())

    def __getstate__(self) -> dict[str, Any]:
        # a worker that is spawned makes its own: unpickling it would import torchvision past import_transforms
        return {**vars(self), "_transform": None}

    def without_augmentation(self) -> CheXpertImages:
        """Return the same images without augmentation, for ``fit(..., eval_dataset=...)``."""
        twin = copy.copy(self)
        twin.augment = False
        return twin

    def with_targets(self, targets: Any) -> CheXpertImages:
        """Return the same images with other labels, such as those of :func:`metricopt.data.soft_targets`.

        Soft targets are for your own loop, because :func:`metricopt.fit` takes only 0, 1 and NaN.

        Parameters
        ----------
        targets : array, shape (n, L), in [0, 1] or NaN
            The new labels.
        """
        values: NDArray[np.float32] = to_numpy("targets", targets).astype(np.float32)
        if values.shape != self.labels.shape:
            remedy = "give a row for each image and a column for each label"
            reject("targets", f"of shape {self.labels.shape}", f"shape {values.shape}", remedy)
        if not (np.isnan(values) | ((values >= 0) & (values <= 1))).all():
            got = f"values from {np.nanmin(values):g} to {np.nanmax(values):g}"
            reject("targets", "in [0, 1] or NaN", got, "apply a sigmoid if these are scores")
        twin = copy.copy(self)
        twin.labels = values
        return twin


def _make_transform(augment: bool, mean: tuple[float, ...], std: tuple[float, ...]) -> Callable[[Tensor], Tensor]:
    """Return the function that turns gray levels into the input of a network."""
    v2 = import_transforms()
    steps = [
        v2.ToDtype(torch.float32, scale=True),
        v2.Lambda(lambda gray: gray.expand(3, -1, -1)),
        v2.Normalize(mean, std),
    ]
    if augment:
        bilinear = v2.InterpolationMode.BILINEAR
        steps.insert(0, v2.RandomAffine(10, translate=(0.05, 0.05), scale=(0.95, 1.05), interpolation=bilinear))
    sequence = v2.Compose(steps)
    return lambda gray: sequence(gray[None])
