import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression

from metricopt import InvalidInputError
from metricopt.evidence.reliability import Reliability

RANDOM = np.random.default_rng(0)
PROBABILITIES = RANDOM.random(3000) ** 3
LABELS = (RANDOM.random(3000) < PROBABILITIES).astype(float)


def test_bins_count_every_row_and_expect_equally_many_positives():
    found = Reliability.of(PROBABILITIES, LABELS)
    assert len(found.weight) == 10 and found.weight.sum() == 3000
    assert (found.observed * found.weight).sum() == pytest.approx(LABELS.sum())
    expected = found.predicted * found.weight
    assert expected.sum() == pytest.approx(PROBABILITIES.sum()) and expected.max() < 1.1 * expected.min()
    assert (np.diff(found.predicted) > 0).all()


def test_intervals_are_those_of_the_binomial():
    found = Reliability.of(PROBABILITIES, LABELS)
    for number in (0, 4, 9):
        total = int(found.weight[number])
        exact = binomtest(round(found.observed[number] * total), total).proportion_ci(method="exact")
        assert (found.low[number], found.high[number]) == pytest.approx((exact.low, exact.high))


def test_slope_is_that_of_logistic_regression_and_intercept_with_the_slope_held():
    given = expit(2 * logit(PROBABILITIES) - 1)  # twice too extreme
    found = Reliability.of(given, LABELS)
    line = LogisticRegression(C=np.inf, tol=1e-8).fit(logit(given)[:, np.newaxis], LABELS)
    assert found.slope == pytest.approx(line.coef_.item(), abs=1e-4) and 0.4 < found.slope < 0.6
    assert expit(logit(given) + found.intercept).sum() == pytest.approx(LABELS.sum())
    good = Reliability.of(PROBABILITIES, LABELS)
    assert good.slope == pytest.approx(1, abs=0.1) and good.intercept == pytest.approx(0, abs=0.15)
    assert str(good) == f"calibration slope {good.slope:.2f}, intercept {good.intercept:.2f}"


def test_a_weight_of_two_is_a_row_twice():
    times = np.arange(3000) % 3
    weighted = Reliability.of(PROBABILITIES, LABELS, sample_weight=times)
    repeated = Reliability.of(np.repeat(PROBABILITIES, times), np.repeat(LABELS, times))
    np.testing.assert_allclose(weighted.predicted, repeated.predicted)
    np.testing.assert_allclose(weighted.observed, repeated.observed)
    assert weighted.slope == pytest.approx(repeated.slope) and np.isnan(weighted.low).all()


@pytest.mark.parametrize(
    ("probabilities", "labels", "slope", "intercept"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], False, True),  # divided
        ([0.3, 0.3, 0.3, 0.3], [0, 0, 1, 0], False, True),  # constant
        ([0.1, 0.4, 0.8], [0, 0, 0], False, False),  # one class
        ([0.0, 1.0, 0.5, 0.4], [1, 0, 1, 0], True, True),
    ],
)
def test_what_cannot_be_estimated_is_nan(probabilities, labels, slope, intercept):
    found = Reliability.of(probabilities, labels)
    assert (not np.isnan(found.slope), not np.isnan(found.intercept)) == (slope, intercept)
    assert found.weight.sum() == len(labels)


def test_missing_labels_are_left_out():
    labels = np.where(np.arange(3000) < 1000, np.nan, LABELS)
    np.testing.assert_array_equal(
        Reliability.of(PROBABILITIES, labels).observed, Reliability.of(PROBABILITIES[1000:], LABELS[1000:]).observed
    )


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([0.1, 1.5], [0, 1], r"probabilities must be in \[0, 1\], got 1.5; give predict_proba"),
        ([-0.1, 0.5], [0, 1], r"probabilities must be in \[0, 1\], got -0.1"),
        ([[0.1], [0.5]], [[0], [1]], "probabilities must be of shape"),
        ([0.1, 0.5], [np.nan, np.nan], "labels must be of at least one sample, got none"),
        ([0.1, 0.5], [0, 2], "labels must"),
    ],
)
def test_bad_input_is_told(probabilities, labels, message):
    with pytest.raises(InvalidInputError, match=message):
        Reliability.of(probabilities, labels)
