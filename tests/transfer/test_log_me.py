"""LogME against independent optima and the evidence written as one Gaussian density."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

import metricopt.transfer
from metricopt import InvalidInputError
from metricopt.transfer import TransferWarning, log_me
from tests.transfer.vectors import CASES, CLASS_CASES, blobs, features_and_labels, samples

pytestmark = pytest.mark.filterwarnings("ignore::metricopt.transfer.TransferWarning")
MODULE = sys.modules["metricopt.transfer.log_me"]  # the name in the package is the function


def best_evidence(features, target):
    """The density of the target under N(0, F F^T / alpha + I / beta), at its maximum over alpha and beta."""
    products = features @ features.T

    def negative(logs):
        alpha, beta = np.exp(logs)
        covariance = products / alpha + np.eye(len(target)) / beta
        return -multivariate_normal.logpdf(target, cov=covariance) / len(target)

    starts = [(0.0, 0.0), (5.0, 2.0), (2.0, 5.0)]
    return -min(minimize(negative, start, method="Nelder-Mead", options={"fatol": 1e-12}).fun for start in starts)


@pytest.fixture(params=["svd", "gram"])
def way(request, monkeypatch):
    if request.param == "gram":
        monkeypatch.setattr(MODULE, "_SMALL", 0)


@pytest.mark.parametrize("case", CLASS_CASES)
@pytest.mark.usefixtures("way")
def test_independent_optima(case):
    assert log_me(*features_and_labels(case)) == pytest.approx(CASES[case]["logme_true_optimum"], rel=1e-9)


def test_regression_is_no_worse_than_the_fixed_point():
    case = CASES["logme_regression"]
    score = log_me(np.array(case["f"]), np.array(case["y"]))
    assert score >= case["fixed_point"] >= case["icml"]
    assert score == pytest.approx(case["fixed_point"], rel=1e-9)
    assert score.class_counts == {}


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(24, 3), (24, 1), (15, 20)])
@pytest.mark.usefixtures("way")
def test_it_is_the_greatest_density(shape):
    features, labels = blobs(5, *shape)
    score = log_me(features, labels)
    for name in range(3):
        best = best_evidence(features, (labels == name) * 1.0)
        assert score.details[f"class {name}"] == pytest.approx(best, abs=1e-8)
        assert score.details[f"class {name}"] >= best - 1e-12
    assert score == pytest.approx(np.mean(list(score.details.values())))


@given(samples(), st.booleans(), st.randoms(use_true_random=False), st.floats(1e-4, 1e4))
@settings(max_examples=40, deadline=None)
def test_rotations_units_and_order_change_nothing(drawn, balanced, random, unit):
    features, labels = drawn
    score = pytest.approx(log_me(features, labels, balanced=balanced), rel=1e-9, abs=1e-9)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(features.shape[1],) * 2))[0]
    assert log_me(features @ rotation, labels, balanced=balanced) == score
    assert log_me(unit * features, labels, balanced=balanced) == score  # alpha takes it up
    assert log_me(np.c_[features, 0 * features[:, :1]], labels, balanced=balanced) == score
    assert log_me(np.c_[features, features], labels, balanced=balanced) == score
    order = random.sample(range(len(labels)), len(labels))
    assert log_me(features[order], labels[order], balanced=balanced) == score


def test_balanced_is_plain_on_equal_classes():
    features, _ = blobs(6, 60)
    labels = np.arange(60) % 3
    assert log_me(features, labels, balanced=True) == pytest.approx(log_me(features, labels), rel=1e-12)


def test_balanced_counts_rare_samples_more():
    features, _ = blobs(7, 40)
    labels = np.where(np.arange(40) < 10, 1, 0)
    root = np.sqrt(np.where(labels == 1, 2, 2 / 3))  # 40 in all
    score = log_me(features, labels, balanced=True)
    for name in (0, 1):
        best = best_evidence(features * root[:, None], (labels == name) * root)
        assert score.details[f"class {name}"] == pytest.approx(best, abs=1e-8)
    assert score != pytest.approx(log_me(features, labels), rel=1e-2)


def test_useless_features_leave_the_noise():
    labels = np.array([0, 1] * 20)
    features = np.where(np.arange(40) % 4 < 2, 1.0, -1.0)[:, None]  # orthogonal to both indicators
    assert log_me(features, labels) == pytest.approx(-0.5 * (1 + np.log(2 * np.pi * 0.5)), rel=1e-9)


@pytest.mark.usefixtures("way")
def test_an_exact_fit_has_no_bound_and_says_so():
    labels = np.array([0, 1] * 20)
    features = np.c_[labels, 1 - labels, np.random.default_rng(0).normal(size=40)]
    with pytest.warns(TransferWarning, match="class 0 is an exact linear function of the features"):
        assert log_me(features, labels) == np.inf
    assert np.isfinite(log_me(features[:, 1:] + 1e-3 * features[::-1, 2:], labels))


def test_both_ways_agree_on_a_wide_spectrum(monkeypatch):
    random = np.random.default_rng(0)
    features = random.normal(size=(300, 60)) * np.geomspace(1, 1e-5, 60)
    labels = features @ random.normal(size=60) > 0
    exact = float(log_me(features, labels))
    monkeypatch.setattr(MODULE, "_SMALL", 0)
    assert log_me(features, labels) == pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        (np.full((60, 1), 0.5), {}, "different for some samples, got constant column 0"),
        (
            np.arange(59.0)[:, None],
            {},
            r"must be of shape \(60, K\), one row for each sample of features, got shape \(59, 1\)",
        ),
        (np.full((60, 1), np.nan), {}, "finite"),
        (np.ones((60, 0)), {}, "one row for each sample"),
        (np.arange(60.0)[:, None], {"balanced": True}, "False for real-valued targets"),
    ],
)
def test_real_targets_that_are_rejected(targets, options, message):
    features, _ = blobs(8)
    with pytest.raises(InvalidInputError, match=message):
        log_me(features, targets, **options)
    assert np.isfinite(log_me(features, np.arange(60.0)[:, None]))


def test_the_package_names_the_function():
    assert metricopt.transfer.log_me is MODULE.log_me
