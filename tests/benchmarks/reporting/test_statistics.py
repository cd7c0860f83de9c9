"""The statistics against scipy, brute force, the worked example of Demsar (2006), and differences that were planted."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, ttest_1samp, wilcoxon

from benchmarks.reporting import statistics
from benchmarks.reporting.statistics import Ranking
from tests.benchmarks.synthetic import rows

# Ranks of C4.5, with -m, with -cf and with both tuned on 14 data sets: Demsar (2006), table 6.
DEMSAR = [
    (4, 3, 2, 1),
    (1, 2, 3, 4),
    (4, 1, 2, 3),
    (4, 1, 3, 2),
    (4, 2, 3, 1),
    (1, 2.5, 4, 2.5),
    (3, 2, 4, 1),
    (2.5, 2.5, 4, 1),
    (4, 3, 2, 1),
    (2.5, 2.5, 2.5, 2.5),
    (4, 2.5, 1, 2.5),
    (3, 2, 4, 1),
    (4, 1, 2, 3),
    (3, 1, 4, 2),
]


def by_split(values, methods):
    """One split a data set."""
    index = pd.MultiIndex.from_product([range(len(values)), [0]], names=["dataset", "split"])
    return pd.DataFrame(values, index, methods, dtype=float)


def curves(ahead=0.05, **changes):
    frame = rows(ahead, models=("linear",), objectives=("F1",), **changes)
    return statistics.by_split(frame, frame["test_curve_value"])


def test_worked_example():
    ranking = statistics.rank_methods(-by_split(DEMSAR, ["C4.5", "m", "cf", "m+cf"]))
    assert ranking.mean_ranks.round(3).to_dict() == {"m+cf": 1.964, "m": 2.0, "cf": 2.893, "C4.5": 3.143}
    # Printed without the correction for ties: of one set with four, three with two; N k (k^2 - 1) = 840.
    ties = 1 - (4**3 - 4 + 3 * (2**3 - 2)) / 840
    assert ranking.friedman * ties == pytest.approx(9.28, abs=0.005)
    assert ranking.critical_difference == pytest.approx(1.25, abs=0.005)
    assert ranking.p_value < 0.05
    assert ranking.cliques == [("m+cf", "m", "cf", "C4.5")]  # the paper: not enough to tell which differ


@pytest.mark.parametrize(
    ("num_methods", "quantile"),
    list(enumerate((1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164), start=2)),
)
def test_critical_values_of_nemenyi(num_methods, quantile):
    scale = math.sqrt(num_methods * (num_methods + 1) / (6 * 20))
    assert statistics.critical_difference(num_methods, 20) / scale == pytest.approx(quantile, abs=0.0011)


def test_ranks_by_brute_force():
    values = by_split(np.random.default_rng(0).integers(0, 4, (30, 5)), list("abcde"))  # many ties
    expected = {
        method: np.mean(
            [
                1 + sum(other > line[method] for other in line) + (sum(other == line[method] for other in line) - 1) / 2
                for _, line in values.iterrows()
            ]
        )
        for method in values
    }
    ranking = statistics.rank_methods(values)
    assert ranking.mean_ranks.to_dict() == pytest.approx(expected)
    assert list(ranking.mean_ranks) == sorted(expected.values())
    assert ranking.place(ranking.mean_ranks.index[2]) == 3


def test_means_over_splits_are_ranked_and_rounding_makes_no_rank():
    index = pd.MultiIndex.from_product([["x"], range(3)], names=["dataset", "split"])
    values = pd.DataFrame({"a": [0.1, 0.2, 0.3], "b": [0.3, 0.2, 0.1], "c": [0.9, 0.0, 0.0]}, index)
    assert statistics.rank_methods(values).mean_ranks.to_dict() == {"c": 1.0, "a": 2.5, "b": 2.5}


@pytest.mark.parametrize("values", [[[0.5] * 3] * 4, [[0.5] * 2] * 4])
def test_all_tied(values):
    ranking = statistics.rank_methods(by_split(values, list("abc")[: len(values[0])]))
    assert (ranking.friedman, ranking.p_value) == (0.0, 1.0)
    assert ranking.mean_ranks.nunique() == 1 and ranking.place("b") == 1


def test_two_methods_have_no_friedman_test():
    ranking = statistics.rank_methods(by_split([[0.1, 0.2], [0.2, 0.3]], ["a", "b"]))
    assert math.isnan(ranking.friedman) and list(ranking.mean_ranks) == [1.0, 2.0]


def test_cliques_by_brute_force():
    random = np.random.default_rng(1)
    for _ in range(200):
        ranks = dict(zip("abcdef", np.sort(random.uniform(1, 6, 6)), strict=True))
        ranking = Ranking(pd.Series(ranks), 10, 0.0, 0.0, random.uniform(0.2, 3))
        alike = [
            set(names)
            for size in range(2, 7)
            for names in itertools.combinations(ranks, size)
            if max(ranks[name] for name in names) - min(ranks[name] for name in names) <= ranking.critical_difference
        ]
        largest = [names for names in alike if not any(names < other for other in alike)]
        assert sorted(map(sorted, largest)) == sorted(map(sorted, ranking.cliques))


def test_t_interval_is_that_of_scipy():
    values = pd.Series(np.random.default_rng(2).normal(size=12))
    low, high = ttest_1samp(values, 0).confidence_interval()
    ours = statistics.t_interval(pd.concat([values, pd.Series([np.nan])]))
    assert (ours.mean, ours.low, ours.high) == pytest.approx((values.mean(), low, high))
    corrected = statistics.t_interval(values, test_to_train=1 / 3)
    assert corrected.half / ours.half == pytest.approx(math.sqrt((1 / 12 + 1 / 3) * 12))


def test_single_value_has_no_interval_and_no_verdict():
    one = statistics.t_interval(pd.Series([0.3]))
    assert math.isnan(one.low) and one.verdict == "" and str(one) == "+0.3000"
    assert str(statistics.t_interval(pd.Series([], dtype=float))) == ""
    assert statistics.t_interval(pd.Series([0.3, 0.31])).verdict == "above"
    assert statistics.t_interval(pd.Series([-0.3, -0.31])).verdict == "below"


def test_planted_difference_is_found():
    paired = statistics.differences(curves(0.05), "profiled", "cross-entropy")
    for interval in (statistics.between_datasets(paired), statistics.hierarchical_bootstrap(paired)):
        assert interval.verdict == "above" and interval.low < 0.05 < interval.high
        assert interval.mean == pytest.approx(paired.groupby("dataset").mean().mean())
    ranking = statistics.rank_methods(curves(0.05))
    assert ranking.mean_ranks.index[0] == "profiled" and ranking.p_value < 0.05
    assert statistics.wilcoxon_holm(curves(0.05), "profiled")["cross-entropy"] < 0.2  # 7 sets: 2 / 2^7, times 9


def test_null_differences_are_found_as_rarely_as_promised():
    verdicts = {"t": 0, "bootstrap": 0}
    for seed in range(200):
        values = curves(0.0, seed=seed, num_splits=5, methods=("profiled", "cross-entropy"))
        paired = statistics.differences(values, "profiled", "cross-entropy")
        verdicts["t"] += statistics.between_datasets(paired).verdict != ""
        verdicts["bootstrap"] += statistics.hierarchical_bootstrap(paired, num_draws=400, seed=seed).verdict != ""
    assert 2 <= verdicts["t"] <= 20  # 10 expected
    assert verdicts["bootstrap"] <= 24


def test_one_extreme_data_set_widens_the_interval_over_data_sets():
    paired = statistics.differences(curves(0.0, noise=0.001), "profiled", "cross-entropy")
    paired[paired.index.get_level_values("dataset") == "yeast3"] += 0.3
    assert paired.groupby("dataset").size().eq(10).all()
    assert statistics.t_interval(paired).verdict == "above"  # wrong: as if 70 independent splits had shown it
    assert statistics.between_datasets(paired).verdict == ""


def test_bootstrap_is_seeded_and_needs_two_data_sets():
    paired = statistics.differences(curves(), "profiled", "cross-entropy")
    assert statistics.hierarchical_bootstrap(paired) == statistics.hierarchical_bootstrap(paired)
    assert statistics.hierarchical_bootstrap(paired, seed=1) != statistics.hierarchical_bootstrap(paired)
    alone = paired.loc[["yeast3"]]
    assert math.isnan(statistics.hierarchical_bootstrap(alone).low)
    assert math.isnan(statistics.between_datasets(alone).low)


def test_wilcoxon_and_holm_against_scipy():
    values = curves(0.01)
    means = values.groupby("dataset").mean()
    raw = {name: wilcoxon(means[name] - means["profiled"]).pvalue for name in values if name != "profiled"}
    ours = statistics.wilcoxon_holm(values, "profiled")
    names = sorted(raw, key=raw.get)
    expected = [max(min(1, raw[names[j]] * (len(names) - j)) for j in range(i + 1)) for i in range(len(names))]
    assert [ours[name] for name in names] == pytest.approx(expected)
    # Never less than the correction for the false discovery rate, which asks less.
    assert (ours[names].to_numpy() >= false_discovery_control([raw[name] for name in names]) - 1e-12).all()


def test_wilcoxon_of_equal_and_of_missing_methods():
    values = by_split([[0.1, 0.1, np.nan]] * 6, ["a", "same", "missing"])
    p_values = statistics.wilcoxon_holm(values, "a")
    assert p_values["same"] == 1.0 and math.isnan(p_values["missing"])


def test_only_complete_pairs_count():
    values = by_split([[0.1, 0.3, np.nan], [0.2, np.nan, np.nan], [0.3, 0.4, 0.1]], ["a", "b", "rare"])
    assert statistics.differences(values, "b", "a").to_dict() == pytest.approx({(0, 0): 0.2, (2, 0): 0.1})
    kept = statistics.complete(values)
    assert list(kept) == ["a", "b"] and list(kept.index) == [(0, 0), (2, 0)]


def test_order_is_that_of_the_rows_and_a_second_row_is_refused():
    frame = pd.DataFrame(
        {"dataset": ["b", "b", "a"], "split": [0, 0, 0], "method": ["z", "y", "y"], "value": [1.0, 2.0, 3.0]}
    )
    table = statistics.by_split(frame, frame["value"])
    assert list(table) == ["z", "y"] and list(table.index) == [("b", 0), ("a", 0)]
    assert table.loc[("a", 0)].isna().to_dict() == {"z": True, "y": False}
    twice = pd.concat([frame, frame])
    with pytest.raises(ValueError, match="duplicate"):
        statistics.by_split(twice, twice["value"])


def test_interval_over_splits_is_of_the_means_over_data_sets():
    random = np.random.default_rng(3)
    index = pd.MultiIndex.from_product([["a", "b", "c"], range(6)], names=["dataset", "split"])
    paired = pd.Series(random.normal(0.1, 0.05, 18), index)
    interval = statistics.between_splits(paired)
    low, high = ttest_1samp(paired.groupby("split").mean(), 0).confidence_interval()
    assert (interval.low, interval.high) == pytest.approx((low, high))
    paired.loc[("b", 2)] = np.nan  # then split 2 is not of all data sets
    low, high = ttest_1samp(paired.drop(2, level="split").groupby("split").mean(), 0).confidence_interval()
    assert statistics.between_splits(paired).high == pytest.approx(high)
