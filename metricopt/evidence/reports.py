"""What a threshold reaches on a data set: counts, metrics, whether the bound holds, and how sure that is.

This file decides what a report holds. It leaves how that is worked out to :mod:`metricopt.evidence.evaluation`, and
words to :mod:`metricopt.results`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from metricopt._validation import check_choice
from metricopt.evidence.bound_reports import BoundReport
from metricopt.evidence.by_label import ByLabel, OfOnlyLabel
from metricopt.evidence.saved_numbers import with_nan, without_nan
from metricopt.problem.ratios import Counts

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95


@dataclass(frozen=True)
class LabelReport:
    """What one label's threshold reaches on one data set; undefined metrics are NaN.

    Attributes
    ----------
    label : str
    num_samples : int
        How many samples have a label.
    threshold : float
    true_positives, false_positives, false_negatives, true_negatives : float
        The confusion counts; they are sums of weights where samples are weighted.
    precision, recall, f_beta, average_precision : float
        F-beta takes the beta of the objective, and 1 for objectives without one.
    metric, value : str, float
        The metric that the objective maximises, and its value.
    bounded_metric, bound, bounded_value, met : str, float, float, bool, or None
        The metric that the bound speaks of, the bound, what was reached, and whether that meets it. All are None
        without a bound, and ``met`` is None for a label without a threshold, too.
    intervals : dict of str to (float, float)
        The 95 % intervals of precision, recall and the bounded metric. They are Clopper-Pearson intervals or, for
        samples weighted to a prevalence, follow from those of the two classes' rates. There are none where weights
        differ within a class.
    prevalence : float or None
        The fraction of positives that the weights make, where samples are weighted to a prevalence. For the whole data
        it is the one that was asked for, for a subgroup the one that its samples have at the same weights.
    bounds : tuple of BoundReport
        Each bound of a program with several, or with subgroups, in which case ``bounded_metric`` is None and ``met``
        speaks of all of them.
    """

    label: str
    num_samples: int
    threshold: float
    true_positives: float
    false_positives: float
    false_negatives: float
    true_negatives: float
    precision: float
    recall: float
    f_beta: float
    average_precision: float
    metric: str
    value: float
    bounded_metric: str | None
    bound: float | None
    bounded_value: float | None
    met: bool | None
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    prevalence: float | None = None
    bounds: tuple[BoundReport, ...] = ()

    @property
    def size(self) -> str:
        """How many samples there are, and what their prevalence is."""
        if self.prevalence is None:
            return f"{self.num_samples} samples, {self.counts.positives:g} positive"
        return f"{self.num_samples} samples, weighted to a prevalence of {self.prevalence:g}"

    @property
    def counts(self) -> Counts:
        """The four counts together."""
        return Counts(self.true_positives, self.false_positives, self.false_negatives, self.true_negatives)

    @property
    def of_bound(self) -> str:
        """``"met"`` or ``"missed"``; "" without a bound, and where there was nothing to judge it by."""
        is_defined = bool(self.bounds) or (self.bounded_value is not None and not np.isnan(self.bounded_value))
        if self.met is None or not is_defined:
            return ""
        return "met" if self.met else "missed"

    def with_interval(self, metric: str) -> str:
        """Return a metric as text, with its interval where there is one: ``0.912 (0.861-0.950)``.

        Raises
        ------
        InvalidInputError
            If the report holds no metric of that name.
        """
        known = {name: getattr(self, name) for name in ("precision", "recall", "f_beta", "average_precision")}
        known[self.metric] = self.value
        if self.bounded_metric is not None:
            known[self.bounded_metric] = self.bounded_value
        check_choice("metric", metric, known)
        value = known[metric]
        text = "undefined" if value is None or np.isnan(value) else f"{value:.3f}"
        low, high = self.intervals.get(metric, (np.nan, np.nan))
        return text if np.isnan(low) else f"{text} ({low:.3f}-{high:.3f})"


@dataclass(frozen=True, eq=False)
class Scored:
    """The samples that a report speaks of.

    Attributes
    ----------
    scores, labels : ndarray, shape (n, L), float
    sample_weight : ndarray, shape (n, L), float, or None
    """

    scores: np.ndarray
    labels: np.ndarray
    sample_weight: np.ndarray | None = None


@dataclass(frozen=True)
class Report(ByLabel[LabelReport]):
    """What a model reaches on one data set, with one :class:`LabelReport` for each label.

    With a single label its entries are the report's own: ``report.recall``. With several, choose by position or name:
    ``report["Edema"].recall``.

    Attributes
    ----------
    data : str
        The name of the data, e.g. ``"validation"``.
    labels : tuple of LabelReport
    subgroups : dict of str to Report
        The same by subgroup, where asked for.
    scored : Scored or None
        The samples that :func:`metricopt.evaluate` was given, of which a page draws its pictures. It is not saved.
    """

    data: str
    labels: tuple[LabelReport, ...]
    subgroups: dict[str, Report] = field(default_factory=dict)
    scored: Scored | None = field(default=None, repr=False, compare=False)

    label = OfOnlyLabel[str]()
    num_samples = OfOnlyLabel[int]()
    threshold = OfOnlyLabel[float]()
    true_positives = OfOnlyLabel[float]()
    false_positives = OfOnlyLabel[float]()
    false_negatives = OfOnlyLabel[float]()
    true_negatives = OfOnlyLabel[float]()
    precision = OfOnlyLabel[float]()
    recall = OfOnlyLabel[float]()
    f_beta = OfOnlyLabel[float]()
    average_precision = OfOnlyLabel[float]()
    metric = OfOnlyLabel[str]()
    value = OfOnlyLabel[float]()
    bounded_metric = OfOnlyLabel[str | None]()
    bound = OfOnlyLabel[float | None]()
    bounded_value = OfOnlyLabel[float | None]()
    met = OfOnlyLabel[bool | None]()
    intervals = OfOnlyLabel[dict[str, tuple[float, float]]]()
    prevalence = OfOnlyLabel[float | None]()
    bounds = OfOnlyLabel[tuple[BoundReport, ...]]()
    size = OfOnlyLabel[str]()
    counts = OfOnlyLabel[Counts]()
    of_bound = OfOnlyLabel[str]()
    with_interval = OfOnlyLabel[Callable[[str], str]]()

    def __repr__(self) -> str:
        lines = [f"Report on {self.data!r}", *(f"  {_one_line(report)}" for report in self.labels)]
        if self.subgroups:
            lines.append(f"  subgroups: {len(self.subgroups)}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return numbers and names alone, for JSON; undefined values are None."""
        return {
            "data": self.data,
            "labels": [
                {**without_nan(asdict(report)), "bounds": [each.to_dict() for each in report.bounds]}
                for report in self.labels
            ],
            "subgroups": {name: report.to_dict() for name, report in self.subgroups.items()},
        }

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Report:
        """Return the report that :meth:`to_dict` wrote down."""
        labels = []
        for entry in saved["labels"]:
            intervals = {name: tuple(ends) for name, ends in entry["intervals"].items()}
            bounds = tuple(map(BoundReport.from_dict, entry.get("bounds", ())))
            labels.append(LabelReport(**with_nan({**entry, "intervals": intervals, "bounds": bounds})))
        return cls(
            saved["data"], tuple(labels), {name: cls.from_dict(part) for name, part in saved["subgroups"].items()}
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row a label, and one a subgroup and label where there are subgroups."""
        import pandas as pd

        parts = [("all", self), *self.subgroups.items()]
        return pd.DataFrame([{"subgroup": name, **asdict(label)} for name, part in parts for label in part.labels])

    def bounds_to_frame(self) -> pd.DataFrame:
        """Return one row a label, bound and set of rows, for a program with several bounds or with subgroups."""
        import pandas as pd

        return pd.DataFrame([{"label": label.label, **vars(each)} for label in self.labels for each in label.bounds])


def _one_line(report: LabelReport) -> str:
    text = f"{report.label} ({report.num_samples} samples): "
    if np.isnan(report.threshold):
        return f"{text}left out, no threshold"
    text += f"{report.metric} {report.with_interval(report.metric)}"
    if report.bounds:
        return "\n    ".join([text, *(f"{each.name} {each.said}" for each in report.bounds)])
    if report.bounded_metric is None or report.bounded_value is None:
        return text
    text += f", {report.bounded_metric} {report.with_interval(report.bounded_metric)}"
    return f"{text}, bound {report.bound} {report.of_bound}".rstrip()
