"""Which rows a data set keeps: always the same ones, because the stream of ``RandomState`` is frozen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def thin(
    labels: NDArray[np.float64], num_positives: int | None = None, num_negatives: int | None = None
) -> NDArray[np.intp]:
    """Return ascending rows with at most so many of a class, drawn at random; None keeps the class whole.

    Examples
    --------
    >>> thin(np.array([0.0, 1.0, 1.0, 0.0]), num_positives=1)
    array([0, 2, 3])
    """
    random = np.random.RandomState(0)
    kept = [
        rows if num is None else random.choice(rows, num, replace=False)
        for rows, num in ((np.flatnonzero(labels == 1), num_positives), (np.flatnonzero(labels == 0), num_negatives))
    ]
    return np.sort(np.concatenate(kept))


def thin_to(labels: NDArray[np.float64], prevalence: float) -> NDArray[np.intp]:
    """Return ascending rows with positives thinned so that they are about this part of the rows.

    Examples
    --------
    >>> rows = thin_to(np.repeat([0.0, 1.0], 9), prevalence=0.1)
    >>> len(rows)
    10
    """
    return thin(labels, num_positives=round((labels == 0).sum() * prevalence / (1 - prevalence)))


def draw_patients(patients: NDArray[np.int64], part: int = 0, num_patients: int | None = None) -> NDArray[np.intp]:
    """Return one random row of each of ``num_patients`` random patients (None: of all), in random order.

    Parameters
    ----------
    patients : ndarray, shape (n,), int
        The patient of each row.
    part : int
        Parts 0, 1, ... have no patient in common.

    Returns
    -------
    ndarray, shape (num_patients,), int

    Examples
    --------
    >>> patients = np.array([7, 7, 8, 9, 9, 9])
    >>> patients[draw_patients(patients, part=0, num_patients=2)]
    array([9, 7])
    >>> patients[draw_patients(patients, part=1, num_patients=1)]
    array([7])
    """
    random = np.random.RandomState(0)
    order = random.permutation(len(patients))
    first = np.unique(patients[order], return_index=True)[1]
    num_patients = len(first) if num_patients is None else num_patients
    return random.permutation(order[first])[num_patients * part : num_patients * (part + 1)]
