"""Which cells of the confusion matrix a metric speaks of, so that the rows and groups in them can be counted.

This file decides the cells. It leaves the counting to :mod:`metricopt.evidence.groups` and
:mod:`metricopt.evidence.effective`.
"""

from __future__ import annotations

from dataclasses import dataclass

from metricopt.problem.ratios import LinearForm


@dataclass(frozen=True)
class Cells:
    """Some cells of the confusion matrix: of either class whether its alarms, and whether its other rows, are meant.

    Attributes
    ----------
    positives, negatives : (bool, bool)
    """

    positives: tuple[bool, bool]
    negatives: tuple[bool, bool]

    @classmethod
    def of(cls, form: LinearForm) -> Cells | None:
        """Return the cells that a linear form counts, each once; None where it weighs some of them differently.

        Examples
        --------
        >>> Cells.of(LinearForm(tp=1.0, fp=1.0)) == ALARMS
        True
        >>> Cells.of(LinearForm(tp=2.0)) is None
        True
        """
        positives = form.tp + form.positives, form.positives
        negatives = form.fp + form.negatives, form.negatives
        if not {*positives, *negatives} <= {0.0, 1.0}:
            return None
        return cls(*((bool(alarms), bool(others)) for alarms, others in (positives, negatives)))

    def __le__(self, other: Cells) -> bool:
        pairs = zip(self.positives + self.negatives, other.positives + other.negatives, strict=True)
        return all(own <= others for own, others in pairs)

    def of_class(self, is_positive: bool) -> tuple[bool, bool]:
        """Return the cells of a class: its alarms, its other rows."""
        return self.positives if is_positive else self.negatives

    def only(self, is_positive: bool) -> Cells:
        """Return the cells of one class alone."""
        none = (False, False)
        return Cells(self.positives, none) if is_positive else Cells(none, self.negatives)


ALARMS = Cells((True, False), (True, False))
EVERYTHING = Cells((True, True), (True, True))
