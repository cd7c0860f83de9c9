"""The table of CheXpert Plus, whose labels lie in a file of their own.

This file decides how both are joined. It leaves the checks of columns and values to
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

    Images that the label file does not hold are left out: of them nothing is known, which is not the same as a report
    that mentions nothing.

    Parameters
    ----------
    path : str or Path
        The .csv file.
    label_file : str or Path
        JSON lines such as ``impression_fixed.json`` or ``report_fixed.json``: one object an image, with
        ``path_to_image`` and the labels by name, each 1, 0, -1 or null.
    split : str
        ``"train"`` or ``"valid"``.
    labels, view
        As in :func:`metricopt.data.read_chexpert_table`.
    suffix : str
        Of the image files. CheXpert Plus comes as PNG although the table says ``.jpg``; give ``".jpg"`` to pair it with
        the images of CheXpert.

    Returns
    -------
    CheXpertTable
        Its ``folder`` is that of the .csv file; give the folder that holds ``train/`` and ``valid/`` as ``root`` to
        :class:`metricopt.data.CheXpertImages` where it is another.

    Raises
    ------
    InvalidInputError
        As :func:`metricopt.data.read_chexpert_table` does; also when the label file cannot be read, tells two things of
        one image, or holds none of the images.

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
        reject("label_file", "JSON lines", f"{label_file} ({error})", "unpack it again")
    missing = [name for name in ("path_to_image", *names) if name not in told.columns]
    if missing:
        rule = "one with path_to_image and the labels asked for"
        reject("label_file", rule, f"nothing named {missing} in {label_file}", "take a file of chexbert_labels")
    told = told[["path_to_image", *names]].drop_duplicates()
    twice = told.loc[told["path_to_image"].duplicated(), "path_to_image"]
    if len(twice):
        reject("label_file", "one line an image", f"different lines for {twice.iloc[0]}", "keep one of them")
    frame = frame.merge(told, on="path_to_image", how="inner")
    if frame.empty:
        rule = f"one with labels of the images of the split {split!r}"
        reject("label_file", rule, f"none of them in {label_file}", "take a file that belongs to the table")
    frame["path_to_image"] = frame["path_to_image"].str.replace(r"\.\w+$", suffix, regex=True)
    frame = frame.rename(columns=dict(zip(_COLUMNS, PLAIN_COLUMNS, strict=True)))
    return build_table(
        frame, names, view, file.parent, lambda row: f"the line of {frame['path'].iloc[row]} in {label_file.name}"
    )
