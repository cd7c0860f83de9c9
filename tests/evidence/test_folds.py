"""Folds: stratified, seeded, groups whole; those of splitters and arrays as given."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
)

from metricopt import InvalidInputError
from metricopt.evidence.folds import make_divisions, make_folds
from metricopt.evidence.subgroups import SubgroupColumn


def labels_of(num_rows=200, num_positives=23, seed=0):
    labels = np.zeros(num_rows)
    labels[np.random.default_rng(seed).choice(num_rows, num_positives, replace=False)] = 1
    return labels


@settings(max_examples=40, deadline=None)
@given(number=st.integers(2, 9), num_positives=st.integers(9, 60), seed=st.integers(0, 5))
def test_every_fold_has_its_part_of_either_class(number, num_positives, seed):
    labels = labels_of(num_positives=num_positives, seed=seed)
    folds = make_folds(number, labels, seed=seed)
    assert sorted(set(folds)) == list(range(number))
    for truth in (0, 1):
        counts = np.bincount(folds[labels == truth], minlength=number)
        assert counts.max() - counts.min() <= 1


def test_the_seed_decides():
    labels = labels_of()
    assert np.array_equal(make_folds(5, labels, seed=3), make_folds(5, labels, seed=3))
    assert not np.array_equal(make_folds(5, labels, seed=3), make_folds(5, labels, seed=4))


def test_groups_stay_whole():
    labels = labels_of(400, 80)
    groups = np.random.default_rng(1).integers(0, 60, 400)
    folds = make_folds(4, labels, groups=groups)
    assert all(len(set(folds[groups == group])) == 1 for group in set(groups))
    assert all((labels[folds == fold] == 1).any() for fold in range(4))


def test_the_rarest_label_is_dealt_out_first():
    common, rare = labels_of(300, 100), labels_of(300, 5, seed=1)
    folds = make_folds(5, np.stack([common, rare], axis=1))
    assert sorted(folds[rare == 1]) == [0, 1, 2, 3, 4]


def test_missing_labels_are_rows_like_others():
    labels = labels_of()
    labels[:50] = np.nan
    folds = make_folds(3, labels)
    assert np.bincount(folds[:50], minlength=3).min() >= 16


def test_a_splitter_is_taken_at_its_word():
    labels = labels_of()
    folds = make_folds(KFold(4), labels)
    for number, (_, test) in enumerate(KFold(4).split(labels)):
        assert (folds[test] == number).all()
    groups = np.arange(200) // 4
    folds = make_folds(StratifiedGroupKFold(3), labels, groups=groups)
    assert all(len(set(folds[groups == group])) == 1 for group in set(groups))


def test_an_array_is_numbered_from_zero():
    folds = make_folds(np.array([7, 3, 3, 7]), np.array([1.0, 0.0, 1.0, 0.0]))
    assert folds.tolist() == [1, 0, 0, 1]
    assert make_folds(torch.tensor([7, 3, 3, 7]), np.array([1.0, 0.0, 1.0, 0.0])).tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (1, "folds must be an integer >= 2, got 1"),
        (24, r"at most the number of positives of every label \(23\), got 24; give at most 23"),
        ("five", "folds must be a number, a splitter or one number a row, got 'five'"),
        (GroupKFold(4), r"a splitter that can divide these rows, got GroupKFold\(.*; pass groups as well"),
        (ShuffleSplit(3, random_state=0), "tests every row once"),
        (np.zeros(200), "of two folds or more"),
        (np.zeros(3), r"one number a row \(200\), got 3 values"),
        (np.full(200, 0.5), "whole numbers, one a row, got fractions"),
        (np.full(200, np.nan), "whole numbers"),
        (np.full((200, 2), 1), "of two folds or more"),
        (np.zeros((200, 2, 2)), "one number a row"),
        (RepeatedKFold(n_splits=4, n_repeats=3), "one that tests every row once, got one that tests every row 3 times"),
    ],
)
def test_bad_folds(folds, message):
    with pytest.raises(InvalidInputError, match=message):
        make_folds(folds, labels_of())


def test_rows_can_be_divided_several_times():
    labels, splitter = labels_of(), RepeatedStratifiedKFold(n_splits=4, n_repeats=3, random_state=0)
    divisions = make_divisions(splitter, labels)
    assert divisions.shape == (200, 3)
    for number, (_, test) in enumerate(splitter.split(labels, labels)):
        assert np.array_equal(np.flatnonzero(divisions[:, number // 4] == number % 4), test)
    assert np.array_equal(make_divisions(divisions, labels), divisions)
    dealt = make_divisions(4, labels, seed=5, number=2)
    assert np.array_equal(dealt[:, 0], make_folds(4, labels, seed=5))
    assert not np.array_equal(dealt[:, 0], dealt[:, 1])


class Overlapping:
    """Two folds, then two that test one row twice and one never."""

    def split(self, x, y=None, groups=None):
        rows = np.arange(len(x))
        for test in (rows[::2], rows[1::2], rows[: len(x) // 2], rows[len(x) // 2 - 1 : -1]):
            yield np.setdiff1d(rows, test), test


def test_every_division_must_hold_every_row_once():
    with pytest.raises(InvalidInputError, match="before it tests one again, got 4 parts that test a row 1 to 3 times"):
        make_divisions(Overlapping(), labels_of())
    groups = np.arange(200) // 2
    with pytest.raises(InvalidInputError, match="the group of row 1 in two folds"):
        make_divisions(np.stack([groups % 2, np.arange(200) % 2], axis=1), labels_of(), groups=groups)


def test_folds_must_not_divide_a_group():
    labels, groups = labels_of(), np.arange(200) // 2
    with pytest.raises(InvalidInputError, match="the group of row 1 in two folds"):
        make_folds(np.arange(200) % 2, labels, groups=groups)
    assert len(make_folds(groups % 2, labels, groups=groups)) == 200
    with pytest.raises(InvalidInputError, match=r"at most the number of groups \(3\), got 5"):
        make_folds(5, labels, groups=np.arange(200) % 3)


def test_folds_have_their_part_of_each_class_of_each_subgroup():
    rng = np.random.default_rng(0)
    site = SubgroupColumn("site", ("A", "B"), (rng.random(400) < 0.1).astype(int))
    sex = SubgroupColumn("sex", ("f", "m"), rng.integers(0, 2, 400))
    labels = labels_of(400, 120)
    folds = make_folds(4, labels, subgroups={"site": site, "sex": sex})
    for truth in (0, 1):
        of_class = labels == truth
        assert np.ptp(np.bincount(folds[of_class], minlength=4)) <= 2
        for column in (site, sex):
            for value in (0, 1):
                counts = np.bincount(folds[of_class & (column.of_row == value)], minlength=4)
                assert np.ptp(counts) <= 4  # of two crossed columns, each cell within a row of its part


def test_a_subgroup_with_fewer_rows_of_a_class_than_folds_is_named():
    labels, of_row = labels_of(100, 20), np.zeros(100, int)
    of_row[np.flatnonzero(labels == 1)[:3]] = 1
    column = {"site": SubgroupColumn("site", ("A", "B"), of_row)}
    with pytest.warns(UserWarning, match="each of the 5 parts.*: site=B has 3 positives, site=B has 0 negatives"):
        make_folds(5, labels, subgroups=column)
    of_row[:90] = np.arange(90) % 2
    make_folds(5, labels, subgroups=column)
