"""What new rows say of a bound: whether it holds there, and how sure that is."""

from __future__ import annotations

import math
from enum import Enum

from metricopt.evidence.reports import LabelReport


class Verdict(str, Enum):
    """What a report on rows that took no part in training says of the bound; the value is in words.

    A bound that is missed is so within chance unless the 95 % interval lies wholly on the wrong side of it.
    """

    MET = "bound met"
    NEAR = "bound missed, within chance"
    MISSED = "bound missed"
    UNDEFINED = "no alarm to judge"

    def __str__(self) -> str:
        return self.value


def verdict_of(report: LabelReport, direction: str) -> Verdict | None:
    """Return what a report says of the bound; None without a bound or a threshold.

    Parameters
    ----------
    report : LabelReport
    direction : "min" or "max"
        Whether the bound is the least or the largest value allowed.
    """
    if report.bounds and report.met is not None:
        missed = [each for each in report.bounds if not each.met and not math.isnan(each.value)]
        if report.met or not missed:
            return Verdict.MET if report.met else Verdict.UNDEFINED
        return Verdict.NEAR if all(each.is_within_chance for each in missed) else Verdict.MISSED
    if report.met is None or report.bounded_metric is None or report.bounded_value is None or report.bound is None:
        return None
    if math.isnan(report.bounded_value):
        return Verdict.UNDEFINED
    if report.met:
        return Verdict.MET
    low, high = report.intervals.get(report.bounded_metric, (-math.inf, math.inf))  # unknown for weighted rows
    reaches = high >= report.bound if direction == "min" else low <= report.bound
    return Verdict.NEAR if reaches else Verdict.MISSED


def headline(report: LabelReport, data: str, direction: str) -> str:
    """Return in one sentence or two what was found on some data, and what that says of the bound.

    Parameters
    ----------
    report : LabelReport
    data : str
        The name of the data.
    direction : "min" or "max"
        Whether the bound is the least or the largest value allowed.
    """
    found, alarms = report.true_positives, report.true_positives + report.false_positives
    counts = f"{found:.6g} of {report.counts.positives:.6g} positives are found"
    right = f"{found:.6g} of {alarms:.6g} alarms are right" if alarms else "no alarm is raised"
    text = f"On {report.num_samples} {data} rows {right}, and {counts}."
    verdict = verdict_of(report, direction)
    if verdict is None or verdict is Verdict.UNDEFINED:
        return text
    name, relation = str(report.bounded_metric).replace("_", " "), ">=" if direction == "min" else "<="
    if report.bounds:
        missed = [each for each in report.bounds if not each.met]
        if not missed:
            return f"{text} All {len(report.bounds)} bounds hold there."
        by_chance = ", by no more than chance may explain" if verdict is Verdict.NEAR else ""
        return f"{text} {len(missed)} of {len(report.bounds)} bounds fail there{by_chance}: " + "; ".join(
            f"{each.name} {each.said}" for each in missed
        )
    says = {
        Verdict.MET: "the bound holds there",
        Verdict.NEAR: "the bound fails there, by no more than chance may explain",
        Verdict.MISSED: "the bound fails there, by more than chance explains",
    }[verdict]
    reached = report.with_interval(str(report.bounded_metric))
    return f"{text} {name.capitalize()} {reached}, asked {relation} {report.bound:g}: {says}."
