"""What a method of the comparison is, and what a training of it leads to.

The methods are in :mod:`benchmarks.running.fitted`, :mod:`benchmarks.running.folded` and
:mod:`benchmarks.running.called`; which there are, with which settings, is in :mod:`benchmarks.running.roster`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.running.task import Task
from metricopt.problem.objectives import Objective

Setting = dict[str, Any]


@dataclass(frozen=True)
class Trained:
    """What a training led to.

    Attributes
    ----------
    scores : dict of str to ndarray, shape (n,)
        Of every part.
    threshold : float or None
        A peer's own; None for the exact one on validation data.
    epochs, steps : int
    stage, status : str
    setting : str
        What a peer chose among settings of its own.
    scores_are_own : bool
        False for those of another method, to which this one adds a threshold.
    out_of_fold : ndarray, shape (n,), or None
        Where folds were trained: the score of every row of :attr:`Task.known`, by models that have not seen it, NaN
        where these diverged. It chooses setting and threshold in place of the validation part.
    """

    scores: Mapping[str, np.ndarray]
    threshold: float | None
    epochs: int
    steps: int
    stage: str = ""
    status: str = ""
    setting: str = ""
    scores_are_own: bool = True
    out_of_fold: np.ndarray | None = None


class Method(ABC):
    """One of the methods.

    Attributes
    ----------
    family : "direct", "loss", "resampling" or "peer"
    settings : tuple of dict
    knows_objective : bool
        Whether it is trained anew for every objective; else once, and thresholded for each.
    has_folds : bool
        Whether it gives out-of-fold scores, on which each of :data:`benchmarks.running.rules.RULES` chooses.
    """

    has_folds = False
    family: str
    settings: tuple[Setting, ...]
    knows_objective: bool

    def supports(self, objective: Objective, model: str) -> bool:
        """Say whether the method is meant for that."""
        return True

    def missing(self) -> list[str]:
        """Return the packages that it wants and that are not installed."""
        return []

    @abstractmethod
    def train(self, task: Task, objectives: Mapping[str, Objective], setting: Setting) -> dict[str, Trained]:
        """Train with one setting; return what came of it for each of the objectives."""
