r"""Net benefit at every threshold probability: what a model is worth to those who weigh false alarms against misses.

At a threshold probability :math:`p` a false alarm costs :math:`p / (1 - p)` of what a right one is worth, and rows
whose probability is at least :math:`p` are alarms:

.. math:: NB(p) = \frac{TP}{n} - \frac{FP}{n} \cdot \frac{p}{1 - p}

A model is worth its use where that is above flagging every row and above flagging none (0).

This file decides these numbers. It leaves probabilities to :mod:`metricopt.evidence.probabilities`.

References
----------
A. J. Vickers, E. B. Elkin (2006). Decision curve analysis: a novel method for evaluating prediction models. Medical
Decision Making 26. B. Van Calster et al. (2025). Evaluation of performance measures in predictive artificial
intelligence models to support medical decisions: overview and guidance. The Lancet Digital Health 7(12):100916.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metricopt._arrays import Array, Samples, to_numpy
from metricopt._validation import reject
from metricopt.problem.ranking import Ranking


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """Net benefit at some threshold probabilities.

    Attributes
    ----------
    threshold_probabilities : ndarray, shape (T,), float64
    net_benefit : ndarray, shape (T,), float64
        Of alarms for rows whose probability is at least the threshold.
    of_all : ndarray, shape (T,), float64
        Of an alarm for every row. That of no alarm is 0.
    """

    threshold_probabilities: NDArray[np.float64]
    net_benefit: NDArray[np.float64]
    of_all: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        probabilities: Array,
        labels: Array,
        threshold_probabilities: Array | None = None,
        *,
        sample_weight: Array | None = None,
    ) -> DecisionCurve:
        """Compute the curve.

        Parameters
        ----------
        probabilities : array, shape (n,), float, in [0, 1]
        labels : array, shape (n,)
            0, 1 or NaN (missing).
        threshold_probabilities : array, shape (T,), in (0, 1), optional
            The default is 0.01, 0.02, ..., 0.99.
        sample_weight : array, shape (n,), optional
            Weights >= 0, also those of another prevalence.

        Raises
        ------
        InvalidInputError
            If a shape or value is not as above, or no row has a label.

        Examples
        --------
        >>> curve = DecisionCurve.of([0.9, 0.6, 0.3, 0.1], [1, 0, 1, 0], [0.2, 0.5])
        >>> curve.net_benefit.round(4).tolist(), curve.of_all.round(4).tolist()
        ([0.4375, 0.0], [0.375, 0.0])
        """
        samples = Samples.read(probabilities, labels, sample_weight)
        if samples.has_label_axis:
            reject("probabilities", "of shape (n,)", f"shape {samples.scores.shape}", "give one label at a time")
        outside = samples.scores[(samples.scores < 0) | (samples.scores > 1)]
        if len(outside):
            got = f"{float(outside[0]):.6g}"
            reject("probabilities", "in [0, 1]", got, "give predict_proba, or result.probabilities, not scores")
        at = np.arange(1, 100) / 100
        if threshold_probabilities is not None:
            at = np.atleast_1d(to_numpy("threshold_probabilities", threshold_probabilities).astype(np.float64))
            if at.ndim != 1 or not ((at > 0) & (at < 1)).all():
                reject("threshold_probabilities", "of shape (T,), in (0, 1)", at.tolist(), "give e.g. [0.1, 0.2]")
        ranking = Ranking.of(replace(samples, scores=samples.scores.astype(np.float64)), 0)
        counts = ranking.counts(at)
        total = counts.positives + counts.negatives
        if not np.all(total > 0):
            reject("labels", "of at least one sample", "none", "give labelled samples")
        odds = at / (1 - at)
        return cls(
            at,
            (counts.true_positives - counts.false_positives * odds) / total,
            (counts.positives - counts.negatives * odds) / total,
        )
