"""The plan of a training: how many epochs there are, and into which stages they fall.

This file decides the defaults. It leaves the stages after the warm-up to the solvers.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from metricopt.solvers import WARMUP, Solver, Stage

DEFAULT_STEPS = 6000
DEFAULT_STEPS_WITH_FOLDS = 1000
"""On development tables, three times as many steps deliver no more where the models of several folds are averaged."""
MIN_DEFAULT_EPOCHS = 20
MIN_DEFAULT_EPOCHS_WITH_FOLDS = 8
WARMUP_FRACTION = 0.25
ROWS_A_COLUMN = 2
"""A linear model is wide if it has fewer rows of the rarer class for each column, on average over the labels."""
MANY_COLUMNS = 60
"""A linear model is wide as well if it has so many columns, as its warm-up ends long before cross-entropy does. On
development sets of 40 to 62 columns with a bound on precision, the end of the warm-up often won over several paths, and
was below one long path on all of them."""


def default_epochs(steps_per_epoch: int, *, with_folds: bool = False) -> int:
    """Return how many epochs :func:`~metricopt.fit` takes unless it is told.

    They make about 6,000 steps and are at least 20; with folds 1,000 and 8.
    """
    if with_folds:
        return max(MIN_DEFAULT_EPOCHS_WITH_FOLDS, math.ceil(DEFAULT_STEPS_WITH_FOLDS / steps_per_epoch))
    return max(MIN_DEFAULT_EPOCHS, math.ceil(DEFAULT_STEPS / steps_per_epoch))


def default_warmup_epochs(solver: Solver, epochs: int) -> int:
    """Return how many of ``epochs`` train with cross-entropy unless the user says: a quarter, or none."""
    return round(WARMUP_FRACTION * epochs) if solver.warms_up else 0


def is_wide(num_columns: int, labels: np.ndarray) -> bool:
    """Say whether a linear model has many columns: 60, or more than half as many as rows of the rarer class.

    Parameters
    ----------
    num_columns : int
        The number of weights for a label.
    labels : ndarray, shape (n, L)
        0, 1 or NaN (missing); it is the mean over the labels that counts.

    Examples
    --------
    >>> labels = np.array([[1.0], [1.0], [1.0], [0.0], [0.0], [0.0], [0.0]])
    >>> is_wide(1, labels), is_wide(2, labels), is_wide(60, np.repeat(labels, 1_000, axis=0))
    (False, True, True)
    """
    rarer = np.minimum((labels == 1).sum(axis=0), (labels == 0).sum(axis=0))
    return num_columns >= MANY_COLUMNS or bool(rarer.mean() < ROWS_A_COLUMN * num_columns)


def make_plan(
    solver: Solver,
    epochs: int | None,
    warmup_epochs: int | None,
    *,
    steps_per_epoch: int,
    is_linear: bool,
    is_wide: bool = False,
    with_folds: bool = False,
) -> list[Stage]:
    """Return the stages of a training: the warm-up, if there is one, and those of the solver.

    The first path of a network goes on from the warm-up with the same optimizer, as one's own loop does, and the only
    path of wide linear models, too. Other paths begin with a new one: on linear models that finds better optima.

    Parameters
    ----------
    solver : Solver
    epochs : int or None
        Number of epochs in total; None takes the default.
    warmup_epochs : int or None
        Number of these that train with cross-entropy; None takes the default.
    steps_per_epoch : int, >= 1
    is_linear : bool
        Whether a linear model is trained, not a network.
    is_wide : bool
        Whether it has many columns, as :func:`is_wide` says.
    with_folds : bool
        Whether the models of several folds are trained.
    """
    if epochs is None:
        epochs = max(default_epochs(steps_per_epoch, with_folds=with_folds), (warmup_epochs or 0) + 1)
    if warmup_epochs is None:
        warmup_epochs = default_warmup_epochs(solver, epochs)
    warmup = [Stage(WARMUP, warmup_epochs, is_direct=False)] if warmup_epochs else []
    rest = epochs - warmup_epochs
    direct = list(solver.fold_stages(rest, is_linear, is_wide) if with_folds else solver.stages(rest, is_linear))
    is_wide_alone = is_wide and with_folds and len(direct) == 1
    if warmup and direct and (is_wide_alone or not is_linear):
        direct[0] = replace(direct[0], goes_on=True)
    return [*warmup, *direct]
