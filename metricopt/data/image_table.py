"""Image files that a table lists, with a class each, as ``metricopt rank-cuts`` reads them.

This file decides how the rows of a table become images and classes. Radiographs of CheXpert are read in another way, by
:mod:`metricopt.data.chexpert`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from metricopt._validation import check_choice, reject

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 3


class ImageTable(Dataset[tuple[Tensor, Tensor]]):
    """The images that the rows of a table name, squeezed into squares of three channels, and their classes.

    Parameters
    ----------
    frame : DataFrame
        One row for each image.
    image : str
        The column with the files. Their paths are relative to ``root``, or absolute.
    label : str
        The column with the classes. Rows without a class are left out.
    root : str or Path
        The folder that the paths are relative to.
    size : int, >= 1
        The side of the squares in pixels.
    mean, std : sequence of float, length 3
        The mean and the deviation that each channel, with values in [0, 1], is normalised by.

    Attributes
    ----------
    classes : list of str
        The classes in sorted order.
    labels : ndarray, shape (n,), int
        The class of each row, as a position in ``classes``.

    Raises
    ------
    InvalidInputError
        If a column or a file does not exist, or there are fewer than two classes. Damaged files raise when an item is
        read.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        image: str,
        label: str,
        root: str | Path,
        size: int,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        check_choice("image", image, map(str, frame.columns))
        check_choice("label", label, map(str, frame.columns))
        known = frame[frame[label].notna()]
        self.paths = [Path(root) / str(path) for path in known[image]]
        absent = [str(path) for path in self.paths if not path.is_file()]
        if absent:
            got = f"{len(absent)} of {len(self.paths)} that do not exist, such as {', '.join(absent[:_SHOWN])}"
            reject(
                "image", f"a column of files in {root}", got, "give the folder that the paths are relative to as root"
            )
        names, codes = np.unique(known[label].astype(str).to_numpy(dtype=str), return_inverse=True)
        if len(names) < 2:
            got = f"{label!r} with {names.tolist()}"
            reject("label", "a column of at least two classes", got, "choose another column")
        self.classes, self.labels = names.tolist(), codes
        self._size = size
        self._mean, self._std = (torch.tensor(list(values)).view(3, 1, 1) for values in (mean, std))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        pixels = torch.from_numpy(read_color(self.paths[row], self._size)).permute(2, 0, 1).float() / 255
        return (pixels - self._mean) / self._std, torch.tensor(self.labels[row])


def read_color(path: str | Path, size: int) -> np.ndarray:
    """Return the whole image, squeezed into a square of colours. A gray image gets three equal channels.

    Parameters
    ----------
    path : str or Path
        The image file.
    size : int
        The side of the square in pixels.

    Returns
    -------
    ndarray, shape (size, size, 3), uint8

    Raises
    ------
    InvalidInputError
        If the file is missing or damaged.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode.startswith("I"):  # 16 bits, which convert() would cut off at 255
                levels = np.asarray(image, dtype=np.float32) / 257
                colors = Image.fromarray(levels.clip(0, 255).astype(np.uint8)).convert("RGB")
            else:
                colors = image.convert("RGB")
            return np.array(colors.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reject("an image", "a whole file", f"{path} ({error})", "replace it, or drop its row")
