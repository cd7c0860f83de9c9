"""What each bound of a program reaches at fixed thresholds on one data set, over all rows or in each subgroup.

This file decides the lines of a report that speak of single bounds. It leaves the rest of a report to
:mod:`metricopt.evidence.reports`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metricopt._arrays import Samples
from metricopt.evidence.intervals import classes_of, interval_of
from metricopt.evidence.subgroups import SubgroupColumn
from metricopt.problem.objectives import Objective
from metricopt.problem.ranking import Ranking


@dataclass(frozen=True)
class BoundReport:
    """One bound on one set of rows of a data set.

    Attributes
    ----------
    metric, relation, bound : str, str, float
        For example ``"recall"``, ``">="`` and ``0.85``.
    subgroup : str or None
        The rows, such as ``"site=A"``; None for all rows.
    value : float
        What was reached; NaN where the metric is undefined.
    met : bool
    low, high : float
        The ends of the 95 % interval; NaN where none is known.
    num_positives, num_negatives : float
        Sums of weights where samples are weighted.
    """

    metric: str
    relation: str
    bound: float
    subgroup: str | None
    value: float
    met: bool
    low: float
    high: float
    num_positives: float
    num_negatives: float

    @property
    def name(self) -> str:
        """The metric and the rows, such as ``recall in site=A``."""
        metric = self.metric.replace("_", " ")
        return metric if self.subgroup is None else f"{metric} in {self.subgroup}"

    @property
    def is_within_chance(self) -> bool:
        """Whether the interval reaches the bound, or no interval is known."""
        reaches = self.high >= self.bound if self.relation == ">=" else self.low <= self.bound
        return bool(np.isnan(self.low) or reaches)

    @property
    def said(self) -> str:
        """What was reached and asked, and whether that is met: ``0.912 (0.861-0.950), asked >= 0.85: met``."""
        text = "undefined" if np.isnan(self.value) else f"{self.value:.3f}"
        if not np.isnan(self.low):
            text += f" ({self.low:.3f}-{self.high:.3f})"
        return f"{text}, asked {self.relation} {self.bound:g}: {'met' if self.met else 'MISSED'}"

    def to_dict(self) -> dict[str, Any]:
        """Return numbers and names alone, for JSON; undefined values are None."""
        return {
            name: None if isinstance(value, float) and np.isnan(value) else value for name, value in vars(self).items()
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> BoundReport:
        """Return the report that :meth:`to_dict` wrote down."""
        numbers = {name: np.nan if saved[name] is None else saved[name] for name in ("value", "low", "high")}
        return cls(**{**saved, **numbers})


def bound_reports(
    alarms: Samples, label: int, objective: Objective, subgroups: Mapping[str, SubgroupColumn], confidence: float
) -> tuple[BoundReport, ...]:
    """Return a report on each bound of an objective with several, or with subgroups; none for other objectives.

    Parameters
    ----------
    alarms : Samples
        With scores that are 1 for an alarm, else 0.
    label : int
        The position of the label.
    objective : Objective
        For one label.
    subgroups : mapping of str to SubgroupColumn
        The columns that the objective names.
    confidence : float
        Of the intervals.
    """
    if objective.only_bound is not None:
        return ()
    found = []
    for bound in objective.bounds:
        parts = [(None, None)] if bound.within is None else _rows_of(subgroups[bound.within])
        for name, rows in parts:
            own = alarms if rows is None else _some(alarms, rows)
            counts = Ranking.of(own, label).counts(np.array([0.5]))[0]
            value = float(bound.metric(counts))
            ends = interval_of(bound.metric, counts, *classes_of(own, label, 0.5), confidence)
            found.append(
                BoundReport(
                    metric=bound.metric.name,
                    relation=bound.relation,
                    bound=float(np.asarray(bound.bound)),
                    subgroup=name,
                    value=value,
                    met=bool(bound.holds(np.asarray(value))),
                    low=np.nan if ends is None else ends[0],
                    high=np.nan if ends is None else ends[1],
                    num_positives=float(counts.positives),
                    num_negatives=float(counts.negatives),
                )
            )
    return tuple(found)


def _rows_of(column: SubgroupColumn) -> list[tuple[str | None, np.ndarray | None]]:
    """Return the name and the rows of each subgroup that has some."""
    parts = [(f"{column.name}={name}", np.flatnonzero(column.of_row == at)) for at, name in enumerate(column.values)]
    return [(name, rows) for name, rows in parts if len(rows)]


def _some(samples: Samples, rows: np.ndarray) -> Samples:
    weight = None if samples.weight is None else samples.weight[rows]
    return replace(samples, scores=samples.scores[rows], labels=samples.labels[rows], weight=weight)
