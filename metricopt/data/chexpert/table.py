"""The published tables of CheXpert, which list the images, their patients, and the findings that the reports state.

This file decides how the columns are read and checked. It leaves the meaning of an uncertain finding to
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
"""The names of the published folder. The paths in its tables begin with them."""

SYNTHETIC_MARK = "SYNTHETIC.json"
"""The file that marks a folder as drawn by :func:`metricopt.data.write_synthetic_chexpert`."""

_COVARIATES = ("Sex", "Age", "AP/PA")
_PATH = rf"^(?:(?:{'|'.join(map(re.escape, FOLDERS))})/)?(\w+/patient(\d+)/study(\d+)/view\d+_(frontal|lateral)\.\w+)$"
_SHOWN = 5


@dataclass(frozen=True, repr=False, eq=False)
class CheXpertTable:
    """A table of CheXpert, MIMIC-CXR-JPG or NIH, with one row for each image and the labels read from its report.

    Attributes
    ----------
    folder : Path
        The folder of the table. In the published layout the paths are relative to it.
    paths : ndarray, shape (n,), str
        The file of each image, such as ``train/patient00001/study1/view1_frontal.jpg``.
    patients, studies : ndarray, shape (n,), int64
        The number of the patient, and the number of the study among those of the patient.
    views : ndarray, shape (n,), str
        ``frontal`` or ``lateral``, in MIMIC-CXR-JPG also ``other`` where the position is neither or not told.
    raw_labels : ndarray, shape (n, L), float32
        1 for stated, 0 for ruled out, -1 for uncertain, NaN for not mentioned. All images of a study have the same
        labels.
    label_names : tuple of str, length L
        The name of each column of ``raw_labels``.
    covariates : pandas.DataFrame, shape (n, 3)
        The columns ``age`` in years, ``sex`` (Female, Male) and ``projection`` (of frontal images: AP, PA, rarely LL or
        RL). Unknown values are NaN.
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
        """Return the table with these row numbers alone."""
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
    """Read ``train.csv`` or ``valid.csv`` of CheXpert or CheXpert-small, or the table of its test set.

    Paths can begin with ``CheXpert-v1.0-small/``, ``CheXpert-v1.0/`` or neither. The sex "Unknown" and the age 0 count
    as missing values, because all other ages are 18 or more. The table of the test set has paths and labels alone: all
    its covariates are missing.

    Divide the rows by patient, never by image: ``stratified_split(images.labels, groups=images.groups)``.

    Parameters
    ----------
    path : str or Path
        The .csv file. For the training table it can also be the folder that holds ``train.csv``, or the folder above
        it.
    labels : sequence of str, optional
        Some of :data:`CHEXPERT_LABELS`, in the order wanted. The default is all 14.
    view : str
        ``"frontal"``, ``"lateral"`` or ``"both"``.

    Returns
    -------
    CheXpertTable

    Raises
    ------
    InvalidInputError
        If there is no such table, a column is missing, a label or view does not exist, a path is not of the published
        form, or the value of a label is none of 1, 0, -1 and blank. The message names the lines and columns.

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
    frame = read_csv_columns(file, ("Path", *names), all_or_none=_COVARIATES)
    frame = frame.rename(columns=dict(zip(("Path", *_COVARIATES), PLAIN_COLUMNS, strict=True)))
    return build_table(frame, names, view, file.parent, lambda row: f"line {row + 2} of {file.name}")


PLAIN_COLUMNS = ("path", "sex", "age", "projection")
"""The names of the columns beside the labels, in :func:`build_table`."""


def build_table(
    frame: pd.DataFrame, names: tuple[str, ...], view: str, folder: Path, place: Callable[[int], str]
) -> CheXpertTable:
    """Check a data frame with :data:`PLAIN_COLUMNS` and labels, and return it as a table.

    ``place`` returns the words by which a message tells a person where a row is.
    """
    faults = Faults()
    parsed = frame["path"].astype(str).str.extract(_PATH)
    unread = parsed[0].isna().to_numpy()
    if unread.any():
        rule = "like train/patient00001/study1/view1_frontal.jpg"
        reject("paths", rule, _told(frame, "path", unread, place), "keep them as they were published")
    views = parsed[3].to_numpy(dtype=object)
    age = _as_numbers(frame["age"])
    wrong = np.isnan(age) & frame["age"].notna().to_numpy()
    faults.check(not wrong.any(), "ages", "numbers or blank", _told(frame, "age", wrong, place), "correct them")
    raw_labels = raw_labels_of(frame, names, place, faults)
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


def raw_labels_of(
    frame: pd.DataFrame, names: Sequence[str], place: Callable[[int], str], faults: Faults
) -> NDArray[np.float32]:
    """Return the columns of the labels, shape (n, L), with NaN for blanks; other values than 1, 0 and -1 are faults."""
    raw_labels = np.empty((len(frame), len(names)), dtype=np.float32)
    for column, name in enumerate(names):
        values, blank = _as_numbers(frame[name]), frame[name].isna().to_numpy()
        wrong = ~(np.isin(values, (1.0, 0.0, -1.0)) | blank)
        argument, rule = f"column {name!r}", "1, 0, -1 or blank"
        faults.check(not wrong.any(), argument, rule, _told(frame, name, wrong, place), "correct these cells")
        raw_labels[:, column] = np.where(blank, np.nan, values)
    return raw_labels


def _told(frame: pd.DataFrame, column: str, wrong: NDArray[np.bool_], place: Callable[[int], str]) -> str:
    rows = np.flatnonzero(wrong)
    values = frame[column].iloc[rows[:_SHOWN]]
    shown = ", ".join(f"{str(value)!r} in {place(row)}" for value, row in zip(values, rows.tolist(), strict=False))
    return shown if len(rows) <= _SHOWN else f"{shown} and {len(rows) - _SHOWN} more"


def check_label_names(labels: Sequence[str] | None) -> tuple[str, ...]:
    """Return the labels asked for, all 14 for None."""
    names = CHEXPERT_LABELS if labels is None else (labels,) if isinstance(labels, str) else tuple(labels)
    for name in names:
        check_choice("labels", name, CHEXPERT_LABELS)
    if not names or len(set(names)) < len(names):
        reject("labels", "one or more different names", list(names), "leave it out for all 14")
    return names


def read_csv_columns(file: Path, columns: Sequence[str], all_or_none: Sequence[str] = ()) -> pd.DataFrame:
    """Read some columns of a .csv file in which blank cells alone are missing values.

    Where a file has none of the columns ``all_or_none``, these are missing in every row.
    """
    import pandas as pd

    absent: Sequence[str] = ()
    try:
        header = pd.read_csv(file, nrows=0, index_col=False).columns
        if any(name in header for name in all_or_none):
            columns = (*columns, *all_or_none)
        else:
            absent = all_or_none
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
        reject(f"the table {file}", "one with the published columns", got, remedy)
    if frame.empty:
        reject("path", "a table with at least one row", f"no rows in {file}", "download it again")
    return frame.assign(**dict.fromkeys(absent, np.nan))


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
        got = f"{path}, which holds {len(found)} of them"
        reject("path", "one of the CheXpert folders", got, f"pass e.g. {found[0].parent}")
    entries = sorted(entry.name for entry in path.iterdir())
    shown = ", ".join([*map(repr, entries[:_SHOWN]), *["..."] * (len(entries) > _SHOWN)]) or "nothing"
    rule = f"the folder that holds train.csv ({' or '.join(FOLDERS)}) or the one above it"
    reject("path", rule, f"{path}, which holds {shown}", "pass that folder or the .csv file itself")


def _as_numbers(column: pd.Series) -> NDArray[np.float64]:
    """Return a column as floats, with NaN for values that are not numbers."""
    import pandas as pd

    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
