"""What a training led to for one label: its status, its threshold, and what that reaches beside candidate zero.

This file decides what a label's status means in words. How several labels become a text or a page is decided in
:mod:`metricopt.results.words` and :mod:`metricopt.results.page`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from metricopt.evidence.certificates import OneLabel
from metricopt.evidence.choice import ThresholdChoice
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
    choice : ThresholdChoice
        What stands behind the threshold on the data that chose it.
    threshold : float
        The threshold is NaN for a label that was left out.
    reports : dict of str to tuple of LabelReport
        The reports of the model and, if there is one, of candidate zero, by the name of the data; the data that chose
        the model come first.
    slack : SlackAgreement or None
    certificate : LabelCertificate, ProgramCertificate or None
    reachable_bound : float or None
        The best bound that the data support at the confidence asked, where they do not support the one asked.
    constant_score : float or None
        The score that all rows have on the data that chose the model, if they have the same.
    """

    label: str
    status: Status
    choice: ThresholdChoice
    threshold: float
    reports: dict[str, tuple[LabelReport, ...]]
    slack: SlackAgreement | None = None
    certificate: OneLabel | None = None
    reachable_bound: float | None = None
    constant_score: float | None = None

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
        """What the status means, what is missing, and what to do about it."""
        if self.constant_score is not None and self.status in _OF_A_THRESHOLD:
            best = [self._best_achievable] if self.status is Status.INFEASIBLE else []
            return " ".join([_CONSTANT.format(self.constant_score), *best, f"So the threshold {self._done}."])
        sentences = [self.status.advice]
        if self.status is Status.FEASIBLE:
            sentences.append(self._outlook)
        if self.status is Status.INFEASIBLE:
            sentences.append(self._best_achievable)
        if self.status is Status.UNSUPPORTED and isinstance(self.choice.advice, str):
            sentences.append(self.choice.advice)
        if self.status in (Status.UNSUPPORTED, Status.INFEASIBLE) and self.choice.confidence is not None:
            sentences += self._without_support
        if self.status is Status.NO_POSITIVES:
            parts = [(data, own) for data, (own, *_) in reversed(self.reports.items())]
            missing = [f"no {kind} in the {data} data" for data, own in parts if (kind := _missing(own))]
            sentences.append(f"There are {' and '.join(missing)}. It raises no alarm.")
        return " ".join(sentences)

    @property
    def _best_achievable(self) -> str:
        """How near a missed bound some threshold comes."""
        best, report = self.choice.empirical or self.choice, self.selection
        if report.bounded_metric is None:
            return str(best.program.clash_in_words)
        reached = f"{float(np.asarray(best.bounded_value)):.3f}"
        return f"Best achievable {_in_words(report.bounded_metric)}: {reached} (asked {report.bound:g})."

    @property
    def _outlook(self) -> str:
        """What a bound that holds on the data that chose says of new data."""
        choice, name = self.choice, _in_words(self.selection.bounded_metric)
        if choice.confidence is not None and choice.limit is None:
            return f"On new data like these, with confidence {choice.confidence:g} for all together: {self._limits}."
        if choice.confidence is None and choice.limit is None and choice.program is not None:
            return "New data can miss a bound: evaluate on a test set."
        if choice.confidence is None or choice.limit is None:
            side = "below" if choice.bound_direction == "min" else "above"
            return (
                "New data can miss it: evaluate on a test set, and ask for a stricter bound if its interval reaches "
                f"{side}."
            )
        if choice.holds_by_definition:
            return "Every row is flagged, so it holds on new data as well."
        side = "at least" if choice.bound_direction == "min" else "at most"
        limit = f"{side} {float(np.asarray(choice.limit)):.3f}"
        return f"On new data like these, {name} is {limit} with confidence {choice.confidence:g}."

    @property
    def _limits(self) -> str:
        """The confidence limit of each bound of a program."""
        said = []
        for each in self.choice.program.bounds:
            side = "by definition" if each.by_definition else "at least" if each.bound.direction == "min" else "at most"
            said.append(f"{each.name} {side} {each.limit:.3f}")
        return "; ".join(said)

    @property
    def _done(self) -> str:
        """What a threshold does that tells no rows apart."""
        return "flags every row" if self.selection.true_positives else "raises no alarm"

    @property
    def _without_support(self) -> list[str]:
        """What the threshold does instead, and how to use another."""
        sentences = [f"So the threshold {self._done}."]
        if self.reachable_bound is not None and not math.isnan(self.reachable_bound):
            sentences.append(
                f"The best bound that these data support with confidence {self.choice.confidence:g} is "
                f"{_safely(self.reachable_bound, self.choice.bound_direction)}."
            )
        best = self.choice.empirical
        if best is not None and best.num_alarms:
            found = f"{float(np.asarray(best.threshold)):.6g} ({self.selection.metric} {float(best.value):.3f})"
            sentences.append(f"The best cut on these data is result.empirical_threshold, {found}.")
        return sentences


_OF_A_THRESHOLD = (Status.FEASIBLE, Status.OPTIMIZED, Status.UNSUPPORTED, Status.INFEASIBLE)
_CONSTANT = (
    "The model gives every row the same score, {:.6g}, so that no threshold tells any apart, and more data will "
    "not help. Look for a softmax over one output (which is always 1: return the logit), a last activation that cuts "
    "everything off, units that have died (lower the learning rate, scale the features), or inputs that are all alike."
)


def _safely(bound: float, direction: str) -> str:
    """Return a bound with three digits, rounded to the side on which it is supported too."""
    rounded = math.floor(bound * 1000) if direction == "min" else math.ceil(bound * 1000)
    return f"{rounded / 1000:.3f}"


def _in_words(metric: str | None) -> str:
    return str(metric).replace("_", " ")


def _missing(report: LabelReport) -> str | None:
    """Return the class that a label lacks in some data."""
    lacks = not report.counts.positives, not report.counts.negatives
    return {(True, True): "labels", (True, False): "positives", (False, True): "negatives"}.get(lacks)
