"""What is compared: the runs of all methods with one model for one objective, and the tables made of them.

Curve values say how good scores are, keys of :func:`benchmarks.reporting.statistics.deployed_key` what a user gets.
This file decides the tables; :mod:`benchmarks.reporting.report` puts them on a page.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from benchmarks.reporting import statistics
from benchmarks.reporting.statistics import Interval, Ranking

REFERENCE = "cross-entropy"
"""The method that every direct one is held against: trained without the metric, with the same exact threshold."""
ALL_SETS = "all sets"
TEST_TO_TRAIN = 20 / 60
"""Rows for testing / rows for training, for the corrected intervals."""
SCORES, DEPLOYED = "scores: best value on the test curve", "deployed: value at the threshold, missed bounds last"
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
        """The direct methods that can be held against the reference."""
        if REFERENCE not in self.families:
            return []
        return [method for method, family in self.families.items() if family == "direct"]

    @cached_property
    def curve(self) -> pd.DataFrame:
        """The quality of the scores by split and method; without those that take another method's scores."""
        return statistics.by_split(self.rows, self.rows["test_curve_value"]).dropna(axis="columns", how="all")

    @cached_property
    def deployed_values(self) -> pd.DataFrame:
        """What the deployed threshold is worth by split and method: 0 where it misses the bound."""
        values = statistics.deployed_value(self.rows)
        return self.arranged(values.mask(statistics.met_on_test(self.rows) == 0, 0.0))

    def arranged(self, values: pd.Series) -> pd.DataFrame:
        return statistics.by_split(self.rows, values)

    @cached_property
    def deployed_ranks(self) -> pd.DataFrame:
        """Minus the rank within each split under the rule for missed bounds, complete splits only."""
        keys = statistics.complete(self.arranged(statistics.deployed_key(self.rows)))
        return statistics.ranks_within_splits(keys)

    @cached_property
    def rankings(self) -> dict[str, Ranking]:
        """By what was ranked; nothing where there is nothing to rank."""
        tables = {
            SCORES: statistics.complete(self.curve),
            DEPLOYED: self.deployed_ranks,
        }
        return {
            name: statistics.rank_methods(values)
            for name, values in tables.items()
            if len(values) and values.shape[1] > 1
        }

    def intervals(self, method: str) -> dict[str, Interval]:
        """Return the paired difference to the reference by data set, and over all sets last."""
        paired = statistics.differences(self.curve, method, REFERENCE)
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
        kept = statistics.complete(self.arranged(pd.Series(1.0, self.rows.index)))
        return self.arranged(values).loc[kept.index, kept.columns].groupby("dataset").mean().mean().dropna()

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

    def overview(self) -> pd.DataFrame:
        """Return a line a method, the best scores first: quality of scores, deployed, ranks, seconds."""
        table = pd.DataFrame({"family": self.families})
        table["scores"] = _three_digits(self.over_sets(self.rows["test_curve_value"]))
        for name, heading in ((SCORES, "rank of scores"), (DEPLOYED, "rank deployed")):
            if name in self.rankings:
                table[heading] = self.rankings[name].mean_ranks.map("{:.2f}".format)
        for method in self.direct[:1]:
            against = f"{method} minus it"
            paired = {name: statistics.differences(self.curve, method, name) for name in self.curve if name != method}
            table[against] = pd.Series({name: str(statistics.between_datasets(each)) for name, each in paired.items()})
            table["bootstrap"] = pd.Series(
                {name: ends_of(statistics.hierarchical_bootstrap(each)) for name, each in paired.items()}
            )
            table["p"] = statistics.wilcoxon_holm(self.curve, method).map("{:.2g}".format, na_action="ignore")
        table[f"deployed {self.metric}"] = _three_digits(self.over_sets(statistics.deployed_value(self.rows)))
        if self.bounded:
            table[f"deployed {self.bounded}"] = _three_digits(self.over_sets(self.rows["test_bounded"]))
            table["bound met"] = self.over_sets(statistics.met_on_test(self.rows)).map("{:.0%}".format)
            table["shortfall"] = _three_digits(self.over_sets(statistics.shortfall(self.rows)))
        table["seconds"] = self.rows.groupby("method")["seconds"].mean().map("{:.1f}".format, na_action="ignore")
        if SCORES in self.rankings:
            ranked = list(self.rankings[SCORES].mean_ranks.index)
            table = table.reindex([*ranked, *(name for name in table.index if name not in ranked)])
        return table.astype(object).fillna("")

    def points(self) -> pd.DataFrame:
        """Return shortfall, objective and family by method, for the Pareto picture."""
        table = pd.DataFrame(
            {
                "shortfall": self.over_sets(statistics.shortfall(self.rows)),
                "objective": self.over_sets(statistics.deployed_value(self.rows)),
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
        paired = statistics.differences(self.curve, method, REFERENCE)
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

    def deployed(self) -> pd.DataFrame:
        """Return data sets by methods: objective, bounded metric and share of splits with the bound met, in one cell.

        The best is in bold: that with the best mean rank within splits, by the rule for missed bounds.
        """
        shown = {"value": self.arranged(statistics.deployed_value(self.rows))}
        if self.bounded:
            shown["bounded"] = self.arranged(self.rows["test_bounded"])
            shown["met"] = self.arranged(statistics.met_on_test(self.rows))
        means = {name: values.groupby("dataset", sort=False).mean() for name, values in shown.items()}
        ranks = self.deployed_ranks.groupby("dataset").mean()
        lines = {}
        for name, values in means["value"].iterrows():
            cells = {}
            for method in values.dropna().index:
                cells[method] = f"{values[method]:.3f}"
                if self.bounded:
                    bounded, met = means["bounded"].loc[name, method], means["met"].loc[name, method]
                    cells[method] += f" / {'no alarm' if math.isnan(bounded) else f'{bounded:.3f}'} / {met:.0%}"
            lines[name] = _bold(cells, ranks.loc[name]) if name in ranks.index else cells
        return pd.DataFrame(lines).T.reindex(columns=shown["value"].columns).fillna("")


def _three_digits(values: pd.Series) -> pd.Series:
    return values.map("{:.3f}".format, na_action="ignore")


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
