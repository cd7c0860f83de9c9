r"""How far chance alone moves the metric that candidates are compared by: one standard error.

.. math::
    \sqrt{\tilde v (1 - \tilde v) / (n + 4)}, \qquad \tilde v = \frac{n v + 2}{n + 4}

with :math:`v` the value (that of the bounded metric where the bound is missed). Here :math:`n` is the number of samples
in the selection data of which the metric is a fraction:

- positives for recall, alarms for precision, negatives for the false-positive rate and specificity, all samples for the
  alarm rate: the error is the binomial standard error of the metric;
- for F-beta the mean of alarms and positives, the latter weighted by :math:`\beta^2`: a scale of the right size, since
  F-beta is a ratio of two counts that both vary;
- positives for average precision, which is a mean over the positives of numbers from 0 to 1. If these were independent,
  its standard error would be at most this (Bhatia and Davis 2000); it is a cautious scale too.

The samples are counted without their weights; where samples of one class differ in weight, the alarms are estimated
from the weights. A metric that is undefined has no error. With several labels the error is that of their mean.

References
----------
A. Agresti, B. A. Coull (1998). Approximate is better than "exact" for interval estimation of binomial proportions. The
American Statistician (the error). R. Bhatia, C. Davis (2000). A better bound on the variance. The American Mathematical
Monthly 107 (numbers from 0 to 1 with mean v have variance v (1 - v) at most).
"""

from __future__ import annotations

import numpy as np

from metricopt._arrays import Array
from metricopt.evidence.choice import ThresholdChoice
from metricopt.problem.objectives import CountObjective, Objective
from metricopt.problem.ratios import Counts, Ratio


def standard_error(choice: ThresholdChoice, objective: Objective, labels: np.ndarray) -> float:
    """Return the standard error of what a choice is judged by, the mean over the labels; see the module's text.

    Parameters
    ----------
    choice : ThresholdChoice
        A choice of thresholds on the selection data, with entries of shape (L,).
    objective : Objective
    labels : ndarray, shape (n, L)

    Returns
    -------
    float
    """
    learnable = ~np.isnan(choice.value)
    positives, negatives = (labels == 1).sum(axis=0), (labels == 0).sum(axis=0)
    counts = _without_weights(choice.counts, positives, negatives)
    value, size = choice.value, positives
    if isinstance(objective, CountObjective):
        size = _size(objective.maximised, counts)
        if objective.bounded is not None:
            value = np.where(choice.feasible, value, choice.bounded_value)
            size = np.where(choice.feasible, size, _size(objective.bounded, counts))
    judged = learnable & ~np.isnan(value)
    value, size = value[judged], size[judged]
    larger = size + 4  # two successes and two failures more (Agresti and Coull 1998)
    fraction = np.clip((value * size + 2) / larger, 0, 1)  # a metric of the user's own may lie outside
    return float(np.sqrt((fraction * (1 - fraction) / larger).sum()) / max(learnable.sum(), 1))


def _size(ratio: Ratio, counts: Counts) -> Array:
    """Return the number of samples of which a metric is a fraction."""
    form = ratio.numerator
    return ratio.denominator(counts) / max(map(abs, (form.tp, form.fp, form.positives, form.negatives)))


def _without_weights(counts: Counts, positives: np.ndarray, negatives: np.ndarray) -> Counts:
    """Return how many samples weighted counts stand for, with so many positives and negatives."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.round(positives * np.nan_to_num(counts.true_positives / counts.positives))
        false_alarms = np.round(negatives * np.nan_to_num(counts.false_positives / counts.negatives))
    return Counts(found, false_alarms, positives - found, negatives - false_alarms)
