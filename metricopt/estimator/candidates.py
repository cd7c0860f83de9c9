"""What a classifier gets from each model that it trains, whatever the model.

How torch modules are trained is in :mod:`metricopt.estimator.modules`, how classifiers of scikit-learn are in
:mod:`metricopt.estimator.classifiers`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricopt.results.result import FitResult


@dataclass(frozen=True)
class LabelledRows:
    """The rows that train and judge.

    Attributes
    ----------
    features : array, frame or sparse matrix, shape (n, d)
        As the model takes them.
    labels : ndarray, shape (n,), float
        0 or 1.
    weight : ndarray, shape (n,), float, or None
    groups : sequence, shape (n,), or None
    label : str
        What results call the label.
    """

    features: Any
    labels: NDArray[np.float64]
    weight: NDArray[np.float64] | None = None
    groups: Any = None
    label: str = "label"


@dataclass(frozen=True)
class Candidate:
    """A trained model with its thresholds.

    Attributes
    ----------
    name : str
    result : FitResult
    scores : callable ``(features) -> scores``, shape (m,)
        On the scale of the result's threshold.
    models : tuple
        The fitted classifiers of scikit-learn, one a fold; empty for a torch model.
    """

    name: str
    result: FitResult
    scores: Callable[[Any], NDArray[np.float64]]
    models: tuple[Any, ...] = ()


def line_of(candidate: Candidate, *, is_chosen: bool) -> str:
    """Return what a candidate reaches at its own threshold on rows that it has not seen, in one line."""
    report = candidate.result.selection[0]
    text = f"{candidate.name}: {candidate.result.status}, {report.metric} {report.value:.3f}"
    if report.bounded_metric is not None:
        text += f", {report.bounded_metric} {report.bounded_value:.3f}"
    return text + (" (chosen)" if is_chosen else "")
