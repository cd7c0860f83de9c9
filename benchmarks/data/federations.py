"""Federations to compare methods on: rows of several sites, new rows of the same sites, and rows of a site outside.

Of institutions the rows are label context (:mod:`benchmarks.data.institutions`): CheXpert and NIH are inside, PadChest
outside. Of drawings (:func:`metricopt.data.write_synthetic_chexpert`) they are pixels, and say nothing about patients.

This file decides whose rows they are and what is asked of them. It leaves dealing to :mod:`benchmarks.data.dealing`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from benchmarks.data.dealing import Rows, dealt, dealt_by_prevalence, dealt_from_all, dealt_from_one, joined
from benchmarks.data.institutions import load_institution
from metricopt.data.chexpert import read_chexpert_table, write_synthetic_chexpert

INSIDE, OUTSIDE, FINDING = ("CheXpert", "NIH"), "PadChest", "Effusion"
PATIENTS = 2000
"""Patients of each institution that train, others with each seed; five times as many judge."""

DRAWN_PATIENTS, DRAWN_FINDING, PIXELS = 1500, "Edema", 16
PARTS_OF_POSITIVES = (0.1, 0.2, 0.3, 0.4)
STYLES: tuple[Callable[[NDArray[np.float32]], NDArray[np.float32]], ...] = (
    np.positive,
    np.square,
    lambda images: 0.3 + 0.4 * images,
    lambda images: 1 - images,
)
STYLE_OUTSIDE = np.sqrt


@dataclass(frozen=True)
class Federation:
    """Rows of each site to train with, new rows of each to judge by, and rows of a site that takes no part.

    Attributes
    ----------
    train, test : list of Rows
    outside : Rows
    bound : float
        The precision that is asked for.
    """

    train: list[Rows]
    test: list[Rows]
    outside: Rows
    bound: float


def of_institutions(number: int, split: str, seed: int) -> Federation:
    """Return sites of which each has rows of both institutions inside ("equal"), or of one of them ("skewed").

    At least twice as many alarms are to be right as by chance.

    Parameters
    ----------
    number : int
        The number of sites.
    split : "equal" or "skewed"
    seed : int, 0 to 9
    """
    deal = dealt_from_all if split == "equal" else dealt_from_one
    judging = [part for part in range(10) if part != seed][:5]
    train = deal([_institution(name, seed) for name in INSIDE], number, seed)
    test = deal([joined([_institution(name, part) for part in judging]) for name in INSIDE], number, seed)
    outside = joined([_institution(OUTSIDE, part) for part in judging])
    return Federation(train, test, outside, _bound(train))


@cache
def _institution(name: str, part: int) -> Rows:
    return load_institution(name, FINDING, PATIENTS, part=part)


def of_drawings(number: int, split: str, seed: int) -> Federation:
    """Return four sites that differ in prevalence, or in how their devices expose ("style").

    Of the drawings 40 % train. Outside, two positives of three are left out, or the style is one that no site has. At
    least twice as many alarms are to be right as by chance.
    """
    assert number == len(STYLES) == len(PARTS_OF_POSITIVES)
    fifths = dealt(drawings(), 5, seed)
    own, new, (images, labels) = joined(fifths[:2]), joined(fifths[2:4]), fifths[4]
    if split == "prevalence":
        train, test = (dealt_by_prevalence(rows, PARTS_OF_POSITIVES, seed) for rows in (own, new))
        kept = (labels == 0) | (np.cumsum(labels) % 3 == 0)
        outside = images[kept], labels[kept]
    else:
        train, test = (
            [(style(site[0]), site[1]) for style, site in zip(STYLES, dealt(rows, number, seed), strict=True)]
            for rows in (own, new)
        )
        outside = STYLE_OUTSIDE(images), labels
    return Federation(train, test, outside, _bound(train))


@cache
def drawings() -> Rows:
    """Return one frontal image of each patient, as a row of pixels in [0, 1], and whether it states the finding."""
    from PIL import Image

    with TemporaryDirectory() as root:
        folder = write_synthetic_chexpert(root, num_patients=DRAWN_PATIENTS, image_size=2 * PIXELS)
        table = read_chexpert_table(folder, labels=[DRAWN_FINDING], view="frontal")
        rows = np.unique(table.patients, return_index=True)[1]
        images = []
        for path in table.paths[rows]:
            with Image.open(table.folder / path) as image:
                images.append(np.asarray(image.convert("L").resize((PIXELS, PIXELS)), np.float32).ravel() / 255)
    return np.stack(images), (table.raw_labels[rows, 0] == 1).astype(np.float32)


def _bound(train: list[Rows]) -> float:
    return round(2 * float(joined(train)[1].mean()), 2)
