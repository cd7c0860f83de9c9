"""Random 2-D problems whose rows lie in subgroups, programs for them, and the optimum of linear models by a sweep.

This file decides the problems and the judge; the features and labels are those of :mod:`benchmarks.studies.mixtures`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.mixtures import NUM_DIRECTIONS, draw_mixture
from metricopt.problem.bounds import MetricBound
from metricopt.problem.program import Program
from metricopt.problem.ratios import Counts

SITE = "site"


@dataclass(frozen=True)
class Problem:
    """Features (n, 2) and labels (n,), float32, and the site of each row, from 0 to 1, 2 or 3."""

    features: NDArray[np.float32]
    labels: NDArray[np.float32]
    sites: NDArray[np.intp]


def draw_problem(seed: int) -> Problem:
    """Return a random mixture whose rows lie in two to four sites, which differ in features, size and prevalence."""
    mixture, random = draw_mixture(seed), np.random.default_rng([seed, 1])
    num_sites = 2 + seed % 3
    leanings = mixture.features @ random.normal(0, 0.5, (2, num_sites)) + random.normal(0, 0.3, num_sites)
    sites = np.argmax(leanings + random.gumbel(size=leanings.shape), axis=1)
    return Problem(mixture.features, mixture.labels, sites)


def programs_for(seed: int) -> dict[str, Program]:
    """Return what is asked of the problem of that seed: two or three bounds, over all rows or in every site."""
    precision, rate, recall = (0.6, 0.7, 0.8)[seed % 3], (0.05, 0.1, 0.2)[seed % 3], (0.3, 0.4, 0.5)[seed // 3 % 3]
    return {
        "recall, 2 bounds": Program("recall", [f"precision >= {precision}", f"false_positive_rate <= {rate / 2}"]),
        "F1, 2 bounds": Program("f1", ["recall >= 0.5", "alarm_rate <= 0.2"]),
        "precision, 3 bounds": Program(
            "precision", ["recall >= 0.5", f"false_positive_rate <= {rate}", "negative_predictive_value >= 0.8"]
        ),
        "F1, 3 bounds": Program("f1", ["recall >= 0.4", f"precision >= {precision - 0.1:.1f}", "alarm_rate <= 0.15"]),
        "F1, recall in every site": Program("f1", [f"recall >= {recall} in every site", "alarm_rate <= 0.25"]),
        "recall, precision in every site": Program("recall", [f"precision >= {recall + 0.1} in every site"]),
        "recall, own thresholds": Program("recall", [f"precision >= {precision} in every site"], SITE),
    }


def best_by_sweep(problem: Problem, program: Program, num_directions: int = NUM_DIRECTIONS, chunk: int = 500) -> float:
    """Return the best value of any linear model, over directions of equal spacing and all cuts; NaN if infeasible.

    With a threshold for each site, whose bounds are all in every site, the most right alarms are those of the sites one
    by one; so the program must maximise recall.
    """
    angles = np.linspace(0, 2 * np.pi, num_directions, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    best = np.nan
    for start in range(0, num_directions, chunk):
        scores = problem.features.astype(np.float64) @ directions[:, start : start + chunk]
        found = _with_own_thresholds if program.threshold_per else _with_one_threshold
        best = np.fmax(best, found(problem, program, scores))
    return float(best)


def _with_one_threshold(problem: Problem, program: Program, scores: np.ndarray) -> float:
    """Return the best value over all cuts of scores (n, directions)."""
    order = np.argsort(-scores, axis=0)  # from the highest score down
    labels, sites = problem.labels.astype(np.float64)[order], problem.sites[order]
    counts, feasible = _counts(labels, np.ones_like(labels)), np.ones(labels.shape, bool)
    for bound in program.bounds:
        if bound.within is None:
            feasible &= _holds(bound, counts)
            continue
        for site in range(problem.sites.max() + 1):
            feasible &= _holds(bound, _counts(labels, sites == site))
    return float(np.fmax.reduce(np.where(feasible, program.value(counts), np.nan), axis=None))


def _with_own_thresholds(problem: Problem, program: Program, scores: np.ndarray) -> float:
    """Return the best recall over all cuts of each site by itself, through scores (n, directions)."""
    assert program.maximised.name == "recall" and all(bound.within for bound in program.bounds)
    found = np.zeros(scores.shape[1])
    for site in range(problem.sites.max() + 1):
        own = problem.sites == site
        labels = problem.labels[own].astype(np.float64)[np.argsort(-scores[own], axis=0)]
        counts = _counts(labels, np.ones_like(labels))
        feasible = np.logical_and.reduce([_holds(bound, counts) for bound in program.bounds])
        found += np.where(feasible, counts.true_positives, -np.inf).max(axis=0)
    best = found.max()
    return float(best / problem.labels.sum()) if np.isfinite(best) else np.nan


def _holds(bound: MetricBound, counts: Counts) -> np.ndarray:
    return np.asarray(bound.holds(bound.metric(counts)))


def _counts(labels: np.ndarray, is_in: np.ndarray) -> Counts:
    """Return the counts of some of the rows when all from the highest score down to each one raise an alarm."""
    positives, negatives = labels * is_in, (1 - labels) * is_in
    found, wrong = np.cumsum(positives, axis=0), np.cumsum(negatives, axis=0)
    return Counts(found, wrong, found[-1] - found, wrong[-1] - wrong)
