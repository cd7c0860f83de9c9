r"""How sure a precision-recall curve is: a band around it from resampled scores.

This file decides how samples are drawn and what the band is. It leaves the curve to :mod:`metricopt.problem.metrics`
and how either looks to :mod:`metricopt.plots`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metricopt._arrays import Array, Samples
from metricopt._validation import check_fraction, reject
from metricopt.problem.ranking import Ranking

NUM_DRAWS = 1000
MAX_CUTS = 400
"""More than a picture can show; with more positives than that, cuts between these are left out."""


@dataclass(frozen=True)
class PrecisionBand:
    """Between which values the precision lies, recall by recall.

    Attributes
    ----------
    recall : ndarray, shape (m,), ascending
    low, high : ndarray, shape (m,)
    confidence : float
        Of each interval by itself (pointwise), not of all at once.
    """

    recall: np.ndarray
    low: np.ndarray
    high: np.ndarray
    confidence: float


def precision_band(scores: Array, labels: Array, *, confidence: float = 0.95, seed: int = 0) -> PrecisionBand:
    r"""Return a pointwise band of the precision at each recall, by a stratified bootstrap of the scores.

    Positives and negatives are resampled apart, so that every draw has as many of either. In a draw, the precision at
    recall :math:`r` is that of the highest threshold which finds at least :math:`r` of its positives, as steps of the
    curve and average precision count it; the band holds the middle of 1,000 draws (percentiles).

    What is resampled are scores, not trainings: the band says how far the curve of *this model* would move on other
    samples of the same size. On the data that chose the model it knows nothing of that choice. Where no negative lies
    above, every draw has precision 1, and the band no width: an interval for one threshold is in
    :class:`~metricopt.evidence.reports.LabelReport`.

    Parameters
    ----------
    scores, labels : array, shape (n,)
        As for :func:`~metricopt.problem.metrics.confusion_counts`; at least one positive.
    confidence : float, in (0, 1]
    seed : int

    Returns
    -------
    PrecisionBand

    Raises
    ------
    InvalidInputError
        If a shape or value is not as above.

    Notes
    -----
    Only the counts between neighbouring cuts matter, and in a draw these are multinomial: O(draws x cuts), however many
    negatives there are. Cuts are at the positives' scores, or at 400 of these.

    Examples
    --------
    >>> band = precision_band([0.9, 0.8, 0.4, 0.2], [1, 0, 1, 0])
    >>> band.recall.tolist(), band.low.tolist(), band.high.tolist()
    ([0.5, 1.0], [0.5, 0.5], [1.0, 1.0])
    """
    samples = Samples.read(scores, labels)
    if samples.has_label_axis:
        reject("scores", "of shape (n,)", f"shape {samples.scores.shape}", "give one label at a time")
    check_fraction("confidence", confidence)
    ranking = Ranking.of(samples, 0)
    positives, negatives = ranking.positives.scores, ranking.negatives.scores
    if not len(positives):
        reject("labels", "of at least one positive", "none", "leave the band out")
    cuts = ranking.positives.distinct()[::-1]
    if len(cuts) > MAX_CUTS:
        cuts = cuts[np.linspace(0, len(cuts) - 1, MAX_CUTS).round().astype(int)]
    random = np.random.default_rng(seed)
    true_positives, false_positives = (_alarms(own, cuts, random) for own in (positives, negatives))
    needed = np.unique(np.linspace(1, len(positives), min(len(positives), MAX_CUTS)).round().astype(int))
    # The first cut of each draw that finds as many as needed: all draws in one ascending sequence, each a step above
    # the one before.
    step = np.arange(NUM_DRAWS)[:, None] * (len(positives) + 1)
    first = np.searchsorted((true_positives + step).ravel(), needed + step)  # (draws, recalls)
    found, false = true_positives.ravel()[first], false_positives.ravel()[first]
    tail = (1 - confidence) / 2
    low, high = np.quantile(found / (found + false), [tail, 1 - tail], axis=0)
    return PrecisionBand(needed / len(positives), low, high, float(confidence))


def _alarms(scores: np.ndarray, cuts: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return how many of a class, resampled, lie at or above each of the descending cuts: ``(draws, cuts)``."""
    above = len(scores) - np.searchsorted(scores, cuts)
    between = np.append(np.diff(above, prepend=0), len(scores) - above[-1])
    draws = random.multinomial(len(scores), between / max(len(scores), 1), size=NUM_DRAWS)
    alarms: np.ndarray = draws.cumsum(axis=1)[:, :-1]
    return alarms
