"""What a data set of the benchmarks is: features, labels and where they come from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class BenchmarkData:
    """One binary problem.

    Attributes
    ----------
    name : str
    features : ndarray, shape (n, d), float64
        Unscaled and without NaN; no value of a row depends on another row.
    labels : ndarray, shape (n,), float64
        0 or 1.
    task : str
        What a positive is, and how the set was thinned.
    source, licence : str
    medical : bool
    later : ndarray, shape (n,), bool, or None
        The rows that came later than the others and test alone; None where rows are divided at random.
    """

    name: str
    features: NDArray[np.float64]
    labels: NDArray[np.float64]
    task: str
    source: str
    licence: str
    medical: bool = False
    later: NDArray[np.bool_] | None = None
