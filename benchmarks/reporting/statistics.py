"""What a table of runs supports: paired differences with intervals, and average ranks.

Every function takes values by (dataset, split) in rows and by method in columns, higher is better; a run that is not
there is NaN. Splits of one data set share rows, so they say how sure a difference is *on that set*; only data sets are
independent of one another, so what is said of a suite counts data sets. This file decides the statistics; what they are
computed of is decided in :mod:`benchmarks.reporting.delivered`, and what is shown in
:mod:`benchmarks.reporting.report`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import friedmanchisquare, studentized_range, wilcoxon
from scipy.stats import t as student

LEVEL = 0.95
_DIGITS = 12
"""Means that agree to so many digits are ties: sums of the same numbers in another order differ in the last one."""


@dataclass(frozen=True)
class Interval:
    """A mean and its interval at 95 %; the ends are NaN where there is one value only."""

    mean: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the width."""
        return (self.high - self.low) / 2

    @property
    def verdict(self) -> str:
        """On which side of 0 the whole interval lies: "above", "below" or, where it holds 0 or is unknown, ""."""
        return "above" if self.low > 0 else "below" if self.high < 0 else ""

    def __str__(self) -> str:
        if math.isnan(self.mean):
            return ""
        return f"{self.mean:+.4f}" + ("" if math.isnan(self.low) else f" [{self.low:+.4f}, {self.high:+.4f}]")


def t_interval(values: pd.Series, test_to_train: float = 0.0) -> Interval:
    r"""Return the mean and its t-interval.

    .. math:: \bar d \pm t_{.975, n - 1} \, s \sqrt{1/n + \rho}

    with :math:`\rho` = 0 for independent values. Random splits of one data set overlap, so that the plain interval is
    too short and calls too many differences significant, in both directions; :math:`\rho` = rows for testing / rows
    for training is the customary correction.

    Parameters
    ----------
    values : Series of n floats
        NaN counts nowhere.
    test_to_train : float
        The :math:`\rho` above.

    References
    ----------
    Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52, 2003.

    Examples
    --------
    >>> str(t_interval(pd.Series([0.1, 0.2, 0.3])))
    '+0.2000 [-0.0484, +0.4484]'
    >>> str(t_interval(pd.Series([0.1])))
    '+0.1000'
    """
    known = values.dropna()
    mean, number = float(known.mean()), len(known)
    if number < 2:
        return Interval(mean, math.nan, math.nan)
    scale = float(known.std(ddof=1)) * math.sqrt(1 / number + test_to_train)
    half = float(student.ppf((1 + LEVEL) / 2, number - 1)) * scale
    return Interval(mean, mean - half, mean + half)


def with_interval(values: pd.Series) -> str:
    """Return the mean and its plain t-interval as text."""
    return str(t_interval(values))


def by_split(frame: pd.DataFrame, values: pd.Series) -> pd.DataFrame:
    """Arrange one value a row by (dataset, split) and method, both in the order in which they come.

    Raises
    ------
    ValueError
        If a method has two rows for one split: then the rows mix models, objectives or runs.
    """
    keys = frame[["dataset", "split", "method"]].assign(value=values)
    table = keys.pivot(index=["dataset", "split"], columns="method", values="value").astype(float)
    table = table[list(dict.fromkeys(frame["method"]))]
    return table.reindex(list(dict.fromkeys(frame["dataset"])), level="dataset")


def differences(values: pd.DataFrame, method: str, reference: str) -> pd.Series:
    """Return method minus reference on every split that has both."""
    return (values[method] - values[reference]).dropna()


def between_datasets(paired: pd.Series) -> Interval:
    """Return the mean over data sets of the mean difference on each, with the t-interval over data sets.

    This is the interval that the report quotes: the claim is about a further data set, so data sets are the sample, and
    however many splits are run they make it no shorter than the data sets allow. With a dozen of them it is also the
    more careful one: percentiles of a bootstrap over so few units are too narrow.

    Parameters
    ----------
    paired : Series
        As :func:`differences` returns it.
    """
    return t_interval(paired.groupby("dataset", sort=False).mean())


def between_splits(paired: pd.Series) -> Interval:
    """Return the same mean with the t-interval over splits, those that every data set has.

    It speaks of these data sets alone: how sure the mean over them is, not what a further one would show.

    Parameters
    ----------
    paired : Series
        As :func:`differences` returns it.
    """
    table = paired.unstack("dataset").dropna()
    return t_interval(table.mean(axis="columns"))


def hierarchical_bootstrap(paired: pd.Series, num_draws: int = 10_000, seed: int = 0) -> Interval:
    """Return the same mean with a percentile interval: data sets are drawn again, then splits within each drawn one.

    Shown beside :func:`between_datasets` as a check, for it assumes no normal distribution and a single data set with
    an extreme difference does not widen it on both sides. Where the two disagree about 0, neither side is established.
    No interval for less than two data sets.

    Parameters
    ----------
    paired : Series
        As :func:`differences` returns it.
    num_draws, seed : int

    References
    ----------
    Davison and Hinkley, "Bootstrap methods and their application", Cambridge University Press 1997, section 3.8.
    """
    groups = [group.to_numpy() for _, group in paired.groupby("dataset", sort=False)]
    if len(groups) < 2:
        return Interval(float(paired.mean()), math.nan, math.nan)
    random = np.random.default_rng(seed)
    drawn = random.integers(len(groups), size=(num_draws, len(groups)))
    means = np.empty(drawn.shape)
    for number, group in enumerate(groups):
        here = drawn == number
        means[here] = group[random.integers(len(group), size=(int(here.sum()), len(group)))].mean(axis=1)
    low, high = np.quantile(means.mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(np.mean([group.mean() for group in groups])), float(low), float(high))


def complete(values: pd.DataFrame) -> pd.DataFrame:
    """Return the largest part to compare all methods on: the splits on which every kept method has a value.

    A method that lacks more than half of the splits is left out first, lest it take the splits of all others with it.
    """
    kept = values.loc[:, values.notna().mean() >= 0.5]
    return kept.dropna()


@dataclass(frozen=True)
class Ranking:
    """Average ranks of methods over data sets, and which of them differ.

    Attributes
    ----------
    mean_ranks : Series
        By method, the best (lowest) first.
    num_datasets : int
    friedman, p_value : float
        Friedman's statistic (corrected for ties) and its p-value, against "all methods are the same"; NaN for less than
        three methods.
    critical_difference : float
        Nemenyi: mean ranks farther apart than this differ at the 5 % level, all pairs taken together.
    """

    mean_ranks: pd.Series
    num_datasets: int
    friedman: float
    p_value: float
    critical_difference: float

    @property
    def cliques(self) -> list[tuple[str, ...]]:
        """The largest groups of two or more methods none of which differs from another, the best first."""
        names, ranks = list(self.mean_ranks.index), self.mean_ranks.to_numpy()
        found: list[tuple[str, ...]] = []
        end_before = 0
        for start in range(len(names)):
            end = int(np.searchsorted(ranks, ranks[start] + self.critical_difference, side="right"))
            if end - start > 1 and end > end_before:
                found.append(tuple(names[start:end]))
                end_before = end
        return found

    def place(self, method: str) -> int:
        """Return 1 for a method before which no other is, and so on; equal mean ranks share the place."""
        return 1 + int((self.mean_ranks < self.mean_ranks[method] - 1e-9).sum())

    def differ(self, one: str, other: str) -> bool:
        """Return whether two methods differ by more than the critical difference."""
        return bool(abs(self.mean_ranks[one] - self.mean_ranks[other]) > self.critical_difference)


def rank_methods(values: pd.DataFrame) -> Ranking:
    """Rank the methods by their mean over splits within every data set, ties averaged, and average over data sets.

    Parameters
    ----------
    values : DataFrame without NaN
        See :func:`complete`; at least one row and two methods.

    References
    ----------
    Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006, section 3.2.
    """
    means = values.groupby("dataset", sort=False).mean().round(_DIGITS)
    ranks = means.rank(axis=1, ascending=False)
    friedman, p_value = math.nan, math.nan
    if (ranks.nunique(axis=1) == 1).all():
        friedman, p_value = 0.0, 1.0  # all tied; scipy divides by 0
    elif ranks.shape[1] > 2:
        friedman, p_value = map(float, friedmanchisquare(*ranks.to_numpy().T))
    return Ranking(
        ranks.mean().sort_values(kind="stable"),
        len(means),
        friedman,
        p_value,
        critical_difference(ranks.shape[1], len(means)),
    )


def critical_difference(num_methods: int, num_datasets: int) -> float:
    r"""Return Nemenyi's critical difference of mean ranks at the 5 % level.

    .. math:: q_{.05} \sqrt{k (k + 1) / (6 N)}

    with k methods, N data sets, and q the quantile of the studentized range over :math:`\sqrt 2`.

    Examples
    --------
    >>> round(critical_difference(num_methods=4, num_datasets=14), 2)
    1.25

    References
    ----------
    Demsar, as above, table 5 (a).
    """
    quantile = float(studentized_range.ppf(LEVEL, num_methods, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(num_methods * (num_methods + 1) / (6 * num_datasets))


def wilcoxon_holm(values: pd.DataFrame, reference: str) -> pd.Series:
    """Return the p-value of every other method against the reference: signed ranks over data sets, Holm's correction.

    Each is compared on the splits that both have; NaN for less than two data sets.

    References
    ----------
    Demsar, as above, sections 3.1.3 (zero differences are split evenly) and 3.2.2.
    """
    p_values = {}
    for method in values.columns.drop(reference):
        means = differences(values, method, reference).groupby("dataset", sort=False).mean().round(_DIGITS)
        if len(means) < 2:
            p_values[method] = math.nan
        else:
            p_values[method] = float(wilcoxon(means, zero_method="zsplit").pvalue) if means.any() else 1.0
    return holm(p_values)


def holm(p_values: Mapping[str, float]) -> pd.Series:
    """Return p-values that may be compared with one level all together; NaN is no test and stays NaN.

    Examples
    --------
    >>> {name: round(p, 3) for name, p in holm({"a": 0.01, "b": 0.04, "c": 0.03}).items()}
    {'a': 0.03, 'b': 0.06, 'c': 0.06}

    References
    ----------
    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    given = pd.Series(p_values, dtype=float)
    ordered = given.dropna().sort_values()
    adjusted = (ordered * np.arange(len(ordered), 0, -1)).cummax().clip(upper=1)
    return adjusted.reindex(given.index)
