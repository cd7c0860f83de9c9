"""Pictures of curves, scores and trainings: one a file. Each function takes and returns matplotlib's Axes.

Figures are made without pyplot: none stays open, no display is needed, and the caller's backend is left alone.
Colour-blind readers can tell the colours apart, and line styles, markers and hatching say the same in grey print. The
numbers come from :mod:`metricopt.problem.metrics`, :mod:`metricopt.evidence.reports`,
:mod:`metricopt.evidence.bootstrap`, :mod:`metricopt.evidence.reliability`,
:mod:`metricopt.evidence.decision_curve` and :mod:`metricopt.evidence.two_bounds`.
"""

from metricopt.plots.decision_curve import plot_decision_curve
from metricopt.plots.frontier import plot_frontier
from metricopt.plots.history import plot_history
from metricopt.plots.labels import plot_labels
from metricopt.plots.precision_recall import plot_precision_recall
from metricopt.plots.reliability import plot_reliability
from metricopt.plots.scores import plot_scores
from metricopt.plots.subgroups import plot_subgroups
from metricopt.plots.two_bounds import plot_two_bounds

__all__ = [
    "plot_decision_curve",
    "plot_frontier",
    "plot_history",
    "plot_labels",
    "plot_precision_recall",
    "plot_reliability",
    "plot_scores",
    "plot_subgroups",
    "plot_two_bounds",
]
