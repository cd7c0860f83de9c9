"""The tables of MIMIC-CXR-JPG, which name findings as CheXpert does, in a file each for labels, splits and images.

This file decides how the three are joined. It leaves the checks of labels to :mod:`metricopt.data.chexpert.table`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metricopt._validation import Faults, check_choice, reject
from metricopt.data.chexpert.table import (
    VIEWS,
    CheXpertTable,
    check_label_names,
    raw_labels_of,
    read_csv_columns,
)

if TYPE_CHECKING:
    import pandas as pd

LABELERS, SPLITS = ("chexpert", "negbio"), ("train", "validate", "test")
_KEYS = ("subject_id", "study_id")
_FRONTAL = ("AP", "PA", "AP AXIAL", "AP LLD", "AP RLD", "PA LLD", "PA RLD")
_LATERAL = ("LATERAL", "LL", "XTABLE LATERAL", "SWIMMERS")


def read_mimic_cxr_table(
    folder: str | Path,
    *,
    labeler: str = "chexpert",
    split: str = "train",
    labels: Sequence[str] | None = None,
    view: str = "both",
) -> CheXpertTable:
    """Read the labels, splits and image list of MIMIC-CXR-JPG as one table, for all that takes one of CheXpert.

    The published splits part patients. Images of studies without labels are left out. Age and sex are missing, because
    they are in MIMIC-IV. The projection is AP, PA or LL, else missing.

    Parameters
    ----------
    folder : str or Path
        The folder with ``mimic-cxr-2.0.0-chexpert.csv``, ``-negbio.csv``, ``-split.csv`` and ``-metadata.csv``, each
        also as ``.csv.gz``, and with the images under ``files/``.
    labeler : "chexpert" or "negbio"
        The program that read the labels from the reports.
    split : "train", "validate" or "test"
    labels : sequence of str, optional
        Some of :data:`metricopt.data.CHEXPERT_LABELS`, in the order wanted. The default is all 14.
    view : str
        ``"frontal"``, ``"lateral"`` or ``"both"``, which also takes images whose position is neither or not told.

    Returns
    -------
    CheXpertTable
        ``patients`` and ``studies`` are the numbers ``subject_id`` and ``study_id``.

    Raises
    ------
    InvalidInputError
        If a file or column is missing, an image is listed twice, a study has two rows of labels, no image is left, or
        the value of a label is none of 1, 0, -1 and blank.

    References
    ----------
    A. Johnson et al. (2019). MIMIC-CXR-JPG, a large publicly available database of labeled chest radiographs.
    arXiv:1901.07042.
    """
    import pandas as pd

    names = check_label_names(labels)
    check_choice("labeler", labeler, LABELERS)
    check_choice("split", split, SPLITS)
    check_choice("view", view, VIEWS)
    root = Path(folder)
    told = read_csv_columns(label_file := _file_of(root, labeler), (*_KEYS, *names))
    images = read_csv_columns(_file_of(root, "split"), ("dicom_id", *_KEYS, "split"))
    positions = read_csv_columns(_file_of(root, "metadata"), ("dicom_id", "ViewPosition"))
    for frame, keys, what in (
        (told, list(_KEYS), labeler),
        (images, ["dicom_id"], "split"),
        (positions, ["dicom_id"], "metadata"),
    ):
        twice = frame.duplicated(keys)
        if twice.any():
            got = ", ".join(f"{key} {frame[key][twice].iloc[0]} twice" for key in keys)
            reject(f"the table of {what}", "one with a row each", got, "take the table as it was published")
    told["row"] = np.arange(len(told))
    frame = images[images["split"] == split].merge(positions, on="dicom_id", how="left")
    frame = frame.merge(told, on=list(_KEYS), how="inner")
    if frame.empty:
        reject("split", "one with labelled images", f"none of {split!r} in {root}", "take tables of one release")
    faults = Faults()
    raw_labels = raw_labels_of(
        frame, names, lambda row: f"line {frame['row'].iloc[row] + 2} of {label_file.name}", faults
    )
    faults.raise_if_any()
    position = frame["ViewPosition"].astype(object)
    views = np.select([position.isin(_FRONTAL), position.isin(_LATERAL)], ["frontal", "lateral"], "other")
    missing = np.full(len(frame), np.nan)
    projection = position.where(position.isin(("AP", "PA", "LL"))).to_numpy(dtype=object)
    table = CheXpertTable(
        folder=root,
        paths=_paths_of(frame),
        patients=frame["subject_id"].to_numpy(dtype=np.int64),
        studies=frame["study_id"].to_numpy(dtype=np.int64),
        views=views.astype(object),
        raw_labels=raw_labels,
        label_names=names,
        covariates=pd.DataFrame({"age": missing, "sex": missing.astype(object), "projection": projection}),
    )
    return table if view == "both" else table.take(np.flatnonzero(views == view))


def _file_of(folder: Path, what: str) -> Path:
    """Return the published table of one kind."""
    found = sorted(file for ending in ("csv", "csv.gz") for file in folder.glob(f"mimic-cxr-*-{what}.{ending}"))
    if not found:
        remedy = "pass the folder of MIMIC-CXR-JPG that holds its tables"
        reject("folder", f"one that holds mimic-cxr-2.0.0-{what}.csv or .csv.gz", str(folder), remedy)
    return found[0]


def _paths_of(frame: pd.DataFrame) -> np.ndarray:
    """Return where the images lie, such as ``files/p10/p10000032/s50414267/<dicom_id>.jpg``."""
    columns = zip(frame["subject_id"], frame["study_id"], frame["dicom_id"], strict=True)
    return np.array([f"files/p{str(s)[:2]}/p{s}/s{study}/{image}.jpg" for s, study, image in columns], dtype=object)
