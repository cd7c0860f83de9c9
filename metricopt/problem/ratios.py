"""Ratios of linear forms in the confusion counts: what every metric here is made of.

Objectives, thresholds and solvers build on these. This file decides the algebra, and the metrics that the library's own
code speaks of; all metrics that can be asked for by name are in :mod:`metricopt.problem.catalogue`. How samples are
counted at a threshold is in :mod:`metricopt.problem.metrics`, and at every threshold in
:mod:`metricopt.problem.ranking`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from metricopt._arrays import Array
from metricopt._validation import check_positive


@dataclass(frozen=True)
class Counts:
    """Confusion counts, one entry per label (sums of weights where samples are weighted).

    Attributes
    ----------
    true_positives, false_positives, false_negatives, true_negatives : array, shape (L,) or scalar, float
    unit : array, shape (L,) or scalar, float
        What every sample weighs where all weigh the same, else 1. Metrics are computed from the numbers of samples
        there, so that equal weights change no metric by so much as a rounding error.
    """

    true_positives: Array
    false_positives: Array
    false_negatives: Array
    true_negatives: Array
    unit: Array = field(default=1.0, repr=False)

    @property
    def positives(self) -> Array:
        """The number (or weight) of the samples labelled 1."""
        return self.true_positives + self.false_negatives

    @property
    def negatives(self) -> Array:
        """The number (or weight) of the samples labelled 0."""
        return self.false_positives + self.true_negatives

    def __getitem__(self, label: Any) -> Counts:
        """Return the counts of one label, or of those that an index selects."""
        entries = [value if np.ndim(value) == 0 else value[label] for value in vars(self).values()]
        return Counts(*entries)

    def by_class(self) -> Counts:
        """Return the counts as fractions of their class; NaN for a class without samples."""
        positives, negatives = self.positives, self.negatives
        divide: Any = torch.true_divide if isinstance(positives, torch.Tensor) else np.true_divide
        with np.errstate(invalid="ignore", divide="ignore"):
            return Counts(
                divide(self.true_positives, positives),
                divide(self.false_positives, negatives),
                divide(self.false_negatives, positives),
                divide(self.true_negatives, negatives),
            )

    def in_units(self) -> Counts:
        """Return the same counts as numbers of samples, for labels whose samples all weigh the same."""
        if isinstance(self.unit, float) and self.unit == 1.0:
            return self
        *counts, unit = vars(self).values()
        if isinstance(unit, torch.Tensor):
            return Counts(*(torch.where(unit == 1.0, count, (count / unit).round()) for count in counts))
        return Counts(*(np.where(unit == 1.0, count, np.rint(count / unit)) for count in counts))


@dataclass(frozen=True)
class LinearForm:
    """A linear form in the counts: ``tp * TP + fp * FP + positives * P + negatives * N``.

    With ``P = TP + FN`` and ``N = FP + TN`` these four coefficients can say any sum of the confusion counts: the false
    negatives are ``LinearForm(positives=1, tp=-1)``, the true negatives ``LinearForm(negatives=1, fp=-1)``.
    """

    tp: Any = 0.0
    fp: Any = 0.0
    positives: Any = 0.0
    negatives: Any = 0.0

    def __call__(self, counts: Counts) -> Array:
        """Return the value of the form."""
        terms = [
            coefficient * getattr(counts, name)
            for coefficient, name in (
                (self.tp, "true_positives"),
                (self.fp, "false_positives"),
                (self.positives, "positives"),
                (self.negatives, "negatives"),
            )
            if not (isinstance(coefficient, float) and coefficient == 0.0)
        ]
        return sum(terms[1:], terms[0]) if terms else 0.0 * counts.true_positives

    def __add__(self, other: LinearForm) -> LinearForm:
        return LinearForm(
            self.tp + other.tp,
            self.fp + other.fp,
            self.positives + other.positives,
            self.negatives + other.negatives,
        )

    def __mul__(self, factor: Any) -> LinearForm:
        return LinearForm(self.tp * factor, self.fp * factor, self.positives * factor, self.negatives * factor)

    def __sub__(self, other: LinearForm) -> LinearForm:
        return self + other * -1.0


@dataclass(frozen=True)
class Ratio:
    """A metric as the ratio of two linear forms in the counts, NaN where the denominator is 0.

    Parameters
    ----------
    name : str
        The name of the metric in reports, for example ``"recall"``.
    numerator, denominator : LinearForm
    low, high : float
        The least and the largest value that the metric can have.
    by_class : bool
        Whether the counts are taken as fractions of their class, as for the balanced accuracy.

    Examples
    --------
    >>> float(PRECISION(Counts(9.0, 1.0, 3.0, 7.0)))
    0.9
    """

    name: str
    numerator: LinearForm
    denominator: LinearForm
    low: float = 0.0
    high: float = 1.0
    by_class: bool = False

    def __call__(self, counts: Counts) -> Array:
        """Return the value of the metric, NaN where undefined."""
        counts = counts.by_class() if self.by_class else counts.in_units()
        numerator, denominator = self.numerator(counts), self.denominator(counts)
        if isinstance(numerator, torch.Tensor):
            return torch.where(denominator > 0, numerator / denominator, torch.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(denominator > 0, np.true_divide(numerator, denominator), np.nan)[()]


RECALL = Ratio("recall", LinearForm(tp=1.0), LinearForm(positives=1.0))
PRECISION = Ratio("precision", LinearForm(tp=1.0), LinearForm(tp=1.0, fp=1.0))
FALSE_POSITIVE_RATE = Ratio("false_positive_rate", LinearForm(fp=1.0), LinearForm(negatives=1.0))
SPECIFICITY = Ratio("specificity", LinearForm(fp=-1.0, negatives=1.0), LinearForm(negatives=1.0))
ALARM_RATE = Ratio("alarm_rate", LinearForm(tp=1.0, fp=1.0), LinearForm(positives=1.0, negatives=1.0))


def f_beta_ratio(beta: float) -> Ratio:
    """Return F-beta as a :class:`Ratio`: (1 + beta^2) TP / (TP + FP + beta^2 P) (van Rijsbergen 1979)."""
    check_positive("beta", beta)
    square = float(beta) ** 2
    return Ratio(f"f{beta:g}", LinearForm(tp=1.0 + square), LinearForm(tp=1.0, fp=1.0, positives=square))
