"""A result in words: what was asked, what was reached, on which data, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from metricopt.evidence.reports import LabelReport
from metricopt.results.status import Status

if TYPE_CHECKING:
    from metricopt.results.result import FitResult


def summary(result: FitResult) -> str:
    """Return a text that says what was asked, what was reached, on which data, and against what."""
    lines = [f"Asked     {result.objective}"]
    if result.prevalence is not None:
        lines.append(f"For       a prevalence of {result.prevalence}, to which all metrics below are weighted")
    for which, (name, status) in enumerate(zip(result.label_names, result.statuses, strict=True)):
        head = f"{name}: " if len(result.label_names) > 1 else ""
        lines.append(f"Status    {head}{status}. {advice(result, name)}")
        if np.isnan(result.thresholds[which]):
            continue
        lines.append(f"Threshold {head}{result.thresholds[which]:.6g} ({result.alarm_rule})")
        parts = [(result.validation, result.baseline_validation), (result.train, result.baseline_train)]
        for part, baseline in parts:
            if part is None or baseline is None:
                continue
            report = part[which]
            lines.append(f"On {head}{part.data} data ({report.size})")
            lines.append(f"  {f'{result.objective.name} ({result.solver})':40s}{_metrics(report)}")
            lines.append(f"  {result.baseline_name + ' + tuned threshold':40s}{_metrics(baseline[which])}")
    for certificate in result.certificates or ():
        lines.append(f"Certified {certificate}")
    for compared, threshold in zip(result.slack or (), result.thresholds, strict=False):
        if np.isnan(threshold):
            continue
        lines.append(f"Slacks    {compared.label}: {compared}")
    lines.append(f"Weights from the stage {result.selected_stage!r}, after {result.seconds:.1f} s of training.")
    return "\n".join(lines)


def advice(result: FitResult, label: str | None = None) -> str:
    """Return what a label's status means, with the best achievable value where the bound is missed."""
    which = 0 if label is None else result.label_names.index(label)
    report, status = result.selection[which], result.statuses[which]
    text = status.advice
    if status is Status.INFEASIBLE:
        reached = f"{report.bounded_value:.3f}"
        text += f" Best achievable {report.bounded_metric}: {reached} (asked {report.bound:g})."
    if status is Status.NO_POSITIVES:
        parts = [part for part in (result.train, result.validation) if part is not None]
        missing = [f"no {kind} in the {part.data} data" for part in parts if (kind := _missing(part[which]))]
        text += f" There are {' and '.join(missing)}. It raises no alarm."
    return text


def one_line(result: FitResult) -> str:
    """Return what a result shows as in an interactive session."""
    parts = []
    for report, status in zip(result.selection, result.statuses, strict=True):
        bounded = "" if report.bounded_metric is None else f", {report.bounded_metric} {report.bounded_value:.3f}"
        parts.append(f"{report.label}: {status}, {report.metric} {report.value:.3f}{bounded}")
    return f"FitResult({result.objective!r}, {'; '.join(parts)} on {result.selection.data} data)"


def _metrics(report: Any) -> str:
    text = f"{report.metric} {report.with_interval(report.metric)}"
    if report.bounded_metric is not None:
        met = "met" if report.met else "MISSED"
        text += f", {report.bounded_metric} {report.with_interval(report.bounded_metric)} {met}"
    return text


def _missing(report: LabelReport) -> str | None:
    """Return the class that a label lacks in some data."""
    lacks = not report.counts.positives, not report.counts.negatives
    return {(True, True): "labels", (True, False): "positives", (False, True): "negatives"}.get(lacks)
