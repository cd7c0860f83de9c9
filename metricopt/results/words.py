"""A result in words: what was asked, what was reached, on which data, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from metricopt.evidence.reports import LabelReport
from metricopt.problem.classes import Classes
from metricopt.problem.objectives import Objective
from metricopt.problem.prevalence import Prevalence
from metricopt.results.label_outcome import LabelOutcome
from metricopt.results.tried import Tried
from metricopt.solvers import WARMUP

COMMON_POSITIVE = (
    "1, as of 0 and 1 everywhere, though it is the more common class. To find the rarer one, name 0 as the positive "
    "class, or swap the two."
)


def summary(
    objective: Objective,
    outcomes: Sequence[LabelOutcome],
    methods: tuple[str, ...],
    *,
    confidence: float | None,
    holdout: str,
    classes: Sequence[Classes | None],
    alarm_rule: str,
    prevalence: Prevalence | None,
    selected_stage: str,
    seconds: float,
    candidates: Sequence[Tried] = (),
) -> str:
    """Return a text that says what was asked, what was reached, on which data, and against what.

    Parameters
    ----------
    objective : Objective
    outcomes : sequence of LabelOutcome
        There is one for each label.
    methods : tuple of str
        How the text calls the model and, if there is one, candidate zero.
    confidence, holdout, classes
        The attributes of the same names of :class:`metricopt.FitResult`.
    alarm_rule : str
        What the threshold does.
    prevalence, selected_stage, seconds
        The attributes of the same names of :class:`metricopt.FitResult`. The stage is empty without a torch model.
    candidates : sequence of Tried
        The models that were tried, if there were several.
    """
    lines = [f"Asked     {objective}" + ("" if confidence is None else f", with confidence {confidence:g}")]
    if holdout:
        lines.append(f"Judged by {holdout}")
    lines += [
        f"Positive  {f'{outcome.label}: ' if len(outcomes) > 1 else ''}{own}"
        for outcome, own in zip(outcomes, classes, strict=True)
        if own is not None
    ]
    if prevalence is None:
        lines += [
            f"Positive  {f'{outcome.label}: ' if len(outcomes) > 1 else ''}{COMMON_POSITIVE}"
            for outcome, own in zip(outcomes, classes, strict=True)
            if own is None and outcome.selection.counts.positives > outcome.selection.counts.negatives
        ]
    if prevalence is not None:
        lines.append(f"For       a prevalence of {prevalence}, to which all metrics below are weighted")
    width = max(map(len, methods))
    for outcome in outcomes:
        head = f"{outcome.label}: " if len(outcomes) > 1 else ""
        lines.append(f"Status    {head}{outcome.status}. {outcome.advice}")
        if not outcome.has_threshold:
            continue
        lines.append(f"Threshold {head}{outcome.threshold:.6g} ({alarm_rule})")
        own = {} if outcome.choice.program is None else outcome.choice.program.thresholds or {}
        lines += [f"          {name}: {value:.6g}" for name, value in own.items()]
        if own and (gap := outcome.choice.program.gap_in_words) is not None:
            lines.append(f"Gap       {head}{gap}")
        for data, reports in outcome.reports.items():
            lines.append(f"On {head}{data} data ({reports[0].size})")
            for name, report in zip(methods, reports, strict=True):
                lines.append(f"  {name:{width}}  {_metrics(report)}")
                lines += [f"    {each.name} {each.said}" for each in report.bounds]
    lines += [f"Certified {outcome.certificate}" for outcome in outcomes if outcome.certificate is not None]
    for outcome in outcomes:
        if outcome.slack is not None and outcome.has_threshold:
            lines.append(f"Slacks    {outcome.slack.label}: {outcome.slack}")
    lines += [f"Tried     {each}" for each in candidates]
    if selected_stage:
        lines.append(f"Weights from the stage {selected_stage!r}, after {seconds:.1f} s of training.")
    if selected_stage == WARMUP:
        lines.append(nothing_better(outcomes))
    return "\n".join(lines)


def nothing_better(outcomes: Sequence[LabelOutcome]) -> str:
    """Return the sentence that says that the returned weights are those of the warm-up."""
    positives = sum(outcome.selection.counts.positives for outcome in outcomes)
    number = f"{positives:.6g} positive{'s' * (positives != 1)}"
    return f"The model is the warm-up: training on the objective found nothing better on {number}."


def per_thousand(report: LabelReport) -> str:
    """Return what a threshold means for 1,000 samples like those of a report: alarms, found, missed, and their odds.

    Examples
    --------
    >>> import numpy as np
    >>> from metricopt.evidence.evaluation import evaluate
    >>> from metricopt.problem.objectives import FPOR
    >>> scores, labels = np.array([[3.0], [2.0], [1.0], [0.0]]), np.array([[1.0], [0.0], [1.0], [0.0]])
    >>> print(per_thousand(evaluate(scores, labels, np.array([2.0]), FPOR(0.5), label_names=("sick",), data="test")[0]))
    Of 1,000 such samples 500 are alarms: 250 are right and 250 are false. 250 of 500 positives are missed. It takes 2
    alarms to find one positive. Of the samples without an alarm 50.0 % are negative; of the negatives 50.0 % raise
    none.
    """
    counts = report.counts
    total = counts.positives + counts.negatives
    if not total:
        return ""
    right, false, missed = (
        1000 * float(each) / total for each in (counts.true_positives, counts.false_positives, counts.false_negatives)
    )
    text = f"Of 1,000 such samples {_rounded(right + false)} are alarms"
    if right + false:
        text += f": {_rounded(right)} are right and {_rounded(false)} are false"
    text += f". {_rounded(missed)} of {_rounded(right + missed)} positives are missed."
    if right:
        text += f" It takes {(right + false) / right:.3g} alarms to find one positive."
    quiet = counts.negatives - counts.false_positives
    if quiet:
        among_quiet, among_negatives = quiet / (quiet + counts.false_negatives), quiet / counts.negatives
        text += (
            f" Of the samples without an alarm {among_quiet:.1%} are negative; of the negatives {among_negatives:.1%}"
        )
        text += " raise none."
    return text.replace("%", " %")


def _rounded(number: float) -> str:
    return f"{number:.0f}" if number >= 10 or number == round(number) else f"{number:.1f}"


def one_line(objective: Objective, outcomes: Sequence[LabelOutcome]) -> str:
    """Return what a result shows as in an interactive session."""
    parts = []
    for outcome in outcomes:
        report = outcome.selection
        bounded = ""
        if report.bounded_metric is not None and report.bounded_value is not None:
            reached = "undefined" if math.isnan(report.bounded_value) else f"{report.bounded_value:.3f}"
            bounded = f", {report.bounded_metric} {reached}"
        if report.bounds:
            bounded = f", {sum(each.met for each in report.bounds)} of {len(report.bounds)} bounds met"
        parts.append(f"{outcome.label}: {outcome.status}, {report.metric} {report.value:.3f}{bounded}")
    return f"FitResult({objective!r}, {'; '.join(parts)} on {outcomes[0].selected_on} data)"


def _metrics(report: LabelReport) -> str:
    text = f"{report.metric} {report.with_interval(report.metric)}"
    if report.bounded_metric is not None:
        said = report.of_bound.replace("missed", "MISSED")
        text += f", {report.bounded_metric} {report.with_interval(report.bounded_metric)} {said}"
    return text.rstrip()
