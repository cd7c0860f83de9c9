"""When the evidence supports a bound, and how sure that is by default: both are named here and nowhere else.

This file decides the rule's parts and its defaults. It leaves the limits to :mod:`metricopt.evidence.limits` and the
choice among the cuts that pass to :mod:`metricopt.evidence.thresholds`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metricopt._validation import reject

DEFAULT_CONFIDENCE = 0.9
"""The confidence of a threshold that is chosen without being told one."""

EVERY_FOLD_BY_DEFAULT = True
"""Whether a result of folds asks, beside the limit, that the bound holds in every single fold.

Both defaults were chosen on the development suite (``python -m benchmarks run development``).
"""

MIN_ALARMS = 10
"""No claim stands on fewer alarms (distinct groups among them, where groups are given)."""


@dataclass(frozen=True)
class Rule:
    """What a cut must pass before the evidence is said to support the bound there.

    The bound must hold on the rows themselves, and :data:`MIN_ALARMS` must stand behind it, in any case.

    Attributes
    ----------
    confidence : float, in (0, 1), or None
        The confidence limit of the bounded metric must meet the bound; None asks for no limit. Where there are several
        bounds or subgroups, the limit of each must, at the confidence of :meth:`of_each`.
    every_fold : bool
        The bound must hold on the rows of every single fold. A fold in which the bounded metric is undefined whatever
        the threshold, for want of positives, say, is not asked.
    """

    confidence: float | None = DEFAULT_CONFIDENCE
    every_fold: bool = EVERY_FOLD_BY_DEFAULT

    def of_each(self, num_bounds: int) -> float | None:
        """Return with which confidence each of several bounds must hold, so that all hold with that of the rule.

        The error is divided equally among them (Bonferroni): whatever depends on what, the probability that one of them
        fails is at most the sum of the probabilities of each.
        """
        if self.confidence is None or num_bounds < 2:
            return self.confidence
        return 1 - (1 - self.confidence) / num_bounds


def check_confidence(confidence: float) -> None:
    """Reject anything but a number between 0 and 1.

    Raises
    ------
    InvalidInputError
        If it is not one.
    """
    is_number = isinstance(confidence, (int, float, np.number)) and not isinstance(confidence, bool)
    if not (is_number and 0 < confidence < 1):
        reject("confidence", "in (0, 1)", repr(confidence), "give e.g. 0.9")


def read_confidence(asked: float | str | None, *, judges_itself: bool) -> float | None:
    """Return the confidence that is asked: by default :data:`DEFAULT_CONFIDENCE` where other rows judge than train.

    Parameters
    ----------
    asked : "auto", float in (0, 1), or None
    judges_itself : bool
        Whether the rows that train choose the threshold.

    Raises
    ------
    InvalidInputError
        If a confidence is asked of rows that trained.
    """
    if isinstance(asked, str):
        return None if judges_itself else DEFAULT_CONFIDENCE
    if asked is not None and judges_itself:
        rule, remedy = "left out where the training rows choose the threshold", "give val_fraction=0.2, or folds=5"
        reject("confidence", rule, asked, f"{remedy}: rows that trained can support no bound")
    return None if asked is None else float(asked)
