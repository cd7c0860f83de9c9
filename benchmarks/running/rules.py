"""The rules by which a threshold is chosen on out-of-fold scores, side by side: one training is enough for all of them.

A report shows the library's default rule among the methods, and the others in a table of their own. This file decides
which rules are tried; what they mean is decided in :mod:`metricopt.evidence.rule`.
"""

from __future__ import annotations

import numpy as np

from metricopt.evidence.rule import Rule
from metricopt.evidence.thresholds import choose_threshold
from metricopt.problem.objectives import Objective

EMPIRICAL = "empirical"
"""The best cut of the rows themselves, with nothing to spare."""


def name_of(rule: Rule) -> str:
    """Return what a rule is called.

    Examples
    --------
    >>> name_of(Rule(0.9)), name_of(Rule(0.5, every_fold=True))
    ('confidence 0.9', 'confidence 0.5, every fold')
    """
    return f"confidence {rule.confidence:g}" + (", every fold" if rule.every_fold else "")


DEFAULT = name_of(Rule())
RULES: dict[str, Rule | None] = {
    EMPIRICAL: None,
    **{name_of(rule): rule for every in (False, True) for rule in (Rule(c, every) for c in (0.5, 0.7, 0.9))},
}


def thresholds_by_rule(
    scores: np.ndarray, labels: np.ndarray, folds: np.ndarray, objective: Objective
) -> dict[str, float]:
    """Return the threshold of every rule; of an objective without a bound the one threshold there is, under "".

    Parameters
    ----------
    scores, labels, folds : ndarray, shape (n,)
        Out-of-fold scores, 0 or 1, and the fold of each row. A row without a score, NaN, says nothing.
    objective : Objective
    """
    known = np.isfinite(scores)
    scores, labels, folds = scores[known], labels[known], folds[known]
    if objective.bounded is None:
        return {"": float(choose_threshold(scores, labels, objective).threshold)}
    return {
        name: float(
            choose_threshold(
                scores,
                labels,
                objective,
                confidence=None if rule is None else rule.confidence,
                folds=folds if rule is not None and rule.every_fold else None,
            ).threshold
        )
        for name, rule in RULES.items()
    }
