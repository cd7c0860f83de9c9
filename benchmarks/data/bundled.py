"""Data sets that come with metricopt itself or with scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.data.encoding import encode
from benchmarks.data.problem import BenchmarkData
from benchmarks.data.thinning import thin
from metricopt.data import load_hypothyroid as read_hypothyroid
from metricopt.data import rath_hughes_toy

# Midpoints of the usual reference ranges, for what was not measured; TBG is measured in 8 % alone.
_NORMAL = {"age": 50.0, "TSH": 2.0, "T3": 2.0, "TT4": 105.0, "T4U": 1.0, "FTI": 105.0, "TBG": 22.0}


def load_toy(name: str) -> BenchmarkData:
    """Return the mixture of Gaussians of Rath and Hughes."""
    features, labels = rath_hughes_toy()
    return BenchmarkData(name, features, labels, "a mixture of Gaussians", "Rath and Hughes (2022)", "none needed")


def load_hypothyroid(name: str) -> BenchmarkData:
    """Return the thyroid records; the columns "..._measured" repeat what is missing and are left out."""
    table = read_hypothyroid()
    records = table.features[[column for column in table.features if not column.endswith("_measured")]]
    return BenchmarkData(
        name,
        encode(records, _NORMAL),
        table.labels,
        "hypothyroid patients",
        "UCI Thyroid Disease, as in metricopt",
        "CC BY 4.0",
        medical=True,
    )


def load_breast_cancer(name: str, *, num_positives: int) -> BenchmarkData:
    """Return the Wisconsin cell nuclei with so many malignant tumours, drawn at random."""
    from sklearn.datasets import load_breast_cancer

    nuclei = load_breast_cancer()
    labels = (nuclei.target == 0).astype(np.float64)  # 0 is malignant there
    index = thin(labels, num_positives)
    return BenchmarkData(
        name,
        encode(pd.DataFrame(nuclei.data))[index],
        labels[index],
        f"malignant tumours, thinned to {num_positives}",
        "UCI Breast Cancer Wisconsin (Diagnostic), as in scikit-learn",
        "CC BY 4.0",
        medical=True,
    )
