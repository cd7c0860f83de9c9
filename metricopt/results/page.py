"""A result as one page for people: what was asked, what was reached, on which data, against what, and how sure that is.

This file decides what the page says; page.html.jinja decides how it looks. The page loads nothing from anywhere:
pictures and style lie in it, and it forbids its browser the rest. Names are escaped by the template engine.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from metricopt._validation import reject
from metricopt.evidence.intervals import clopper_pearson
from metricopt.evidence.reports import CONFIDENCE, LabelReport, Report
from metricopt.problem.objectives import Objective
from metricopt.processes import is_main_process
from metricopt.results.label_outcome import LabelOutcome
from metricopt.results.scores import DataScores
from metricopt.results.status import Status
from metricopt.results.tried import Tried
from metricopt.results.verdict import Verdict, headline, verdict_of
from metricopt.results.words import per_thousand

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DOTS, _FEWER_DOTS, _MANY_LABELS = 140, 90, 4
"""Dots an inch of the pictures, and of those of the labels from the fifth on, so that a page stays below 2 MB."""
_GOOD = (Status.FEASIBLE, Status.OPTIMIZED, Status.CERTIFIED)
_CHOSE = {True: "chose model and threshold", False: "chose the threshold"}
"""What the selection data did, for a result with a model and for one without."""

_USAGE = {
    True: """import metricopt

# result.save("model") wrote the folder; model is a module of the same architecture.
result = metricopt.load("model", model)
alarms = result.predict(x)  # 1 where score >= threshold
""",
    False: """import metricopt

# result.save("scores") wrote the folder; new_scores are of the model that gave the scores above.
result = metricopt.load("scores")
alarms = result.predict(new_scores)  # 1 where score >= threshold
""",
}


def write_page(
    path: Path,
    objective: Objective,
    outcomes: Sequence[LabelOutcome],
    methods: tuple[str, ...],
    data_scores: Mapping[str, DataScores],
    *,
    draw: Callable[[str], Iterable[tuple[str, Axes]]],
    alarm_rule: str,
    training: Mapping[str, str],
    versions: Mapping[str, str],
    test: Report | None = None,
    compare: Mapping[str, Sequence[Report]] | None = None,
    usage: str | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
    notes: Sequence[str] = (),
    candidates: Sequence[Tried] = (),
) -> Path:
    """Write the page; see :meth:`metricopt.FitResult.report`.

    Parameters
    ----------
    path : Path
    objective : Objective
    outcomes : sequence of LabelOutcome
        There is one for each label.
    methods : tuple of str
        How the page calls the model and, if there is one, candidate zero.
    data_scores : dict of str to DataScores
        The data of the training, whose sizes the page states.
    draw : callable ``(label name) -> iterable of (str, Axes)``
        Draws the pictures of a label, each with the sentence below it: a further picture is a further item.
    alarm_rule : str
        What the threshold does.
    training, versions : dict of str to str
        What the page says about the training, and which software it took: one line of a table for each. Nothing is said
        of the training of a result of scores alone.
    test, compare, usage, columns, notes
        The arguments of :meth:`metricopt.FitResult.report`.
    candidates : sequence of Tried
        The models that were tried, if there were several.

    Raises
    ------
    InvalidInputError
        If ``test`` is no report on these labels, or the path is a folder.
    """
    from jinja2 import Environment, StrictUndefined

    label_names = [outcome.label for outcome in outcomes]
    _check(path, label_names, test)
    if not is_main_process():
        return path
    engine = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    engine.filters.update(value=_value, interval=_interval)
    template = engine.from_string(files("metricopt.results").joinpath("page.html.jinja").read_text(encoding="utf-8"))
    selected_on = outcomes[0].selected_on
    page = template.render(
        objective=objective,
        label_names=label_names,
        labels=[
            _label(outcome, which, methods, draw, test, compare or {}, trained=bool(training))
            for which, outcome in enumerate(outcomes)
        ],
        sizes=_sizes(label_names, data_scores, test),
        test=test,
        selected_on=selected_on,
        overview_on=selected_on if test is None else test.data,
        alarm_rule=alarm_rule,
        trained=bool(training),
        chose=_CHOSE[bool(training)],
        baseline=methods[1] if len(methods) > 1 else None,
        method_heading=_heading(candidates, is_trained=bool(training), num_methods=len(methods)),
        candidates=candidates,
        columns=columns,
        notes=notes,
        groups=_groups(data_scores),
        relation="≥" if objective.bound_direction == "min" else "≤",
        confidence=CONFIDENCE,
        asked_confidence=outcomes[0].choice.confidence if objective.bounds else None,
        training={**training, **versions},
        versions=versions,
        usage=_USAGE[bool(training)] if usage is None else usage,
        written=datetime.now().astimezone(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.part")
    try:
        aside.write_text(page, encoding="utf-8")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def _check(path: Path, label_names: list[str], test: Report | None) -> None:
    """Reject a path that is a folder, and a test report on other labels."""
    if path.is_dir():
        reject("path", "a file", f"the folder {path}", "name a file in it, e.g. report.html")
    if test is not None:
        got = [label.label for label in test] if isinstance(test, Report) else type(test).__name__
        if got != label_names:
            rule = f"a report on the labels {label_names}"
            reject("test", rule, got, "pass what result.evaluate(test_data) returns")


def _label(
    outcome: LabelOutcome,
    which: int,
    methods: tuple[str, ...],
    draw: Callable[[str], Iterable[tuple[str, Axes]]],
    test: Report | None,
    compare: Mapping[str, Sequence[Report]],
    *,
    trained: bool,
) -> dict[str, Any]:
    """Return what the page says of one label; the samples that took no part in training, if any, speak first."""
    report, direction = outcome.selection, outcome.choice.bound_direction
    said: dict[str, Any] = {
        "name": outcome.label,
        "status": outcome.status,
        "verdict": None,
        "badge": outcome.status,
        "badge_class": "met" if outcome.status in _GOOD else "missed",
        "advice": outcome.advice,
        "threshold": outcome.threshold,
        "metrics": list(dict.fromkeys(filter(None, (report.metric, report.bounded_metric, "precision", "recall")))),
        "parts": [],
        "subgroups": [],
        "pictures": [],
        "slack": None,
        "certificate": None if outcome.certificate is None else str(outcome.certificate),
    }
    if not outcome.has_threshold:
        return said
    parts: list[tuple[str, str, tuple[LabelReport, ...]]] = []
    if test is not None:
        parts.append((test.data, f"took no part in {'training' if trained else 'the choice'}", (test[which],)))
        said["verdict"] = verdict_of(test[which], direction)
        if said["verdict"] is not None:
            said["badge"] = f"{said['verdict']} on {test.data} data"
            said["badge_class"] = "met" if said["verdict"] is Verdict.MET else "missed"
    for data, reports in outcome.reports.items():
        parts.append((data, _role(outcome, data) if trained else _CHOSE[False], reports))
    for data, role, reports in parts:
        rows = list(zip(methods, reports, strict=False))
        rows += [(name, other[which]) for name, others in compare.items() for other in others if other.data == data]
        said["parts"].append({"report": reports[0], "data": data, "role": role, "rows": rows})
    said["per_thousand"] = per_thousand(parts[0][2][0])
    said["headline"] = headline(parts[0][2][0], parts[0][0], direction)
    said["subgroups"] = [] if test is None else _subgroups(test, which)
    said["measures"] = _measures(parts[0][2][0])
    dots = _DOTS if which < _MANY_LABELS else _FEWER_DOTS
    said["pictures"] = [(text, _as_data_uri(ax, dots)) for text, ax in draw(outcome.label)]
    said["slack"] = None if outcome.slack is None else str(outcome.slack)
    return said


def _subgroups(test: Report, which: int) -> list[tuple[str, LabelReport]]:
    """Return the reports by subgroup, each by its name and, where samples are weighted to a prevalence, its own."""
    named = []
    for group, part in test.subgroups.items():
        report = part[which]
        own = "" if report.prevalence is None else f" (prevalence {report.prevalence:.3g})"
        named.append((f"{group}{own}", report))
    return named


def _measures(report: LabelReport) -> list[tuple[str, str, str]]:
    """Return what a clinic asks of a threshold: each measure with its value and its interval, "" where it has none."""
    counts, measures = report.counts, []
    alarms = counts.true_positives + counts.false_positives
    quiet = counts.negatives - counts.false_positives
    has_interval = "recall" in report.intervals and report.prevalence is None
    if counts.true_positives:
        low, high = report.intervals.get("precision", (0.0, 0.0))
        sure = f"{1 / high:.3g}–{1 / low:.3g}" if low > 0 else ""
        measures.append(("number needed to evaluate", f"{alarms / counts.true_positives:.3g}", sure))
    for name, right, of in (
        ("specificity", quiet, counts.negatives),
        ("negative predictive value", quiet, quiet + counts.false_negatives),
    ):
        if of:
            low, high = clopper_pearson(right, of, CONFIDENCE) if has_interval else (0.0, 0.0)
            measures.append((name, f"{right / of:.3f}", f"{low:.3f}–{high:.3f}" if has_interval else ""))
    return measures


def _heading(candidates: Sequence[Tried], *, is_trained: bool, num_methods: int) -> str:
    """Return what heads the column with the methods."""
    if not is_trained:
        return "threshold for"
    return "model" if candidates or num_methods == 1 else "trained on"


def _groups(data_scores: Mapping[str, DataScores]) -> tuple[int, int] | None:
    """Return how many rows and how many groups there are where rows are not independent, else None."""
    for part in data_scores.values():
        if part.groups is not None and len(np.unique(part.groups)) < len(part.groups):
            return len(part.groups), len(np.unique(part.groups))
    return None


def _role(outcome: LabelOutcome, data: str) -> str:
    """Say what data of the training were for: the last ones fitted the weights, the first ones selected."""
    fitted, selected = data == list(outcome.reports)[-1], data == outcome.selected_on
    return " and ".join(["fitted the weights"] * fitted + [_CHOSE[True]] * selected)


def _sizes(
    label_names: Sequence[str], data_scores: Mapping[str, DataScores], test: Report | None
) -> list[dict[str, Any]]:
    """Return how many samples, positives and missing labels each part of the data has, label by label."""
    sizes = []
    for part in data_scores.values():
        missing = np.isnan(part.labels).sum(axis=0)
        positives = np.nansum(part.labels, axis=0)
        weighted = part.sample_weight is not None
        for which, label in enumerate(label_names):
            labelled = len(part.labels) - int(missing[which])
            sizes.append(_size(part.data, label, labelled, int(positives[which]), int(missing[which]), weighted))
    if test is not None:
        for report in test:
            sizes.append(_size(test.data, report.label, report.num_samples, int(report.counts.positives), None, False))
    return sizes


def _size(data: str, label: str, labelled: int, positives: int, missing: int | None, weighted: bool) -> dict[str, Any]:
    return {
        "data": data,
        "label": label,
        "labelled": labelled,
        "positives": positives,
        "fraction": f"{positives / labelled:.2%}" if labelled else "-",
        "missing": missing,
        "weighted": weighted,
    }


def _value(report: LabelReport, metric: str) -> str:
    return report.with_interval(metric).partition(" (")[0]


def _interval(report: LabelReport, metric: str) -> str:
    return report.with_interval(metric).partition(" (")[2].rstrip(")").replace("-", "–")


def _as_data_uri(ax: Axes, dots: int) -> str:
    picture = io.BytesIO()
    cast(Any, ax.figure).savefig(picture, format="png", dpi=dots)
    return f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}"
