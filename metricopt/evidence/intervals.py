"""How sure a metric is: intervals from the binomial distributions of the counts behind it.

This file decides what intervals there are; :mod:`metricopt.evidence.reports` reports them.

References
----------
C. J. Clopper, E. S. Pearson (1934). The use of confidence or fiducial limits illustrated in the case of the binomial.
Biometrika 26.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from metricopt._arrays import Samples
from metricopt.evidence.cells import Cells
from metricopt.problem.objectives import Objective
from metricopt.problem.ratios import PRECISION, RECALL, Counts, Ratio


@dataclass(frozen=True)
class ClassAlarms:
    """How many samples a class has and how many of them raise an alarm, of one weight each."""

    samples: int
    alarms: int
    weight: float

    def rate(self, confidence: float) -> tuple[float, float]:
        """Return the interval of the fraction that raises an alarm: it is (0, 1) where the class has no samples."""
        return clopper_pearson(self.alarms, self.samples, confidence) if self.samples else (0.0, 1.0)


def classes_of(samples: Samples, label: int, threshold: float) -> tuple[ClassAlarms | None, ClassAlarms | None]:
    """Return the positives and the negatives of a label; None for a class whose samples differ in weight."""
    flagged = samples.scores[:, label].astype(np.float64) >= threshold
    weight = np.ones(len(flagged)) if samples.weight is None else samples.weight[:, label]
    classes: list[ClassAlarms | None] = []
    for truth in (1, 0):
        counted = (samples.labels[:, label] == truth) & (weight > 0)
        own = weight[counted]
        one = float(own[0]) if len(own) else 1.0
        is_even = np.allclose(own, one, rtol=1e-9, atol=0)
        classes.append(ClassAlarms(len(own), int(flagged[counted].sum()), one) if is_even else None)
    return classes[0], classes[1]


def intervals_of(
    counts: Counts,
    objective: Objective,
    positives: ClassAlarms | None,
    negatives: ClassAlarms | None,
    confidence: float,
) -> dict[str, tuple[float, float]]:
    """Return intervals of precision, recall and the bounded metric, where they are defined.

    Where all samples weigh the same, each is a proportion of samples: Clopper-Pearson. Where the two classes weigh
    differently, as for another prevalence, recall and the false-positive rate still are, each of one class. Any other
    ratio is linear-fractional in these two rates, so over a box of them it is extremal at a corner: the range over the
    corners of a box that holds both rates with the confidence asked for is an interval of at least that confidence.

    Parameters
    ----------
    counts : Counts
        Of one label, weighted.
    objective : Objective
        For one label.
    positives, negatives : ClassAlarms or None
        None where samples of a class differ in weight: no exact interval is known then, and none returned.
    confidence : float, in (0, 1)

    Returns
    -------
    dict of str to (float, float)

    Examples
    --------
    >>> from metricopt.problem.objectives import FPOR
    >>> alarms, quiet = ClassAlarms(10, 8, 0.1), ClassAlarms(90, 2, 1.1)
    >>> found = intervals_of(Counts(0.8, 2.2, 0.2, 96.8), FPOR(0.9), alarms, quiet, 0.95)
    >>> {name: tuple(round(end, 2) for end in ends) for name, ends in found.items()}
    {'precision': (0.04, 0.84), 'recall': (0.44, 0.97)}
    """
    ratios = [PRECISION, RECALL]
    if objective.bounded is not None and objective.bounded not in ratios:
        ratios.append(objective.bounded)
    found = {ratio.name: interval_of(ratio, counts, positives, negatives, confidence) for ratio in ratios}
    return {name: ends for name, ends in found.items() if ends is not None}


def interval_of(
    ratio: Ratio, counts: Counts, positives: ClassAlarms | None, negatives: ClassAlarms | None, confidence: float
) -> tuple[float, float] | None:
    """Return the interval of one metric, as :func:`intervals_of`; None where it is undefined or none is known."""
    if positives is None or negatives is None or np.isnan(ratio(counts)):
        return None
    hits, counted = Cells.of(ratio.numerator), Cells.of(ratio.denominator)
    is_proportion = hits is not None and counted is not None and hits <= counted and not ratio.by_class
    if not is_proportion or positives.weight != negatives.weight:
        return _range_over_box(ratio, positives, negatives, confidence)
    right, of = (round(float(form(counts)) / positives.weight) for form in (ratio.numerator, ratio.denominator))
    return clopper_pearson(right, of, confidence)


def clopper_pearson(right: float, of: float, confidence: float) -> tuple[float, float]:
    """Return the exact interval of a proportion."""
    error = (1 - confidence) / 2
    return least_rate(right, of, error), 1 - least_rate(of - right, of, error)


def least_rate(right: float, of: float, error: float) -> float:
    """Return the one-sided Clopper-Pearson bound: a rate below it would show as much with probability ``error``.

    Examples
    --------
    >>> round(least_rate(22, 22, 0.1), 3)
    0.901
    """
    from scipy.special import betaincinv

    return float(betaincinv(right, of - right + 1, error)) if right > 0 else 0.0


def _range_over_box(
    ratio: Ratio, positives: ClassAlarms, negatives: ClassAlarms, confidence: float
) -> tuple[float, float]:
    forms = (ratio.numerator, ratio.denominator)
    needs = (any(form.tp or form.positives for form in forms), any(form.fp or form.negatives for form in forms))
    each = 1 - (1 - confidence) / sum(needs)
    of_positives, of_negatives = positives.samples * positives.weight, negatives.samples * negatives.weight
    values = []
    for recall, false_positive_rate in product(positives.rate(each), negatives.rate(each)):
        right, wrong = recall * of_positives, false_positive_rate * of_negatives
        values.append(float(ratio(Counts(right, wrong, of_positives - right, of_negatives - wrong))))
    return float(np.nanmin(values)), float(np.nanmax(values))  # no alarm at all, a corner too, has no precision
