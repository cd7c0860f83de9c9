"""A folder in CheXpert's published layout whose radiographs are drawings, for tests and demonstrations.

This file decides patients, studies, views and files. It leaves labels to :mod:`metricopt.data.chexpert.cooccurrence`
and drawings to :mod:`metricopt.data.chexpert.findings`.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metricopt._validation import Faults, reject
from metricopt.data.chexpert.cooccurrence import CHEXPERT_STATISTICS, draw_labels
from metricopt.data.chexpert.findings import draw_chest, draw_strengths
from metricopt.data.chexpert.table import CHEXPERT_LABELS, FOLDERS, SYNTHETIC_MARK

# Of the training table of CheXpert: studies with a lateral image, with a second frontal one; men; frontal images in AP.
_LATERAL, _SECOND_FRONTAL, _MALE, _AP = 0.17, 0.018, 0.594, 0.846
_MOST_STUDIES = 12
_SMALLEST = 16


def write_synthetic_chexpert(root: str | Path, *, num_patients: int = 200, image_size: int = 96, seed: int = 0) -> Path:
    """Write a folder ``CheXpert-v1.0-small`` with drawn radiographs, and return its path.

    Tables, paths and values have the published form. The labels have the prevalences and pairwise co-occurrences of the
    real training table, and all images of a study have the same labels. The findings are visible, but they overlap,
    differ in strength, and are not drawn in 6 % of the images that state them. Nothing learnt here says anything about
    patients, and every part says so: the folder holds ``SYNTHETIC.json``, each image has the word in a corner, and
    tables and data sets that read the folder have ``is_synthetic``.

    The validation table has a tenth as many patients, with one study each. As in the published one, every label is 0 or
    1.

    Parameters
    ----------
    root : str or Path
        The folder to write into, which is made if it does not exist.
    num_patients : int, >= 1
        The number of patients in the training table. Each has 2.75 images on average.
    image_size : int, >= 16
        The shorter side of the images in pixels.
    seed : int
        The seed of all labels and drawings.

    Returns
    -------
    Path
        ``root/CheXpert-v1.0-small``, which appears whole or not at all. If a synthetic folder with the same arguments
        exists, it is returned as it is.

    Raises
    ------
    InvalidInputError
        If an argument is not as above, or a folder with other content exists.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     folder = write_synthetic_chexpert(root, num_patients=3, image_size=16)
    ...     folder.name, sorted(entry.name for entry in folder.iterdir())
    ('CheXpert-v1.0-small', ['SYNTHETIC.json', 'train', 'train.csv', 'valid', 'valid.csv'])
    """
    faults = Faults()
    for name, number, least in (("num_patients", num_patients, 1), ("image_size", image_size, _SMALLEST)):
        faults.check_integer(name, number, least)
    faults.check_seed(seed)
    faults.raise_if_any()
    folder = Path(root) / FOLDERS[0]
    mark = {
        "what": "Synthetic: drawings and invented labels in the layout of CheXpert. No image or label is of a patient.",
        "num_patients": int(num_patients),
        "image_size": int(image_size),
        "seed": int(seed),
    }
    if folder.exists():
        marked = folder / SYNTHETIC_MARK
        if marked.is_file() and json.loads(marked.read_text()) == mark:
            return folder
        other = "a synthetic folder of other arguments" if marked.is_file() else "a folder that is not synthetic"
        got = f"{root}, which holds {other}"
        reject("root", f"a folder without another {folder.name}", got, "give another root, or remove that folder")
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        random = np.random.RandomState(seed)
        num_valid = max(num_patients // 10, 1)
        _write_part(aside, "train", 1, _draw_studies(num_patients, random), image_size, random)
        _write_part(aside, "valid", 1 + num_patients, np.ones(num_valid, dtype=np.intp), image_size, random)
        (aside / SYNTHETIC_MARK).write_text(json.dumps(mark, indent=2) + "\n")
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _draw_studies(num_patients: int, random: np.random.RandomState) -> NDArray[np.intp]:
    """Return how many studies each patient has: one for most, many for a few (2.3 on average, 2.9 in reality)."""
    return np.minimum(random.random_sample(num_patients) ** -0.75, _MOST_STUDIES).astype(np.intp)


@dataclass(frozen=True)
class _Study:
    patient: int
    number: int
    sex: str
    age: int
    raw_labels: NDArray[np.float32]
    strengths: dict[str, float]


def _write_part(
    folder: Path,
    part: str,
    first_patient: int,
    studies_of_patients: NDArray[np.intp],
    image_size: int,
    random: np.random.RandomState,
) -> None:
    from PIL import Image

    with (folder / f"{part}.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_LABELS])
        for study in _studies(part, first_patient, studies_of_patients, random):
            views = ["frontal"] * (1 + (random.random_sample() < _SECOND_FRONTAL))
            views += ["lateral"] * (random.random_sample() < _LATERAL)
            place = f"{part}/patient{study.patient:05d}/study{study.number}"
            (folder / place).mkdir(parents=True)
            cells = ["" if np.isnan(value) else f"{value:.1f}" for value in study.raw_labels]
            for number, view in enumerate(views, start=1):
                path = f"{place}/view{number}_{view}.jpg"
                longer = round(image_size * random.uniform(1.0, 1.22))
                shape = (image_size, longer) if random.random_sample() < 0.8 else (longer, image_size)
                drawn = draw_chest(*shape, study.strengths, random, lateral=view == "lateral")
                Image.fromarray(_with_mark(drawn)).save(folder / path, quality=92)
                projection = "" if view == "lateral" else "AP" if random.random_sample() < _AP else "PA"
                rows.writerow([f"{FOLDERS[0]}/{path}", study.sex, study.age, view.title(), projection, *cells])


def _studies(
    part: str, first_patient: int, studies_of_patients: NDArray[np.intp], random: np.random.RandomState
) -> Iterator[_Study]:
    raw_labels = draw_labels(studies_of_patients, random, CHEXPERT_STATISTICS)
    if part == "valid":
        raw_labels = _decided(raw_labels, random)
    strengths = draw_strengths(raw_labels, random)
    row = 0
    for patient, num_studies in enumerate(studies_of_patients, start=first_patient):
        sex = "Male" if random.random_sample() < _MALE else "Female"
        age = int(np.clip(random.normal(60, 18), 18, 90))
        for number in range(1, num_studies + 1):
            shown = dict(zip(CHEXPERT_LABELS, strengths[row], strict=True))
            yield _Study(patient, number, sex, age, raw_labels[row], shown)
            row += 1


def _decided(raw_labels: NDArray[np.float32], random: np.random.RandomState) -> NDArray[np.float32]:
    """Return labels as a panel of readers would decide them: 0 or 1, and "No Finding" where there is none of the 12."""
    is_positive = (raw_labels == 1) | ((raw_labels == -1) & (random.random_sample(raw_labels.shape) < 0.5))
    is_positive[:, 0] = ~is_positive[:, 1:-1].any(axis=1)
    return is_positive.astype(np.float32)


def _with_mark(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the image with the word SYNTHETIC in its lower left corner."""
    mask = _mark(*image.shape)
    return np.minimum(image + 45 * mask, 255).astype(np.uint8)


@cache
def _mark(height: int, width: int) -> NDArray[np.float32]:
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.new("L", (width, height))
    font = ImageFont.load_default(size=max(width / 9, 5))
    ImageDraw.Draw(canvas).text((1, height - 1), "SYNTHETIC", fill=255, font=font, anchor="ls")
    return np.asarray(canvas, dtype=np.float32) / np.float32(255)
