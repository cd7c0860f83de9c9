"""The table of the NIH's ChestX-ray14, whose findings stand in one column and whose splits are lists of files.

This file decides how the column becomes labels. It leaves images and patients to what takes any such table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metricopt._validation import check_choice, reject
from metricopt.data.chexpert.table import CheXpertTable, read_csv_columns

if TYPE_CHECKING:
    import pandas as pd

NIH_LABELS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
_NO_FINDING = "No Finding"
_LISTS = {"train": "train_val_list.txt", "test": "test_list.txt"}
_COLUMNS = ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender")
_POSITION = "View Position"
_SHOWN = 5
_OLDEST = 120


def read_nih_table(folder: str | Path, *, split: str = "train", labels: Sequence[str] | None = None) -> CheXpertTable:
    """Read ``Data_Entry_2017.csv`` of the NIH's ChestX-ray14 as a table, for all that takes one of CheXpert.

    Every finding is 1 or 0, since the table lists all that were found: no policy for uncertain ones is needed. The
    published lists part patients. All images are frontal. Ages above 120 years count as missing.

    Parameters
    ----------
    folder : str or Path
        The folder with ``Data_Entry_2017.csv`` (or ``Data_Entry_2017_v2020.csv``), ``train_val_list.txt`` and
        ``test_list.txt``, and with the images in ``images/`` or in ``images_001/images/`` and so on.
    split : "train", "test" or "all"
        Which of the two lists; "all" needs no list.
    labels : sequence of str, optional
        Some of the 14 findings, in the order wanted. The default is all: Atelectasis, Cardiomegaly, Effusion,
        Infiltration, Mass, Nodule, Pneumonia, Pneumothorax, Consolidation, Edema, Emphysema, Fibrosis,
        Pleural_Thickening, Hernia.

    Returns
    -------
    CheXpertTable
        ``studies`` are the numbers of the follow-up.

    Raises
    ------
    InvalidInputError
        If a file or column is missing, an image is listed twice, or a finding is none of the 14.

    References
    ----------
    X. Wang et al. (2017). ChestX-ray8: hospital-scale chest X-ray database and benchmarks on weakly-supervised
    classification and localization of common thorax diseases. CVPR.
    """
    names = _label_names(labels)
    check_choice("split", split, (*_LISTS, "all"))
    root = Path(folder)
    file = next((file for file in sorted(root.glob("Data_Entry_2017*.csv"))), None)
    if file is None:
        remedy = "pass the folder of ChestX-ray14 that holds its table"
        reject("folder", "one that holds Data_Entry_2017.csv", str(root), remedy)
    frame = read_csv_columns(file, (*_COLUMNS, _POSITION))
    twice = frame.loc[frame["Image Index"].duplicated(), "Image Index"]
    if len(twice):
        reject("the table", "one with a row for each image", f"{twice.iloc[0]} twice", "take it as it was published")
    found = [set(str(cell).split("|")) for cell in frame["Finding Labels"]]
    unknown = [(row, other) for row, cell in enumerate(found) for other in sorted(cell - {*NIH_LABELS, _NO_FINDING})]
    if unknown:
        shown = ", ".join(f"{other!r} in line {row + 2} of {file.name}" for row, other in unknown[:_SHOWN])
        reject("findings", "those of ChestX-ray14", shown, "take the table as it was published")
    raw_labels = np.array([[name in cell for name in names] for cell in found], dtype=np.float32)
    table = CheXpertTable(
        folder=root,
        paths=_paths_of(root, frame["Image Index"]),
        patients=frame["Patient ID"].to_numpy(dtype=np.int64),
        studies=frame["Follow-up #"].to_numpy(dtype=np.int64),
        views=np.full(len(frame), "frontal", dtype=object),
        raw_labels=raw_labels,
        label_names=names,
        covariates=_covariates_of(frame),
    )
    return table if split == "all" else table.take(_rows_of(root / _LISTS[split], frame["Image Index"]))


def _label_names(labels: Sequence[str] | None) -> tuple[str, ...]:
    names = NIH_LABELS if labels is None else (labels,) if isinstance(labels, str) else tuple(labels)
    for name in names:
        check_choice("labels", name, NIH_LABELS)
    if not names or len(set(names)) < len(names):
        reject("labels", "one or more different names", list(names), "leave it out for all 14")
    return names


def _covariates_of(frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    ages = pd.to_numeric(frame["Patient Age"].astype(str).str.rstrip("Y"), errors="coerce")
    sexes = frame["Patient Gender"].map({"F": "Female", "M": "Male"})
    positions = frame[_POSITION].where(frame[_POSITION].isin(("AP", "PA")))
    return pd.DataFrame(
        {
            "age": ages.where(ages <= _OLDEST).to_numpy(dtype=float),
            "sex": sexes.to_numpy(dtype=object),
            "projection": positions.to_numpy(dtype=object),
        }
    )


def _paths_of(root: Path, images: pd.Series) -> np.ndarray:
    """Return where the images lie: in one folder, or in one for each part of the download."""
    parts = {file.name: file.relative_to(root).as_posix() for file in root.glob("images_*/images/*.png")}
    return np.array([parts.get(image, f"images/{image}") for image in images], dtype=object)


def _rows_of(file: Path, images: pd.Series) -> np.ndarray:
    """Return the rows of the images that a published list names."""
    if not file.is_file():
        reject("folder", f"one that holds {file.name}", str(file.parent), "download the list, or pass split='all'")
    rows = np.flatnonzero(images.isin(file.read_text().split()))
    if not len(rows):
        reject(file.name, "a list of images of the table", "none of them", "take list and table of one release")
    return rows
