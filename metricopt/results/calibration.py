"""Calibration data for a result: scored by its model, new to it, and what they certify of its thresholds.

This file decides which objectives and data can be certified at all. The statistics are those of
:mod:`metricopt.evidence.certification`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from torch import nn

from metricopt._arrays import Samples
from metricopt._validation import reject
from metricopt.evidence.certification import LabelCertificate, certify_label, import_control
from metricopt.problem.metrics import Ranking
from metricopt.problem.objectives import FPOR, FROP, Objective
from metricopt.problem.prevalence import Prevalence, prevalence_of_labels
from metricopt.results.scores import DataScores, selection_scores
from metricopt.results.status import Status
from metricopt.scoring.inputs import score_pairs


def certify(
    model: nn.Module,
    calibration_data: Any,
    objective: Objective,
    thresholds: np.ndarray,
    data_scores: Mapping[str, DataScores],
    label_names: Sequence[str],
    *,
    prevalence: Prevalence | None,
    confidence: float,
) -> tuple[LabelCertificate, ...]:
    """Certify the thresholds of a model, label by label; see :meth:`metricopt.FitResult.certify`."""
    num_labels = len(label_names)
    objectives = _objectives(objective, num_labels, confidence)
    import_control()
    scores, labels = score_pairs(calibration_data, model, num_labels)
    _check_new(data_scores, scores, labels)
    chosen_on = selection_scores(data_scores)
    samples, selection = Samples.read(scores, labels), Samples.read(chosen_on.scores, chosen_on.counted_labels)
    prevalences = prevalence_of_labels(prevalence, num_labels)
    return tuple(
        certify_label(
            single,
            Ranking.of(samples, label),
            Ranking.of(selection, label),
            float(thresholds[label]),
            confidence,
            prevalence=prevalences[label],
            label=label_names[label],
        )
        for label, single in enumerate(objectives)
    )


def certified_statuses(certificates: Sequence[LabelCertificate], statuses: Sequence[Status]) -> tuple[Status, ...]:
    """Return the statuses at the certified thresholds, from those at the tuned ones."""
    return tuple(
        Status.CERTIFIED if each.is_certified else was if was is Status.NO_POSITIVES else Status.NOT_CERTIFIED
        for each, was in zip(certificates, statuses, strict=True)
    )


def _objectives(objective: Objective, num_labels: int, confidence: float) -> tuple[FPOR | FROP, ...]:
    """Return one objective a label; reject what cannot be certified."""
    if not isinstance(objective, (FPOR, FROP)):
        why = "there is no bound to hold" if objective.bounded is None else f"the bound is on {objective.bounded.name}"
        remedy = f"{why}, and what is tested here is a bound on precision or on recall: train for one of these"
        reject("objective", "FPOR or FROP to be certified", objective.name, remedy)
    singles = cast("tuple[FPOR | FROP, ...]", objective.for_labels(num_labels))
    if any(single.bound == 1 for single in singles):
        remedy = "no number of samples shows that there is never an error: ask for less, e.g. 0.95"
        reject(str(objective.bound_parameter), "below 1 to be certified", 1.0, remedy)
    is_number = isinstance(confidence, (int, float)) and not isinstance(confidence, bool)
    if not (is_number and 0 < confidence < 1):
        reject("confidence", "in (0, 1)", repr(confidence), "give e.g. 0.9")
    return singles


def _check_new(data_scores: Mapping[str, DataScores], scores: np.ndarray, labels: np.ndarray) -> None:
    """Reject the very data that trained or chose, or both together as ``fit`` was given them, in whatever order."""
    known = {data: part.model for data, part in data_scores.items()}
    whole = tuple(np.concatenate(columns) for columns in zip(*known.values(), strict=True))
    for data, (old_scores, old_labels) in {**known, " and ".join(known): whole}.items():
        if len(old_labels) != len(labels):
            continue
        same_labels = np.array_equal(np.sort(old_labels, axis=0), np.sort(labels, axis=0), equal_nan=True)
        if same_labels and np.allclose(np.sort(old_scores, axis=0), np.sort(scores, axis=0), rtol=1e-5, atol=1e-6):
            remedy = "pass samples that took no part in training or selection: without them there is no guarantee"
            reject("calibration_data", "new to the model", f"the {data} data", remedy)
