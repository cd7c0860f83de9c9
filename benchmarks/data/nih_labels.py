"""The label context of NIH ChestX-ray14: one finding of a chest X-ray told from the other findings, without any image.

References
----------
X. Wang, Y. Peng, L. Lu, Z. Lu, M. Bagheri, R. M. Summers (2017). ChestX-ray8: hospital-scale chest X-ray database and
benchmarks on weakly-supervised classification and localization of common thorax diseases. CVPR.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.data.installed import installed_file
from benchmarks.data.problem import BenchmarkData
from benchmarks.data.thinning import draw_patients

_FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)


def load_nih_labels(name: str, *, finding: str, part: int) -> BenchmarkData:
    """Return the task of one finding: one image of each of 12,000 patients, other patients for each ``part``."""
    path = installed_file("torchxrayvision", "torchxrayvision/data/Data_Entry_2017_v2020.csv.gz")
    whole = pd.read_csv(path)
    table = whole.iloc[draw_patients(whole["Patient ID"].to_numpy(), part, num_patients=12_000)]
    stated = {each: table["Finding Labels"].str.contains(each, regex=False) for each in _FINDINGS}
    # "No Finding" is left out: it is the absence of all findings, the one asked for among them
    others = [stated[each] for each in _FINDINGS if each != finding]
    columns = [table["Patient Age"], table["Patient Gender"] == "F", table["View Position"] == "AP", *others]
    return BenchmarkData(
        name,
        np.column_stack(columns).astype(np.float64),
        stated[finding].to_numpy(dtype=np.float64),
        f"{finding} mined from the report, from age, sex, view and the other findings (label context, no image); "
        "one image of each of 12,000 patients",
        "NIH ChestX-ray14, as in torchxrayvision",
        "no restriction on use (NIH Clinical Center)",
        medical=True,
    )
