"""What a peer that trains a model of its own hands over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PeerScores:
    """The scores of a trained model, and the threshold that its method chose.

    Attributes
    ----------
    train, validation, test : ndarray, shape (n,), float64
        Scores of any scale. Where a method trains on validation rows as well, only those of the test are of new data.
    threshold : float or None
        Scores at or above it are alarms; None where the method chooses none.
    setting : str
        The hyper-parameters that won.
    seconds : float
        For all settings together.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    threshold: float | None
    setting: str
    seconds: float
