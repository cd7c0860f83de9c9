"""Fashion-MNIST: small photographs of clothes, one kind against the others. Images, but not medical ones.

References
----------
H. Xiao, K. Rasul, R. Vollgraf (2017). Fashion-MNIST: a novel image dataset for benchmarking machine learning
algorithms. arXiv 1708.07747.
"""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data.encoders.images import encode_images
from benchmarks.data.installed import debian_file
from benchmarks.data.problem import BenchmarkData
from benchmarks.data.thinning import thin
from benchmarks.packages import CLOTHES

KINDS = ("t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
MOST_POSITIVES, MOST_NEGATIVES = 300, 9_900
"""The images of a kind, and of the others, that sets are thinned from, so that they are encoded once."""
KIND_POSITIVES, KIND_NEGATIVES = 1_000, 19_000
"""Those of a set of each kind, drawn from all 60,000."""


def load_clothes(name: str, *, kind: str, num_positives: int, num_negatives: int) -> BenchmarkData:
    """Return frozen features of one kind of clothes against the others."""
    images, labels = draw_clothes(kind)
    rows = thin(labels, num_positives, num_negatives)
    kinds = f"{kind}es" if kind.endswith("s") else f"{kind}s"
    return BenchmarkData(
        name,
        encode_images(images)[rows].astype(np.float64),
        labels[rows],
        f"{kinds}, {num_positives} among {num_negatives:,} other clothes; features of EfficientNet-Lite0",
        "Fashion-MNIST (Zalando), as in Debian",
        "MIT",
    )


def load_kind(name: str) -> BenchmarkData:
    """Return frozen features of a kind of clothes against the others, 5 % of 20,000, as of each of :data:`KINDS`."""
    images, kinds = (read_idx(file) for file in _files())
    labels = (kinds == KINDS.index(name)).astype(np.float64)
    rows = thin(labels, KIND_POSITIVES, KIND_NEGATIVES)
    return BenchmarkData(
        name,
        encode_images(images)[rows].astype(np.float64),
        labels[rows],
        f"{KIND_POSITIVES:,} images among {KIND_NEGATIVES:,} of other kinds; features of EfficientNet-Lite0",
        "Fashion-MNIST (Zalando), as in Debian",
        "MIT",
    )


def draw_clothes(kind: str) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return images (n, 28, 28) and labels (n,) of 300 of a kind and 9,900 others, out of 60,000."""
    return _drawn(kind, *_files())


def _files() -> tuple[Path, Path]:
    return debian_file(CLOTHES, "train-images-idx3-ubyte.gz"), debian_file(CLOTHES, "train-labels-idx1-ubyte.gz")


@cache
def _drawn(kind: str, images: Path, kinds: Path) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    labels = (read_idx(kinds) == KINDS.index(kind)).astype(np.float64)
    rows = thin(labels, MOST_POSITIVES, MOST_NEGATIVES)
    return read_idx(images)[rows], labels[rows]


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the bytes of a gzipped IDX file in the shape that its header names."""
    content = gzip.decompress(path.read_bytes())
    num_axes = content[3]
    shape = np.frombuffer(content, ">i4", num_axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * num_axes).reshape(shape)
