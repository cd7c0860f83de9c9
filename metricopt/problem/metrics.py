"""Exact metrics of scores against labels, on arrays and without gradients.

Conventions, everywhere in the library: a sample is predicted positive when its score >= threshold; a NaN label is
missing and counts nowhere; tied scores stay together; what is undefined is NaN. Arrays are (n,) for one label or
(n, L) for L labels; numpy in gives numpy out, torch in gives float64 torch out on the same
device (float32 on a device without float64).

This file decides how samples are counted at a threshold. What each metric is comes from
:mod:`metricopt.problem.ratios`; the choice of a threshold is left to :mod:`metricopt.evidence.thresholds`.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np

from metricopt._arrays import Array, Samples, to_numpy
from metricopt._validation import reject
from metricopt.problem.ranking import Ranking
from metricopt.problem.ratios import (
    ALARM_RATE,
    FALSE_POSITIVE_RATE,
    PRECISION,
    RECALL,
    SPECIFICITY,
    Counts,
    Ratio,
    f_beta_ratio,
)
from metricopt.problem.text import read_metric


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


def measure(
    metric: str | Ratio, scores: Array, labels: Array, threshold: Array, sample_weight: Array | None = None
) -> Array:
    """Return any metric that can be asked for by name, at a threshold; NaN where it is undefined.

    Parameters
    ----------
    metric : str or Ratio
        A name of :mod:`metricopt.problem.catalogue`, with its numbers where it takes some.
    scores, labels, threshold, sample_weight
        These are as for :func:`confusion_counts`.

    Raises
    ------
    InvalidInputError
        If there is no such metric.

    Examples
    --------
    >>> float(measure("balanced_accuracy", [0.9, 0.8, 0.4, 0.2], [1, 0, 1, 1], 0.3))
    0.3333333333333333
    >>> float(measure("expected_cost(1, 10)", [0.9, 0.8, 0.4, 0.2], [1, 0, 1, 1], 0.3))
    2.75
    """
    ratio = read_metric(metric) if isinstance(metric, str) else metric
    return ratio(confusion_counts(scores, labels, threshold, sample_weight))


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
