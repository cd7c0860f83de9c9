"""What the history of a training keeps of an epoch: one record a label, of plain numbers and names.

This file decides what a record holds; the loop decides when one is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from metricopt.evidence.choice import ThresholdChoice
from metricopt.problem.objectives import Objective
from metricopt.solvers.agreement import SlackAgreement

Callback: TypeAlias = "Callable[[list[dict[str, Any]]], bool | None]"
"""A function that gets the records of an epoch, one for each label; it ends the training by returning True."""


def records_of(
    choice: ThresholdChoice,
    objective: Objective,
    label_names: Sequence[str],
    bound_names: Sequence[Sequence[str]],
    multiplier: np.ndarray | None,
    epoch: int,
    stage: str,
    loss: float,
    slack: Sequence[SlackAgreement] | None = None,
) -> list[dict[str, Any]]:
    """Return one record for each label.

    Parameters
    ----------
    choice : ThresholdChoice
        The choice of thresholds on the selection data after the epoch, with entries of shape (L,).
    objective : Objective
    label_names : sequence of str, length L
    bound_names : sequence of sequence of str, length L
        The names of the bounds of each label, each over all rows or in one subgroup.
    multiplier : ndarray, shape (L,) or (K, L), or None
        The multiplier of the bound, or of each of K bounds; NaN for a label that is left out, and where a label has
        fewer bounds than others.
    epoch, stage, loss
        The number of the epoch, the name of its stage, and its mean loss.
    slack : sequence of SlackAgreement, length L, optional
        The agreement of the slacks with the model, if the solver has slacks; the record keeps the fraction that agrees.
    """
    return [
        {
            "epoch": epoch,
            "stage": stage,
            "label": name,
            "loss": loss,
            "metric": single.metric_name,
            "value": float(choice.value[label]),
            "bounded_metric": None if single.bounded is None else single.bounded.name,
            "bounded_value": None if choice.bounded_value is None else float(choice.bounded_value[label]),
            "bound": single.bound,
            "feasible": bool(choice.feasible[label]),
            "threshold": float(choice.threshold[label]),
            **_multipliers(multiplier, label, bound_names[label]),
            "agreement": None if slack is None or np.isnan(slack[label].agreement) else float(slack[label].agreement),
        }
        for label, (name, single) in enumerate(zip(label_names, objective.for_labels(len(label_names)), strict=True))
    ]


def _multipliers(multiplier: np.ndarray | None, label: int, bound_names: Sequence[str]) -> dict[str, Any]:
    """Return the entries of a record for one multiplier, or for that of each bound by name."""
    if multiplier is None or not bound_names:
        return {"multiplier": None}
    own = multiplier[label] if multiplier.ndim == 1 else multiplier[: len(bound_names), label]
    if np.isnan(own).any():
        return {"multiplier": None}
    if own.ndim == 0:
        return {"multiplier": float(own)}
    named = zip(bound_names, own, strict=True)
    return {"multiplier": None, "multipliers": {name: float(value) for name, value in named}}
