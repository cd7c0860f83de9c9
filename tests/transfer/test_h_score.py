"""H-score against independent values, Pillai's trace by the book, scikit-learn's shrinkage, and what theory says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf_shrinkage

from metricopt.transfer import TransferWarning, h_score
from tests.transfer.vectors import CASES, CLASS_CASES, blobs, features_and_labels, samples

pytestmark = pytest.mark.filterwarnings("ignore::metricopt.transfer.TransferWarning")


def by_the_book(features, labels, weight=None):
    """tr(pinv(cov f) cov(E[f | y])) with weights, as it is written."""
    weight = np.ones(len(labels)) if weight is None else weight
    share = weight / weight.sum()
    f = features - share @ features
    means = np.zeros_like(f)
    for name in np.unique(labels):
        own = labels == name
        means[own] = share[own] @ f[own] / share[own].sum()
    return np.trace(np.linalg.pinv(f.T @ (share[:, None] * f)) @ (means.T @ (share[:, None] * means)))


@pytest.mark.parametrize("case", CLASS_CASES)
def test_independent_values(case):
    assert h_score(*features_and_labels(case)) == pytest.approx(CASES[case]["pillai_sum_rho2"], rel=1e-9)


@pytest.mark.parametrize("case", CLASS_CASES)
def test_independent_values_with_shrinkage(case):
    score = h_score(*features_and_labels(case), shrinkage=True)
    assert score == pytest.approx(CASES[case]["h_score_regularized_tllib"], rel=1e-9)
    assert score.details["shrinkage"] == pytest.approx(CASES[case]["ledoit_wolf_shrinkage"], rel=1e-9)


@given(samples())
@settings(max_examples=40, deadline=None)
def test_the_intensity_is_scikit_learns(drawn):
    features, labels = drawn
    expected = ledoit_wolf_shrinkage(features)
    assert h_score(features, labels, shrinkage=True).details["shrinkage"] == pytest.approx(expected, rel=1e-9)


@given(samples(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_it_is_the_formula(drawn, balanced):
    features, labels = drawn
    weight = 1 / np.bincount(labels)[labels] if balanced else None
    assert h_score(features, labels, balanced=balanced) == pytest.approx(
        by_the_book(features, labels, weight), rel=1e-9
    )


@given(samples(), st.integers(0, 1000), st.floats(-1e3, 1e3))
@settings(max_examples=40, deadline=None)
def test_invertible_linear_maps_change_nothing(drawn, seed, offset):
    features, labels = drawn
    random = np.random.default_rng(seed)
    width = features.shape[1]
    left, right = (np.linalg.qr(random.normal(size=(width, width)))[0] for _ in range(2))
    mapping = left * np.geomspace(1, 1e-4, width) @ right  # condition number 1e4
    for balanced in (False, True):
        score = h_score(features, labels, balanced=balanced)
        assert h_score(features @ mapping + offset, labels, balanced=balanced) == pytest.approx(score, rel=1e-6)


@given(samples(), st.floats(1e-6, 1e6))
@settings(max_examples=30, deadline=None)
def test_rotations_and_units_change_nothing_with_shrinkage(drawn, unit):
    features, labels = drawn
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(features.shape[1],) * 2))[0]
    score = h_score(features, labels, shrinkage=True)
    assert h_score(unit * features @ rotation, labels, shrinkage=True) == pytest.approx(score, rel=1e-9)


@given(samples(), st.booleans(), st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_bounds_order_and_duplicates(drawn, shrinkage, balanced, random):
    features, labels = drawn
    options = {"shrinkage": shrinkage, "balanced": balanced}
    score = h_score(features, labels, **options)
    n = len(labels)
    assert 0 <= score <= labels.max() * (n / (n - 1) if shrinkage else 1) + 1e-12
    order = random.sample(range(n), n)
    assert h_score(features[order], labels[order], **options) == pytest.approx(score, rel=1e-9, abs=1e-12)
    if not shrinkage:  # twice the samples are stronger evidence to shrink less by
        twice = np.r_[features, features], np.r_[labels, labels]
        assert h_score(*twice, **options) == pytest.approx(score, rel=1e-9, abs=1e-12)
        assert h_score(np.c_[features, features], labels, **options) == pytest.approx(score, rel=1e-9, abs=1e-12)


def test_constant_columns_and_scales_change_nothing():
    features, labels = blobs(3, 80)
    score = h_score(features, labels)
    with_constants = np.c_[np.full(80, 0.1), features * [1e-9, 1, 1e9, 1e3], np.full(80, 1e6), np.zeros(80)]
    assert h_score(with_constants, labels) == pytest.approx(score, rel=1e-9)
    assert h_score(features + 1e7, labels) == pytest.approx(score, rel=1e-6)


def test_ill_conditioned_features_are_refined():
    features, labels = blobs(4, 200, width=3)
    almost = np.c_[features, features @ [1.0, 2.0, 3.0] + 1e-4 * np.random.default_rng(0).normal(size=200)]
    centred = almost - almost.mean(axis=0)
    basis = np.linalg.svd(centred / centred.std(axis=0), full_matrices=False)[0]
    indicators = np.eye(3)[labels] / np.sqrt(np.bincount(labels))
    assert h_score(almost, labels) == pytest.approx(((basis.T @ indicators) ** 2).sum(), rel=1e-9)


def test_one_feature_is_the_share_of_variance_between():
    features, labels = np.array([[0.0], [1.0], [3.0], [4.0]] * 10), np.array([0, 0, 1, 1] * 10)
    assert h_score(features, labels) == pytest.approx(1.5**2 / 2.5)
    assert h_score(features, labels, shrinkage=True) == pytest.approx(1.5**2 / 2.5 * 40 / 39)


def test_no_more_samples_than_features_saturates_and_says_so():
    random = np.random.default_rng(0)
    features, labels = random.normal(size=(30, 31)), np.arange(30) % 3
    with pytest.warns(TransferWarning, match="30 samples in 31 dimensions"):
        assert h_score(features, labels) == pytest.approx(2)
    assert "dimensions" not in " ".join(h_score(features, labels, shrinkage=True).caveats)
    assert h_score(features[:, :29], labels).caveats == ()


def test_full_shrinkage_says_that_it_says_nothing():
    with pytest.warns(TransferWarning, match="the shrinkage is 1"):
        score = h_score(*features_and_labels("blobs_imbalanced"), shrinkage=True)
    assert score == 0
    assert score.details["shrinkage"] == 1


def test_two_samples_of_no_noise():
    # both samples lie alike about the mean, so that the intensity is 0 and the covariance singular
    assert h_score([[0.0, 1.0], [1.0, 3.0]], [0, 1], shrinkage=True) == pytest.approx(2)


def test_balancing_lifts_a_rare_class():
    random = np.random.default_rng(0)
    labels = np.arange(1000) < 20
    features = random.normal(size=(1000, 5)) + 2 * labels[:, None]
    assert h_score(features, labels, balanced=True) > 0.7 > 0.5 > h_score(features, labels)
