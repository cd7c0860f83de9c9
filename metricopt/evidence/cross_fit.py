"""Folds for any scorer: one model a fold, each judged on the rows that it has not seen, their average for new rows.

The caller says how a model is trained on given rows, and how it scores; nothing else is asked of it. So boosted trees,
logistic regression or a torch module can testify alike. This file decides which rows train which model and what is made
of their scores. It leaves the folds to :mod:`metricopt.evidence.folds`, the common scale of the scores to
:mod:`metricopt.evidence.frames`, and thresholds to :mod:`metricopt.evidence.thresholds`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from metricopt._validation import reject
from metricopt.evidence.frames import Frames

Scorer: TypeAlias = Callable[[Any], Any]
"""Maps features of m rows to scores, shape (m,) or (m, L), higher for likelier positives."""


@dataclass(frozen=True)
class CrossFit:
    """One scorer a fold, trained on the rows of the other folds.

    Attributes
    ----------
    scorers : tuple of callable, length K
        Scorer k has not seen fold k.
    frames : Frames
        The scale of each scorer's scores.
    out_of_fold : ndarray, shape of the labels, float64
        The score of each row by the scorer that has not seen it, in that scorer's frame.
    """

    scorers: tuple[Scorer, ...]
    frames: Frames
    out_of_fold: NDArray[np.float64]

    def scores(self, features: Any) -> NDArray[np.float64]:
        """Return the mean score over all scorers, each in its own frame: what a threshold is applied to.

        Parameters
        ----------
        features
            Of m rows, as the scorers take them.

        Returns
        -------
        ndarray, shape (m,), or (m, L) where the labels have columns
        """
        mean = self.frames.average(_scores_of(self.scorers, features, self.frames.centre.shape[1]))
        return mean[:, 0] if self.out_of_fold.ndim == 1 else mean


def cross_fit(
    train: Callable[[NDArray[np.intp]], Scorer],
    features: Any,
    labels: NDArray[np.floating],
    folds: NDArray[np.integer],
    *,
    sample_weight: NDArray[np.floating] | None = None,
) -> CrossFit:
    """Train one scorer for each fold, without it.

    The folds are trained one after the other, or where ``joblib.parallel_config`` says: on several cores, or on the
    machines of a Dask or Ray cluster.

    Parameters
    ----------
    train : callable ``(rows) -> scorer``
        Trains on the rows with these numbers, which ascend, and returns what scores features.
    features
        Of all n rows, as the scorers take them; handed over as they are.
    labels : ndarray, shape (n,) or (n, L), float
        0, 1 or NaN (missing).
    folds : ndarray, shape (n,), int
        The fold of each row, numbered from 0 without gaps, as :func:`metricopt.evidence.folds.make_folds` gives it.
    sample_weight : ndarray, shape (n,) or (n, L), float, optional
        What a row counts in the frames. The training is the caller's own.

    Raises
    ------
    InvalidInputError
        If folds and labels differ in length, or a scorer gives scores of another shape or scores that are not finite.

    Examples
    --------
    Scorers that know nothing but the mean of their own training rows:

    >>> x, y = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 0.0, 1.0, 1.0])
    >>> fitted = cross_fit(lambda rows: lambda known: known - x[rows].mean(), x, y, np.array([0, 1, 0, 1]))
    >>> fitted.out_of_fold.tolist()
    [-2.0, 0.0, 0.0, 2.0]
    >>> fitted.scores(np.array([10.0])).tolist()
    [8.5]
    """
    columns = np.asarray(labels, dtype=np.float64)
    if len(folds) != len(columns):
        reject("folds", f"one number a row ({len(columns)})", f"{len(folds)} values", "give the fold of each row")
    num_labels = 1 if columns.ndim == 1 else columns.shape[1]
    from joblib import Parallel, delayed

    trains = np.asarray(folds)[:, np.newaxis] != np.arange(int(np.max(folds)) + 1)  # (n, K)
    scorers = tuple(Parallel()(delayed(train)(np.flatnonzero(own)) for own in trains.T))
    scores = _scores_of(scorers, features, num_labels)
    by_label = columns.reshape(len(columns), num_labels)
    weight = None if sample_weight is None else _weight_by_label(sample_weight, by_label.shape)
    frames = Frames.of(scores, by_label, trains, weight)
    return CrossFit(scorers, frames, frames.out_of_fold(scores, trains).reshape(columns.shape))


def _scores_of(scorers: tuple[Scorer, ...], features: Any, num_labels: int) -> NDArray[np.float64]:
    """Return the scores of all scorers, shape (m, K, L)."""
    scores = []
    for number, scorer in enumerate(scorers):
        own = np.asarray(scorer(features), dtype=np.float64)
        own = own[:, np.newaxis] if own.ndim == 1 else own  # (m,) -> (m, 1)
        if own.ndim != 2 or own.shape[1] != num_labels:
            shape = "(m,)" if num_labels == 1 else f"(m, {num_labels})"
            reject(f"the scorer of fold {number}", f"one that gives scores of shape {shape}", own.shape, "return these")
        if not np.isfinite(own).all():
            got = f"{int((~np.isfinite(own)).sum())} others"
            reject(f"the scorer of fold {number}", "one that gives finite scores", got, "return log-odds, for example")
        scores.append(own)
    return np.stack(scores, axis=1)


def _weight_by_label(sample_weight: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.floating]:
    weight = np.asarray(sample_weight, dtype=np.float64)
    return np.broadcast_to(weight[:, np.newaxis] if weight.ndim == 1 else weight, shape)
