"""Exact metrics of scores against labels, on arrays and without gradients.

This file decides what each metric *is*: every rate is a :class:`Ratio` of linear forms in the confusion counts, which
is also what the objectives, the thresholds and the solvers build on. It leaves the choice of a threshold to
:mod:`metricopt.evidence.thresholds`.

Conventions, everywhere in the library: a sample is predicted positive when its score >= threshold; a NaN label is
missing and counts nowhere; tied scores stay together; what is undefined is NaN. Arrays are (n,) for one label or
(n, L) for L labels; numpy in gives numpy out, torch in gives float64 torch out on the same
device (float32 on a device without float64).
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from typing import Any

import numpy as np
import torch

from metricopt._arrays import Array as Array
from metricopt._arrays import Samples, to_numpy
from metricopt._validation import check_positive, reject


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
        return (
            self.tp * counts.true_positives
            + self.fp * counts.false_positives
            + self.positives * counts.positives
            + self.negatives * counts.negatives
        )

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

    Examples
    --------
    >>> float(PRECISION(Counts(9.0, 1.0, 3.0, 7.0)))
    0.9
    """

    name: str
    numerator: LinearForm
    denominator: LinearForm

    def __call__(self, counts: Counts) -> Array:
        """Return the value of the metric, NaN where undefined."""
        counts = counts.in_units()
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


def confusion_counts(scores: Array, labels: Array, threshold: Array, sample_weight: Array | None = None) -> Counts:
    """Count right and wrong alarms at a threshold.

    Scores and threshold are compared in float64, so a threshold is never rounded to the scores' precision.

    Parameters
    ----------
    scores : array, shape (n,) or (n, L), float
        Finite numbers on any scale and in any precision, bfloat16 included.
    labels : array, shape of ``scores``
        0, 1, or NaN where a label is missing: such a sample counts nowhere. Booleans are accepted.
    threshold : float or array, shape (L,)
        Scores at or above the threshold raise an alarm. A threshold of NaN raises none.
    sample_weight : array, shape (n,) or (n, L), optional
        Finite numbers >= 0. Without them, every sample weighs 1.

    Returns
    -------
    Counts
        The counts are float64: scalars for scores of shape (n,), arrays of shape (L,) for scores of shape (n, L).

    Raises
    ------
    InvalidInputError
        If a shape or a value is not as described above.

    Examples
    --------
    >>> counts = confusion_counts([0.9, 0.8, 0.4, 0.2], [1, 0, 1, 0], 0.5)
    >>> float(counts.true_positives), float(counts.false_positives)
    (1.0, 1.0)
    """
    samples = Samples.read(scores, labels, sample_weight)
    limit = to_numpy("threshold", threshold).astype(np.float64)
    if limit.shape not in ((), (samples.num_labels,) if samples.has_label_axis else ()):
        rule = f"one number or one per label ({samples.num_labels})" if samples.has_label_axis else "one number"
        reject("threshold", rule, f"shape {limit.shape}", "give a number")
    if samples.weight is not None:
        # Summed where thresholds are chosen, so that a bound which holds there holds here.
        limits = np.broadcast_to(limit, samples.num_labels)
        counts = [Ranking.of(samples, label).counts(limits[label]) for label in range(samples.num_labels)]
        return Counts(*(samples.give_back(entries) for entries in zip(*map(astuple, counts), strict=True)))
    flagged = samples.scores.astype(np.float64) >= limit
    positive, negative = samples.labels == 1, samples.labels == 0
    sides = [(flagged, positive), (flagged, negative), (~flagged, positive), (~flagged, negative)]
    return Counts(*(samples.give_back((alarm & side).sum(0, dtype=np.float64)) for alarm, side in sides))


def recall(scores: Array, labels: Array, threshold: Array, sample_weight: Array | None = None) -> Array:
    """Return the fraction of the positives that raise an alarm; NaN without positives.

    Parameters, shapes and errors are those of :func:`confusion_counts`.

    Examples
    --------
    >>> float(recall([0.9, 0.8, 0.4, 0.2], [1, 0, 1, 0], 0.5))
    0.5
    """
    return RECALL(confusion_counts(scores, labels, threshold, sample_weight))


def precision(scores: Array, labels: Array, threshold: Array, sample_weight: Array | None = None) -> Array:
    """Return the fraction of the alarms that are right; NaN without alarms.

    Parameters, shapes and errors are those of :func:`confusion_counts`.

    Examples
    --------
    >>> float(precision([0.9, 0.8, 0.4, 0.2], [1, 0, 1, 0], 0.3))
    0.6666666666666666
    """
    return PRECISION(confusion_counts(scores, labels, threshold, sample_weight))


def specificity(scores: Array, labels: Array, threshold: Array, sample_weight: Array | None = None) -> Array:
    """Return the fraction of the negatives that raise no alarm; NaN without negatives.

    Parameters, shapes and errors are those of :func:`confusion_counts`.

    Examples
    --------
    >>> float(specificity([0.9, 0.8, 0.4, 0.2], [1, 0, 1, 0], 0.5))
    0.5
    """
    return SPECIFICITY(confusion_counts(scores, labels, threshold, sample_weight))


def false_positive_rate(scores: Array, labels: Array, threshold: Array, sample_weight: Array | None = None) -> Array:
    """Return the fraction of the negatives that raise an alarm; NaN without negatives.

    Parameters, shapes and errors are those of :func:`confusion_counts`.

    Examples
    --------
    >>> float(false_positive_rate([0.9, 0.8, 0.4, 0.2], [1, 0, 1, 0], 0.5))
    0.5
    """
    return FALSE_POSITIVE_RATE(confusion_counts(scores, labels, threshold, sample_weight))


def alarm_rate(scores: Array, labels: Array, threshold: Array, sample_weight: Array | None = None) -> Array:
    """Return the fraction of all labelled samples that raise an alarm; NaN without samples.

    Parameters, shapes and errors are those of :func:`confusion_counts`.

    Examples
    --------
    >>> float(alarm_rate([0.9, 0.8, 0.4, 0.2], [1, 0, 1, 0], 0.3))
    0.75
    """
    return ALARM_RATE(confusion_counts(scores, labels, threshold, sample_weight))


def f_beta(
    scores: Array, labels: Array, threshold: Array, beta: float = 1.0, sample_weight: Array | None = None
) -> Array:
    """Return F-beta, the weighted harmonic mean of precision and recall; NaN with neither positives nor alarms.

    Parameters, shapes and errors are those of :func:`confusion_counts`; ``beta`` > 0 says how many times recall
    matters more than precision.

    Examples
    --------
    >>> float(f_beta([0.9, 0.8, 0.4, 0.2], [1, 0, 1, 0], 0.3))
    0.8
    """
    return f_beta_ratio(beta)(confusion_counts(scores, labels, threshold, sample_weight))


@dataclass(frozen=True)
class RankedClass:
    """The scores of one class in ascending order, with their weights.

    Attributes
    ----------
    scores : ndarray, shape (m,), ascending
    weight : ndarray, shape (m,), float
        What each sample weighs.
    unit : float or None
        The one weight of all samples; None where they differ.
    weight_above : ndarray, shape (m + 1,), or None
        Entry i sums the weights of ``scores[i:]``; None where the samples weigh the same and can be counted.
    """

    scores: np.ndarray
    weight: np.ndarray
    unit: float | None
    weight_above: np.ndarray | None

    @classmethod
    def of(cls, scores: np.ndarray, weight: np.ndarray | None) -> RankedClass:
        """Sort the scores of one class, with their weights if there are any."""
        if weight is None or not len(weight) or (weight == weight[0]).all():
            unit = 1.0 if weight is None or not len(weight) else float(weight[0])
            return cls(np.sort(scores), np.broadcast_to(unit, len(scores)), unit, None)
        order = np.argsort(scores)
        return cls(scores[order], weight[order], None, _sums_from_the_end(weight[order]))

    def weight_at_or_above(self, cuts: np.ndarray) -> np.ndarray:
        """Return the weight of this class at or above each cut."""
        below = np.searchsorted(self.scores, cuts)
        if self.weight_above is not None:
            return self.weight_above[below]
        number = float(len(self.scores)) - below
        return number if self.unit is None else self.unit * number

    def distinct(self) -> np.ndarray:
        """Return each score once, ascending."""
        return self.scores[np.append(True, self.scores[1:] != self.scores[:-1])[: len(self.scores)]]


@dataclass(frozen=True)
class Ranking:
    """The labelled samples of one label, sorted class by class, so that the counts at any cut are two look-ups.

    Sorting the classes apart costs less than one argsort of all scores, and keeps ties together by itself.
    """

    positives: RankedClass
    negatives: RankedClass

    @classmethod
    def of(cls, samples: Samples, label: int) -> Ranking:
        """Sort one label's samples; those with a missing label or weight 0 stay out."""
        scores, labels = samples.scores[:, label], samples.labels[:, label]
        weight = None if samples.weight is None else samples.weight[:, label]
        ranked = []
        for side in (1, 0):
            chosen = labels == side if weight is None else (labels == side) & (weight > 0)
            ranked.append(RankedClass.of(scores[chosen], None if weight is None else weight[chosen]))
        return cls(*ranked)

    def counts(self, cuts: np.ndarray) -> Counts:
        """Return the counts of "alarm when score >= cut" for every cut, in float64."""
        everything = np.array(-np.inf, dtype=cuts.dtype)
        found, false_alarms = (side.weight_at_or_above(cuts) for side in (self.positives, self.negatives))
        positives, negatives = (side.weight_at_or_above(everything) for side in (self.positives, self.negatives))
        return Counts(found, false_alarms, positives - found, negatives - false_alarms, self._unit)

    @property
    def _unit(self) -> float:
        """What each sample of either class weighs, 1 where they differ."""
        units = {side.unit for side in (self.positives, self.negatives) if len(side.scores)}
        (unit,) = units if len(units) == 1 else (None,)
        return 1.0 if unit is None else unit

    def distinct(self) -> np.ndarray:
        """Return each score of either class once, ascending."""
        return np.unique(np.concatenate([self.positives.scores, self.negatives.scores]))

    def average_precision(self) -> float:
        """Return the average precision, NaN without positives; see :func:`average_precision`."""
        # Recall changes at positives only, so the other cuts contribute nothing.
        counts = self.counts(self.positives.distinct())
        if not len(counts.true_positives):
            return np.nan
        gained = -np.diff(RECALL(counts), append=0.0)
        return float(gained @ PRECISION(counts))


def _sums_from_the_end(weight: np.ndarray) -> np.ndarray:
    """Return the sums of ``weight[i:]`` for every i, and 0: the same sum for the same weights in whatever order.

    Each weight is split into parts of so few digits that sums of the parts are exact (error-free vector transformation,
    Rump, Ogita and Oishi 2008, Accurate floating-point summation, SIAM J. Sci. Comput. 31); integers are one part.
    """
    parts, rest = [], weight
    digits = 52 - len(weight).bit_length()
    while rest.any():
        unit = np.ldexp(1.0, max(np.frexp(rest.max())[1] - digits, -1074))
        part = np.floor(rest / unit) * unit
        parts.append(np.append(np.cumsum(part[::-1])[::-1], 0.0))
        rest = rest - part
    return sum(parts[::-1], np.zeros(1))  # the small ones first


def average_precision(scores: Array, labels: Array, sample_weight: Array | None = None) -> Array:
    r"""Return the average precision: the precision at each threshold, weighted by the recall gained there.

    .. math:: AP = \sum_k (R_k - R_{k+1}) \, P_k

    over the distinct scores in ascending order, with :math:`P_k` and :math:`R_k` the precision and recall where the
    k-th is the threshold, and recall 0 above the last. Nothing is interpolated. Tied scores enter together, so constant
    scores reach the prevalence.

    Parameters
    ----------
    scores, labels, sample_weight
        These are as for :func:`confusion_counts`.

    Returns
    -------
    array, scalar or shape (L,), float64
        The value is NaN for a label without positives.

    Examples
    --------
    >>> float(average_precision([0.9, 0.8, 0.4, 0.2], [1, 0, 1, 0]))
    0.8333333333333333
    """
    samples = Samples.read(scores, labels, sample_weight)
    return samples.give_back([Ranking.of(samples, k).average_precision() for k in range(samples.num_labels)])


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """The precision and recall that each distinct score of the labelled samples has as threshold.

    Attributes
    ----------
    precision, recall : array, shape (number of distinct scores,), float64
        Recall is NaN where there are no positives.
    thresholds : array, shape (number of distinct scores,), float64
        The distinct scores in ascending order.
    """

    precision: Array
    recall: Array
    thresholds: Array


def precision_recall_curve(
    scores: Array, labels: Array, sample_weight: Array | None = None
) -> PrecisionRecallCurve | list[PrecisionRecallCurve]:
    """Return the precision and recall of every threshold that a user could choose.

    Differs from scikit-learn's: every point belongs to a threshold, so the made-up last point (precision 1, recall 0)
    is not there; the recall of data without positives is NaN, not 1.

    Parameters
    ----------
    scores, labels, sample_weight
        These are as for :func:`confusion_counts`.

    Returns
    -------
    PrecisionRecallCurve or list of PrecisionRecallCurve
        One curve, or a list with one per label for scores of shape (n, L).

    Examples
    --------
    >>> curve = precision_recall_curve([0.9, 0.8, 0.4, 0.2], [1, 0, 1, 0])
    >>> curve.recall.tolist(), curve.thresholds.tolist()
    ([1.0, 1.0, 0.5, 0.5], [0.2, 0.4, 0.8, 0.9])
    """
    samples = Samples.read(scores, labels, sample_weight)
    curves = []
    for label in range(samples.num_labels):
        ranking = Ranking.of(samples, label)
        cuts = ranking.distinct()
        counts = ranking.counts(cuts)
        columns = (PRECISION(counts), RECALL(counts), cuts.astype(np.float64))
        curves.append(PrecisionRecallCurve(*map(samples.give_back_array, columns)))
    return curves if samples.has_label_axis else curves[0]
