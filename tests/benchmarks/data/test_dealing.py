"""Dealing rows to sites: every row goes to one site, and sites differ as asked."""

import numpy as np
import pytest

from benchmarks.data.dealing import dealt_by_prevalence, dealt_from_all, dealt_from_one


def pool(number, first):
    """Rows that are told apart by their one feature; every fourth is positive."""
    return np.arange(first, first + number, dtype=np.float32)[:, np.newaxis], np.float32(np.arange(number) % 4 == 0)


@pytest.mark.parametrize(
    "deal",
    [
        lambda pools: dealt_from_all(pools, 5, seed=1),
        lambda pools: dealt_from_one(pools, 5, seed=1),
        lambda pools: dealt_by_prevalence(pools[0], (0.1, 0.9), seed=1) + dealt_by_prevalence(pools[1], (1.0,), seed=1),
    ],
)
def test_every_row_goes_to_one_site_with_its_label(deal):
    pools = [pool(200, 0), pool(160, 200)]
    sites = deal(pools)
    rows = np.concatenate([features[:, 0] for features, _ in sites])
    labels = np.concatenate([own for _, own in sites])
    assert sorted(rows.tolist()) == list(range(360))
    np.testing.assert_array_equal(labels, rows % 4 == 0)


def test_sites_differ_as_asked():
    pools = [pool(200, 0), pool(160, 200)]
    assert [(len(labels), labels.mean()) for _, labels in dealt_from_all(pools, 2, 0)] == [(180, 0.25)] * 2
    skewed = dealt_from_one(pools, 4, 0)
    assert [len(labels) for _, labels in skewed] == [40, 160, 32, 128]
    assert [{int(row >= 200) for row in features[:, 0]} for features, _ in skewed] == [{0}, {0}, {1}, {1}]
    few, many = dealt_by_prevalence(pools[0], (0.1, 0.9), 0)
    assert few[1].mean() < 0.04 and many[1].mean() > 0.7
