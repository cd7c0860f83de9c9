"""What a training leaves behind beside the weights: the scores of all samples, and a record of every epoch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from metricopt._validation import reject
from metricopt.problem.prevalence import Prevalence, weights_at

if TYPE_CHECKING:
    import pandas as pd


class History(list[dict[str, Any]]):
    """One record an epoch and label: stage, epoch, loss, value, bounded value, feasible, multiplier, agreement, ...

    The last is the share of slacks within 1/2 of the model's indicator, by the scores that the training samples had
    when last seen; None for a solver without slacks.
    """

    def to_frame(self) -> pd.DataFrame:
        """Return the records as a table."""
        import pandas as pd

        return pd.DataFrame(list(self))


@dataclass(frozen=True)
class Scored:
    """Scores of one data set, with its labels.

    Attributes
    ----------
    data : str
        Which data, e.g. ``"validation"``.
    scores, baseline_scores : ndarray, shape (n, L), float32
        Of the returned model, and of candidate zero (the end of the cross-entropy warm-up, at its best epoch).
    labels, baseline_labels : ndarray, shape (n, L), float32
        In the order of either scores, which differs where an iterable data set shuffles.
    sample_weight : ndarray, shape (n, L), float, or None
    """

    data: str
    scores: np.ndarray
    baseline_scores: np.ndarray
    labels: np.ndarray
    baseline_labels: np.ndarray
    sample_weight: np.ndarray | None = None


def scored_at(prevalence: Prevalence, scored: dict[str, Scored]) -> dict[str, Scored]:
    """Return the scores of a result with their samples weighted to a prevalence.

    Raises
    ------
    InvalidInputError
        If labels came in another order each time, as those of a stream may.
    """
    for data, part in scored.items():
        if not np.array_equal(part.labels, part.baseline_labels, equal_nan=True):
            got, remedy = f"{data} data in another each time", "train on a map-style data set"
            reject("prevalence", "for data of one order", got, remedy)
    return {
        data: replace(part, sample_weight=weights_at(prevalence, part.labels, part.sample_weight))
        for data, part in scored.items()
    }
