"""The pictures of a result: which of its scores and figures go into which plot.

This file decides what is drawn; how it looks comes from :mod:`metricopt.plots`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from metricopt._validation import check_choice
from metricopt.evidence.bootstrap import precision_band
from metricopt.evidence.reports import LabelReport
from metricopt.problem import metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from metricopt.results.result import FitResult


def draw_curves(result: FitResult, ax: Axes | None, label: str | None) -> Axes:
    """See :meth:`metricopt.FitResult.plot`."""
    from metricopt.plots import plot_precision_recall

    which, part = _position_of(result, label), result.chooser
    curves, points = _curves(result, which)
    bands = {}
    if part.sample_weight is None and (part.labels[:, which] == 1).any():
        bands[result.objective.name] = precision_band(part.scores[:, which], part.labels[:, which])
    return plot_precision_recall(curves, points, bands=bands, ax=ax, title=_title(result, which))


def draw_labels(result: FitResult, figure: Figure | SubFigure | None) -> np.ndarray:
    """See :meth:`metricopt.FitResult.plot_labels`."""
    from metricopt.plots import plot_labels

    both = {name: _curves(result, which) for which, name in enumerate(result.label_names)}
    curves = {name: own for name, (own, _) in both.items()}
    points = {name: own for name, (_, own) in both.items()}
    return plot_labels(curves, points, figure=figure, title=f"{result.objective.name} on {result.chooser.data} data")


def draw_scores(result: FitResult, ax: Axes | None, label: str | None) -> Axes:
    """See :meth:`metricopt.FitResult.plot_scores`."""
    from metricopt.plots import plot_scores

    which, part = _position_of(result, label), result.chooser
    return plot_scores(
        part.scores[:, which],
        part.labels[:, which],
        float(result.thresholds[which]),
        sample_weight=None if part.sample_weight is None else part.sample_weight[:, which],
        ax=ax,
        title=_title(result, which),
    )


def draw_history(result: FitResult, figure: Figure | SubFigure | None, label: str | None) -> np.ndarray:
    """See :meth:`metricopt.FitResult.plot_history`."""
    from metricopt.plots import plot_history

    which = _position_of(result, label)
    return plot_history(result.history, label=result.label_names[which], figure=figure, title=_title(result, which))


def _position_of(result: FitResult, label: str | None) -> int:
    if label is None:
        return 0
    check_choice("label", label, result.label_names)
    return result.label_names.index(label)


def _title(result: FitResult, which: int) -> str:
    objective = result.objective.for_labels(len(result.label_names))[which]
    return f"{result.label_names[which]}: {objective}\non {result.chooser.data} data"


def _curves(result: FitResult, which: int) -> tuple[dict[str, metrics.PrecisionRecallCurve], dict[str, LabelReport]]:
    """Return the curves of the model and of candidate zero for a label, and their operating points."""
    part = result.chooser
    weight = None if part.sample_weight is None else part.sample_weight[:, which]
    scored = {
        result.objective.name: (part.scores, part.labels),
        result.baseline_name: (part.baseline_scores, part.baseline_labels),
    }
    curves = {
        name: cast(
            metrics.PrecisionRecallCurve,
            metrics.precision_recall_curve(scores[:, which], labels[:, which], weight),
        )
        for name, (scores, labels) in scored.items()
    }
    return curves, {result.objective.name: result.selection[which], result.baseline_name: result.baseline[which]}
