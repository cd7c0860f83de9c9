"""How a training ended: values that carry advice, never exceptions."""

from __future__ import annotations

from enum import Enum


class Status(str, Enum):
    """The outcome for one label. :attr:`advice` says what it means and what to do."""

    FEASIBLE = "feasible"
    OPTIMIZED = "optimized"
    UNSUPPORTED = "unsupported"
    INFEASIBLE = "infeasible"
    SLACK_GAP = "slack_gap"
    NO_POSITIVES = "no_positives"
    DIVERGED = "diverged"
    CERTIFIED = "certified"
    NOT_CERTIFIED = "not_certified"

    @property
    def advice(self) -> str:
        """What the status means, and what to do about it."""
        return _ADVICE[self]

    def __str__(self) -> str:
        return self.value


def status_of(
    *, diverged: bool, has_both_classes: bool, feasible: bool, supported: bool, slack_holds: bool, bounded: bool
) -> Status:
    """Return the status of a label from what is known of its training; the first fault decides."""
    if diverged:
        return Status.DIVERGED
    if not has_both_classes:
        return Status.NO_POSITIVES
    if not feasible:
        return Status.INFEASIBLE
    if not supported:
        return Status.UNSUPPORTED
    if not slack_holds:
        return Status.SLACK_GAP
    return Status.FEASIBLE if bounded else Status.OPTIMIZED


_ADVICE = {
    Status.FEASIBLE: "The bound holds on the data that chose the threshold.",
    Status.UNSUPPORTED: "Some threshold meets the bound on the data that chose it, but these data give too little "
    "reason to expect the bound of new data.",
    Status.OPTIMIZED: "The objective has no bound; its value is the best found on the data that chose the threshold.",
    Status.INFEASIBLE: "No threshold of this model meets the bound, not even on the data that chose it. Lower the "
    "bound to what is achievable, or give more data, better features or a more flexible model.",
    Status.SLACK_GAP: "The reported metrics are the model's own and hold on the data that chose the threshold, but the "
    "solver's slacks stood for others, by more than 1 %: what it optimized is not what the model does. Train for more "
    "epochs, or use solver='profiled'.",
    Status.NO_POSITIVES: "The label has no positives or no negatives to learn from or to choose by: it was left out.",
    Status.DIVERGED: "The loss became NaN or infinite; the best model found until then is returned. Lower "
    "learning_rate or set gradient_clip.",
    Status.CERTIFIED: "The bound holds on new data like the calibration data, with the confidence that the certificate "
    "states.",
    Status.NOT_CERTIFIED: "No threshold could be certified on the calibration data; the certificate says what would be "
    "needed. It raises no alarm.",
}
