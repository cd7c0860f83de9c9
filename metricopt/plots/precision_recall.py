"""Precision-recall curves with the bound and the operating points drawn into them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from metricopt.evidence.bootstrap import PrecisionBand
from metricopt.evidence.reports import LabelReport
from metricopt.plots._style import BOUND, INFEASIBLE, legend_below, own_axes, style
from metricopt.problem.metrics import PrecisionRecallCurve
from metricopt.problem.ratios import PRECISION, RECALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_ISO_LEVELS = (0.2, 0.4, 0.6, 0.8)


def plot_precision_recall(
    curves: Mapping[str, PrecisionRecallCurve],
    points: Mapping[str, LabelReport],
    *,
    bands: Mapping[str, PrecisionBand] | None = None,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Draw precision-recall curves, the bound that was asked for, and where each threshold lies.

    A bound on precision or recall is a line, and its infeasible side is shaded. For F-beta and
    average precision without a bound, lines of equal F-beta are drawn. Other bounds and metrics have no line here.

    Parameters
    ----------
    curves : dict of str to PrecisionRecallCurve
        The curves, by the name that the legend shows.
    points : dict of str to LabelReport
        The operating point of each curve, under the same name. A point without alarms has no precision and no mark.
    bands : dict of str to PrecisionBand, optional
        The band in which each curve would lie on other samples, under the same name
        (:func:`~metricopt.evidence.bootstrap.precision_band`). Two models on the same samples can differ clearly
        although their bands overlap.
    ax : Axes, optional
        The axes to draw into. The default is those of a new figure.
    title : str
        The title of the picture.

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
    ax = own_axes(ax, (6, 5.6))
    lines, request, marks = draw_curves(ax, curves, points, bands or {})
    for name, mark in marks.items():
        mark.set_label(f"recall {points[name].recall:.3f}, precision {points[name].precision:.3f}")
    ax.set(xlabel="recall", ylabel="precision")
    ax.set_title(title, fontsize="medium")
    legend_below(ax, [*lines, *request, *marks.values()])
    return ax


def draw_curves(
    ax: Axes,
    curves: Mapping[str, PrecisionRecallCurve],
    points: Mapping[str, LabelReport],
    bands: Mapping[str, PrecisionBand],
    mark_size: float = 7,
) -> tuple[list[Any], list[Line2D], dict[str, Line2D]]:
    """Draw everything but words, and return what a legend explains: curves and bands, the bound, the points by name."""
    lines: list[Any] = []
    marks = {}
    for number, (name, curve) in enumerate(curves.items()):
        color, line, marker = style(number)
        # The precision at a threshold holds until the recall of the next one, as average precision counts it.
        lines += ax.plot(curve.recall, curve.precision, line, color=color, drawstyle="steps-post", label=name, zorder=2)
        if name in bands:
            band = bands[name]
            label = f"{name}: {band.confidence:.0%} band (bootstrap)"
            fill: dict[str, Any] = {"facecolor": color, "alpha": 0.2, "edgecolor": "none"}
            lines.append(ax.fill_between(band.recall, band.low, band.high, zorder=1.5, label=label, **fill))
        if name in points and not np.isnan(points[name].precision):
            # Later points are larger and lie below, so that equal ones are all seen.
            size, order = mark_size * (1 + 0.57 * number), 9 - number
            at = (points[name].recall, points[name].precision)
            (marks[name],) = ax.plot(*at, marker, color=color, mec="black", markersize=size, zorder=order)
    request = [handle for report in list(points.values())[:1] for handle in _draw_request(ax, report)]
    ax.set(xlim=(0, 1.01), ylim=(0, 1.01))
    return lines, request, marks


def _draw_request(ax: Axes, report: LabelReport) -> list[Line2D]:
    """Draw the bound that was asked for behind the curves, and return what the legend explains."""
    line = {**BOUND, "zorder": 1, "label": f"{report.bounded_metric} >= {report.bound}"}
    if report.bounded_metric == PRECISION.name and report.bound is not None:
        ax.axhspan(0, report.bound, **INFEASIBLE)
        return [ax.axhline(report.bound, **line)]
    if report.bounded_metric == RECALL.name and report.bound is not None:
        ax.axvspan(0, report.bound, **INFEASIBLE)
        return [ax.axvline(report.bound, **line)]
    # The threshold of average precision is that of the best F1.
    f_beta = re.fullmatch(r"f(\d.*)", "f1" if report.metric == "average_precision" else report.metric)
    if report.bounded_metric is None and f_beta:
        _draw_iso_f_beta(ax, float(f_beta[1]))
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
