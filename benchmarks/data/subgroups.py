"""Real data sets with a column of subgroups: findings of chest X-rays by sex and age, deaths by disease group, ...

This file decides the sets and their subgroups. How they are read is decided in the files of their sources.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.data.catalogue import BENCHMARK
from benchmarks.data.chexpert_labels import load_chexpert_labels
from benchmarks.data.nih_labels import load_nih_labels
from benchmarks.data.problem import BenchmarkData
from benchmarks.data.survival import known_rows

AGE_OF_THE_OLDER = {"CheXpert": 65, "NIH": 50}
"""The age from which a patient is among the older: near the median of each."""


@dataclass(frozen=True)
class GroupedData:
    """A binary problem whose rows belong to subgroups.

    Attributes
    ----------
    data : BenchmarkData
    column : str
        What the subgroups are.
    subgroup : ndarray of str, shape (n,)
    """

    data: BenchmarkData
    column: str
    subgroup: NDArray[np.str_]


def _by_sex_and_age(data: BenchmarkData, oldest: int) -> GroupedData:
    """Return X-rays, of which both sources give the age and whether it is a woman first."""
    age, is_woman = data.features[:, 0], data.features[:, 1]
    sex = np.where(is_woman == 1, "women", "men")
    band = np.where(age >= oldest, f"from {oldest}", f"below {oldest}")
    return GroupedData(data, "sex and age", np.char.add(np.char.add(sex, " "), band))


def _chexpert(finding: str, part: int) -> GroupedData:
    data = load_chexpert_labels(finding.lower(), finding=finding, part=part, num_patients=12_000)
    return _by_sex_and_age(data, AGE_OF_THE_OLDER["CheXpert"])


def _nih(finding: str, part: int) -> GroupedData:
    return _by_sex_and_age(load_nih_labels(finding.lower(), finding=finding, part=part), AGE_OF_THE_OLDER["NIH"])


def _support() -> GroupedData:
    diseases, _ = known_rows("support2", horizon=7.0)
    return GroupedData(BENCHMARK["support"]("support"), "disease", diseases["fac_dzclass"].to_numpy(dtype=str))


def _light_chains() -> GroupedData:
    patients, _ = known_rows("flchain", horizon=730.0)
    return GroupedData(BENCHMARK["light_chains"]("light_chains"), "sex", patients["fac_sex"].to_numpy(dtype=str))


GROUPED: dict[str, Callable[[], GroupedData]] = {
    "edema": partial(_chexpert, "Edema", 4),
    "effusion": partial(_chexpert, "Pleural Effusion", 3),
    "nih_effusion": partial(_nih, "Effusion", 0),
    "support": _support,
    "light_chains": _light_chains,
}
