"""Label context of chest X-rays from three institutions in the same columns: Stanford (CheXpert), NIH and Alicante.

One finding is told from age, sex, view and the other findings, without any image. The columns are those that all three
tables have: six of seven findings that each of them states. What a finding means differs by institution: NIH's and most
of CheXpert's are mined from reports by rules, PadChest's by readers and a network.

This file decides the columns. The tables lie in the package torchxrayvision.

References
----------
J. Irvin et al. (2019). CheXpert: a large chest radiograph dataset with uncertainty labels and expert comparison. AAAI.
X. Wang et al. (2017). ChestX-ray8: hospital-scale chest X-ray database and benchmarks. CVPR.
A. Bustos, A. Pertusa, J.-M. Salinas, M. de la Iglesia-Vayá (2020). PadChest: a large chest x-ray image dataset with
multi-label annotated reports. Medical Image Analysis 66.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.data.chexpert_labels import read_chexpert_labels
from benchmarks.data.installed import installed_file
from benchmarks.data.thinning import draw_patients

FINDINGS = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Pneumonia", "Pneumothorax")
INSTITUTIONS = ("CheXpert", "NIH", "PadChest")
_IN_PADCHEST = {"Edema": "pulmonary edema", "Effusion": "pleural effusion"}


def load_institution(
    name: str, finding: str, num_patients: int, part: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return features (n, 9) and labels (n,) of one frontal image of each of some patients.

    Parameters
    ----------
    name : str
        One of :data:`INSTITUTIONS`.
    finding : str
        One of :data:`FINDINGS`.
    num_patients : int
    part : int
        Other patients for each part.
    """
    table = _table(name)
    rows = table.iloc[draw_patients(table["patient"].to_numpy(), part, num_patients)]
    others = [other for other in FINDINGS if other != finding]
    features = rows[["age", "is_female", "is_ap", *others]].to_numpy(np.float32)
    features[:, 0] = (features[:, 0] - 55) / 18  # the same at every institution, whatever its patients
    return features, rows[finding].to_numpy(np.float32)


@cache
def _table(name: str) -> pd.DataFrame:
    """Return patient, age, is_female, is_ap and the findings of the frontal images of an institution."""
    table: pd.DataFrame = {"CheXpert": _chexpert, "NIH": _nih, "PadChest": _padchest}[name]()
    return table[table["age"].between(1, 110)].reset_index(drop=True)


def _chexpert() -> pd.DataFrame:
    whole = read_chexpert_labels()
    whole = whole[whole["Frontal/Lateral"] == "Frontal"]
    stated = {each: whole["Pleural Effusion" if each == "Effusion" else each] == 1 for each in FINDINGS}
    patients = whole["Path"].str.extract(r"/patient(\d+)", expand=False).astype(int)
    return _columns(patients, whole["Age"], whole["Sex"] == "Female", whole["AP/PA"] == "AP", stated)


def _nih() -> pd.DataFrame:
    whole = pd.read_csv(installed_file("torchxrayvision", "torchxrayvision/data/Data_Entry_2017_v2020.csv.gz"))
    stated = {each: whole["Finding Labels"].str.contains(each, regex=False) for each in FINDINGS}
    is_ap = whole["View Position"] == "AP"
    return _columns(whole["Patient ID"], whole["Patient Age"], whole["Patient Gender"] == "F", is_ap, stated)


def _padchest() -> pd.DataFrame:
    path = "torchxrayvision/data/PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
    columns = ["PatientID", "PatientBirth", "StudyDate_DICOM", "PatientSex_DICOM", "Projection", "Labels"]
    whole = pd.read_csv(installed_file("torchxrayvision", path), usecols=columns, dtype={"PatientID": str})
    whole = whole[whole["Projection"].isin(["PA", "AP", "AP_horizontal"]) & whole["Labels"].notna()]
    stated = {
        each: whole["Labels"].str.contains(_IN_PADCHEST.get(each, each.lower()), regex=False) for each in FINDINGS
    }
    patients = pd.Series(pd.factorize(whole["PatientID"])[0], whole.index)
    age = whole["StudyDate_DICOM"] // 10_000 - whole["PatientBirth"]
    return _columns(patients, age, whole["PatientSex_DICOM"] == "F", whole["Projection"] != "PA", stated)


def _columns(
    patients: pd.Series, age: pd.Series, is_female: pd.Series, is_ap: pd.Series, stated: dict[str, pd.Series]
) -> pd.DataFrame:
    table = pd.DataFrame({"patient": patients, "age": age, "is_female": is_female, "is_ap": is_ap, **stated})
    return table.dropna()
