"""Photographs of solar cells by their own light, broken ones against sound ones. Images, but not medical ones.

Experts said how likely a cell is broken; those of whom they were not sure are left out. Several cells come from one
module, and nothing tells from which, so that rows are not independent.

The licence allows no commercial use: the files are read where they are installed, and nothing of them is copied.

References
----------
C. Buerhop-Lutz, S. Deitsch, A. Maier, F. Gallwitz, S. Berger, B. Doll, J. Hauch, C. Camus, C. J. Brabec (2018). A
benchmark for visual identification of defective solar cells in electroluminescence imagery. EU PVSEC.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data.encoders.images import MOBILENET_V2, encode_images
from benchmarks.data.installed import installed_file
from benchmarks.data.problem import BenchmarkData
from benchmarks.data.thinning import thin_to
from benchmarks.packages import SOLAR


def load_solar_cells(name: str, *, prevalence: float) -> BenchmarkData:
    """Return frozen features of cells, the broken ones thinned to a prevalence."""
    images, labels = _drawn(installed_file(SOLAR, "elpv_dataset/data/labels.csv"), prevalence)
    return BenchmarkData(
        name,
        encode_images(images, MOBILENET_V2).astype(np.float64),
        labels,
        f"broken solar cells, {int(labels.sum())} among {int((labels == 0).sum()):,} sound ones; "
        "features of MobileNetV2",
        "ELPV, as in elpv-dataset",
        "CC BY-NC-SA 4.0",
    )


@cache
def _drawn(table: Path, prevalence: float) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    from PIL import Image

    files, labels = read_cells(table)
    rows = thin_to(labels, prevalence)
    return np.stack([np.asarray(Image.open(table.parent / files[row])) for row in rows]), labels[rows]


def read_cells(table: Path) -> tuple[list[str], NDArray[np.float64]]:
    """Return the files of the cells that are surely broken, 1, or surely sound, 0; columns: file, probability, kind."""
    lines = [line.split() for line in table.read_text(encoding="utf-8").splitlines()]
    known = [(file, float(probability)) for file, probability, _ in lines if float(probability) in (0.0, 1.0)]
    return [file for file, _ in known], np.array([probability for _, probability in known])
