"""Subgroups with so few rows that no scores, however good, would meet a bound there with the confidence asked.

This file decides which these are, before anything is trained. What rows support is decided in
:mod:`metricopt.evidence.support`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from metricopt.evidence.rows import Rows
from metricopt.evidence.rule import MIN_ALARMS, Rule
from metricopt.evidence.subgroups import SubgroupColumn, bounds_of_rows
from metricopt.evidence.support import Support
from metricopt.problem.cuts import Cuts
from metricopt.problem.objectives import CountObjective, Objective
from metricopt.problem.program import Program


def too_small(
    objective: Objective,
    labels: np.ndarray,
    subgroups: Mapping[str, SubgroupColumn],
    label_names: Sequence[str],
    *,
    confidence: float | None,
    groups: np.ndarray | None = None,
) -> list[str]:
    """Return a sentence for each bound in a subgroup that scores equal to the labels would not meet.

    Parameters
    ----------
    objective : Objective
    labels : ndarray, shape (n, L), float
        Those of the rows that choose the threshold; a label that is missing throughout is passed over.
    subgroups : mapping of str to SubgroupColumn
        The columns that the objective names.
    label_names : sequence of str, length L
    confidence : float or None
        Of all bounds together; None asks only that each holds on these rows.
    groups : ndarray, shape (n,), int, optional
        Rows of equal value testify as one.

    Examples
    --------
    >>> labels = np.array([[1.0], [1.0], [0.0], [0.0]])
    >>> subgroups = {"site": SubgroupColumn("site", ("A", "B"), np.array([0, 1, 0, 0]))}
    >>> asked = Program("precision", ["specificity >= 0.5 in every site"])
    >>> too_small(asked, labels, subgroups, ["sick"], confidence=None)
    ['specificity >= 0.5 in every site (B): no scores meet it there, with 1 positive and 0 negatives.']
    """
    found = []
    names = [f" of {name!r}" if len(label_names) > 1 else "" for name in label_names]
    for label, single in enumerate(objective.for_labels(len(label_names))):
        truth = labels[:, label]
        if not isinstance(single, CountObjective) or np.isnan(truth).all():
            continue
        each = bounds_of_rows(single, subgroups)
        rule = Rule(Rule(confidence).of_each(len(each)), every_fold=False)
        for bound, told, at in each:
            if bound.within is None:
                continue
            rows = subgroups[bound.within].of_row == at
            alone = Program(bound.metric, [type(bound)(bound.metric, bound.relation, bound.bound)])
            if _meets(alone, truth[rows], None if groups is None else groups[rows], rule):
                continue
            positives, negatives = (int((truth[rows] == kind).sum()) for kind in (1, 0))
            sure = "" if confidence is None else f" with the confidence that {confidence:g} asks of each bound"
            sizes = f"{positives} positive{'s' * (positives != 1)} and {negatives} negative{'s' * (negatives != 1)}"
            found.append(f"{told}{names[label]}: no scores meet it there{sure}, with {sizes}.")
    return found


def _meets(alone: Program, truth: np.ndarray, groups: np.ndarray | None, rule: Rule) -> bool:
    """Say whether scores that put all positives above all negatives meet a bound on these rows.

    Cuts that flag some negatives, too, may do better, as they raise the alarms that a claim stands on.
    """
    known = ~np.isnan(truth)
    truth, of_known = truth[known], None if groups is None else groups[known]
    if not len(truth):
        return False
    scores = np.empty(len(truth))
    scores[np.argsort(truth, kind="stable")] = np.arange(len(truth))
    rows = Rows.read(scores, truth, sample_weight=None, groups=of_known, prevalence=None)
    (own,) = rows.of_labels()
    lowest = (truth == 0).sum() - np.arange(MIN_ALARMS + 1.0)  # so many negatives below the cut
    lowest = np.append(np.unique(np.maximum(lowest, 0)), np.inf)
    support = Support.of(own, Cuts.at(own.ranking, alone, lowest), rule)
    (bound,) = support.bounds
    passes = bound.supported(np.arange(len(lowest)))
    if rule.confidence is not None and bound.at_cuts.bound.direction == "min":
        passes &= support.evidence.num_alarms >= MIN_ALARMS
    return bool(passes.any())
