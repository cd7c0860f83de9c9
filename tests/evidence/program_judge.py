"""The judge of programs with several bounds and subgroups: plain loops over all cuts, and over all products of cuts.

It shares no code with the package.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from scipy.stats import beta

NAN = math.nan
MIN_ALARMS = 10


def _over(a, b):
    return a / b if b > 0 else NAN


# Of a tally (TP, FP, FN, TN).
METRICS = {
    "recall": lambda c: _over(c[0], c[0] + c[2]),
    "precision": lambda c: _over(c[0], c[0] + c[1]),
    "false_positive_rate": lambda c: _over(c[1], c[1] + c[3]),
    "specificity": lambda c: _over(c[3], c[1] + c[3]),
    "alarm_rate": lambda c: _over(c[0] + c[1], sum(c)),
    "negative_predictive_value": lambda c: _over(c[3], c[2] + c[3]),
    "accuracy": lambda c: _over(c[0] + c[3], sum(c)),
    "balanced_accuracy": lambda c: (_over(c[0], c[0] + c[2]) + _over(c[3], c[1] + c[3])) / 2,
    "f1": lambda c: _over(2 * c[0], 2 * c[0] + c[1] + c[2]),
    "net_benefit(0.2)": lambda c: _over(c[0] - c[1] / 4, sum(c)),
}
HITS = {  # the cells of numerator and denominator of the metrics that are one rate
    "recall": ((0,), (0, 2)),
    "precision": ((0,), (0, 1)),
    "false_positive_rate": ((1,), (1, 3)),
    "specificity": ((3,), (1, 3)),
    "alarm_rate": ((0, 1), (0, 1, 2, 3)),
    "negative_predictive_value": ((3,), (2, 3)),
    "accuracy": ((0, 3), (0, 1, 2, 3)),
}


@dataclass(frozen=True)
class Wanted:
    metric: str
    sign: int
    number: float
    column: str | None = None

    def __str__(self) -> str:
        text = f"{self.metric} {'>=' if self.sign > 0 else '<='} {self.number!r}"
        return text if self.column is None else f"{text} in every {self.column}"


@dataclass
class Row:
    score: float
    label: int
    weight: float
    columns: dict[str, str]


@dataclass
class Judged:
    feasible: bool
    value: float
    shortfall: float
    safety: float
    values: list[float]


def tally(rows: Sequence[Row], alarms: Sequence[bool]) -> tuple[float, float, float, float]:
    counts = [0.0] * 4
    for row, alarm in zip(rows, alarms, strict=True):
        counts[(0 if alarm else 2) if row.label else (1 if alarm else 3)] += row.weight
    return tuple(counts)


def requirements(rows: Sequence[Row], bounds: Sequence[Wanted]) -> list[tuple[Wanted, list[int]]]:
    """Each bound with the rows that it speaks of, one subgroup after the other."""
    found = []
    for bound in bounds:
        if bound.column is None:
            found.append((bound, list(range(len(rows)))))
            continue
        for value in sorted({row.columns[bound.column] for row in rows}):
            found.append((bound, [k for k, row in enumerate(rows) if row.columns[bound.column] == value]))
    return found


def judge(rows, alarms, metric, bounds) -> Judged:
    value = METRICS[metric](tally(rows, alarms))
    feasible, shortfall, safety, values = True, 0.0, 0.0, []
    for bound, chosen in requirements(rows, bounds):
        own, raised = [rows[k] for k in chosen], [alarms[k] for k in chosen]
        reached = METRICS[bound.metric](tally(own, raised))
        ends = [METRICS[bound.metric](tally(own, [flag] * len(own))) for flag in (True, False)]
        feasible &= reached >= bound.number if bound.sign > 0 else reached <= bound.number
        if any(end == end for end in ends):
            shortfall += math.inf if reached != reached else max(0.0, bound.sign * (bound.number - reached))
        safety += bound.sign * reached
        values.append(reached)
    return Judged(feasible if bounds else value == value, value, shortfall, safety, values)


def _key(found: Judged) -> tuple[float, ...]:
    value = -math.inf if found.value != found.value else found.value
    return (1, value) if found.feasible else (0, -found.shortfall, value)


def best_shared(rows, metric, bounds) -> Judged:
    """Try every cut through all rows."""
    levels = [math.inf, *sorted({row.score for row in rows}, reverse=True)]
    tried = [judge(rows, [row.score >= level for row in rows], metric, bounds) for level in levels]
    return max(tried, key=_key)


def best_by_subgroup(rows, metric, bounds, column) -> Judged:
    """Try every product of cuts through the subgroups of a column."""
    names = sorted({row.columns[column] for row in rows})
    levels = [[math.inf, *sorted({row.score for row in rows if row.columns[column] == name})] for name in names]
    tried = []
    for chosen in product(*levels):
        cut = dict(zip(names, chosen, strict=True))
        tried.append(judge(rows, [row.score >= cut[row.columns[column]] for row in rows], metric, bounds))
    return max(tried, key=_key)


def is_supported(rows, alarms, bounds, confidence) -> bool:
    """Whether unweighted rows support all bounds, which are rates, with the error divided equally."""
    asked = requirements(rows, bounds)
    each, flags = 1 - (1 - confidence) / len(asked), set(alarms)
    if sum(alarms) < MIN_ALARMS:
        return False
    by_rows, by_definition = [], []
    for bound, chosen in asked:
        counts = tally([rows[k] for k in chosen], [alarms[k] for k in chosen])
        hits, counted = (sum(counts[cell] for cell in cells) for cells in HITS[bound.metric])
        if not counted or not (bound.sign * hits / counted >= bound.sign * bound.number):
            return False
        if bound.sign > 0:
            limit = beta.ppf(1 - each, hits, counted - hits + 1) if hits else 0.0
        else:
            limit = beta.ppf(each, hits + 1, counted - hits) if hits < counted else 1.0
        enough = bound.column is None or bound.sign < 0 or counts[0] + counts[1] >= MIN_ALARMS
        passes = enough and bound.sign * limit >= bound.sign * bound.number
        numerator, denominator = HITS[bound.metric]
        alarmed = {0, 1} if flags == {True} else {2, 3} if flags == {False} else {0, 1, 2, 3}
        left, of = set(numerator) & alarmed, set(denominator) & alarmed
        certain = len(flags) == 1 and bool(of) and (left == of or not left)
        by_rows.append(passes)
        by_definition.append(certain)
    if all(by_definition):
        return all(by_rows)
    return all(passes or certain for passes, certain in zip(by_rows, by_definition, strict=True))


def best_supported(rows, metric, bounds, confidence) -> float:
    """The best value over all cuts at which the rows support the bounds; NaN where there is none."""
    values = []
    for level in sorted({row.score for row in rows}):
        alarms = [row.score >= level for row in rows]
        if is_supported(rows, alarms, bounds, confidence):
            values.append(METRICS[metric](tally(rows, alarms)))
    values = [value for value in values if value == value]
    return max(values, default=NAN)
