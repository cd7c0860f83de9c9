"""One of several results that were judged on the same folds, with evidence that did not choose it.

This file decides what the chosen result says. It leaves the comparison to :mod:`metricopt.evidence.candidates`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metricopt.evidence.candidates import best_candidate
from metricopt.problem.labels import mask_labels
from metricopt.problem.objectives import Objective
from metricopt.results.result import FitResult


def best_on_folds(
    objective: Objective, results: Sequence[FitResult], *, prefers_first: bool = False
) -> tuple[int, FitResult]:
    """Return the position of the best by out-of-fold scores, and it with the scores that did not choose it.

    Parameters
    ----------
    objective : Objective
        What they are compared by, and what the thresholds of the returned result serve.
    results : sequence of FitResult
        All of the same rows and folds.
    prefers_first : bool
        As for :func:`metricopt.evidence.candidates.best_candidate`.
    """
    parts = [result.selection_scores for result in results]
    labels = np.fmax.reduce([part.labels for part in parts])  # missing where a model has no score
    evidence = [np.where(np.isnan(part.labels), np.nan, part.scores) for part in parts]
    kept = ~np.isnan(results[0].thresholds)
    folds, weight = parts[0].folds, parts[0].sample_weight
    assert folds is not None
    winner, honest = best_candidate(
        evidence, mask_labels(labels, kept), folds, objective, sample_weight=weight, prefers_first=prefers_first
    )
    known = np.where(np.isfinite(honest), labels, np.nan).astype(np.float32)
    part = replace(parts[winner], scores=np.nan_to_num(honest).astype(np.float32), labels=known)
    best = results[winner]
    return winner, best.chosen_anew(objective, {**best.data_scores, "validation": part})
