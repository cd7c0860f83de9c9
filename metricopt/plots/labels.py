"""Many labels side by side: a small precision-recall plane for each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from metricopt._validation import reject
from metricopt.evidence.reports import LabelReport
from metricopt.plots.precision_recall import draw_curves
from metricopt.problem.metrics import PrecisionRecallCurve

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

_MAX_COLUMNS = 5
_TITLE_WIDTH = 24


def plot_labels(
    curves: Mapping[str, Mapping[str, PrecisionRecallCurve]],
    points: Mapping[str, Mapping[str, LabelReport]],
    *,
    figure: Figure | SubFigure | None = None,
    title: str = "",
) -> np.ndarray:
    """Draw the precision-recall plane of every label on one scale, with its bound and operating points.

    Parameters
    ----------
    curves : dict of str to dict of str to PrecisionRecallCurve
        The curves by label, then by method. A label without curves gets an empty plane.
    points : dict of str to dict of str to LabelReport
        The operating point of each curve, under the same names.
    figure : Figure or SubFigure, optional
        The figure to draw into. The default is a new one.
    title : str
        The title of the picture.

    Returns
    -------
    ndarray of Axes, shape (number of labels,)
        ``axes[0].figure.savefig("labels.png")`` writes the picture.

    Raises
    ------
    InvalidInputError
        If there is no label.

    Examples
    --------
    >>> from metricopt import precision_recall_curve
    >>> curve = precision_recall_curve([0.9, 0.8, 0.4, 0.2], [1, 0, 1, 0])
    >>> axes = plot_labels({"Edema": {"model": curve}, "Fracture": {"model": curve}}, {})
    >>> [ax.get_title() for ax in axes]
    ['Edema', 'Fracture']
    """
    if not curves:
        reject("curves", "given for at least one label", dict(curves), "give e.g. {'sick': {'model': curve}}")
    num_columns = min(_MAX_COLUMNS, math.ceil(math.sqrt(len(curves))) + (len(curves) > 4))
    num_columns = min(num_columns, len(curves))
    num_rows = math.ceil(len(curves) / num_columns)
    if figure is None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(1 + 2 * num_columns, 1.1 + 2.3 * num_rows), layout="constrained")
    grid = figure.subplots(num_rows, num_columns, sharex=True, sharey=True, squeeze=False)
    handles: dict[Any, Any] = {}
    for ax, (label, own) in zip(grid.flat, curves.items(), strict=False):
        lines, request, _ = draw_curves(ax, own, points.get(label, {}), {}, mark_size=4)
        bounds = [f"{handle.get_label()}" for handle in request]
        ax.set_title("\n".join([*wrap(label, _TITLE_WIDTH), *bounds]), fontsize="small")
        ax.tick_params(labelsize="small")
        ax.set(xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        if not own:
            ax.text(0.5, 0.5, "left out", ha="center", color="0.4", fontsize="small")
        handles |= {line.get_label(): line for line in lines}
    for ax in grid.flat[len(curves) :]:
        ax.set_visible(False)
    # The lowest of each column, also where that ends a row early.
    for ax in grid.flat[max(len(curves) - num_columns, 0) : len(curves)]:
        ax.tick_params(labelbottom=True)
        ax.set_xlabel("recall")
    for ax in grid[:, 0]:
        ax.set_ylabel("precision")
    figure.suptitle(title, fontsize="medium")
    figure.legend(handles=list(handles.values()), loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    return np.array(grid.flat[: len(curves)])
