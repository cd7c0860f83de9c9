import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

import metricopt
from metricopt import InvalidInputError
from metricopt.evidence.probabilities import MANY, Calibration, line_to_log_odds

RANDOM = np.random.default_rng(0)


def drawn(num_rows, prevalence=0.4):
    labels = (RANDOM.random(num_rows) < prevalence).astype(float)
    return RANDOM.standard_t(3, num_rows) + 2 * labels, labels


def test_few_rows_make_a_line_and_many_the_steps_of_isotonic_regression():
    few, many = Calibration.of(*drawn(4 * MANY, 0.01)), Calibration.of(*drawn(8 * MANY))
    assert few.knots is None and len(many.knots) > 10
    np.testing.assert_allclose(logit(few(np.array([1.0]))), few.slope + few.intercept)


def test_the_middle_of_each_step_has_its_fraction_of_positives():
    scores, labels = drawn(4 * MANY)
    found = Calibration.of(scores, labels)
    fitted = IsotonicRegression().fit_transform(scores, labels)
    for step in np.unique(fitted.round(12))[1:-1]:
        own = np.abs(fitted - step) < 1e-9
        middle = np.array([scores[own].mean()])
        assert found(middle).item() == pytest.approx(labels[own].mean(), abs=1e-9)


@pytest.mark.parametrize("num_rows", [400, 4 * MANY])
def test_probabilities_have_the_order_of_the_scores_within_and_beyond_the_rows(num_rows):
    found = Calibration.of(*drawn(num_rows))
    probabilities = found(np.linspace(-12, 12, 2001))
    assert (np.diff(probabilities) > 0).all() and probabilities.min() > 0 and probabilities.max() < 1


def test_scores_that_divide_the_classes_stay_below_certainty():
    labels = np.repeat([0.0, 1.0], MANY)
    found = Calibration.of(np.arange(2.0 * MANY), labels)
    probabilities = found(np.array([0.0, MANY - 1.0, MANY, 2.0 * MANY - 1]))
    assert 0 < probabilities[0] < probabilities[1] < 0.5 < probabilities[2] < probabilities[3] < 1


@pytest.mark.parametrize("num_rows", [300, 6 * MANY])
def test_a_weight_of_two_is_a_row_twice_and_of_none_no_row(num_rows):
    scores, labels = drawn(num_rows)
    times = np.arange(num_rows) % 3
    weighted = Calibration.of(scores, labels, times)
    repeated = Calibration.of(np.repeat(scores, times), np.repeat(labels, times))
    np.testing.assert_allclose(weighted(scores), repeated(scores), atol=1e-3)
    missing = np.where(times == 0, np.nan, labels)
    np.testing.assert_allclose(
        Calibration.of(scores, missing, np.maximum(times, 1))(scores), weighted(scores), atol=1e-6
    )


def test_scores_in_the_wrong_order_keep_their_order():
    scores, labels = drawn(200)
    assert Calibration.of(-scores, labels).slope > 0


def test_a_result_of_scores_gives_probabilities_and_one_judged_by_training_rows_none():
    labels = (RANDOM.random(2000) < 0.3).astype(float)
    scores = np.stack([RANDOM.normal(labels), RANDOM.normal(2 * labels)], axis=1)
    result = metricopt.from_scores(scores, np.stack([labels, np.zeros(2000)], axis=1), "OFBS")
    found = result.probabilities(scores)
    assert np.isnan(found[:, 1]).all()
    for low, high in ((0, 0.2), (0.2, 0.4), (0.4, 1)):
        own = (found[:, 0] >= low) & (found[:, 0] < high)
        assert found[own, 0].mean() == pytest.approx(labels[own].mean(), abs=0.06)
    # The truth of two normal classes of spread 1: log-odds s - 1/2 + log(p / (1 - p)).
    truth = expit(scores[:, 0] - 0.5 + logit(0.3))
    assert np.abs(found[:, 0] - truth).mean() < 0.04
    trained = metricopt.DirectMetricClassifier("OFBS", epochs=3, folds=None, val_fraction=0, random_state=0)
    with pytest.raises(InvalidInputError, match="the result must be one that rows apart from the training chose"):
        trained.fit(scores, labels.astype(int)).result_.probabilities(scores)


@pytest.mark.filterwarnings("ignore:.*failed to converge")
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("kind", ["mixed", "divided", "equal", "weighted", "far"])
def test_the_line_is_that_of_logistic_regression(kind, scale):
    scores, labels = drawn(150)
    weight = RANDOM.random(150) * 3 if kind == "weighted" else None
    scores = {"divided": labels * 3 + RANDOM.random(150), "equal": np.ones(150)}.get(kind, scores) * scale
    if kind == "far":
        scores[0], labels[0] = 1000 * scale, 1.0
    centre = np.average(scores, weights=weight)
    spread = np.sqrt(np.average((scores - centre) ** 2, weights=weight)) or 1.0
    judge = LogisticRegression(C=100.0, tol=1e-12, max_iter=1000, solver="newton-cholesky")
    judge.fit((scores[:, np.newaxis] - centre) / spread, labels, sample_weight=weight)
    expected = judge.decision_function((scores[:, np.newaxis] - centre) / spread)
    slope, intercept = line_to_log_odds(scores, labels, weight)
    np.testing.assert_allclose(slope * scores + intercept, expected, rtol=1e-5, atol=1e-3 if kind == "equal" else 1e-5)
