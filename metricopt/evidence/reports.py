"""What a threshold reaches on a data set: counts, metrics, whether the bound holds, and how sure that is.

This file decides what a report holds. It leaves scores to :mod:`metricopt.scoring` and words to
:mod:`metricopt.results`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from metricopt._arrays import Samples
from metricopt._validation import check_choice, reject
from metricopt.evidence.bound_reports import BoundReport, bound_reports
from metricopt.evidence.by_label import ByLabel, OfOnlyLabel
from metricopt.evidence.intervals import classes_of, intervals_of
from metricopt.evidence.subgroups import SubgroupColumn, read_subgroups
from metricopt.problem import metrics, ratios
from metricopt.problem.objectives import OFBS, Objective
from metricopt.problem.prevalence import Prevalence, prevalence_of_labels
from metricopt.problem.ranking import Ranking
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


def evaluate(
    scores: np.ndarray,
    labels: np.ndarray,
    threshold: np.ndarray,
    objective: Objective,
    *,
    label_names: Sequence[str],
    data: str,
    sample_weight: np.ndarray | None = None,
    prevalence: Prevalence | None = None,
    by: Any = None,
    subgroups: Any = None,
    row_thresholds: np.ndarray | None = None,
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
        The name of the data, for whoever reads the report.
    sample_weight : ndarray, shape (n, L), float, optional
    prevalence : float or tuple of float, optional
        The fraction of positives that ``sample_weight`` makes, if it was made for that; one for all labels, or one for
        each label.
    by : array, shape (n,), optional
        A value for each sample; the report then holds the same by subgroup. The samples of a subgroup keep their
        weights. With a prevalence, each class is so weighted by the same factor in every subgroup, and the report on a
        subgroup states the prevalence that its own samples then have.
    subgroups : mapping of str to array of shape (n,), or a frame, optional
        The columns that a :class:`~metricopt.Program` names.
    row_thresholds : ndarray, shape (n, L), optional
        What takes the place of ``threshold`` where each subgroup has its own.

    Raises
    ------
    InvalidInputError
        If ``by`` has another length than ``scores``.
    """
    samples = Samples.read(scores, labels, sample_weight)
    limits = np.broadcast_to(threshold if row_thresholds is None else row_thresholds, scores.shape)
    alarms = replace(samples, scores=(samples.scores.astype(np.float64) >= limits).astype(np.float64))
    counts = metrics.confusion_counts(alarms.scores, labels, np.full(scores.shape[1], 0.5), sample_weight)
    columns = read_subgroups(subgroups, objective.columns, len(scores), strict=False)
    prevalences = prevalence_of_labels(prevalence, scores.shape[1])
    reports = tuple(
        _label_report(
            samples, alarms, label, float(threshold[label]), single, counts[label], name, prevalences[label], columns
        )
        for label, (name, single) in enumerate(zip(label_names, objective.for_labels(scores.shape[1]), strict=True))
    )
    parts = {}
    for value, rows in _subgroups(by, len(scores)).items():
        weight = None if sample_weight is None else sample_weight[rows]
        name = f"{data}, {value}"
        report = evaluate(
            scores[rows],
            labels[rows],
            threshold,
            objective,
            label_names=label_names,
            data=name,
            sample_weight=weight,
            subgroups={column: own.take(np.flatnonzero(rows)) for column, own in columns.items()},
            row_thresholds=None if row_thresholds is None else row_thresholds[rows],
        )
        own = zip(report, prevalences, strict=True)
        parts[value] = Report(name, tuple(each if at is None else _at_own_prevalence(each) for each, at in own))
    return Report(data, reports, parts, Scored(scores, labels, sample_weight))


def _label_report(
    samples: Samples,
    alarms: Samples,
    label: int,
    threshold: float,
    objective: Objective,
    counts: Counts,
    name: str,
    prevalence: float | None,
    subgroups: Mapping[str, SubgroupColumn],
) -> LabelReport:
    """Return the report on the label at this position, with its own objective and its counts at the threshold."""
    ranking, bounded = Ranking.of(samples, label), objective.bounded
    left_out = np.isnan(threshold)
    bounds = () if left_out else bound_reports(alarms, label, objective, subgroups, CONFIDENCE)
    met = None
    if not left_out and objective.bounds:
        met = all(each.met for each in bounds) if bounds else bool(objective.threshold_objective.feasible(counts))
    return LabelReport(
        label=name,
        num_samples=int((~np.isnan(samples.labels[:, label])).sum()),
        threshold=threshold,
        true_positives=float(counts.true_positives),
        false_positives=float(counts.false_positives),
        false_negatives=float(counts.false_negatives),
        true_negatives=float(counts.true_negatives),
        precision=float(ratios.PRECISION(counts)),
        recall=float(ratios.RECALL(counts)),
        f_beta=float(ratios.f_beta_ratio(objective.beta if isinstance(objective, OFBS) else 1.0)(counts)),
        average_precision=ranking.average_precision(),
        metric=objective.metric_name,
        value=objective.measure(ranking, counts),
        bounded_metric=bounded.name if bounded else None,
        bound=objective.bound if isinstance(objective.bound, float) else None,
        bounded_value=float(bounded(counts)) if bounded else None,
        met=met,
        intervals=intervals_of(counts, objective, *classes_of(alarms, label, 0.5), CONFIDENCE),
        prevalence=prevalence,
        bounds=bounds,
    )


def _subgroups(by: Any, num_samples: int) -> dict[str, np.ndarray]:
    """Return which samples have each value of ``by``."""
    if by is None:
        return {}
    values = np.asarray(by)
    if values.shape != (num_samples,):
        reject("by", f"one value a sample ({num_samples})", f"shape {values.shape}", "give an array or a column")
    names = values.astype(str)
    return {str(name): names == name for name in np.unique(names)}


def _at_own_prevalence(report: LabelReport) -> LabelReport:
    """Return the report on a subgroup with the prevalence that its weighted samples have; None without samples."""
    positives, total = report.counts.positives, report.counts.positives + report.counts.negatives
    return replace(report, prevalence=float(positives / total) if total else None)


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


def plain_number(value: float) -> float | str | None:
    """Return a number as JSON can hold it: None for NaN, and text for infinity, which ``float`` reads.

    Examples
    --------
    >>> [plain_number(value) for value in (0.5, np.inf, np.nan)]
    [0.5, 'inf', None]
    """
    return None if np.isnan(value) else str(float(value)) if np.isinf(value) else float(value)


def without_nan(values: dict[str, Any]) -> dict[str, Any]:
    """Return the same with :func:`plain_number` of each float."""
    return {key: plain_number(value) if isinstance(value, float) else value for key, value in values.items()}


def with_nan(values: dict[str, Any]) -> dict[str, Any]:
    """Return what :func:`without_nan` was given: NaN for None, unless a label has no bound or a solver no multiplier.

    Examples
    --------
    >>> with_nan({"value": None, "bounded_metric": "precision", "bounded_value": None, "multiplier": None})
    {'value': nan, 'bounded_metric': 'precision', 'bounded_value': nan, 'multiplier': None}
    >>> with_nan({"threshold": "inf", "bounded_metric": None})
    {'threshold': inf, 'bounded_metric': None}
    """
    may_be_none = {"multiplier", "agreement", "bounded_metric", "bound", "met", "prevalence"}
    if values["bounded_metric"] is None:
        may_be_none.add("bounded_value")
    numbers = {None: np.nan, "inf": np.inf, "-inf": -np.inf}
    return {
        key: numbers[value] if value in ("inf", "-inf") or (value is None and key not in may_be_none) else value
        for key, value in values.items()
    }
