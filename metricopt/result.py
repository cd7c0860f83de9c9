"""What a training returns: the model, its threshold, and what both are worth on which data.

This file decides how a result is read, applied and stored. Metrics come from :mod:`metricopt.evaluation`, pictures from
:mod:`metricopt.plots`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from metricopt import metrics
from metricopt._validation import InvalidInputError, check_choice, reject
from metricopt.data.indexed import split_batch
from metricopt.evaluation import Report, evaluate
from metricopt.objectives import REGISTRY, Bound, CountObjective
from metricopt.scoring import check_scores, forward, score_loader, to_device
from metricopt.status import Status
from metricopt.thresholds import choose_threshold

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FORMAT = 1
BASELINE = "cross-entropy + tuned threshold"


class History(list[dict[str, Any]]):
    """One record an epoch and label: stage, epoch, loss, value, bounded value, feasible, threshold, multiplier."""

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
    labels : ndarray, shape (n, L), float32
    sample_weight : ndarray, shape (n, L), float, or None
    """

    data: str
    scores: np.ndarray
    baseline_scores: np.ndarray
    labels: np.ndarray
    sample_weight: np.ndarray | None = None


@dataclass(frozen=True)
class FitResult:
    """A trained model with its threshold.

    Attributes
    ----------
    model : Module
        The module that was passed, with the best weights found, in the mode that it had.
    objective : CountObjective
    label_names : tuple of str
    thresholds : ndarray, shape (L,), float
        On the scale of the model's scores; a score >= threshold is an alarm.
    statuses : tuple of Status
        One a label.
    train, validation : Report
        What the thresholds reach on the training part and on the held-out part (None if ``val_fraction=0``).
    baseline_train, baseline_validation : Report
        The same for candidate zero: cross-entropy's best epoch with its own exact threshold.
    history : History
    selected_stage : str
        The stage of training that the returned weights come from.
    solver : str
    seconds : float
    versions : dict of str to str
    """

    model: nn.Module
    objective: CountObjective
    label_names: tuple[str, ...]
    thresholds: np.ndarray
    statuses: tuple[Status, ...]
    train: Report
    validation: Report | None
    baseline_train: Report
    baseline_validation: Report | None
    history: History
    selected_stage: str
    solver: str
    seconds: float
    versions: dict[str, str]
    scored: dict[str, Scored]

    @classmethod
    def from_scores(
        cls, model: nn.Module, objective: CountObjective, scored: dict[str, Scored], *, diverged: bool, **rest: Any
    ) -> FitResult:
        """Choose the thresholds on the selection data and report on all of it.

        Parameters
        ----------
        model, objective
            As the attributes.
        scored : dict of str to Scored
            Of ``"train"`` and, where there is any, ``"validation"``, which then chooses.
        diverged : bool
            Whether training ended on a loss that was not finite.
        **rest
            The remaining attributes.
        """
        chooser = scored.get("validation", scored["train"])
        names = rest["label_names"]
        choice = choose_threshold(chooser.scores, chooser.labels, objective, chooser.sample_weight)
        baseline = choose_threshold(chooser.baseline_scores, chooser.labels, objective, chooser.sample_weight)

        def report(data: str, scores: str, thresholds: np.ndarray) -> Report | None:
            part = scored.get(data)
            if part is None:
                return None
            return evaluate(
                getattr(part, scores),
                part.labels,
                thresholds,
                objective,
                label_names=names,
                data=data,
                sample_weight=part.sample_weight,
            )

        return cls(
            model=model,
            objective=objective,
            thresholds=choice.threshold,
            statuses=tuple(
                Status.DIVERGED
                if diverged
                else Status.NO_POSITIVES
                if np.isnan(choice.threshold[label]) or not (chooser.labels[:, label] == 0).any()
                else Status.INFEASIBLE
                if not choice.feasible[label]
                else Status.FEASIBLE
                if objective.bounded
                else Status.OPTIMIZED
                for label in range(len(names))
            ),
            train=cast(Report, report("train", "scores", choice.threshold)),
            validation=report("validation", "scores", choice.threshold),
            baseline_train=cast(Report, report("train", "baseline_scores", baseline.threshold)),
            baseline_validation=report("validation", "baseline_scores", baseline.threshold),
            scored=scored,
            **rest,
        )
