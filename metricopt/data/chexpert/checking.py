"""A check that the images of a table exist and are whole, so that a training does not stop in its middle.

This file decides in which order files are checked and how faults are reported. It leaves decoding to
:mod:`metricopt.data.chexpert.decoding`.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metricopt._validation import reject
from metricopt.data.chexpert.decoding import fault_of
from metricopt.data.chexpert.table import CheXpertTable
from metricopt.progress import Display

_SHOWN = 20
_CHUNK = 512
_MISSING = "missing"


@dataclass(frozen=True)
class ImageCheck:
    """The faults that :func:`check_images` found. ``str()`` lists every one.

    Attributes
    ----------
    root : Path
        The folder that was checked.
    num_images : int
        How many images were checked.
    faults : dict of str to str
        The fault of each image that has one, by path: ``"missing"``, or what is wrong with the file.
    intact : ndarray of int
        The rows of the table without a fault. ``table.take(check.intact)`` leaves out the others.
    """

    root: Path
    num_images: int
    faults: dict[str, str]
    intact: NDArray[np.intp]

    def __str__(self) -> str:
        return self._told(len(self.faults))

    def raise_if_any(self) -> None:
        """Raise :class:`metricopt.InvalidInputError` with the first 20 faults, if there is one."""
        if self.faults:
            reject(
                "the images",
                "there and whole",
                self._told(_SHOWN),
                "restore them, or go on with table.take(check.intact)",
            )

    def _told(self, at_most: int) -> str:
        num_missing = sum(fault == _MISSING for fault in self.faults.values())
        text = f"{num_missing} missing and {len(self.faults) - num_missing} damaged of {self.num_images} in {self.root}"
        lines = [f"  {path}: {fault}" for path, fault in list(self.faults.items())[:at_most]]
        if len(self.faults) > at_most:
            lines.append(f"  and {len(self.faults) - at_most} more")
        return "\n".join([text, *lines])


def check_images(
    table: CheXpertTable,
    root: str | Path | None = None,
    *,
    decode: bool = True,
    num_threads: int | None = None,
    progress: bool | None = None,
) -> ImageCheck:
    """Check that every image of a table exists, and that all of it can be decoded.

    Damage that leaves a valid file behind (gray stripes in a JPEG that was cut and closed) is not noticed.

    Parameters
    ----------
    table : CheXpertTable
        The table whose images are checked.
    root : str or Path, optional
        The folder with ``train/`` and ``valid/``. The default is the folder of the table.
    decode : bool
        Whether to decode the files. With False the check is only whether they exist.
    num_threads : int, >= 1, optional
        How many files are decoded at once. The default is the number of processors.
    progress : bool, optional
        Whether to show a progress bar. The default is to show one if standard error is a terminal.

    Returns
    -------
    ImageCheck
        The faults, and the rows without a fault.

    Raises
    ------
    InvalidInputError
        If none of the images exists, because then ``root`` is wrong.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from metricopt.data import read_chexpert_table, write_synthetic_chexpert
    >>> with TemporaryDirectory() as root:
    ...     folder = write_synthetic_chexpert(root, num_patients=4, image_size=16)
    ...     table = read_chexpert_table(folder)
    ...     data = (folder / table.paths[0]).read_bytes()
    ...     _ = (folder / table.paths[0]).write_bytes(data[:300])
    ...     check = check_images(table)
    >>> len(check.intact) - len(table), list(check.faults)
    (-1, ['train/patient00001/study1/view1_frontal.jpg'])
    """
    folder = table.folder if root is None else Path(root)
    paths = [os.path.join(folder, path) for path in table.paths]

    def look(path: str) -> str | None:
        if not os.path.isfile(path):
            return _MISSING
        return fault_of(path) if decode else None

    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    found: list[str | None] = []
    with ThreadPoolExecutor(num_threads or os.cpu_count()) as pool, Display(progress) as display:
        for chunk in display.watch(chunks, "checking images"):
            found += pool.map(look, chunk)
    if paths and all(fault == _MISSING for fault in found):
        got = f"{folder}, where none of {len(paths)} exists, such as {table.paths[0]}"
        remedy = f"pass the folder that holds {str(table.paths[0]).partition('/')[0]}/"
        reject("root", "the folder with the images, laid out as they were published", got, remedy)
    faults = {str(path): fault for path, fault in zip(table.paths, found, strict=True) if fault is not None}
    return ImageCheck(folder, len(paths), faults, np.flatnonzero([fault is None for fault in found]))
