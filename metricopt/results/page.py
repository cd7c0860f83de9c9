"""A result as one page for people: what was asked, what was reached, on which data, against what, and how sure that is.

This file decides what the page says; page.html.jinja decides how it looks. The page loads nothing from anywhere:
pictures and style lie in it, and it forbids its browser the rest. Names are escaped by the template engine.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from metricopt._validation import reject
from metricopt.evidence.reports import CONFIDENCE, LabelReport, Report
from metricopt.processes import is_main_process

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from metricopt.results.result import FitResult

_USAGE = """import metricopt

# result.save("model") wrote the folder; model is a module of the same architecture.
result = metricopt.load("model", model)
alarms = result.predict(x)  # 1 where score >= threshold
"""


def write_report(
    result: FitResult,
    path: Path,
    test: Report | None = None,
    *,
    compare: Mapping[str, Sequence[Report]] | None = None,
    usage: str = _USAGE,
) -> Path:
    """Write the page; see :meth:`metricopt.results.result.FitResult.report`.

    Parameters
    ----------
    result : FitResult
    path : Path
    test : Report, optional
        On data that took no part in training and selection.
    compare : dict of str to sequence of Report, optional
        Other methods by name; each report stands beside that of the result on data of the same name.
    usage : str
        The lines of code that apply the model to new data.

    Raises
    ------
    InvalidInputError
        If ``test`` is no report on the labels of the result, or the path is a folder.
    """
    from jinja2 import Environment, StrictUndefined

    if path.is_dir():
        reject("path", "a file", f"the folder {path}", "name a file in it, e.g. report.html")
    if test is not None:
        got = [label.label for label in test] if isinstance(test, Report) else type(test).__name__
        if got != list(result.label_names):
            rule = f"a report on the labels {list(result.label_names)}"
            reject("test", rule, got, "pass what result.evaluate(test_data) returns")
    if not is_main_process():
        return path
    engine = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    engine.filters.update(value=_value, interval=_interval)
    template = engine.from_string(files("metricopt.results").joinpath("page.html.jinja").read_text(encoding="utf-8"))
    labels = [_label(result, which, test, compare or {}) for which in range(len(result.label_names))]
    page = template.render(
        result=result,
        labels=labels,
        sizes=_sizes(result, test),
        test=test,
        model=type(result.model).__name__,
        num_weights=sum(parameter.numel() for parameter in result.model.parameters()),
        num_epochs=len(result.history) // len(labels),
        relation="≥" if result.objective.bound_direction == "min" else "≤",
        confidence=CONFIDENCE,
        usage=usage,
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


def _pictures(result: FitResult, label: str) -> Iterator[tuple[str, Axes]]:
    """Yield the pictures of a label, each with the sentence below it: a further picture is a further line."""
    data = result.selection.data
    yield (
        f"Precision and recall at every threshold on {data} data, and where the threshold lies.",
        result.plot(label=label),
    )


def _label(
    result: FitResult, which: int, test: Report | None, compare: Mapping[str, Sequence[Report]]
) -> dict[str, Any]:
    """Return what the page says of one label."""
    name, status = result.label_names[which], result.statuses[which]
    left_out = bool(np.isnan(result.thresholds[which]))
    own_name = f"{result.objective.name} ({result.solver})"
    parts = []
    for own, baseline in (
        (test, None),
        (result.validation, result.baseline_validation),
        (result.train, result.baseline_train),
    ):
        if own is None or left_out:
            continue
        rows = [(own_name, own[which])]
        if baseline is not None:
            rows.append((f"{result.baseline_name} + tuned threshold", baseline[which]))
        rows += [
            (other, report[which])
            for other, reports in compare.items()
            for report in reports
            if report.data == own.data
        ]
        parts.append({"report": own[which], "data": own.data, "role": _role(result, own), "rows": rows})
    subgroups = [] if test is None or left_out else [(group, part[which]) for group, part in test.subgroups.items()]
    report = result.selection[which]
    return {
        "name": name,
        "status": status,
        "advice": result.advice(name),
        "threshold": None if left_out else result.thresholds[which],
        "metrics": list(dict.fromkeys(filter(None, (report.metric, report.bounded_metric, "precision", "recall")))),
        "parts": parts,
        "subgroups": subgroups,
        "pictures": [] if left_out else [(text, _as_data_uri(ax)) for text, ax in _pictures(result, name)],
        "slack": None if left_out or result.slack is None else str(result.slack[which]),
    }


def _role(result: FitResult, report: Report) -> str:
    if report is result.train:
        return "fitted the weights" if result.validation else "fitted the weights and chose model and threshold"
    return "chose model and threshold" if report is result.validation else "took no part in training"


def _sizes(result: FitResult, test: Report | None) -> list[dict[str, Any]]:
    """Return how many samples, positives and missing labels each part of the data has, label by label."""
    sizes = []
    for data, part in result.scored.items():
        missing = np.isnan(part.labels).sum(axis=0)
        positives = np.nansum(part.labels, axis=0)
        weighted = part.sample_weight is not None
        for which, label in enumerate(result.label_names):
            labelled = len(part.labels) - int(missing[which])
            sizes.append(_size(data, label, labelled, int(positives[which]), int(missing[which]), weighted))
    if test is not None:
        for report in test:
            sizes.append(_size(test.data, report.label, report.num_samples, int(report.counts.positives), None, False))
    return sizes


def _size(data: str, label: str, labelled: int, positives: int, missing: int | None, weighted: bool) -> dict[str, Any]:
    share = f"{positives / labelled:.2%}" if labelled else "-"
    return {
        "data": data,
        "label": label,
        "labelled": labelled,
        "positives": positives,
        "share": share,
        "missing": missing,
        "weighted": weighted,
    }


def _value(report: LabelReport, metric: str) -> str:
    return report.with_interval(metric).partition(" (")[0]


def _interval(report: LabelReport, metric: str) -> str:
    return report.with_interval(metric).partition(" (")[2].rstrip(")").replace("-", "–")


def _as_data_uri(ax: Axes) -> str:
    picture = io.BytesIO()
    cast(Any, ax.figure).savefig(picture, format="png", dpi=160)
    return f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}"
