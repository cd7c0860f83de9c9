"""The published tables of CheXpert: which images there are, of whom, and what the reports say of them.

This file decides how the columns are read and checked. It leaves what an uncertain finding counts as to
:mod:`metricopt.data.chexpert.policies`, and the images to :mod:`metricopt.data.chexpert.images`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metricopt._validation import Faults, check_choice, reject

if TYPE_CHECKING:
    import pandas as pd

CHEXPERT_LABELS = (
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
"""The 14 labels, in the order of the published tables."""

VIEWS = ("both", "frontal", "lateral")

FOLDERS = ("CheXpert-v1.0-small", "CheXpert-v1.0")
"""Names of the published folder, with which the paths in its tables begin."""

SYNTHETIC_MARK = "SYNTHETIC.json"
"""The file that marks a folder as drawn by :func:`metricopt.data.write_synthetic_chexpert`."""

_COVARIATES = ("Sex", "Age", "AP/PA")
_PATH = rf"^(?:(?:{'|'.join(map(re.escape, FOLDERS))})/)?(\w+/patient(\d+)/study(\d+)/view\d+_(frontal|lateral)\.\w+)$"
_SHOWN = 5


@dataclass(frozen=True, repr=False, eq=False)
class CheXpertTable:
    """One row an image, as the reports state it.

    Attributes
    ----------
    folder : Path
        Where the table lies, to which the paths are relative as published.
    paths : ndarray, shape (n,), str
        ``train/patient00001/study1/view1_frontal.jpg``.
    patients, studies : ndarray, shape (n,), int64
        The patient's number; the study's number within the patient.
    views : ndarray, shape (n,), str
        ``frontal`` or ``lateral``.
    raw_labels : ndarray, shape (n, L), float32
        1 stated, 0 ruled out, -1 uncertain, NaN not mentioned. The labels of a study are those of all its images.
    label_names : tuple of str, length L
    covariates : pandas.DataFrame, shape (n, 3)
        ``age`` in years, ``sex`` (Female, Male) and ``projection`` (of frontal images: AP, PA, rarely LL or RL), NaN
        where unknown.
    is_synthetic : bool
        Whether the images are drawings of :func:`metricopt.data.write_synthetic_chexpert`.
    """

    folder: Path
    paths: NDArray[np.object_]
    patients: NDArray[np.int64]
    studies: NDArray[np.int64]
    views: NDArray[np.object_]
    raw_labels: NDArray[np.float32]
    label_names: tuple[str, ...]
    covariates: pd.DataFrame
    is_synthetic: bool = False

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        kind = "synthetic, " if self.is_synthetic else ""
        num_patients = len(np.unique(self.patients))
        return f"CheXpertTable({kind}{len(self)} images, {num_patients} patients, {len(self.label_names)} labels)"

    def take(self, rows: NDArray[np.intp]) -> CheXpertTable:
        """Return the table of these row numbers."""
        return replace(
            self,
            paths=self.paths[rows],
            patients=self.patients[rows],
            studies=self.studies[rows],
            views=self.views[rows],
            raw_labels=self.raw_labels[rows],
            covariates=self.covariates.iloc[rows].reset_index(drop=True),
        )


def read_chexpert_table(path: str | Path, *, labels: Sequence[str] | None = None, view: str = "both") -> CheXpertTable:
    """Read ``train.csv`` or ``valid.csv`` of CheXpert or CheXpert-small.

    Paths may begin with ``CheXpert-v1.0-small/``, ``CheXpert-v1.0/`` or neither. The sex "Unknown" and the age 0 (all
    others are 18 or more) are missing values.

    Split by patient, never by image: ``stratified_split(images.labels, groups=images.groups)``.

    Parameters
    ----------
    path : str or Path
        The .csv file; or the folder that holds ``train.csv``, or the one above it, for the training table.
    labels : sequence of str, optional
        Some of :data:`CHEXPERT_LABELS`, in the order wanted; all 14 by default.
    view : str
        ``"frontal"``, ``"lateral"`` or ``"both"``.

    Returns
    -------
    CheXpertTable

    Raises
    ------
    InvalidInputError
        When there is no such table, a column is missing, a label or view does not exist, a path is not of the
        published form, or a label's value is none of 1, 0, -1 and blank; with the lines and columns.

    References
    ----------
    J. Irvin et al. (2019). CheXpert: a large chest radiograph dataset with uncertainty labels and expert comparison.
    AAAI.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from metricopt.data import write_synthetic_chexpert
    >>> with TemporaryDirectory() as root:
    ...     folder = write_synthetic_chexpert(root, num_patients=5, image_size=16)
    ...     table = read_chexpert_table(folder / "valid.csv", labels=["Edema", "Pneumonia"], view="frontal")
    >>> table.label_names, table.is_synthetic, str(table.paths[0])
    (('Edema', 'Pneumonia'), True, 'valid/patient00006/study1/view1_frontal.jpg')
    """
    names = check_label_names(labels)
    check_choice("view", view, VIEWS)
    file = _table_file(Path(path))
    frame = read_csv_columns(file, ("Path", *_COVARIATES, *names))
    frame = frame.rename(columns=dict(zip(("Path", *_COVARIATES), PLAIN_COLUMNS, strict=True)))
    return build_table(frame, names, view, file.parent, lambda row: f"line {row + 2} of {file.name}")


PLAIN_COLUMNS = ("path", "sex", "age", "projection")
"""What :func:`build_table` calls the columns beside the labels."""


def build_table(
    frame: pd.DataFrame, names: tuple[str, ...], view: str, folder: Path, place: Callable[[int], str]
) -> CheXpertTable:
    """Return the table of a data frame with :data:`PLAIN_COLUMNS` and labels, after checking all of it.

    ``place`` says where a row is found by a person.
    """

    def told(wrong: NDArray[np.bool_], column: str) -> str:
        rows = np.flatnonzero(wrong)
        values = frame[column].iloc[rows[:_SHOWN]]
        shown = ", ".join(f"{str(value)!r} in {place(row)}" for value, row in zip(values, rows.tolist(), strict=False))
        return shown if len(rows) <= _SHOWN else f"{shown} and {len(rows) - _SHOWN} more"

    faults = Faults()
    parsed = frame["path"].astype(str).str.extract(_PATH)
    unread = parsed[0].isna().to_numpy()
    if unread.any():
        rule = "like train/patient00001/study1/view1_frontal.jpg"
        reject("paths", rule, told(unread, "path"), "keep them as they were published")
    views = parsed[3].to_numpy(dtype=object)
    age = _as_numbers(frame["age"])
    wrong = np.isnan(age) & frame["age"].notna().to_numpy()
    faults.check(not wrong.any(), "ages", "numbers or blank", told(wrong, "age"), "correct them")
    raw_labels = np.empty((len(frame), len(names)), dtype=np.float32)
    for column, name in enumerate(names):
        values, blank = _as_numbers(frame[name]), frame[name].isna().to_numpy()
        wrong = ~(np.isin(values, (1.0, 0.0, -1.0)) | blank)
        argument, rule = f"column {name!r}", "1, 0, -1 or blank"
        faults.check(not wrong.any(), argument, rule, told(wrong, name), "correct these cells")
        raw_labels[:, column] = np.where(blank, np.nan, values)
    faults.raise_if_any()

    import pandas as pd

    sex, projection = (
        frame[name].where(frame[name].isin(known)).astype(object).to_numpy()
        for name, known in (("sex", ("Female", "Male")), ("projection", ("AP", "PA", "LL", "RL")))
    )
    table = CheXpertTable(
        folder=folder,
        paths=parsed[0].to_numpy(dtype=object),
        patients=parsed[1].to_numpy(dtype=np.int64),
        studies=parsed[2].to_numpy(dtype=np.int64),
        views=views,
        raw_labels=raw_labels,
        label_names=names,
        covariates=pd.DataFrame({"age": np.where(age == 0, np.nan, age), "sex": sex, "projection": projection}),
        is_synthetic=(folder / SYNTHETIC_MARK).is_file(),
    )
    return table if view == "both" else table.take(np.flatnonzero(views == view))


def check_label_names(labels: Sequence[str] | None) -> tuple[str, ...]:
    """Return the labels asked for, all 14 for None."""
    names = CHEXPERT_LABELS if labels is None else (labels,) if isinstance(labels, str) else tuple(labels)
    for name in names:
        check_choice("labels", name, CHEXPERT_LABELS)
    if not names or len(set(names)) < len(names):
        reject("labels", "one or more different names", list(names), "leave it out for all 14")
    return names


def read_csv_columns(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read some columns of a .csv file in which blank cells alone are missing values."""
    import pandas as pd

    try:
        header = pd.read_csv(file, nrows=0, index_col=False).columns
        missing = [name for name in columns if name not in header]
        if not missing:
            # index_col: a comma at the end of every line is no column of row names
            frame = pd.read_csv(
                file, usecols=list(columns), index_col=False, keep_default_na=False, na_values=[""], low_memory=False
            )
    except (ValueError, OSError, EOFError) as error:
        reject("path", "a readable .csv table", f"{file} ({str(error).strip()})", "unpack or download it again")
    if missing:
        close = {name: difflib.get_close_matches(name, header, n=1, cutoff=0.8) for name in missing}
        meant = ", ".join(f"{found[0]!r} for {name!r}" for name, found in close.items() if found)
        remedy = f"did you mean {meant}?" if meant else "take the table as it was published"
        got = f"{len(header)} columns without {', '.join(map(repr, missing))}"
        reject(f"the table {file}", "one with the columns of CheXpert", got, remedy)
    if frame.empty:
        reject("path", "a table with at least one row", f"no rows in {file}", "download it again")
    return frame


def _table_file(path: Path) -> Path:
    """Return the table that a path stands for."""
    if path.is_file():
        return path
    if not path.is_dir():
        reject("path", "an existing folder or .csv file", str(path), "check the name")
    found = [folder / "train.csv" for folder in (path, *(path / name for name in FOLDERS))]
    found = [file for file in found if file.is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        reject("path", "one of the CheXpert folders", f"{path} with {len(found)} of them", f"pass {found[0].parent}")
    entries = sorted(entry.name for entry in path.iterdir())
    shown = ", ".join([*map(repr, entries[:_SHOWN]), *["..."] * (len(entries) > _SHOWN)]) or "nothing"
    rule = f"the folder that holds train.csv ({' or '.join(FOLDERS)}) or the one above it"
    reject("path", rule, f"{path}, which holds {shown}", "pass that folder or the .csv file itself")


def _as_numbers(column: pd.Series) -> NDArray[np.float64]:
    """Return a column as floats, NaN for what is no number."""
    import pandas as pd

    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
