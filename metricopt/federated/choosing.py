"""The threshold that histograms of several sites choose, and the column that tells their rows apart.

This file decides how histograms are handed to :mod:`metricopt.evidence.thresholds`, which chooses.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from metricopt.evidence.choice import ThresholdChoice
from metricopt.evidence.thresholds import choose_threshold
from metricopt.federated.histograms import Place, PseudoRows
from metricopt.problem.labels import has_both_classes, mask_labels
from metricopt.problem.objectives import Objective

SITE = "site"
"""The column of which the sites are the values, in bounds "in every site"."""


def subgroups_of(objective: Objective, site_of: np.ndarray) -> dict[str, np.ndarray] | None:
    """Return the column of sites, where an objective speaks of it."""
    return {SITE: site_of} if objective.columns else None


def choice_of(
    counts: Mapping[str, np.ndarray],
    edges: np.ndarray,
    objective: Objective,
    place: Place,
    confidence: float | None = None,
) -> ThresholdChoice:
    """Return the thresholds that rows choose which stand at some place of their bins; none for a label of one class.

    Parameters
    ----------
    counts : mapping of str to ndarray, shape (L, 2, B)
        The histograms by site.
    edges : ndarray, shape (L, B + 1)
    objective : Objective
    place : "worst", "middle" or "best"
    confidence : float, in (0, 1), optional
    """
    rows = PseudoRows.of(counts, edges, place).filled()
    if confidence is None:
        scores, labels, weight, sites = rows.scores, rows.labels, rows.weight, rows.site_of
    else:  # evidence counts rows, not weights
        (scores, labels, sites), weight = rows.one_by_one(), None
    return choose_threshold(
        scores,
        mask_labels(labels, has_both_classes(labels, weight)),
        objective,
        confidence=confidence,
        sample_weight=weight,
        subgroups=subgroups_of(objective, sites),
    )
