"""The report: one Markdown page, precision-recall pictures a label beside it, made of the rows alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.chexpert.methods import DIRECT
from benchmarks.reporting.files import markdown
from metricopt.evidence.reports import LabelReport
from metricopt.plots import plot_labels, plot_precision_recall
from metricopt.problem.metrics import PrecisionRecallCurve

REFERENCE = "cross_entropy"
_SHOWN = 4  # curves that a reader can tell apart
_ALL_LABELS = "labels.png"


def write_report(
    frame: pd.DataFrame,
    page: Path,
    *,
    title: str,
    command: str,
    network: pd.DataFrame,
    skipped: Mapping[str, str],
    failed: Mapping[str, str],
) -> Path:
    """Write the page, its pictures into the same folder.

    Parameters
    ----------
    frame : DataFrame
        A row per (method, seed, label).
    page : Path
    title, command : str
    network : DataFrame
        Size and speed of the networks, indexed by name.
    skipped, failed : dict of str to str
        Methods that could not run, cells that failed, and why.
    """
    page.parent.mkdir(parents=True, exist_ok=True)
    versions = ", ".join(f"{name} {frame[name].iloc[0]}" for name in ("python", "metricopt", "torch", "torchvision"))
    parts = [
        f"# {title}",
        f"Written by `{command}` with {versions}.",
        "Thresholds are those that the validation part chose; test data were used once. A bound that holds on "
        "validation data may be missed on new data. Scores: the best value on the test curve that meets the bound, 0 "
        "where nothing does. Means over the seeds, each a split by patients of its own.",
        "## Network",
        markdown(network),
    ]
    if frame["label"].nunique() > 1:
        _draw_labels(frame, title).savefig(page.parent / _ALL_LABELS, dpi=120, metadata={"Software": None})
        parts.append(f"![Precision and recall of all labels on test data]({_ALL_LABELS})")
    for label, rows in frame.groupby("label", sort=False):
        parts += [f"## {label}", _about(rows), markdown(_summary(rows))]
        differences = _differences(rows)
        if len(differences):
            parts += [f"Scores, minus {REFERENCE}, paired by seed:", markdown(differences)]
        picture = f"precision_recall_{'_'.join(str(label).split())}.png"
        _draw(rows, str(label), title).savefig(page.parent / picture, dpi=120, metadata={"Software": None})
        parts.append(f"![Precision and recall of {label} on test data]({picture})")
    for heading, notes in (("Not run", skipped), ("Failed", failed)):
        if notes:
            parts += [f"## {heading}", "\n".join(f"- {name}: {reason}" for name, reason in notes.items())]
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return page


def _about(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    asked = f"Asked: {first['metric']}"
    if first["bounded"]:
        asked += f" subject to {first['bounded']} >= {first['bound']:g}"
    counts = ", ".join(f"{int(first[f'{part}_positives'])} in {part}" for part in ("train", "validation", "test"))
    text = f"{asked}. Positives (first split): {counts}."
    if (rows[[f"{part}_positives" for part in ("train", "validation", "test")]] == 0).any(axis=None):
        text += " **Some split lacks positives: its metrics are undefined and left out of the means.**"
    return text


def _summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return objective and violation side by side, a line a method."""
    lines = {}
    for method, own in rows.groupby("method", sort=False):
        line = {
            "seeds": len(own),
            f"{own['metric'].iloc[0]}, scores": own["test_curve_value"].mean(),
            f"{own['metric'].iloc[0]}, deployed": own["test_value"].mean(),
        }
        if own["bounded"].iloc[0]:
            bound, reached = own["bound"].astype(float), own["test_bounded"].astype(float)
            line[f"{own['bounded'].iloc[0]}, deployed"] = reached.mean()
            line["shortfall"] = (bound - reached).clip(lower=0).fillna(0.0).mean()  # silence breaks no bound
            line["bound met on validation / test"] = (
                f"{own['validation_met'].astype(float).mean():.0%} / {own['test_met'].astype(float).mean():.0%}"
            )
        line |= {"average precision": own["test_average_precision"].mean(), "seconds": own["seconds"].mean()}
        lines[method] = line
    return pd.DataFrame.from_dict(lines, orient="index")


def _differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Return mean and standard error of the paired differences of the direct methods."""
    values = rows.pivot(index="seed", columns="method", values="test_curve_value")
    lines = {}
    for method in (name for name in DIRECT if name in values and REFERENCE in values):
        paired = (values[method] - values[REFERENCE]).dropna()
        error = paired.std(ddof=1) / math.sqrt(len(paired)) if len(paired) > 1 else math.nan
        lines[method] = {"mean": f"{paired.mean():+.3f}", "standard error": error, "seeds": len(paired)}
    return pd.DataFrame.from_dict(lines, orient="index")


def _draw(rows: pd.DataFrame, label: str, title: str) -> Figure:
    """Draw the curves and operating points of a label."""
    curves, points, seed = _curves(rows)
    figure = Figure(figsize=(6.2, 6), layout="constrained")
    heading = "\n".join(wrap(f"{title}; {label}, test data, seed {seed}", 60))
    plot_precision_recall(curves, points, ax=figure.subplots(), title=heading)
    return figure


def _draw_labels(frame: pd.DataFrame, title: str) -> Figure:
    """Draw the curves and operating points of all labels, side by side."""
    drawn = {str(label): _curves(rows) for label, rows in frame.groupby("label", sort=False)}
    curves = {label: own for label, (own, _, _) in drawn.items()}
    points = {label: own for label, (_, own, _) in drawn.items()}
    heading = "\n".join(wrap(f"{title}; test data", 25 * min(len(curves), 3)))
    figure: Figure = plot_labels(curves, points, title=heading)[0].figure
    return figure


def _curves(rows: pd.DataFrame) -> tuple[dict[str, PrecisionRecallCurve], dict[str, LabelReport], int]:
    """Return the curves and operating points of the first seed that all methods have, and that seed."""
    seed = rows.groupby("seed")["method"].nunique().idxmax()
    own = rows[rows["seed"] == seed].iloc[:_SHOWN]
    curves = {
        row["method"]: PrecisionRecallCurve(
            np.asarray(row["curve_precision"]), np.asarray(row["curve_recall"]), np.zeros(len(row["curve_recall"]))
        )
        for _, row in own.iterrows()
    }
    return curves, {row["method"]: _point(row) for _, row in own.iterrows()}, int(seed)


def _point(row: pd.Series) -> LabelReport:
    """Return what the picture needs of an operating point."""
    bounded = row["bounded"] or None
    return LabelReport(
        label=row["label"],
        num_samples=0,
        threshold=row["threshold"],
        precision=row["test_precision"],
        recall=row["test_recall"],
        f_beta=math.nan,
        average_precision=row["test_average_precision"],
        metric=row["metric"],
        value=row["test_value"],
        bounded_metric=bounded,
        bound=row["bound"] if bounded else None,
        bounded_value=row["test_bounded"] if bounded else None,
        met=bool(row["test_met"]) if bounded else None,
        true_positives=math.nan,
        false_positives=math.nan,
        false_negatives=math.nan,
        true_negatives=math.nan,
    )
