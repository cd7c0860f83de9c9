"""What is compared: the runs of all methods with one model for one objective, and the tables made of them.

Curve values say how good scores are, the numbers of :mod:`benchmarks.reporting.delivered` what a user gets. This file
decides the tables; :mod:`benchmarks.reporting.report` puts them on a page.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from benchmarks.reporting import delivered, statistics
from benchmarks.reporting.statistics import Interval, Ranking

REFERENCE = "cross-entropy"
"""The method that every direct one is held against: trained without the metric, with the same exact threshold."""
AUTO, COMMON = "auto", "boosting + tuned threshold"
"""The choice among several models, and what it is held against: what most people would do with a table."""
ON_FOLDS = ", folds"
"""How the name of a method ends whose threshold comes from out-of-fold scores; its reference's name does, too."""
ALL_SETS = "all sets"
TEST_TO_TRAIN = 20 / 60
"""Rows for testing / rows for training, for the corrected intervals."""
SCORES = "scores: best value on the test curve"
NET = "net value: at the deployed threshold, less the price of a missed bound"
DELIVERED = "delivered: value at the deployed threshold, 0 where the bound is missed"
_METRICS = {"f_beta": "F-beta", "average_precision": "average precision"}


@dataclass(frozen=True)
class Comparison:
    """The runs of all methods with one model for one objective."""

    model: str
    objective: str
    rows: pd.DataFrame

    @property
    def title(self) -> str:
        return f"{self.model}, {self.objective}"

    @property
    def metric(self) -> str:
        name = str(self.rows["metric"].iloc[0])
        return _METRICS.get(name, name)

    @property
    def bounded(self) -> str:
        """The bounded metric, empty without a bound."""
        return str(self.rows["bounded"].iloc[0]) if self.rows["bound"].notna().any() else ""

    @cached_property
    def families(self) -> dict[str, str]:
        return dict(zip(self.rows["method"], self.rows["family"], strict=True))

    @property
    def direct(self) -> list[str]:
        """The direct methods that can be held against their reference."""
        return [
            method
            for method, family in self.families.items()
            if family == "direct" and reference_of(method) in self.families
        ]

    @property
    def deployed_direct(self) -> list[str]:
        """The direct methods that others are held against where thresholds matter: those on folds, if there are any.

        The choice among several models comes first.
        """
        on_folds = [method for method in self.direct if method == AUTO or method.endswith(ON_FOLDS)]
        return sorted(on_folds, key=lambda method: method != AUTO) or self.direct

    @cached_property
    def curve(self) -> pd.DataFrame:
        """The quality of the scores by split and method; without those that take another method's scores."""
        return statistics.by_split(self.rows, self.rows["test_curve_value"]).dropna(axis="columns", how="all")

    @cached_property
    def net(self) -> pd.DataFrame:
        """The net value by split and method."""
        return self.arranged(delivered.net_value(self.rows))

    @cached_property
    def delivered(self) -> pd.DataFrame:
        """The delivered value by split and method."""
        return self.arranged(delivered.delivered(self.rows))

    def arranged(self, values: pd.Series) -> pd.DataFrame:
        return statistics.by_split(self.rows, values)

    @cached_property
    def rankings(self) -> dict[str, Ranking]:
        """By what was ranked; nothing where there is nothing to rank."""
        tables = {SCORES: self.curve, NET: self.net, DELIVERED: self.delivered}
        kept = {name: statistics.complete(values) for name, values in tables.items()}
        return {
            name: statistics.rank_methods(values)
            for name, values in kept.items()
            if len(values) and values.shape[1] > 1
        }

    def intervals(self, method: str) -> dict[str, Interval]:
        """Return the paired difference of scores to the reference by data set, and over all sets last."""
        paired = statistics.differences(self.curve, method, reference_of(method))
        by_set = {str(name): statistics.t_interval(each) for name, each in paired.groupby("dataset", sort=False)}
        return {**by_set, ALL_SETS: statistics.between_datasets(paired)}

    def over_sets(self, values: pd.Series) -> pd.Series:
        """Return means over data sets of means over splits, by method, on the splits that all methods have.

        Parameters
        ----------
        values : Series
            By row; NaN, as the precision of a run without alarms, is left out of the mean, a method without any value
            out of the result.
        """
        return self._on_common_splits(values).groupby("dataset").mean().mean().dropna()

    def over_trials(self, values: pd.Series) -> pd.Series:
        """Return means over all trials by method, on the splits that all methods have; NaN is left out."""
        return self._on_common_splits(values).mean().dropna()

    def _on_common_splits(self, values: pd.Series) -> pd.DataFrame:
        kept = statistics.complete(self.arranged(pd.Series(1.0, self.rows.index)))
        return self.arranged(values).loc[kept.index, kept.columns]

    @property
    def summary(self) -> str:
        """On how much the comparison of all methods rests, and Friedman's test."""
        kept = statistics.complete(self.curve)
        text = f"{len(kept)} of {len(self.curve)} splits of {kept.index.get_level_values('dataset').nunique()} data "
        text += "sets have all methods"
        without = [str(method) for method in self.curve if method not in kept]
        if without:
            text += f", {', '.join(without)} apart, which lack{'s' if len(without) == 1 else ''} more than half"
        text += "."
        for name, ranking in self.rankings.items():
            if not math.isnan(ranking.p_value):
                text += f" Friedman, {name.split(':')[0]}: {ranking.friedman:.2f}, p = {ranking.p_value:.2g}."
        return text

    def scores_overview(self) -> pd.DataFrame:
        """Return a line a method, the best scores first: quality of scores, rank, differences, seconds."""
        table = pd.DataFrame({"family": self.families})
        table["scores"] = _three_digits(self.over_sets(self.rows["test_curve_value"]))
        if SCORES in self.rankings:
            table["rank"] = self.rankings[SCORES].mean_ranks.map("{:.2f}".format)
        for method in self.direct[:1]:
            paired = {name: statistics.differences(self.curve, method, name) for name in self.curve if name != method}
            table[f"{method} minus it"] = _ahead(paired)
            ends = {name: ends_of(statistics.hierarchical_bootstrap(each)) for name, each in paired.items()}
            table["bootstrap"] = pd.Series(ends, dtype=object)
            table["p"] = statistics.wilcoxon_holm(self.curve, method).map("{:.2g}".format, na_action="ignore")
        table["seconds"] = self.rows.groupby("method")["seconds"].mean().map("{:.1f}".format, na_action="ignore")
        return self._best_first(table, SCORES)

    def delivered_overview(self) -> pd.DataFrame:
        """Return a line a method, the best rank first: what its deployed threshold gives on test rows."""
        table = pd.DataFrame({"family": self.families})
        if self.bounded:
            table["net value"] = self.over_sets(delivered.net_value(self.rows)).map("{:+.3f}".format)
            self._rank_and_hold_against(table, "net", NET, self.net)
        table[f"delivered {self.metric}"] = _three_digits(self.over_sets(delivered.delivered(self.rows)))
        self._rank_and_hold_against(table, "delivered", DELIVERED, self.delivered)
        if self.bounded:
            table["alarms raised"] = _per_cent(self.over_trials(delivered.alarms_raised(self.rows)))
            table["met given raised"] = _per_cent(self.over_trials(delivered.met_given_raised(self.rows)))
            table["shortfall"] = _three_digits(self.over_sets(delivered.shortfall(self.rows)))
            table["sets met, splits pooled"] = self._sets_met()
        return self._best_first(table, NET if self.bounded else DELIVERED)

    def _rank_and_hold_against(self, table: pd.DataFrame, what: str, ranking: str, values: pd.DataFrame) -> None:
        if ranking in self.rankings:
            table[f"rank of {what}"] = self.rankings[ranking].mean_ranks.map("{:.2f}".format)
        for method in self.deployed_direct[:1]:
            paired = {name: statistics.differences(values, method, name) for name in values if name != method}
            table[f"{what}: {method} minus it"] = _ahead(paired)

    def _best_first(self, table: pd.DataFrame, by: str) -> pd.DataFrame:
        if by in self.rankings:
            ranked = list(self.rankings[by].mean_ranks.index)
            table = table.reindex([*ranked, *(name for name in table.index if name not in ranked)])
        return table.astype(object).fillna("")

    def _sets_met(self) -> pd.Series:
        """Return on how many data sets the bound holds, all splits pooled, of those on which there is an alarm."""
        met = delivered.pooled(self.rows)["met"].groupby("method")
        return pd.Series({name: f"{each.sum():.0f} of {each.notna().sum()}" for name, each in met})

    def points(self) -> pd.DataFrame:
        """Return shortfall, objective and family by method, for the Pareto picture."""
        table = pd.DataFrame(
            {
                "shortfall": self.over_sets(delivered.shortfall(self.rows)),
                "objective": self.over_sets(delivered.deployed_value(self.rows)),
            }
        ).dropna()
        return table.assign(family=table.index.map(self.families))

    def scores(self) -> pd.DataFrame:
        """Return data sets by methods: mean curve value and half its interval over splits, the best in bold."""
        groups = self.curve.groupby("dataset", sort=False)
        cells = {name: each.apply(statistics.t_interval) for name, each in groups}
        lines = {
            name: _bold({method: _plus_minus(each) for method, each in of_set.items()}, self.curve.loc[[name]].mean())
            for name, of_set in cells.items()
        }
        means = statistics.complete(self.curve).groupby("dataset").mean().mean()
        lines[f"mean of {ALL_SETS}"] = _bold(dict(_three_digits(means)), means)
        return pd.DataFrame(lines).T.reindex(columns=self.curve.columns).fillna("")

    def paired(self, method: str) -> pd.DataFrame:
        """Return the paired difference to the reference by data set, with both intervals, and over the suite."""
        paired = statistics.differences(self.curve, method, reference_of(method))
        lines = {}
        for name, each in paired.groupby("dataset", sort=False):
            plain, longer = statistics.t_interval(each), statistics.t_interval(each, TEST_TO_TRAIN)
            lines[str(name)] = (str(len(each)), f"{plain.mean:+.4f}", ends_of(plain), ends_of(longer), plain.verdict)
        suite = statistics.between_datasets(paired)
        if lines:
            number = f"{len(lines)} sets"
            lines[ALL_SETS] = (number, f"{suite.mean:+.4f}", ends_of(suite), "", suite.verdict)
        columns = ["splits", "difference", "95 %", "corrected", "significantly"]
        return pd.DataFrame.from_dict(lines, orient="index", columns=columns)

    def delivered_by_set(self) -> pd.DataFrame:
        """Return data sets by methods: delivered value, bounded metric of all splits pooled, trials with the bound met.

        The best mean of the delivered value is in bold.
        """
        means = self.delivered.groupby("dataset", sort=False).mean()
        met = self.arranged(delivered.met_given_raised(self.rows)).groupby("dataset", sort=False)
        num_met, num_judged = met.sum(), met.count()
        pooled = delivered.pooled(self.rows)["bounded"] if self.bounded else None
        lines = {}
        for name, values in means.iterrows():
            cells = {}
            for method in values.dropna().index:
                cells[method] = f"{values[method]:.3f}"
                if pooled is not None:
                    reached = pooled[name, method]
                    of_judged = f"{num_met.loc[name, method]:.0f} of {num_judged.loc[name, method]}"
                    cells[method] += f" / {'no alarm' if math.isnan(reached) else f'{reached:.3f}'} / {of_judged}"
            lines[name] = _bold(cells, values)
        return pd.DataFrame(lines).T.reindex(columns=means.columns).fillna("")


def reference_of(method: str) -> str:
    """Return the method that a direct one is held against.

    It is cross-entropy, with thresholds from the same rows; for the choice among several models :data:`COMMON`.

    Examples
    --------
    >>> reference_of("profiled"), reference_of("profiled, folds"), reference_of("auto")
    ('cross-entropy', 'cross-entropy, folds', 'boosting + tuned threshold')
    """
    if method == AUTO:
        return COMMON
    return REFERENCE + ON_FOLDS if method.endswith(ON_FOLDS) else REFERENCE


def _ahead(paired: dict[str, pd.Series]) -> pd.Series:
    return pd.Series({name: str(statistics.between_datasets(each)) for name, each in paired.items()}, dtype=object)


def _three_digits(values: pd.Series) -> pd.Series:
    return values.map("{:.3f}".format, na_action="ignore")


def _per_cent(values: pd.Series) -> pd.Series:
    return values.map("{:.0%}".format)


def _plus_minus(interval: Interval) -> str:
    if math.isnan(interval.mean):
        return ""
    return f"{interval.mean:.3f}" + ("" if math.isnan(interval.half) else f" ± {interval.half:.3f}")


def ends_of(interval: Interval) -> str:
    """Return ``[low, high]``, nothing where there is no interval."""
    return "" if math.isnan(interval.low) else f"[{interval.low:+.4f}, {interval.high:+.4f}]"


def _bold(cells: dict[str, str], values: pd.Series) -> dict[str, str]:
    """Put the cells with the highest value in bold, all that tie; a single one is not the best of anything."""
    if values.notna().sum() < 2:
        return cells
    highest = values.max()
    return {
        name: f"**{cell}**" if cell and values.get(name, -math.inf) >= highest - 1e-9 else cell
        for name, cell in cells.items()
    }
