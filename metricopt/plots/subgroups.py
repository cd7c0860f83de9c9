"""A forest plot: what each bound of a program reaches over all rows and in each subgroup, with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from metricopt._validation import reject
from metricopt.evidence.reports import LabelReport, Report
from metricopt.plots._style import BOUND, STYLES, legend_below, own_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_subgroups(report: Report | LabelReport, *, ax: Axes | None = None, title: str = "") -> Axes:
    """Draw one line for each bound and subgroup: value, interval, and the bound beside it.

    Parameters
    ----------
    report : Report or LabelReport
        Of one label, on a program with several bounds or with subgroups (``result.evaluate``, ``result.train``).
    ax : Axes, optional
        The axes to draw into. The default is those of a new figure.
    title : str
        The title of the picture.

    Returns
    -------
    Axes

    Raises
    ------
    InvalidInputError
        If the report holds no such bounds.

    Examples
    --------
    >>> import metricopt
    >>> program = metricopt.Program("precision", ["recall >= 0.5 in every site"])
    >>> result = metricopt.from_scores([4, 3, 2, 1.0], [1, 0, 1, 0], program, subgroups=list("aabb"), confidence=None)
    >>> [text.get_text() for text in plot_subgroups(result.train).get_yticklabels()]
    ['recall in site=b', 'recall in site=a']
    """
    bounds = report.bounds
    if not bounds:
        remedy = "evaluate a result of a Program with several bounds, or with subgroups"
        reject("report", "one with bounds of a program", "none", remedy)
    from matplotlib.lines import Line2D

    ax = own_axes(ax, (6.4, 1.2 + 0.32 * len(bounds)))
    for place, each in enumerate(reversed(bounds)):
        color, _, marker = STYLES[0 if each.met else 1]
        if not np.isnan(each.low):
            ax.hlines(place, each.low, each.high, color=color, linewidth=1.6, zorder=2)
        ax.plot([each.value], [place], marker=marker, color=color, linestyle="none", zorder=3)
        ax.vlines(each.bound, place - 0.35, place + 0.35, zorder=2, **BOUND)
    ax.set_yticks(range(len(bounds)), [each.name for each in reversed(bounds)])
    ax.set(ylim=(-0.6, len(bounds) - 0.4), xlabel="value, with its 95 % interval")
    ax.set_title(title, fontsize="medium")
    handles: list[Any] = [
        Line2D([], [], color=color, marker=marker, linestyle="none", label=label)
        for (color, _, marker), label in zip(STYLES, ("bound met", "bound missed"), strict=False)
    ]
    legend_below(ax, [*handles, Line2D([], [], label="bound", **BOUND)], bbox_to_anchor=(0.5, -0.25), ncols=3)
    return ax
