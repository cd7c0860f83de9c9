"""Brute-force judges: plain loops over samples and cuts, sharing no code with the package."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Tally = tuple[float, float, float, float]
"""True positives, false positives, false negatives, true negatives."""

NAN = math.nan


def tally(scores: Sequence[float], labels: Sequence[float], weights: Sequence[float], threshold: float) -> Tally:
    tp = fp = fn = tn = 0.0
    for score, label, weight in zip(scores, labels, weights, strict=True):
        if label == 1:
            if score >= threshold:
                tp += weight
            else:
                fn += weight
        elif label == 0:
            if score >= threshold:
                fp += weight
            else:
                tn += weight
    return tp, fp, fn, tn


def _over(part: float, whole: float) -> float:
    return part / whole if whole > 0 else NAN


def recall(c: Tally) -> float:
    return _over(c[0], c[0] + c[2])


def precision(c: Tally) -> float:
    return _over(c[0], c[0] + c[1])


def false_positive_rate(c: Tally) -> float:
    return _over(c[1], c[1] + c[3])


def specificity(c: Tally) -> float:
    return _over(c[3], c[1] + c[3])


def alarm_rate(c: Tally) -> float:
    return _over(c[0] + c[1], sum(c))


def false_discovery_rate(c: Tally) -> float:
    return _over(c[1], c[0] + c[1])


def odds(c: Tally) -> float:
    return _over(c[0], c[1])


def f_beta(beta: float) -> Callable[[Tally], float]:
    """Exact (no rounding before the division) where beta**2 and the weights are dyadic."""
    return lambda c: _over((1 + beta**2) * c[0], (1 + beta**2) * c[0] + beta**2 * c[2] + c[1])


@dataclass
class Program:
    """Maximise ``value`` subject to ``bounded`` >= (sense 1) or <= (sense -1) ``bound``."""

    value: Callable[[Tally], float]
    bounded: Callable[[Tally], float] | None = None
    bound: float = NAN
    sense: int = 1


def program(name: str, number: float) -> Program:
    """The program that an objective's name and its bound (or beta) stand for."""
    return {
        "FPOR": Program(recall, precision, number),
        "FROP": Program(precision, recall, number),
        "OFBS": Program(f_beta(number)),
        "RecallAtFPR": Program(recall, false_positive_rate, number, -1),
        "RecallAtAlarmRate": Program(recall, alarm_rate, number, -1),
    }[name]


@dataclass
class Best:
    threshold: float
    value: float
    bounded_value: float | None
    counts: Tally
    feasible: bool


def best_cut(scores: Sequence[float], labels: Sequence[float], weights: Sequence[float], wanted: Program) -> Best:
    """Try every cut, highest first, and keep the first of the best. Thresholds are rounded to float64 only."""
    counted = [(s, y, w) for s, y, w in zip(scores, labels, weights, strict=True) if y == y and w > 0]
    nothing = tally(*zip(*counted, strict=True), math.inf) if counted else (0.0, 0.0, 0.0, 0.0)
    if not any(y == 1 for _, y, _ in counted):
        return Best(NAN, NAN, wanted.bounded(nothing) if wanted.bounded else None, nothing, False)
    levels = sorted({s for s, _, _ in counted}, reverse=True)
    best, best_key = None, None
    for position, level in enumerate([math.inf, *levels]):
        counts = tally(*zip(*counted, strict=True), level)
        value = wanted.value(counts)
        bounded = wanted.bounded(counts) if wanted.bounded else None
        if bounded is None:
            feasible, safety = value == value, 0.0
        else:
            feasible = bounded >= wanted.bound if wanted.sense > 0 else bounded <= wanted.bound
            safety = wanted.sense * bounded
        worth, safety = (-math.inf if number != number else number for number in (value, safety))
        key = (1, worth, safety) if feasible else (0, safety, worth)
        if best_key is None or key > best_key:
            best_key = key
            if level == math.inf:
                threshold = math.nextafter(levels[0], math.inf)
            elif level == levels[-1]:
                threshold = level
            else:
                threshold = (level + levels[position]) / 2
            best = Best(threshold, value, bounded, counts, feasible)
    assert best is not None
    return best


def average_precision(scores: Sequence[float], labels: Sequence[float], weights: Sequence[float]) -> float:
    """The mean over the positives of the precision among the samples that score at least as high."""
    total = worth = 0.0
    for score, label, weight in zip(scores, labels, weights, strict=True):
        if label == 1:
            total += weight * precision(tally(scores, labels, weights, score)) if weight > 0 else 0.0
            worth += weight
    return _over(total, worth)
