r"""One model out of several: the average of the best weights of several paths, where it is as good as the best of them.

Which of many models is best on the selection data is partly luck, the more so the fewer positives there are; an average
of the best ones depends less on it. All paths start from one warm-up, so that their weights can be averaged. By the
one-standard-error rule it is taken where its value :math:`\bar v` keeps

.. math::
    \bar v \ge v - \sqrt{\tilde v (1 - \tilde v) / (n + 4)}, \qquad \tilde v = \frac{n v + 2}{n + 4}

with :math:`v` the best value (that of the bounded metric where the bound is missed), and where it is not below
candidate zero. Here :math:`n` is the number of samples in the selection data of which the metric is a fraction:

- positives for recall, alarms for precision, negatives for the false-positive rate and specificity, all samples for the
  alarm rate: the error is the binomial standard error of the metric;
- for F-beta the mean of alarms and positives, the latter weighted by :math:`\beta^2`: a scale of the right size, since
  F-beta is a ratio of two counts that both vary;
- positives for average precision, which is a mean over the positives of numbers from 0 to 1. If these were independent,
  its standard error would be at most this (Bhatia and Davis 2000); it is a cautious scale too.

The samples are counted without their weights; where samples of one class differ in weight, the alarms are estimated
from the weights. A metric that is undefined has no error. With several labels the error is that of their mean.

This file decides which weights are averaged and when the average counts. It leaves training and scoring to
:mod:`metricopt.training.loop`.

References
----------
M. Wortsman et al. (2022). Model soups: averaging weights of multiple fine-tuned models improves accuracy without
increasing inference time. ICML. L. Breiman, J. Friedman, R. Olshen, C. Stone (1984). Classification and regression
trees, section 3.4.3 (the rule). A. Agresti, B. A. Coull (1998). Approximate is better than "exact" for interval
estimation of binomial proportions. The American Statistician (the error). R. Bhatia, C. Davis (2000). A better bound on
the variance. The American Mathematical Monthly 107 (numbers from 0 to 1 with mean v have variance v (1 - v) at
most).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from metricopt.evidence.choice import ThresholdChoice
from metricopt.problem.metrics import Array, Counts, Ratio
from metricopt.problem.objectives import CountObjective, Objective
from metricopt.training.state import Candidate

MAX_FINALISTS = 4


def with_finalist(finalists: Sequence[Candidate], candidate: Candidate) -> list[Candidate]:
    """Return the best candidate of every stage, the best stages first, at most :data:`MAX_FINALISTS`."""
    of_stage = {each.stage: each for each in finalists}
    rival = of_stage.get(candidate.stage)
    if rival is None or candidate.key > rival.key:
        of_stage[candidate.stage] = candidate
    return sorted(of_stage.values(), key=lambda each: each.key, reverse=True)[:MAX_FINALISTS]


def average_weights(finalists: Sequence[Candidate]) -> dict[str, Tensor]:
    """Return the mean of their weights; what is not a float (a count of batches) is that of the first."""
    first = finalists[0].weights
    return {
        name: torch.stack([each.weights[name] for each in finalists]).mean(dim=0)
        if value.is_floating_point()
        else value
        for name, value in first.items()
    }


def is_as_good(
    average: Candidate, best: Candidate, baseline: Candidate, objective: Objective, labels: np.ndarray
) -> bool:
    """Say whether the average may take the place of the best.

    Parameters
    ----------
    average, best, baseline : Candidate
    objective : Objective
    labels : ndarray, shape (n, L)
        The labels of the selection data.
    """
    feasible = best.choice.feasible & ~np.isnan(best.choice.value)
    if average.key < baseline.key or (feasible & ~average.choice.feasible).any():
        return False
    return bool(average.key[0] >= best.key[0] - standard_error(best.choice, objective, labels))


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
