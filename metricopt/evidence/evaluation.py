"""What fixed thresholds reach on scores and labels, as a report.

This file decides how a report is worked out. What it holds is decided in :mod:`metricopt.evidence.reports`; scores come
from :mod:`metricopt.scoring`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from metricopt._arrays import Samples
from metricopt._validation import reject
from metricopt.evidence.bound_reports import bound_reports
from metricopt.evidence.intervals import classes_of, intervals_of
from metricopt.evidence.reports import CONFIDENCE, LabelReport, Report, Scored
from metricopt.evidence.subgroups import SubgroupColumn, read_subgroups
from metricopt.problem import metrics, ratios
from metricopt.problem.objectives import OFBS, Objective
from metricopt.problem.prevalence import Prevalence, prevalence_of_labels
from metricopt.problem.ranking import Ranking
from metricopt.problem.ratios import Counts


def evaluate(
    scores: np.ndarray,
    labels: np.ndarray,
    threshold: np.ndarray,
    objective: Objective,
    *,
    label_names: Sequence[str],
    data: str,
    sample_weight: np.ndarray | None = None,
    prevalence: Prevalence | None = None,
    by: Any = None,
    subgroups: Any = None,
    row_thresholds: np.ndarray | None = None,
) -> Report:
    """Return what fixed thresholds reach on scores and labels.

    Parameters
    ----------
    scores, labels : ndarray, shape (n, L), float
        Labels are 0, 1 or NaN (missing).
    threshold : ndarray, shape (L,), float
    objective : Objective
    label_names : sequence of str, length L
    data : str
        The name of the data, for whoever reads the report.
    sample_weight : ndarray, shape (n, L), float, optional
    prevalence : float or tuple of float, optional
        The fraction of positives that ``sample_weight`` makes, if it was made for that; one for all labels, or one for
        each label.
    by : array, shape (n,), optional
        A value for each sample; the report then holds the same by subgroup. The samples of a subgroup keep their
        weights. With a prevalence, each class is so weighted by the same factor in every subgroup, and the report on a
        subgroup states the prevalence that its own samples then have.
    subgroups : mapping of str to array of shape (n,), or a frame, optional
        The columns that a :class:`~metricopt.Program` names.
    row_thresholds : ndarray, shape (n, L), optional
        What takes the place of ``threshold`` where each subgroup has its own.

    Raises
    ------
    InvalidInputError
        If ``by`` has another length than ``scores``.
    """
    samples = Samples.read(scores, labels, sample_weight)
    limits = np.broadcast_to(threshold if row_thresholds is None else row_thresholds, scores.shape)
    alarms = replace(samples, scores=(samples.scores.astype(np.float64) >= limits).astype(np.float64))
    counts = metrics.confusion_counts(alarms.scores, labels, np.full(scores.shape[1], 0.5), sample_weight)
    columns = read_subgroups(subgroups, objective.columns, len(scores), strict=False)
    prevalences = prevalence_of_labels(prevalence, scores.shape[1])
    reports = tuple(
        _label_report(
            samples, alarms, label, float(threshold[label]), single, counts[label], name, prevalences[label], columns
        )
        for label, (name, single) in enumerate(zip(label_names, objective.for_labels(scores.shape[1]), strict=True))
    )
    parts = {}
    for value, rows in _subgroups(by, len(scores)).items():
        weight = None if sample_weight is None else sample_weight[rows]
        name = f"{data}, {value}"
        report = evaluate(
            scores[rows],
            labels[rows],
            threshold,
            objective,
            label_names=label_names,
            data=name,
            sample_weight=weight,
            subgroups={column: own.take(np.flatnonzero(rows)) for column, own in columns.items()},
            row_thresholds=None if row_thresholds is None else row_thresholds[rows],
        )
        own = zip(report, prevalences, strict=True)
        parts[value] = Report(name, tuple(each if at is None else _at_own_prevalence(each) for each, at in own))
    return Report(data, reports, parts, Scored(scores, labels, sample_weight))


def _label_report(
    samples: Samples,
    alarms: Samples,
    label: int,
    threshold: float,
    objective: Objective,
    counts: Counts,
    name: str,
    prevalence: float | None,
    subgroups: Mapping[str, SubgroupColumn],
) -> LabelReport:
    """Return the report on the label at this position, with its own objective and its counts at the threshold."""
    ranking, bounded = Ranking.of(samples, label), objective.bounded
    left_out = np.isnan(threshold)
    bounds = () if left_out else bound_reports(alarms, label, objective, subgroups, CONFIDENCE)
    met = None
    if not left_out and objective.bounds:
        met = all(each.met for each in bounds) if bounds else bool(objective.threshold_objective.feasible(counts))
    return LabelReport(
        label=name,
        num_samples=int((~np.isnan(samples.labels[:, label])).sum()),
        threshold=threshold,
        true_positives=float(counts.true_positives),
        false_positives=float(counts.false_positives),
        false_negatives=float(counts.false_negatives),
        true_negatives=float(counts.true_negatives),
        precision=float(ratios.PRECISION(counts)),
        recall=float(ratios.RECALL(counts)),
        f_beta=float(ratios.f_beta_ratio(objective.beta if isinstance(objective, OFBS) else 1.0)(counts)),
        average_precision=ranking.average_precision(),
        metric=objective.metric_name,
        value=objective.measure(ranking, counts),
        bounded_metric=bounded.name if bounded else None,
        bound=objective.bound if isinstance(objective.bound, float) else None,
        bounded_value=float(bounded(counts)) if bounded else None,
        met=met,
        intervals=intervals_of(counts, objective, *classes_of(alarms, label, 0.5), CONFIDENCE),
        prevalence=prevalence,
        bounds=bounds,
    )


def _subgroups(by: Any, num_samples: int) -> dict[str, np.ndarray]:
    """Return which samples have each value of ``by``."""
    if by is None:
        return {}
    values = np.asarray(by)
    if values.shape != (num_samples,):
        reject("by", f"one value a sample ({num_samples})", f"shape {values.shape}", "give an array or a column")
    names = values.astype(str)
    return {str(name): names == name for name in np.unique(names)}


def _at_own_prevalence(report: LabelReport) -> LabelReport:
    """Return the report on a subgroup with the prevalence that its weighted samples have; None without samples."""
    positives, total = report.counts.positives, report.counts.positives + report.counts.negatives
    return replace(report, prevalence=float(positives / total) if total else None)
