"""What a training led to for one label: its status, its threshold, and what that reaches beside candidate zero.

This file decides what a label's status means in words. How several labels become a text or a page is decided in
:mod:`metricopt.results.words` and :mod:`metricopt.results.page`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from metricopt.evidence.certification import LabelCertificate
from metricopt.evidence.reports import LabelReport
from metricopt.results.status import Status
from metricopt.solvers.agreement import SlackAgreement


@dataclass(frozen=True)
class LabelOutcome:
    """What a training led to for one label.

    Attributes
    ----------
    label : str
    status : Status
    threshold : float
        The threshold is NaN for a label that was left out.
    reports : dict of str to (LabelReport, LabelReport)
        The reports of model and candidate zero, by the name of the data; the data that chose the model come first.
    slack : SlackAgreement or None
    certificate : LabelCertificate or None
    """

    label: str
    status: Status
    threshold: float
    reports: dict[str, tuple[LabelReport, LabelReport]]
    slack: SlackAgreement | None = None
    certificate: LabelCertificate | None = None

    @property
    def has_threshold(self) -> bool:
        """Whether there is a threshold: a label without one was left out, or could not be certified."""
        return not math.isnan(self.threshold)

    @property
    def selected_on(self) -> str:
        """The name of the data that chose model and threshold."""
        return next(iter(self.reports))

    @property
    def selection(self) -> LabelReport:
        """The report of the model on the data that chose it."""
        return self.reports[self.selected_on][0]

    @property
    def advice(self) -> str:
        """What the status means, with the best achievable value where the bound is missed."""
        text, report = self.status.advice, self.selection
        if self.status is Status.INFEASIBLE:
            reached = f"{report.bounded_value:.3f}"
            text += f" Best achievable {report.bounded_metric}: {reached} (asked {report.bound:g})."
        if self.status is Status.NO_POSITIVES:
            parts = [(data, own) for data, (own, _) in reversed(self.reports.items())]
            missing = [f"no {kind} in the {data} data" for data, own in parts if (kind := _missing(own))]
            text += f" There are {' and '.join(missing)}. It raises no alarm."
        return text


def _missing(report: LabelReport) -> str | None:
    """Return the class that a label lacks in some data."""
    lacks = not report.counts.positives, not report.counts.negatives
    return {(True, True): "labels", (True, False): "positives", (False, True): "negatives"}.get(lacks)
