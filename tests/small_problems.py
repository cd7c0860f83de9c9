"""Random problems of at most 14 samples with linear models of 1 or 2 features, and their exact optimum by enumeration.

As a direction turns, the order of the samples along it changes only where it is normal to the line through two of
them. One direction between every two such angles, these angles themselves (ties) and no direction at all (the constant
model) are thus all the orders that a linear model can give.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from tests import oracle

MAX_SAMPLES = 14
GRID = 8
"""Features are multiples of 1 / GRID, so that scores along the critical directions, and their ties, are exact."""

Point = tuple[float, ...]


@dataclass(frozen=True)
class SmallProblem:
    """Rows of features, a label each (NaN = missing) and a weight each."""

    features: tuple[Point, ...]
    labels: tuple[float, ...]
    weights: tuple[float, ...]

    def scores(self, direction: Point) -> list[float]:
        return [sum(w * x for w, x in zip(direction, row, strict=True)) for row in self.features]

    @property
    def is_weighted(self) -> bool:
        return len(set(self.weights)) > 1

    @property
    def labelled(self) -> list[Point]:
        return [row for row, label in zip(self.features, self.labels, strict=True) if label == label]


@dataclass(frozen=True)
class Optimum:
    """The best that any linear model and threshold reach; where nothing is feasible, the nearest to the bound."""

    value: float
    feasible: bool
    bounded_value: float | None


def small_problem(num_features: int, seed: int) -> SmallProblem:
    """Draw two overlapping classes of 3 to 6 and 5 to 8 samples; in some, features are doubled, labels missing, or
    samples weighted.
    """
    rng = np.random.default_rng([num_features, seed])
    num_positives = int(rng.integers(3, 7))
    num_samples = num_positives + int(rng.integers(5, MAX_SAMPLES - 6 + 1))
    is_positive = np.arange(num_samples) < num_positives
    shift = rng.normal(size=num_features)
    shift *= rng.uniform(0.5, 1.5) / np.linalg.norm(shift)
    points = rng.normal(size=(num_samples, num_features)) + is_positive[:, np.newaxis] * shift
    points = np.round(GRID * points) / GRID
    labels, weights = is_positive.astype(float), np.ones(num_samples)
    if rng.random() < 0.3:
        points[0] = points[-1]  # a positive and a negative
    if rng.random() < 0.15:
        labels[rng.integers(3, num_samples - 1)] = np.nan
    if rng.random() < 0.15:
        weights = rng.integers(1, 4, num_samples).astype(float)
    order = rng.permutation(num_samples)
    rows = tuple(tuple(row) for row in points[order].tolist())
    return SmallProblem(rows, tuple(labels[order].tolist()), tuple(weights[order].tolist()))


@cache
def optimum(problem: SmallProblem, name: str, number: float | None, *, ties: bool = True) -> Optimum:
    """Return the exact optimum of an objective over all linear models.

    ``number`` is the bound or beta of the objective of that name, None for OAP. Without ``ties`` only samples of equal
    features may score alike. Cuts lose nothing by that. An average precision can: ties count together, which lifts
    positives that lie below many negatives; but training does not meet the few directions that tie.
    """
    directions = list(generic_directions(problem))
    if ties:
        directions += tied_directions(problem)
    return best_of(directions, problem, name, number)


def is_hard(problem: SmallProblem, name: str, number: float | None) -> bool:
    """Whether Fisher's discriminant with the best threshold is below the optimum: least squares is no shortcut."""
    kept = [row for row in zip(problem.features, problem.labels, problem.weights, strict=True) if row[1] == row[1]]
    features, labels, weights = (np.array(column) for column in zip(*kept, strict=True))
    root = np.sqrt(weights)
    with_intercept = np.column_stack([features, np.ones(len(labels))])
    discriminant = np.linalg.lstsq(root[:, np.newaxis] * with_intercept, root * labels, rcond=None)[0][:-1]
    of_it = best_of([tuple(discriminant.tolist())], problem, name, number)
    best = optimum(problem, name, number, ties=False)
    return best.feasible and not (of_it.feasible and of_it.value >= best.value)


def best_of(directions: Sequence[Point], problem: SmallProblem, name: str, number: float | None) -> Optimum:
    """Return the best that these directions reach, each with its best threshold."""
    if name == "OAP":
        values = [average_precision(problem.scores(w), problem.labels, problem.weights) for w in directions]
        return Optimum(max(values), True, None)
    wanted = oracle.program(name, number)
    found = [oracle.best_cut(problem.scores(w), problem.labels, problem.weights, wanted) for w in directions]
    feasible = [best for best in found if best.feasible]
    if feasible:
        best = max(feasible, key=lambda best: best.value)
        return Optimum(best.value, True, best.bounded_value)
    defined = [best for best in found if best.bounded_value == best.bounded_value]
    nearest = max(defined, key=lambda best: wanted.sense * best.bounded_value)
    return Optimum(nearest.value, False, nearest.bounded_value)


def generic_directions(problem: SmallProblem) -> Iterator[Point]:
    """One direction for each order without ties, but for samples of equal features."""
    if len(problem.features[0]) == 1:
        yield from ((1.0,), (-1.0,))
        return
    angles = sorted(math.atan2(y, x) for x, y in _normals(problem.labelled))
    for low, high in zip(angles, [*angles[1:], angles[0] + 2 * math.pi], strict=True):
        yield math.cos((low + high) / 2), math.sin((low + high) / 2)


def tied_directions(problem: SmallProblem) -> Iterator[Point]:
    """The directions along which samples of different features tie, and the constant model's."""
    yield (0.0,) * len(problem.features[0])
    if len(problem.features[0]) == 2:
        yield from _normals(problem.labelled)


def _normals(points: Sequence[Point]) -> set[Point]:
    """Both normals of the line through every two points, in lowest terms, so that parallel lines share theirs."""
    normals = set()
    for position, (x, y) in enumerate(points):
        for other_x, other_y in points[:position]:
            across, up = round(GRID * (other_x - x)), round(GRID * (other_y - y))
            if across or up:
                divisor = math.gcd(across, up)
                normals |= {(-up // divisor, across // divisor), (up // divisor, -across // divisor)}
    return normals


def average_precision(scores: Sequence[float], labels: Sequence[float], weights: Sequence[float]) -> float:
    """The mean, over the positives, of the precision among the samples that score at least as high."""
    total = positives = 0.0
    for score, label, weight in zip(scores, labels, weights, strict=True):
        if label == 1:
            total += weight * oracle.precision(oracle.tally(scores, labels, weights, score))
            positives += weight
    return total / positives
