"""The label context of CheXpert: one rare finding of a chest X-ray told from the other findings, without any image.

The table of labels lies in the package torchxrayvision. A positive is a finding that the report states; not mentioned
counts as negative, and images where it is uncertain are left out. Features are age, sex, view and, for each other
finding, whether the report states it, leaves it uncertain or rules it out. "No Finding" is among the other labels; by
their definition it is never stated beside the finding asked for.

References
----------
J. Irvin et al. (2019). CheXpert: a large chest radiograph dataset with uncertainty labels and expert comparison. AAAI.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from benchmarks.data.installed import installed_file
from benchmarks.data.problem import BenchmarkData
from benchmarks.data.thinning import draw_patients

FINDINGS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)


@cache
def read_chexpert_labels() -> pd.DataFrame:
    """Return the 223,414 rows of the training table: one an image, findings 1, 0, -1 (uncertain) or NaN."""
    return pd.read_csv(installed_file("torchxrayvision", "torchxrayvision/data/chexpert_train.csv.gz"))


def load_chexpert_labels(name: str, *, finding: str, part: int = 0, num_patients: int | None = None) -> BenchmarkData:
    """Return the task of one finding: one image a patient, of all patients or of so many, others for each ``part``."""
    whole = read_chexpert_labels()
    patients = np.array([int(path.split("/patient", 1)[1][:5]) for path in whole["Path"]])
    table = whole.iloc[draw_patients(patients, part, num_patients)]
    table = table[table[finding] != -1]
    columns = [
        table["Age"],
        table["Sex"] == "Female",
        table["Frontal/Lateral"] == "Lateral",
        table["AP/PA"] == "AP",
    ]
    for other in FINDINGS:
        if other != finding:
            # "No Finding" is stated or left blank, never anything else
            columns += [table[other] == value for value in ((1,) if other == "No Finding" else (1, -1, 0))]
    return BenchmarkData(
        name,
        np.column_stack(columns).astype(np.float64),
        (table[finding] == 1).to_numpy(dtype=np.float64),
        f"{finding} stated in the report, from age, sex, view and the other findings (label context, no image); "
        "not mentioned is negative, uncertain is left out; one image of each of "
        f"{'all' if num_patients is None else f'{num_patients:,}'} patients",
        "CheXpert, as in torchxrayvision",
        "Stanford research use agreement (non-commercial)",
        medical=True,
    )
