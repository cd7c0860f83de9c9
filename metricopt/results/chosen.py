"""The thresholds that rows choose, what they reach on all data, and how each label ended.

This file decides which data choose. It leaves the choice itself to :mod:`metricopt.evidence.choosing`.
"""

from __future__ import annotations

from typing import Any

from metricopt.problem.objectives import Objective
from metricopt.problem.prevalence import Prevalence
from metricopt.results.scores import DataScores, kept_labels, selection_scores
from metricopt.results.status import status_of
from metricopt.solvers.agreement import SlackAgreement


def choose_and_report(
    objective: Objective,
    data_scores: dict[str, DataScores],
    *,
    label_names: tuple[str, ...],
    diverged: bool,
    confidence: float | None,
    slack: tuple[SlackAgreement, ...] | None,
    prevalence: Prevalence | None,
) -> dict[str, Any]:
    """Return the thresholds, the statuses and the reports of a result, by the names of its attributes.

    The arguments are those of :func:`metricopt.results.result.result_from_scores`.
    """
    kept, chosen_on = kept_labels(data_scores), selection_scores(data_scores)
    choice = chosen_on.choose(chosen_on.model, objective, kept, confidence)
    zero = chosen_on.baseline and chosen_on.choose(chosen_on.baseline, objective, kept, confidence)
    given = objective, label_names, prevalence
    reports: dict[str, Any] = {"validation": None, "baseline_train": None, "baseline_validation": None}
    for data, part in data_scores.items():
        reports[data] = part.report(part.model, choice.threshold, *given, choice)
        if zero and part.baseline:
            reports[f"baseline_{data}"] = part.report(part.baseline, zero.threshold, *given, zero)
    statuses = tuple(
        status_of(
            diverged=diverged,
            has_both_classes=bool(kept[label]),
            feasible=bool((choice.empirical or choice).feasible[label]),
            supported=choice.supported is None or bool(choice.supported[label]),
            slack_holds=slack is None or slack[label].holds,
            bounded=bool(single.bounds),
        )
        for label, single in enumerate(objective.for_labels(len(label_names)))
    )
    return {"thresholds": choice.threshold, "statuses": statuses, **reports}
