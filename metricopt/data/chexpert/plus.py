"""The table of CheXpert Plus, whose labels are in a file of their own.

This file decides how the table and the labels are joined. It leaves the checks of columns and values to
:mod:`metricopt.data.chexpert.table`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metricopt._validation import check_choice, reject
from metricopt.data.chexpert.table import (
    PLAIN_COLUMNS,
    VIEWS,
    CheXpertTable,
    build_table,
    check_label_names,
    read_csv_columns,
)

_COLUMNS = ("path_to_image", "sex", "age", "ap_pa")


def read_chexpert_plus_table(
    path: str | Path,
    label_file: str | Path,
    *,
    split: str = "train",
    labels: Sequence[str] | None = None,
    view: str = "both",
    suffix: str = ".png",
) -> CheXpertTable:
    """Read ``df_chexpert_plus_240401.csv`` with the labels of one of its ``chexbert_labels`` files.

    Images that the label file does not hold are left out. Nothing is known of them, and that is not the same as a
    report that does not mention a finding.

    Parameters
    ----------
    path : str or Path
        The .csv file.
    label_file : str or Path
        A file of JSON lines such as ``impression_fixed.json`` or ``report_fixed.json``. Each line is an object for one
        image, with ``path_to_image`` and the labels by name, each 1, 0, -1 or null.
    split : str
        ``"train"`` or ``"valid"``.
    labels, view
        The labels and the view to read (:func:`metricopt.data.read_chexpert_table`).
    suffix : str
        The suffix of the image files. CheXpert Plus comes as PNG although its table says ``.jpg``. Give ``".jpg"`` to
        use the table with the images of CheXpert.

    Returns
    -------
    CheXpertTable
        Its ``folder`` is that of the .csv file. If ``train/`` and ``valid/`` are in another folder, give that one as
        ``root`` to :class:`metricopt.data.CheXpertImages`.

    Raises
    ------
    InvalidInputError
        If :func:`metricopt.data.read_chexpert_table` would raise, or the label file cannot be read, has two different
        lines for one image, or holds none of the images.

    References
    ----------
    P. Chambon et al. (2024). CheXpert Plus: augmenting a large chest X-ray dataset with text radiology reports, patient
    demographics and additional image formats.
    """
    import pandas as pd

    names = check_label_names(labels)
    check_choice("view", view, VIEWS)
    check_choice("split", split, ("train", "valid"))
    check_choice("suffix", suffix, (".jpg", ".png"))
    file, label_file = Path(path), Path(label_file)
    for argument, each in (("path", file), ("label_file", label_file)):
        if not each.is_file():
            reject(argument, "an existing file", str(each), "check the name and the folder")
    frame = read_csv_columns(file, (*_COLUMNS, "split"))
    frame = frame[frame["split"] == split].drop(columns="split")
    try:
        told = pd.read_json(label_file, lines=True, dtype=False)
    except ValueError as error:
        reject("label_file", "a file of JSON lines", f"{label_file} ({error})", "unpack or download it again")
    missing = [name for name in ("path_to_image", *names) if name not in told.columns]
    if missing:
        rule = "one with path_to_image and the labels asked for"
        reject("label_file", rule, f"nothing named {missing} in {label_file}", "take a file of chexbert_labels")
    told = told[["path_to_image", *names]].drop_duplicates()
    twice = told.loc[told["path_to_image"].duplicated(), "path_to_image"]
    if len(twice):
        got = f"different lines for {twice.iloc[0]}"
        reject("label_file", "a file with one line for each image", got, "keep one of the lines")
    frame = frame.merge(told, on="path_to_image", how="inner")
    if frame.empty:
        rule = f"one with labels of the images of the split {split!r}"
        reject("label_file", rule, f"none of them in {label_file}", "take a file that belongs to the table")
    frame["path_to_image"] = frame["path_to_image"].str.replace(r"\.\w+$", suffix, regex=True)
    frame = frame.rename(columns=dict(zip(_COLUMNS, PLAIN_COLUMNS, strict=True)))
    return build_table(
        frame, names, view, file.parent, lambda row: f"the line of {frame['path'].iloc[row]} in {label_file.name}"
    )
