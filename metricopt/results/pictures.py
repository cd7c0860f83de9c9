"""The pictures of a page: how a label's scores rank, where the threshold lies, and if probabilities can be trusted.

This file decides what is drawn of which data: of rows that took no part in the training where there are some, else of
those that chose. It leaves the drawing to :mod:`metricopt.plots`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import numpy as np

from metricopt._arrays import Array
from metricopt.evidence.bootstrap import precision_band
from metricopt.evidence.probabilities import Calibration, held_out_probabilities
from metricopt.evidence.reports import Report, Scored
from metricopt.plots import (
    plot_decision_curve,
    plot_precision_recall,
    plot_reliability,
    plot_scores,
    plot_subgroups,
)
from metricopt.problem.metrics import PrecisionRecallCurve, precision_recall_curve
from metricopt.results.scores import DataScores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RELIABILITY = "Probabilities beside the fraction of positives among rows of like probability"

_DECISION_CURVE = (
    "Net benefit at each threshold probability: where users would look at nine false alarms for one right one, read it "
    "at 0.1. The model is worth its use where its line is the highest"
)
_RISKS = "Risks of the rows of either class, and the risk from which rows are alarms"
_SUBGROUPS = "Each bound with its 95 % interval"


def pictures_of_test(
    name: str,
    which: int,
    report: Report,
    calibration: Calibration | None,
    title: str,
    others: Mapping[str, Array] = MappingProxyType({}),
) -> Iterator[tuple[str, Axes]]:
    """Yield pictures of rows that took no part in the training, each with the sentence below it.

    Parameters
    ----------
    name : str
        What the legend calls the model.
    which : int
        The position of the label.
    report : Report
        With the scores that it was made of.
    calibration : Calibration or None
    title : str
    others : mapping of str to array, shape (n,)
        Probabilities of other models on the same rows, by name.
    """
    rows, data = cast(Scored, report.scored), report.data
    weight = None if rows.sample_weight is None else rows.sample_weight[:, which]
    scores, labels = rows.scores[:, which], rows.labels[:, which]
    if not (labels == 1).any():
        return
    curve = cast(PrecisionRecallCurve, precision_recall_curve(scores, labels, weight))
    bands = {} if weight is not None else {name: precision_band(scores, labels)}
    axes = plot_precision_recall({name: curve}, {name: report[which]}, bands=bands, title=title)
    yield f"Precision and recall at every threshold on {data} data, and where the threshold lies.", axes
    if calibration is not None:
        axes = plot_reliability(calibration(scores), labels, sample_weight=weight, title=title)
        yield f"{_RELIABILITY}, on {data} data.", axes
        if len(report.labels) == 1:  # with several, a page would be too large
            risks = calibration(scores)
            axes = plot_decision_curve({name: risks, **others}, labels, sample_weight=weight, title=title)
            yield f"{_DECISION_CURVE}, on {data} data.", axes
            alarm = report[which].threshold
            begins = alarm if not np.isfinite(alarm) else float(calibration(np.array([alarm]))[0])
            axes = plot_scores(risks, labels, begins, sample_weight=weight, title=title)
            axes.set_xlabel("risk")
            yield f"{_RISKS}, on {data} data.", axes
    if report[which].bounds:
        yield f"{_SUBGROUPS} on {data} data.", plot_subgroups(report[which], title=title)


def reliability_of_selection(which: int, part: DataScores, ax: Axes | None, title: str) -> Axes | None:
    """Draw the reliability of the rows that chose, each by a calibration of other rows; None without both classes."""
    scores, labels, weight = part.scores[:, which], part.labels[:, which], part.weight_of(which)
    probabilities = held_out_probabilities(scores, labels, part.folds, weight)
    if probabilities is None:
        return None
    return plot_reliability(probabilities, labels, sample_weight=weight, ax=ax, title=title)


def said_of_selection(data: str) -> str:
    """Return the sentence below the picture of :func:`reliability_of_selection`."""
    return f"{_RELIABILITY}, on {data} data, where each row is calibrated by others."
