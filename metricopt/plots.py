"""Pictures: precision-recall curves with the bound and the operating points drawn into them.

This file decides how a curve looks. What is drawn comes from :mod:`metricopt.metrics` and :mod:`metricopt.evaluation`.
Figures are made without pyplot: none stays open, no display is needed, and the caller's backend is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from metricopt.evaluation import LabelReport
from metricopt.metrics import PRECISION, RECALL, PrecisionRecallCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

# Okabe and Ito (2008): told apart by colour-blind readers; the line styles and markers tell them apart in grey print.
_STYLES = (("#0072B2", "-", "o"), ("#D55E00", "--", "s"), ("#009E73", "-.", "^"), ("#CC79A7", ":", "D"))
_ISO_LEVELS = (0.2, 0.4, 0.6, 0.8)


def plot_precision_recall(
    curves: Mapping[str, PrecisionRecallCurve],
    points: Mapping[str, LabelReport],
    *,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Draw precision-recall curves, the bound that was asked for, and where each threshold lies.

    A bound on precision or recall is a line with the infeasible side shaded; without a bound, lines of equal F-beta are
    drawn; bounds on other metrics have no line in this plane.

    Parameters
    ----------
    curves : dict of str to PrecisionRecallCurve
        By the name for the legend.
    points : dict of str to LabelReport
        The operating point of each curve, under the same name. One without alarms has no precision and no mark.
    ax : Axes, optional
        Where to draw; a new figure by default.
    title : str

    Returns
    -------
    Axes
        ``.figure.savefig("curve.png")`` writes the picture.

    Examples
    --------
    >>> from metricopt import precision_recall_curve
    >>> curve = precision_recall_curve([0.9, 0.8, 0.4, 0.2], [1, 0, 1, 0])
    >>> ax = plot_precision_recall({"model": curve}, {})
    >>> ax.get_xlabel(), len(ax.lines)
    ('recall', 1)
    """
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(6, 5.6), layout="constrained").subplots()
    lines, marks = [], []
    for number, (name, curve) in enumerate(curves.items()):
        color, line, marker = _STYLES[number % len(_STYLES)]
        # The precision at a threshold holds until the recall of the next one, as average precision counts it.
        lines += ax.plot(curve.recall, curve.precision, line, color=color, drawstyle="steps-post", label=name, zorder=2)
        if name in points and not np.isnan(points[name].precision):
            recall, precision = points[name].recall, points[name].precision
            label = f"recall {recall:.3f}, precision {precision:.3f}"
            # Later points are larger and lie below, so that equal ones are all seen.
            size, order = 7 + 4 * number, 9 - number
            marks += ax.plot(
                recall, precision, marker, color=color, mec="black", markersize=size, label=label, zorder=order
            )
    request = [handle for report in list(points.values())[:1] for handle in _draw_request(ax, report)]
    ax.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel="recall", ylabel="precision")
    ax.set_title(title, fontsize="medium")
    # Below the axes, the values too: no place inside is free of curves on all data.
    ax.legend(
        handles=[*lines, *request, *marks],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.12),
        ncols=2,
        frameon=False,
        fontsize="small",
    )
    return ax


def _draw_request(ax: Axes, report: LabelReport) -> list[Line2D]:
    """Draw what was asked for into the plane, behind the curves; return what the legend explains."""
    line: dict[str, Any] = {"color": "black", "linestyle": (0, (1, 1.5)), "linewidth": 1.2, "zorder": 1}
    side: dict[str, Any] = {"color": "0.93", "zorder": 0}
    label = f"{report.bounded_metric} >= {report.bound}"
    if report.bounded_metric == PRECISION.name and report.bound is not None:
        ax.axhspan(0, report.bound, **side)
        return [ax.axhline(report.bound, label=label, **line)]
    if report.bounded_metric == RECALL.name and report.bound is not None:
        ax.axvspan(0, report.bound, **side)
        return [ax.axvline(report.bound, label=label, **line)]
    if report.bounded_metric is None:
        # The threshold of average precision is that of the best F1.
        beta = "1" if report.metric == "average_precision" else report.metric.removeprefix("f")
        _draw_iso_f_beta(ax, float(beta))
    return []


def _draw_iso_f_beta(ax: Axes, beta: float) -> None:
    """Draw lines of equal F-beta."""
    square = beta**2
    for level in _ISO_LEVELS:
        recall = np.linspace(0, 1, 1001)
        # F = (1 + b^2) p r / (b^2 p + r), solved for p.
        with np.errstate(divide="ignore"):
            precision = level * recall / ((1 + square) * recall - level * square)
        shown = (precision > 0) & np.isfinite(precision)
        ax.plot(recall[shown], precision[shown], color="0.8", linewidth=0.8, zorder=1)
        ax.annotate(
            f"F{beta:g} = {level:g}",
            (1, precision[-1]),
            xytext=(-3, 2),
            textcoords="offset points",
            ha="right",
            fontsize="x-small",
            color="0.5",
        )
