"""Rows are drawn in proportion to shares, as far as there are any."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricopt import InvalidInputError
from metricopt.transfer.sampling import check_size, draw


@given(st.lists(st.integers(0, 2), min_size=1, max_size=80), st.integers(2, 50), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_equal_shares_fill_up_evenly(groups, size, seed):
    groups = np.array(groups)
    rows = draw(groups, [1.0] * 3, size, np.random.default_rng(seed))
    assert len(rows) == min(size, len(groups))
    assert (np.diff(rows) > 0).all()
    taken, there = np.bincount(groups[rows], minlength=3), np.bincount(groups, minlength=3)
    short = taken < there
    if short.any():
        assert (taken[short] >= taken.max() - 1).all()


def test_shares_are_kept_and_filled_up():
    groups = np.repeat([0, 1], [900, 100])
    random = np.random.default_rng(0)
    assert np.bincount(groups[draw(groups, [0.75, 0.25], 200, random)]).tolist() == [150, 50]
    assert np.bincount(groups[draw(groups, [0.5, 0.5], 400, random)]).tolist() == [300, 100]
    assert np.bincount(groups[draw(groups, [0.0, 1.0], 150, random)]).tolist() == [50, 100]
    assert np.bincount(groups[draw(groups, [1.0, 0.0], 150, random)]).tolist() == [150]


def test_the_seed_decides():
    groups = np.zeros(1000, dtype=int)
    first, again, other = (draw(groups, [1.0], 50, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("size", [1, 0, 2.5, True, None])
def test_sizes_that_are_rejected(size):
    with pytest.raises(InvalidInputError, match="max_samples must be an integer >= 2"):
        check_size("max_samples", size)
    check_size("max_samples", 2)
