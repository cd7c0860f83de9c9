"""The judge of the evidence rule: plain loops over cuts, rows and groups; limits from scipy's distributions.

It shares no code with the package.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import betainc, betaincinv
from scipy.stats import beta

MIN_ALARMS = 10

# Of each bounded metric: the cells of its numerator and denominator, and whether its bound is the least value allowed.
# "TP": right alarms, "FN": positives without one, "FP": wrong alarms, "TN": negatives without one.
METRICS = {
    "precision": ({"TP"}, {"TP", "FP"}, True),
    "recall": ({"TP"}, {"TP", "FN"}, True),
    "false_positive_rate": ({"FP"}, {"FP", "TN"}, False),
    "alarm_rate": ({"TP", "FP"}, {"TP", "FP", "FN", "TN"}, False),
    "min_alarm_rate": ({"TP", "FP"}, {"TP", "FP", "FN", "TN"}, True),
    "specificity": ({"TN"}, {"FP", "TN"}, True),
    "false_discovery_rate": ({"FP"}, {"TP", "FP"}, False),
}
PROGRAMS = {  # the metric to maximise, the bounded one
    "FPOR": ("recall", "precision"),
    "FROP": ("precision", "recall"),
    "RecallAtFPR": ("recall", "false_positive_rate"),
    "RecallAtAlarmRate": ("recall", "alarm_rate"),
    "RecallAtSpecificity": ("recall", "specificity"),
    "RecallAtFalseDiscoveryRate": ("recall", "false_discovery_rate"),
    "PrecisionAtMinAlarmRate": ("precision", "min_alarm_rate"),
}


@dataclass
class Row:
    score: float
    label: int
    weight: float = 1.0
    group: object = None
    fold: object = None


@dataclass
class Found:
    threshold: float
    supported: bool
    value: float
    limit: float
    is_close: bool  # some cut's limit is too near the bound to tell which side it is on


def rows_of(scores, labels, weights=None, groups=None, prevalence=None, folds=None):
    n = len(scores)
    weights = [1.0] * n if weights is None else list(weights)
    if prevalence is not None:
        of = {k: sum(w for w, y in zip(weights, labels, strict=True) if y == k) for k in (0, 1)}
        if of[0] and of[1]:
            times = {1: prevalence * (of[0] + of[1]) / of[1], 0: (1 - prevalence) * (of[0] + of[1]) / of[0]}
            weights = [w * times[y] if y == y else w for w, y in zip(weights, labels, strict=True)]
    groups = range(n) if groups is None else groups
    folds = [0] * n if folds is None else folds
    columns = zip(scores, labels, weights, groups, folds, strict=True)
    return [Row(s, int(y), w, g, f) for s, y, w, g, f in columns if y == y and w > 0]


def cell(row, cut):
    return ("TP" if row.score >= cut else "FN") if row.label else ("FP" if row.score >= cut else "TN")


def metric(name, rows, cut):
    top, bottom, _ = METRICS[name]
    below = sum(row.weight for row in rows if cell(row, cut) in bottom)
    return sum(row.weight for row in rows if cell(row, cut) in top) / below if below > 0 else math.nan


def meets(value, bound, is_least):
    return value >= bound if is_least else value <= bound


class Judge:
    """What can be said of a bound on a metric at cuts through some rows."""

    def __init__(self, name, rows, confidence, prevalence=None, has_folds=False):
        self.top, self.bottom, self.is_least = METRICS[name]
        self.name, self.rows, self.confidence, self.prevalence = name, rows, confidence, prevalence
        self.has_folds = has_folds

    def num_alarms(self, cut):
        return len({row.group for row in self.rows if row.score >= cut})

    def certain(self, cut):
        """The one value that the metric can have at an end of the cuts, else None; None where it is undefined."""
        if math.isnan(metric(self.name, self.rows, cut)):
            return None
        flagged = [row.score >= cut for row in self.rows]
        if not all(flagged) and any(flagged):
            return None
        left = {"TP", "FP"} if all(flagged) else {"FN", "TN"}
        top, bottom = self.top & left, self.bottom & left
        return None if not bottom or (top and top != bottom) else float(top == bottom)

    def class_rate(self, label, cut, hits):
        """Effective hits and misses of one class."""
        own = [row for row in self.rows if row.label == label]
        if not own:
            return 0.0, 0.0
        w = [row.weight for row in own]
        is_hit = [cell(row, cut) in hits for row in own]
        rate = sum(a for a, h in zip(w, is_hit, strict=True) if h) / sum(w)
        if all(is_hit):
            rate = 1.0
        if max(w) - min(w) < 1e-9 * max(w):
            number = len(own)
            rate = sum(is_hit) / number
        elif all(is_hit) or not any(is_hit):
            number = min(len(own), sum(w) ** 2 / sum(a * a for a in w))
        else:
            variance = sum((a * (h - rate)) ** 2 for a, h in zip(w, is_hit, strict=True)) / sum(w) ** 2
            number = min(len(own), rate * (1 - rate) / variance)
        spoken_of = [row for row in own if cell(row, cut) in self.bottom] or own
        number *= len({row.group for row in spoken_of}) / len(spoken_of)
        return rate * number, (1 - rate) * number

    def rate(self, cut):
        """Effective hits and misses where the metric is one rate, else None."""
        classes = {"TP": 1, "FN": 1, "FP": 0, "TN": 0}
        of = {classes[name] for name in self.bottom}
        if len(of) == 1:
            return self.class_rate(of.pop(), cut, self.top)
        weights = [row.weight for row in self.rows]
        if self.prevalence is not None or max(weights) - min(weights) > 1e-9 * max(weights):
            return None
        counted = [row for row in self.rows if cell(row, cut) in self.bottom]
        if not counted:
            return 0.0, 0.0
        share = len({row.group for row in counted}) / len(counted)
        hits = sum(cell(row, cut) in self.top for row in counted)
        return hits * share, (len(counted) - hits) * share

    def confidence_in(self, bound, cut):
        """How sure a bound on a ratio of two rates is: over even quantiles of one of them, exact in the other."""
        totals = [sum(row.weight for row in self.rows if row.label == label) for label in (1, 0)]
        if self.prevalence is not None:
            totals = [self.prevalence, 1 - self.prevalence]

        def spare(r, f):
            mass = {"TP": totals[0] * r, "FN": totals[0] * (1 - r), "FP": totals[1] * f, "TN": totals[1] * (1 - f)}
            gap = sum(mass[c] for c in self.top) - bound * sum(mass[c] for c in self.bottom)
            return gap if self.is_least else -gap

        constant, by_recall, by_wrong = spare(0, 0), spare(1, 0) - spare(0, 0), spare(0, 1) - spare(0, 0)
        recall, wrong = self.class_rate(1, cut, {"TP"}), self.class_rate(0, cut, {"FP"})
        a, b = (
            (rate[0], rate[1] + 1) if slope >= 0 else (rate[0] + 1, rate[1])
            for rate, slope in ((recall, by_recall), (wrong, by_wrong))
        )
        rest = constant + by_wrong * quantiles(*b)
        if by_recall == 0:
            return float(np.mean(rest >= 0))
        if min(a) == 0:
            return float(np.mean(rest + by_recall * (a[0] > 0) >= 0))
        below = betainc(*a, np.clip(-rest / by_recall, 0, 1))
        return float(np.mean(1 - below if by_recall > 0 else below))

    def limit(self, cut):
        if math.isnan(metric(self.name, self.rows, cut)):
            return math.nan
        rate = self.rate(cut)
        if rate is None:
            low, high = 0.0, 1.0
            for _ in range(14):
                middle = (low + high) / 2
                if (self.confidence_in(middle, cut) >= self.confidence) == self.is_least:
                    low = middle
                else:
                    high = middle
            return (low + high) / 2
        hits, misses = rate
        if self.is_least:
            return beta.ppf(1 - self.confidence, hits, misses + 1) if hits > 0 else 0.0
        return beta.ppf(self.confidence, hits + 1, misses) if misses > 0 else 1.0

    def in_folds(self, cut):
        """The metric in every fold where it is ever defined; nothing where folds do not count."""
        values = []
        for fold in {row.fold for row in self.rows} if self.has_folds else ():
            own = [row for row in self.rows if row.fold == fold]
            if any(not math.isnan(metric(self.name, own, end)) for end in (-math.inf, math.inf)):
                values.append(metric(self.name, own, cut))
        return values

    def supports(self, bound, cut):
        """Whether the rule is passed, and whether that is too close to tell."""
        if not meets(metric(self.name, self.rows, cut), bound, self.is_least) or self.num_alarms(cut) < MIN_ALARMS:
            return False, False
        if not all(meets(value, bound, self.is_least) for value in self.in_folds(cut)):
            return False, False
        rate = self.rate(cut)
        if rate is None:
            sure, margin = self.confidence_in(bound, cut), 2e-3
        else:
            (hits, misses), margin = rate, 1e-9
            if self.is_least:
                sure = beta.sf(bound, hits, misses + 1) if hits > 0 else 0.0
            else:
                sure = beta.cdf(bound, hits + 1, misses) if misses > 0 else float(bound == 1)
        return sure >= self.confidence, abs(sure - self.confidence) < margin


@cache
def quantiles(a, b):
    """Even quantiles of a beta distribution, all at one end where a parameter is 0."""
    if a == 0 or b == 0:
        return np.array([0.0 if a == 0 else 1.0])
    return betaincinv(a, b, (np.arange(500) + 0.5) / 500)


def levels_of(rows):
    return [math.inf, *sorted({row.score for row in rows}, reverse=True)]


def choose(name, rows, bound, confidence, prevalence=None, has_folds=False):
    """Try every cut, highest first, and keep the first of the best that are supported, or certain by definition."""
    maximised, bounded = PROGRAMS[name]
    judge = Judge(bounded, rows, confidence, prevalence, has_folds)
    levels = levels_of(rows)
    best, key_of_best, is_close = None, None, False
    for level in levels:
        supported, close = judge.supports(bound, level)
        certain = judge.certain(level)
        is_close |= close
        if not supported and (certain is None or not meets(certain, bound, judge.is_least)):
            continue
        value = metric(maximised, rows, level)
        safety = metric(bounded, rows, level) * (1 if judge.is_least else -1)
        key = tuple(-math.inf if number != number else number for number in (value, safety))
        if key_of_best is None or key > key_of_best:
            best, key_of_best = (level, supported, value), key
    if best is None:
        best = (math.inf, False, metric(maximised, rows, math.inf))
    level, supported, value = best
    certain = judge.certain(level)
    limit = judge.limit(level) if certain is None else certain
    for_all_rows = math.inf if level == math.inf else -math.inf  # new scores may lie beyond these
    threshold = threshold_at(level, levels) if supported and certain is None else for_all_rows
    return Found(threshold, supported, value, limit, is_close)


def threshold_at(level, levels):
    if level == math.inf:
        return math.nextafter(levels[1], math.inf)
    return level if level == levels[-1] else (level + levels[levels.index(level) + 1]) / 2


def reachable(name, rows, confidence, prevalence=None, has_folds=False):
    """The best over all cuts with enough alarms of the worst of limit, value and values in folds; NaN without any."""
    if not any(row.label for row in rows):
        return math.nan
    _, bounded = PROGRAMS[name]
    judge = Judge(bounded, rows, confidence, prevalence, has_folds)
    found = []
    for level in levels_of(rows):
        value = metric(bounded, rows, level)
        if judge.num_alarms(level) >= MIN_ALARMS and not math.isnan(value):
            every = [judge.limit(level), value, *judge.in_folds(level)]
            if not any(map(math.isnan, every)):
                found.append((min if judge.is_least else max)(every))
    return (max if judge.is_least else min)(found) if found else math.nan
