import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metricopt._validation import InvalidInputError
from metricopt.data import stratified_split


@settings(max_examples=50, deadline=None)
@given(
    num_positives=st.integers(5, 60),
    num_negatives=st.integers(5, 200),
    num_missing=st.integers(0, 20),
    seed=st.integers(0, 99),
)
def test_split_deals_every_row_once_at_the_prevalence_of_the_whole(num_positives, num_negatives, num_missing, seed):
    labels = np.repeat([1.0, 0.0, np.nan], [num_positives, num_negatives, num_missing])
    fractions = (0.6, 0.2, 0.2)
    parts = stratified_split(labels, fractions, seed)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    for part, fraction in zip(parts, fractions, strict=True):
        assert (np.diff(part) > 0).all()
        assert abs((labels[part] == 1).sum() - fraction * num_positives) <= 1
        assert abs((labels[part] == 0).sum() - fraction * num_negatives) <= 1


def test_split_depends_on_the_seed_alone():
    labels = np.repeat([1.0, 0.0], [20, 80])
    first, again, other = (stratified_split(labels, (0.5, 0.5), seed)[0].tolist() for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("fractions", [(0.6, 0.3), (1.2, -0.2), (1.0, 0.0), ()])
def test_split_wants_fractions_of_one(fractions):
    labels = np.repeat([1.0, 0.0], [20, 80])
    with pytest.raises(InvalidInputError, match="fractions must be positive and sum to 1, got"):
        stratified_split(labels, fractions)
    assert len(stratified_split(labels, (1.0,))[0]) == 100


def test_split_wants_a_positive_for_every_part():
    message = "labels must be of enough positives for each part of the rows .60 %, 20 %, 20 %., got 2 positives; add"
    with pytest.raises(InvalidInputError, match=message):
        stratified_split(np.repeat([1.0, 0.0], [2, 80]), (0.6, 0.2, 0.2))
    assert len(stratified_split(np.repeat([1.0, 0.0], [5, 80]), (0.6, 0.2, 0.2))) == 3


@settings(max_examples=50, deadline=None)
@given(num_groups=st.integers(20, 60), seed=st.integers(0, 99))
def test_split_keeps_groups_whole_near_the_prevalence_of_the_whole(num_groups, seed):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(num_groups), rng.integers(1, 5, num_groups))
    labels = (np.isin(groups, np.arange(0, num_groups, 4)) & (rng.random(len(groups)) < 0.8)).astype(float)
    labels[np.unique(groups, return_index=True)[1][::4]] = 1  # a quarter of the groups holds every positive
    shuffled = rng.permutation(len(groups))
    labels, groups = labels[shuffled], groups[shuffled]
    train, test = stratified_split(labels, (0.75, 0.25), seed, groups=[f"patient {group}" for group in groups])
    assert sorted([*train, *test]) == list(range(len(labels)))
    assert not set(groups[train]) & set(groups[test])
    of_positive_groups = np.isin(groups, np.unique(groups[labels == 1]))
    for stratum in (of_positive_groups, ~of_positive_groups):
        assert abs(stratum[test].sum() - 0.25 * stratum.sum()) <= 4  # off by a group at most


def test_split_of_groups_of_one_is_the_split_of_rows():
    labels = np.repeat([1.0, 0.0], [20, 80])
    rows = stratified_split(labels, (0.5, 0.5), 3)
    groups = stratified_split(labels, (0.5, 0.5), 3, groups=np.arange(100))
    assert [part.tolist() for part in rows] == [part.tolist() for part in groups]


@pytest.mark.parametrize("seed", range(5))
def test_split_shares_out_rare_labels_first(seed):
    rng = np.random.default_rng(seed)
    labels = (rng.random((400, 3)) < [0.5, 0.05, 0.2]).astype(float)
    labels[rng.random(labels.shape) < 0.1] = np.nan
    labels[:12] = np.nan
    parts = stratified_split(labels, (0.5, 0.25, 0.25), seed)
    assert sorted(np.concatenate(parts)) == list(range(400))
    rare = (labels[:, 1] == 1).sum()
    for part, fraction in zip(parts, (0.5, 0.25, 0.25), strict=True):
        assert abs((labels[part, 1] == 1).sum() - fraction * rare) <= 1
        assert abs(np.isnan(labels[part]).all(axis=1).sum() - fraction * np.isnan(labels).all(axis=1).sum()) <= 1


def test_split_of_several_labels_may_leave_one_out_of_a_part():
    labels = np.zeros((40, 2))
    labels[:10, 0], labels[0, 1] = 1, 1
    parts = stratified_split(labels, (0.5, 0.5))
    assert sorted((labels[part, 1] == 1).sum() for part in parts) == [0, 1]


def test_split_wants_a_group_for_every_row():
    labels = np.repeat([1.0, 0.0], [20, 80])
    with pytest.raises(InvalidInputError, match="groups must be one value a row .100., got 99 values; give one group"):
        stratified_split(labels, (0.5, 0.5), groups=np.arange(99))
    assert len(stratified_split(labels, (0.5, 0.5), groups=np.arange(100))) == 2


def test_split_wants_enough_groups_of_both_classes():
    labels = np.repeat([1.0, 0.0], [20, 80])
    message = "labels must be of enough positives for each part of the rows .50 %, 50 %., got 20 positives in 1"
    with pytest.raises(InvalidInputError, match=message):
        stratified_split(labels, (0.5, 0.5), groups=np.repeat([0, 1, 2], [20, 40, 40]))
    assert len(stratified_split(labels, (0.5, 0.5), groups=np.repeat([0, 1, 2, 3], [10, 10, 40, 40]))) == 2


@pytest.mark.parametrize(
    "make",
    [
        lambda number: ("north", number),
        lambda number: f"patient {number}" if number % 2 else number,
        lambda number: (number % 3, f"{number}"),
    ],
)
def test_split_takes_groups_of_any_hashable_values(make):
    labels = np.repeat([1.0, 0.0], [20, 80])
    numbers = [row // 2 for row in range(100)]
    expected = stratified_split(labels, (0.5, 0.5), groups=numbers)
    for groups in ([make(number) for number in numbers], pd.Series([make(number) for number in numbers])):
        parts = stratified_split(labels, (0.5, 0.5), groups=groups)
        assert [part.tolist() for part in parts] == [part.tolist() for part in expected]
    tensors = stratified_split(labels, (0.5, 0.5), groups=torch.tensor(numbers))
    assert [part.tolist() for part in tensors] == [part.tolist() for part in expected]


@pytest.mark.parametrize("missing", [None, float("nan"), np.float32("nan"), ("north", None), pd.NA, pd.NaT])
def test_split_wants_no_missing_groups(missing):
    labels = np.repeat([1.0, 0.0], [20, 80])
    groups = [f"patient {row // 2}" for row in range(100)]
    stratified_split(labels, (0.5, 0.5), groups=groups)
    groups[7] = missing
    with pytest.raises(InvalidInputError, match="groups must be given for every row, got .* in row 7; give such a row"):
        stratified_split(labels, (0.5, 0.5), groups=groups)


def test_split_wants_hashable_groups():
    labels = np.repeat([1.0, 0.0], [20, 80])
    for groups in (np.zeros((100, 2)), [["north", row] for row in range(100)]):
        with pytest.raises(InvalidInputError, match="groups must be hashable values, one a row, got .*; give text"):
            stratified_split(labels, (0.5, 0.5), groups=groups)
    assert len(stratified_split(labels, (0.5, 0.5), groups=[("north", row) for row in range(100)])) == 2


@settings(max_examples=40, deadline=None)
@given(num_subgroups=st.integers(1, 12), rate=st.sampled_from([0.05, 0.3]), seed=st.integers(0, 50))
def test_split_gives_each_part_its_fraction_of_each_class_of_each_subgroup(num_subgroups, rate, seed):
    rng, fractions = np.random.default_rng(seed), (0.2, 0.2, 0.6)
    labels, subgroups = (rng.random(300) < rate).astype(float), rng.integers(0, num_subgroups, 300)
    labels[:6] = [0, 0, 0, 1, 1, 1]
    parts = stratified_split(labels, fractions, seed=seed, subgroups=subgroups.astype(str))
    assert sorted(np.concatenate(parts)) == list(range(300))
    for truth in (0, 1):
        for part, fraction in zip(parts, fractions, strict=True):
            assert abs((labels[part] == truth).sum() - fraction * (labels == truth).sum()) <= 2
            for subgroup in range(num_subgroups):
                own = (labels == truth) & (subgroups == subgroup)
                assert abs(own[part].sum() - fraction * own.sum()) < 2
    if num_subgroups == 1:
        plain = stratified_split(labels, fractions, seed=seed)
        assert all(np.array_equal(one, other) for one, other in zip(parts, plain, strict=True))


def test_split_keeps_groups_whole_beside_subgroups():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 120, 600)
    labels, sites = (rng.random(600) < 0.3).astype(float), groups % 3
    parts = stratified_split(labels, (0.5, 0.5), groups=groups, subgroups=sites)
    assert not set(groups[parts[0]]) & set(groups[parts[1]])
    for site in range(3):
        assert 0.4 < (sites[parts[0]] == site).sum() / (sites == site).sum() < 0.6
