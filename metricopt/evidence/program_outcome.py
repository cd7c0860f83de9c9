"""What the bounds of a program reach at a threshold, over all rows or in each subgroup, and how that reads.

This file decides what is said of bounds. It leaves choosing to :mod:`metricopt.evidence.thresholds`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metricopt.problem.bounds import MetricBound
from metricopt.problem.ratios import Counts


@dataclass(frozen=True)
class BoundOutcome:
    """A bound on one set of rows, at a chosen threshold.

    Attributes
    ----------
    bound : MetricBound
    subgroup : str or None
        The value of the bound's column that these rows have; None for all rows.
    counts : Counts
        Of these rows.
    value : float
        The metric; NaN where it is undefined.
    feasible : bool
        Whether the bound holds on these rows.
    limit : float
        The confidence limit of the metric; NaN without a confidence, and where the metric speaks of no row.
    supported : bool or None
        Whether the rows support the bound at :attr:`confidence`, or it holds by definition; None without a confidence.
    confidence : float or None
        With which this bound must hold, so that all bounds together hold with the confidence asked.
    by_definition : bool
        Whether the metric can have no other value, as recall where every row is flagged.
    """

    bound: MetricBound
    subgroup: str | None
    counts: Counts
    value: float
    feasible: bool
    limit: float = np.nan
    supported: bool | None = None
    confidence: float | None = None
    by_definition: bool = False

    @property
    def name(self) -> str:
        """The metric and the rows, such as ``recall in site=A``."""
        metric = self.bound.metric.name.replace("_", " ")
        return metric if self.subgroup is None else f"{metric} in {self.bound.within}={self.subgroup}"

    @property
    def asked(self) -> str:
        """The relation and the number, such as ``>= 0.85``."""
        return f"{self.bound.relation} {float(np.asarray(self.bound.bound)):g}"

    @property
    def rows(self) -> str:
        """How many rows of each class there are."""
        positives, negatives = float(self.counts.positives), float(self.counts.negatives)
        return f"{positives:.6g} positive{'s' * (positives != 1)}, {negatives:.6g} negative{'s' * (negatives != 1)}"

    def said(self, with_limit: bool) -> str:
        """Return what was reached, against what was asked, and with the limit if there is one."""
        value = "undefined" if np.isnan(self.value) else f"{self.value:.3f}"
        text = f"{value} (asked {self.asked})"
        if not with_limit or self.confidence is None:
            return text if self.feasible else f"{text}, MISSED"
        if self.by_definition:
            return f"{text} by definition"
        side = "at least" if self.bound.direction == "min" else "at most"
        limit = "" if np.isnan(self.limit) else f", on new rows {side} {self.limit:.3f}"
        return f"{text}{limit}{'' if self.supported else ', NOT SUPPORTED'}"


@dataclass(frozen=True)
class ProgramOutcome:
    """What all bounds of a program reach at the thresholds of one label.

    Attributes
    ----------
    bounds : tuple of BoundOutcome
    shortfall : float
        By how much all bounds together are missed on these rows, each in units of its metric; 0 where all hold. One
        whose metric is undefined at every cut is left out.
    clash : tuple of str
        The bounds that no cut meets together on these rows; empty where some cut meets all.
    thresholds : dict of str to float, or None
        The threshold of each subgroup where each has its own; the choice's threshold is then that of other subgroups.
    gap : float
        Of thresholds of subgroups: those at which all bounds hold on these rows, each subgroup supporting its own
        bounds where a confidence is asked, have no value that is larger by more than this. 0 where these are the best;
        infinity where none were found that meet all bounds, and it is not shown that there are none.
    """

    bounds: tuple[BoundOutcome, ...]
    shortfall: float = 0.0
    clash: tuple[str, ...] = ()
    thresholds: dict[str, float] | None = None
    gap: float = 0.0

    @property
    def gap_in_words(self) -> str | None:
        """How much better the best thresholds of subgroups are at most; None where these are the best."""
        if not 0 < self.gap < np.inf:
            return None
        return f"the best thresholds on these rows reach {self.gap:.2g} more at most"

    @property
    def asked(self) -> str:
        """The bounds in words, each once."""
        return " and ".join(dict.fromkeys(str(each.bound).replace("_", " ") for each in self.bounds))

    @property
    def clash_in_words(self) -> str:
        """Which bounds no cut meets on these rows, and how near the nearest cut comes."""
        together = " together" if len(self.clash) > 1 else ""
        missed = ", ".join(f"{each.name} {each.said(False)}" for each in self.bounds if not each.feasible)
        one, are = ("cut", "No cut meets") if self.thresholds is None else ("cuts", "No cuts of the subgroups meet")
        if np.isinf(self.gap):
            are = "It is not shown that there are none, but no cuts of the subgroups were found that meet"
        return (
            f"{are} {' and '.join(self.clash)}{together} on these rows. At the {one} of the least total "
            f"violation, {self.shortfall:.3f}, these are missed: {missed}."
        )

    def lacking_in_words(self, needed: float, more: str) -> str | None:
        """Which bounds the rows do not support, and how many more rows it takes; None where they support each.

        Parameters
        ----------
        needed : float
            About how many more positives (groups) would do; NaN where no number would.
        more : str
            What these are called.
        """
        lacking = [f"{each.name} ({each.rows})" for each in self.bounds if not each.supported]
        if not lacking:
            return None
        text = f"At the best cut the rows do not support: {', '.join(lacking)}"
        if np.isnan(needed):
            return f"{text}. No cut is better than these bounds: more rows like these are not enough."
        if not needed:
            return f"{text}. They support all bounds at some cuts, but these do not meet them in every fold."
        return f"{text}; about {needed:.0f} more {more}, with their negatives, are needed."
