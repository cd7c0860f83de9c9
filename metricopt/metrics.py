"""Exact metrics of scores against labels, on arrays and without gradients.

This file decides what each metric *is*: every rate is a :class:`Ratio` of linear forms in the confusion counts, which
is also what the objectives, the thresholds and the solvers build on. It leaves the choice of a threshold to
:mod:`metricopt.thresholds`.

Conventions, everywhere in the library: a sample is predicted positive when its score >= threshold; a NaN label is
missing and counts nowhere; tied scores stay together; what is undefined is NaN. Arrays are (n,) for one label or
(n, L) for L labels; numpy in gives numpy out, torch in gives float64 torch out on the same device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
import torch

from metricopt._validation import check_finite, check_labels, check_positive, reject

Array: TypeAlias = Any  # numpy.ndarray or torch.Tensor: same kind in, same kind out


@dataclass(frozen=True)
class Counts:
    """Confusion counts, one entry a label (sums of weights where samples are weighted).

    Attributes
    ----------
    true_positives, false_positives, false_negatives, true_negatives : array, shape (L,) or scalar, float
    """

    true_positives: Array
    false_positives: Array
    false_negatives: Array
    true_negatives: Array

    @property
    def positives(self) -> Array:
        """Samples labelled 1."""
        return self.true_positives + self.false_negatives

    @property
    def negatives(self) -> Array:
        """Samples labelled 0."""
        return self.false_positives + self.true_negatives

    def __getitem__(self, label: Any) -> Counts:
        """Return the counts of one label, or of those that an index selects."""
        return Counts(*(getattr(self, field.name)[label] for field in fields(self)))


@dataclass(frozen=True)
class Linear:
    """A linear form in the counts: ``tp * TP + fp * FP + positives * P + negatives * N``."""

    tp: Any = 0.0
    fp: Any = 0.0
    positives: Any = 0.0
    negatives: Any = 0.0

    def __call__(self, counts: Counts) -> Array:
        return (
            self.tp * counts.true_positives
            + self.fp * counts.false_positives
            + self.positives * counts.positives
            + self.negatives * counts.negatives
        )

    def __add__(self, other: Linear) -> Linear:
        return Linear(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __mul__(self, factor: Any) -> Linear:
        return Linear(*(getattr(self, f.name) * factor for f in fields(self)))

    def __sub__(self, other: Linear) -> Linear:
        return self + other * -1.0


@dataclass(frozen=True)
class Ratio:
    """A metric as the ratio of two linear forms in the counts; NaN where the denominator is 0.

    Examples
    --------
    >>> float(PRECISION(Counts(9.0, 1.0, 3.0, 7.0)))
    0.9
    """

    name: str
    numerator: Linear
    denominator: Linear

    def __call__(self, counts: Counts) -> Array:
        numerator, denominator = self.numerator(counts), self.denominator(counts)
        if isinstance(numerator, torch.Tensor):
            return torch.where(denominator > 0, numerator / denominator, torch.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(denominator > 0, np.true_divide(numerator, denominator), np.nan)[()]


RECALL = Ratio("recall", Linear(tp=1.0), Linear(positives=1.0))
PRECISION = Ratio("precision", Linear(tp=1.0), Linear(tp=1.0, fp=1.0))
FALSE_POSITIVE_RATE = Ratio("false_positive_rate", Linear(fp=1.0), Linear(negatives=1.0))
SPECIFICITY = Ratio("specificity", Linear(fp=-1.0, negatives=1.0), Linear(negatives=1.0))
ALARM_RATE = Ratio("alarm_rate", Linear(tp=1.0, fp=1.0), Linear(positives=1.0, negatives=1.0))


def f_beta_ratio(beta: float) -> Ratio:
    """Return F-beta as a :class:`Ratio`: (1 + beta^2) TP / (TP + FP + beta^2 P) (van Rijsbergen 1979)."""
    check_positive("beta", beta)
    square = float(beta) ** 2
    return Ratio(f"f{beta:g}", Linear(tp=1.0 + square), Linear(tp=1.0, fp=1.0, positives=square))
