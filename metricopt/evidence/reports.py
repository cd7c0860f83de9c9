"""What a threshold reaches on a data set: counts, metrics, whether the bound holds, and how sure that is.

This file decides what a report holds. It leaves predictions to :mod:`metricopt.results.result`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from metricopt._arrays import Samples
from metricopt._validation import check_choice, reject
from metricopt.evidence.intervals import classes_of, intervals_of
from metricopt.problem import metrics
from metricopt.problem.metrics import Counts, Ranking
from metricopt.problem.objectives import OFBS, Objective

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
        With a label.
    threshold : float
    true_positives, false_positives, false_negatives, true_negatives : float
        Sums of weights where samples are weighted.
    precision, recall, f_beta, average_precision : float
        F-beta with the objective's beta, 1 for the others.
    metric, value : str, float
        The metric that the objective maximises.
    bounded_metric, bound, bounded_value, met : str, float, float, bool, or None
        The metric that the bound speaks of, the bound, what was reached and whether that meets it; None without one.
        ``met`` is None for a label without a threshold, too.
    intervals : dict of str to (float, float)
        Intervals (95 %) of precision, recall and the bounded metric: Clopper-Pearson, or for samples weighted to a
        prevalence what follows from those of the two classes' rates. None where weights differ within a class.
    prevalence : float or None
        The share of positives that samples are weighted to, if they are.
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


@dataclass(frozen=True)
class Report(Sequence[LabelReport]):
    """What a model reaches on one data set: one :class:`LabelReport` a label.

    With a single label its entries are the report's own: ``report.recall``. With several, choose by position or name:
    ``report["Edema"].recall``.

    Attributes
    ----------
    data : str
        Which data, e.g. ``"validation"``.
    labels : tuple of LabelReport
    subgroups : dict of str to Report
        The same by subgroup, where asked for.
    """

    data: str
    labels: tuple[LabelReport, ...]
    subgroups: dict[str, Report] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, str):
            check_choice("label", which, [report.label for report in self.labels])
            return next(report for report in self.labels if report.label == which)
        return self.labels[which]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in {*LabelReport.__dataclass_fields__, "counts", "with_interval"}:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        if len(self.labels) != 1:
            names = [report.label for report in self.labels]
            raise AttributeError(f"this report has {len(names)} labels: choose one, e.g. report[{names[0]!r}].{name}")
        return getattr(self.labels[0], name)

    def __repr__(self) -> str:
        lines = [f"Report on {self.data!r}", *(f"  {_one_line(report)}" for report in self.labels)]
        if self.subgroups:
            lines.append(f"  subgroups: {len(self.subgroups)}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return numbers and names alone, for JSON; undefined values are None."""
        return {
            "data": self.data,
            "labels": [without_nan(asdict(report)) for report in self.labels],
            "subgroups": {name: report.to_dict() for name, report in self.subgroups.items()},
        }

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Report:
        """Return the report that :meth:`to_dict` wrote down."""
        labels = []
        for entry in saved["labels"]:
            intervals = {name: tuple(ends) for name, ends in entry["intervals"].items()}
            labels.append(LabelReport(**with_nan({**entry, "intervals": intervals})))
        return cls(
            saved["data"], tuple(labels), {name: cls.from_dict(part) for name, part in saved["subgroups"].items()}
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row a label, and one a subgroup and label where there are subgroups."""
        import pandas as pd

        parts = [("all", self), *self.subgroups.items()]
        return pd.DataFrame([{"subgroup": name, **asdict(label)} for name, part in parts for label in part.labels])


def evaluate(
    scores: np.ndarray,
    labels: np.ndarray,
    threshold: np.ndarray,
    objective: Objective,
    *,
    label_names: Sequence[str],
    data: str,
    sample_weight: np.ndarray | None = None,
    prevalence: float | tuple[float, ...] | None = None,
    by: Any = None,
) -> Report:
    """Return what fixed thresholds reach on scores and labels.

    Parameters
    ----------
    scores, labels : ndarray, shape (n, L), float
        Labels are 0, 1 or NaN (missing).
    threshold : ndarray, shape (L,), float
    objective : Objective
    label_names : sequence of str, length L
    data : str
        Which data this is, for whoever reads the report.
    sample_weight : ndarray, shape (n, L), float, optional
    prevalence : float or tuple of float, optional
        The share of positives that ``sample_weight`` stands for, if it does; one for all labels, or one per label.
    by : array, shape (n,), optional
        A value a sample; the report then holds the same by subgroup.

    Raises
    ------
    InvalidInputError
        If ``by`` has another length than ``scores``.
    """
    beta = objective.beta if isinstance(objective, OFBS) else 1.0
    counts = metrics.confusion_counts(scores, labels, threshold, sample_weight)
    samples = Samples.read(scores, labels, sample_weight)
    f_beta = metrics.f_beta_ratio(beta)
    reports = []
    for label, single in enumerate(objective.for_labels(scores.shape[1])):
        own, ranking = counts[label], Ranking.of(samples, label)
        left_out = np.isnan(threshold[label])
        reports.append(
            LabelReport(
                label=label_names[label],
                num_samples=int((~np.isnan(labels[:, label])).sum()),
                threshold=float(threshold[label]),
                true_positives=float(own.true_positives),
                false_positives=float(own.false_positives),
                false_negatives=float(own.false_negatives),
                true_negatives=float(own.true_negatives),
                precision=float(metrics.PRECISION(own)),
                recall=float(metrics.RECALL(own)),
                f_beta=float(f_beta(own)),
                average_precision=ranking.average_precision(),
                metric=single.metric_name,
                value=single.measure(ranking, own),
                bounded_metric=single.bounded.name if single.bounded else None,
                bound=single.bound if isinstance(single.bound, float) else None,
                bounded_value=float(single.bounded(own)) if single.bounded else None,
                met=None if not single.bounded or left_out else bool(single.of_threshold.feasible(own)),
                intervals=intervals_of(own, single, *classes_of(samples, label, float(threshold[label])), CONFIDENCE),
                prevalence=prevalence[label] if isinstance(prevalence, tuple) else prevalence,
            )
        )
    subgroups = {}
    if by is not None:
        values = np.asarray(by)
        if values.shape != (len(scores),):
            reject("by", f"one value a sample ({len(scores)})", f"shape {values.shape}", "give an array or a column")
        for value in np.unique(values.astype(str)):
            rows = values.astype(str) == value
            subgroups[str(value)] = evaluate(
                scores[rows],
                labels[rows],
                threshold,
                objective,
                label_names=label_names,
                data=f"{data}, {value}",
                sample_weight=None if sample_weight is None else sample_weight[rows],
                prevalence=prevalence,
            )
    return Report(data, tuple(reports), subgroups)


def _one_line(report: LabelReport) -> str:
    text = f"{report.label} ({report.num_samples} samples): "
    if np.isnan(report.threshold):
        return f"{text}left out, no threshold"
    text += f"{report.metric} {report.with_interval(report.metric)}"
    if report.bounded_metric is None or report.bounded_value is None:
        return text
    text += f", {report.bounded_metric} {report.with_interval(report.bounded_metric)}"
    if np.isnan(report.bounded_value):  # there was nothing to judge
        return f"{text}, bound {report.bound}"
    return f"{text}, bound {report.bound} {'met' if report.met else 'missed'}"


def without_nan(values: dict[str, Any]) -> dict[str, Any]:
    """Return the same with None for NaN and infinity, which JSON does not know."""
    return {
        key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in values.items()
    }


def with_nan(values: dict[str, Any]) -> dict[str, Any]:
    """Return what :func:`without_nan` left, with NaN for None but where a label has no bound or a solver no multiplier.

    Examples
    --------
    >>> with_nan({"value": None, "bounded_metric": "precision", "bounded_value": None, "multiplier": None})
    {'value': nan, 'bounded_metric': 'precision', 'bounded_value': nan, 'multiplier': None}
    """
    may_be_none = {"multiplier", "agreement", "bounded_metric", "bound", "met", "prevalence"}
    if values["bounded_metric"] is None:
        may_be_none.add("bounded_value")
    return {key: np.nan if value is None and key not in may_be_none else value for key, value in values.items()}
