r"""The metrics that can be asked for by name: one entry each, a ratio of linear forms in the confusion counts.

A name may take numbers, as in ``net_benefit(0.1)``. This file decides which names there are and what they stand for;
how they are read is decided in :mod:`metricopt.problem.text`.

References
----------
W. J. Youden (1950). Index for rating diagnostic tests. Cancer 3. A. J. Vickers, E. B. Elkin (2006). Decision curve
analysis: a novel method for evaluating prediction models. Medical Decision Making 26 (net benefit). S. Romero-Brufau,
J. M. Huddleston, G. J. Escobar, M. Liebow (2015). Why the C-statistic is not informative to evaluate early warning
scores and what metrics to use. Critical Care 19 (number needed to evaluate).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from metricopt._validation import check_choice, reject
from metricopt.problem.ratios import (
    ALARM_RATE,
    FALSE_POSITIVE_RATE,
    PRECISION,
    RECALL,
    SPECIFICITY,
    LinearForm,
    Ratio,
    f_beta_ratio,
)

ALARMS = LinearForm(tp=1.0, fp=1.0)
ALL = LinearForm(positives=1.0, negatives=1.0)
FALSE_NEGATIVES = LinearForm(positives=1.0, tp=-1.0)
TRUE_NEGATIVES = LinearForm(negatives=1.0, fp=-1.0)
RIGHT = LinearForm(tp=1.0) + TRUE_NEGATIVES
ONE = LinearForm(positives=1.0)
"""The denominator of a metric whose counts are fractions of their class."""

NEGATIVE_PREDICTIVE_VALUE = Ratio("negative_predictive_value", TRUE_NEGATIVES, TRUE_NEGATIVES + FALSE_NEGATIVES)
ACCURACY = Ratio("accuracy", RIGHT, ALL)
BALANCED_ACCURACY = Ratio("balanced_accuracy", RIGHT * 0.5, ONE, by_class=True)
YOUDENS_J = Ratio("youdens_j", LinearForm(tp=1.0, fp=-1.0), ONE, low=-1.0, by_class=True)
JACCARD = Ratio("jaccard", LinearForm(tp=1.0), LinearForm(fp=1.0, positives=1.0))
NUMBER_NEEDED_TO_EVALUATE = Ratio("number_needed_to_evaluate", ALARMS, LinearForm(tp=1.0), low=1.0, high=np.inf)


def net_benefit(threshold_probability: float) -> Ratio:
    r"""Return the net benefit :math:`TP/n - FP/n \cdot p/(1-p)` at a threshold probability p (Vickers and Elkin 2006).

    Raises
    ------
    InvalidInputError
        If the probability is not in (0, 1).
    """
    probability = float(threshold_probability)
    if not 0 < probability < 1:
        reject("the threshold probability", "in (0, 1)", threshold_probability, "give e.g. net_benefit(0.1)")
    odds = probability / (1 - probability)
    return Ratio(f"net_benefit({probability:.12g})", LinearForm(tp=1.0, fp=-odds), ALL, low=-odds)


def expected_cost(false_positive: float = 1.0, false_negative: float = 1.0) -> Ratio:
    """Return what a sample costs on average, at a price for each kind of error.

    Raises
    ------
    InvalidInputError
        If a price is negative or infinite, or both are 0.
    """
    prices = float(false_positive), float(false_negative)
    if not (all(np.isfinite(prices)) and min(prices) >= 0 and max(prices) > 0):
        remedy = "give e.g. expected_cost(false_positive=1, false_negative=10)"
        reject("the prices of errors", "finite, at least 0 and not both 0", list(prices), remedy)
    name = f"expected_cost({prices[0]:.12g}, {prices[1]:.12g})"
    return Ratio(name, LinearForm(fp=prices[0]) + FALSE_NEGATIVES * prices[1], ALL, high=max(prices))


Entry = Ratio | Callable[..., Ratio]

METRICS: dict[str, Entry] = {
    "recall": RECALL,
    "precision": PRECISION,
    "false_positive_rate": FALSE_POSITIVE_RATE,
    "specificity": SPECIFICITY,
    "alarm_rate": ALARM_RATE,
    "negative_predictive_value": NEGATIVE_PREDICTIVE_VALUE,
    "accuracy": ACCURACY,
    "balanced_accuracy": BALANCED_ACCURACY,
    "youdens_j": YOUDENS_J,
    "jaccard": JACCARD,
    "number_needed_to_evaluate": NUMBER_NEEDED_TO_EVALUATE,
    "f1": f_beta_ratio(1.0),
    "f2": f_beta_ratio(2.0),
    "f_beta": f_beta_ratio,
    "net_benefit": net_benefit,
    "expected_cost": expected_cost,
}
"""The metrics by the name under which they can be asked for; some take numbers."""

SYNONYMS = {
    "sensitivity": "recall",
    "true_positive_rate": "recall",
    "tpr": "recall",
    "positive_predictive_value": "precision",
    "ppv": "precision",
    "npv": "negative_predictive_value",
    "fpr": "false_positive_rate",
    "true_negative_rate": "specificity",
    "tnr": "specificity",
    "nne": "number_needed_to_evaluate",
}
"""Other names of the field for the same metrics."""

LOWER_IS_BETTER = {"false_positive_rate", "alarm_rate", "number_needed_to_evaluate", "expected_cost"}
"""The metrics that are minimised, and bounded by a largest value."""


def metric_of(name: str, *numbers: float, **named: float) -> Ratio:
    """Return the metric of a name, with the numbers that it takes.

    Parameters
    ----------
    name : str
        A key of :data:`METRICS` or of :data:`SYNONYMS`.
    *numbers, **named : float
        For ``f_beta``, ``net_benefit`` and ``expected_cost``.

    Raises
    ------
    InvalidInputError
        If there is no such metric, or its numbers are missing, superfluous or out of range.

    Examples
    --------
    >>> metric_of("sensitivity").name, metric_of("net_benefit", 0.1).name
    ('recall', 'net_benefit(0.1)')
    """
    check_choice("metric", name, METRICS.keys() | SYNONYMS.keys())
    entry: Any = METRICS[SYNONYMS.get(name, name)]
    if isinstance(entry, Ratio):
        if numbers or named:
            reject(name, "without numbers", [*numbers, *named.values()], f"write {name} alone")
        return entry
    try:
        ratio: Ratio = entry(*numbers, **named)
    except TypeError as error:
        reject(name, "given the numbers that it takes", str(error), f"write e.g. {EXAMPLES[name]}")
    return ratio


EXAMPLES = {
    "f_beta": "f_beta(2)",
    "net_benefit": "net_benefit(0.1)",
    "expected_cost": "expected_cost(false_positive=1, false_negative=10)",
}


def is_lower_better(ratio: Ratio) -> bool:
    """Say whether a metric of the catalogue is better the smaller it is."""
    return ratio.name.partition("(")[0] in LOWER_IS_BETTER


def negated(ratio: Ratio) -> Ratio:
    """Return a metric that is the larger, the smaller the given one is; its name begins with ``neg_``."""
    return Ratio(
        f"neg_{ratio.name}", ratio.numerator * -1.0, ratio.denominator, -ratio.high, -ratio.low, ratio.by_class
    )
