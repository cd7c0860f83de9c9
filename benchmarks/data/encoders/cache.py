"""Features that are computed once: a file for each encoder and input, in the folder of unfinished runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from benchmarks.reporting.files import RUNS

FOLDER = RUNS / "features"


def cached(
    encoder: str, content: bytes, make: Callable[[], NDArray[np.float32]], folder: Path | None = None
) -> NDArray[np.float32]:
    """Return features from the folder, or make them and keep them there.

    Parameters
    ----------
    encoder : str
        What makes the features, with all that changes them; part of the file's name.
    content : bytes
        What is encoded: other content has another file.
    make : callable
        Computes the features, shape (n, d).
    folder : Path, optional
        The default is :data:`FOLDER`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     first = cached("ones", b"two rows", lambda: np.ones((2, 3), np.float32), Path(folder))
    ...     again = cached("ones", b"two rows", lambda: np.zeros((2, 3), np.float32), Path(folder))
    >>> bool((first == again).all())
    True
    """
    file = (FOLDER if folder is None else folder) / f"{encoder}-{crc32(content):08x}.npy"
    if file.exists():
        return np.asarray(np.load(file), dtype=np.float32)
    features = make()
    file.parent.mkdir(parents=True, exist_ok=True)
    # Under another name first, so that a kill leaves no half of a file, and two processes do not write into one.
    unfinished = file.with_suffix(f".{os.getpid()}.npy")
    np.save(unfinished, features)
    unfinished.replace(file)
    return features
