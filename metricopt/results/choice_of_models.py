"""One of several results that were judged on the same folds, with evidence that did not choose it.

In each fold the model testifies that wins on the other folds, so scores of different models come together under one
threshold. For that they are expressed as log-odds, by a line for each model, and then on the scale of the winner.

This file decides what the chosen result says. It leaves the comparison to :mod:`metricopt.evidence.candidates`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metricopt.evidence.candidates import best_candidate
from metricopt.evidence.probabilities import line_to_log_odds
from metricopt.problem.labels import mask_labels
from metricopt.problem.objectives import Objective
from metricopt.results.result import FitResult
from metricopt.results.scores import DataScores


def best_on_folds(objective: Objective, results: Sequence[FitResult]) -> tuple[int, FitResult]:
    """Return the position of the best by out-of-fold scores, and it with the scores that did not choose it.

    Parameters
    ----------
    objective : Objective
        What they are compared by, and what the thresholds of the returned result serve.
    results : sequence of FitResult
        All of the same rows and folds.
    """
    parts = [result.selection_scores for result in results]
    labels = np.fmax.reduce([part.labels for part in parts])  # missing where a model has no score
    kept = ~np.isnan(results[0].thresholds)
    lines = [_lines(part, kept) for part in parts]  # slopes and intercepts, shape (L,) each
    evidence = [
        np.where(np.isnan(part.labels), np.nan, slope * part.scores + intercept)
        for part, (slope, intercept) in zip(parts, lines, strict=True)
    ]
    folds, weight = parts[0].folds, parts[0].sample_weight
    assert folds is not None
    winner, honest = best_candidate(
        evidence,
        mask_labels(labels, kept),
        folds,
        objective,
        sample_weight=weight,
        subgroups=parts[0].subgroups,
    )
    known = np.where(np.isfinite(honest), labels, np.nan).astype(np.float32)
    slope, intercept = lines[winner]
    scores = np.nan_to_num((honest - intercept) / slope).astype(np.float32)
    part = replace(parts[winner], scores=scores, labels=known)
    best = results[winner]
    return winner, best.chosen_anew(objective, {**best.data_scores, "validation": part})


def _lines(part: DataScores, kept: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return slope and intercept from scores to log-odds for each label; 1 and 0 for those left out."""
    slopes, intercepts = np.ones(len(kept)), np.zeros(len(kept))
    for label in np.flatnonzero(kept).tolist():
        weight = part.weight_of(label)
        slopes[label], intercepts[label] = line_to_log_odds(part.scores[:, label], part.labels[:, label], weight)
    return slopes, intercepts
