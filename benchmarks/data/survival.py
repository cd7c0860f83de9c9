"""Medical follow-up studies from the package SurvSet, each as the question whether an event comes within a fixed time.

A positive had the event by then, a negative was followed for longer without it; who left the study before that time
without the event is left out. Features are what was known when the time began: each study names them, so that no
column of the follow-up gets in.

References
----------
E. Drysdale (2022). SurvSet: an open-source time-to-event dataset repository. arXiv:2203.03094.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.data.encoding import encode
from benchmarks.data.installed import installed_file
from benchmarks.data.problem import BenchmarkData


def load_survival(
    name: str,
    *,
    file: str,
    horizon: float,
    features: Sequence[str],
    task: str,
    source: str,
    licence: str,
    normal: Mapping[str, float] | None = None,
) -> BenchmarkData:
    """Read one study; ``horizon`` is in its own unit of time, ``normal`` stands for missing measurements."""
    table, known, labels = _read(file, horizon)
    encoded = encode(table[list(features)], normal)[known]
    return BenchmarkData(name, encoded, labels, task, source, licence, medical=True)


def known_rows(file: str, horizon: float) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Return the rows that :func:`load_survival` keeps, with all columns, and their labels."""
    table, known, labels = _read(file, horizon)
    return table[known], labels


def _read(file: str, horizon: float) -> tuple[pd.DataFrame, NDArray[np.bool_], NDArray[np.float64]]:
    """Return all rows of a study, which of them have a label, and these labels."""
    table = pd.read_pickle(installed_file("survset", f"SurvSet/resources/pickles/{file}.pickle"))
    labels = ((table["event"] == 1) & (table["time"] <= horizon)).to_numpy(dtype=np.float64)
    known = (labels == 1) | (table["time"] > horizon).to_numpy()
    return table, known, labels[known]
