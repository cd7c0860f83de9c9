"""The models that were tried on the same rows, and what each reached: the table behind a choice among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metricopt.evidence.reports import Report
from metricopt.results.status import Status


@dataclass(frozen=True)
class Tried:
    """One of several models that were trained on the same folds.

    Attributes
    ----------
    name : str
    status : Status
        What the rows that it had not seen say of its own threshold.
    report : Report
        What that threshold reaches on these rows.
    seconds : float
        How long its training took.
    is_chosen : bool
        Whether it became the model of the result.
    """

    name: str
    status: Status
    report: Report
    seconds: float
    is_chosen: bool = False

    def __str__(self) -> str:
        reached = self.report[0]
        text = f"{self.name}: {self.status}, {reached.metric} {reached.value:.3f}"
        if reached.bounded_metric is not None:
            text += f", {reached.bounded_metric.replace('_', ' ')} {reached.bounded_value:.3f}"
        return text + (" (chosen)" if self.is_chosen else "")

    def to_dict(self) -> dict[str, Any]:
        """Return numbers and names alone, for JSON."""
        return {
            "name": self.name,
            "status": self.status.value,
            "report": self.report.to_dict(),
            "seconds": self.seconds,
            "is_chosen": self.is_chosen,
        }

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Tried:
        """Return what :meth:`to_dict` wrote down."""
        kind, report = Status(saved["status"]), Report.from_dict(saved["report"])
        return cls(saved["name"], kind, report, saved["seconds"], saved["is_chosen"])
