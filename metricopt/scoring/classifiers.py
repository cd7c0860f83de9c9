"""Fitted classifiers of scikit-learn's kind as one model: the mean of their scores, each in its own frame.

This file decides what the score of a classifier is. How classifiers are trained is decided in
:mod:`metricopt.estimator.classifiers`, and the frames of their scores in :mod:`metricopt.evidence.frames`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricopt._validation import reject
from metricopt.evidence.frames import Frames

NUM_CLASSES = 2
SMALLEST = 1e-15
"""Probabilities nearer to 0 or 1 than this are cut off, since their log-odds are not finite."""


@dataclass(frozen=True, eq=False)
class FittedClassifiers:
    """One classifier, or one for each fold.

    Attributes
    ----------
    models : tuple of classifiers
        Fitted to the labels 0 and 1.
    frames : Frames or None
        The frame of each; None for one classifier whose scores are left as they are.
    """

    models: tuple[Any, ...]
    frames: Frames | None = None

    def scores(self, features: Any) -> NDArray[np.float64]:
        """Return the mean score of each row, shape (n, 1).

        Parameters
        ----------
        features : array, frame or sparse matrix, shape (n, d)
            As the classifiers take them.

        Raises
        ------
        InvalidInputError
            If a score is not finite.
        """
        found = np.stack([score_by(model, features) for model in self.models], axis=1)[:, :, np.newaxis]  # (n, K, 1)
        if not np.isfinite(found).all():
            got = f"{int((~np.isfinite(found)).sum())} others"
            reject("the model", "one that gives finite scores", got, "check the features for extreme values")
        return found[:, 0] if self.frames is None else self.frames.average(found)

    def __str__(self) -> str:
        number = f"{len(self.models)} x " if len(self.models) > 1 else ""
        return number + " > ".join(kinds_of(self.models[0]))


def score_by(model: Any, features: Any) -> NDArray[np.float64]:
    """Return a score for each row by a fitted classifier, shape (n,): ``decision_function``, or log-odds."""
    if hasattr(model, "decision_function"):
        return np.asarray(model.decision_function(features), dtype=np.float64)
    found = np.asarray(model.predict_proba(features), dtype=np.float64)
    if found.ndim != 2 or found.shape[1] != NUM_CLASSES:
        rule = "one whose predict_proba gives a column for each of two classes"
        reject("model", rule, f"shape {found.shape} of {type(model).__name__}", "give a classifier of two classes")
    probability = np.clip(found[:, 1], SMALLEST, 1 - SMALLEST)
    return np.log(probability) - np.log1p(-probability)


def kinds_of(model: Any) -> Sequence[str]:
    """Return the class of a classifier, or those of the steps of a pipeline."""
    return [type(step).__name__ for _, step in model.steps] if hasattr(model, "steps") else [type(model).__name__]
