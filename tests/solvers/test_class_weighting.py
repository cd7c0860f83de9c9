"""What the solvers read off an objective; that their losses weigh errors so is with the solvers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricopt.problem.objectives import FPOR, FROP, OFBS, RecallAtAlarmRate, RecallAtFPR
from metricopt.problem.ratios import Counts
from metricopt.solvers.class_weighting import MAX_MULTIPLIER, ClassWeighting
from tests.solvers.driving import problem

OBJECTIVES = [FPOR((0.8, 0.6)), FROP(0.7), OFBS(2.0), RecallAtFPR(0.1), RecallAtAlarmRate((0.3, 0.4))]
EACH = pytest.mark.parametrize("objective", OBJECTIVES, ids=str)


def classes(labels, weight):
    return [(weight * (labels == truth)).sum(axis=0) for truth in (1, 0)]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(OBJECTIVES), st.integers(0, 999), st.booleans())
def test_the_violation_of_errors_is_that_of_the_counts_that_they_leave(objective, seed, is_weighted):
    _, labels = problem(num_labels=2, seed=seed, has_missing=True)
    rng = np.random.default_rng(seed)
    weight = rng.random(labels.shape) + 0.1 if is_weighted else np.ones(labels.shape)
    positives, negatives = classes(labels, weight)
    false_negatives, false_positives = rng.random(2) * positives, rng.random(2) * negatives
    left = Counts(positives - false_negatives, false_positives, false_negatives, negatives - false_positives)
    weighting = ClassWeighting(objective, labels, weight if is_weighted else None)
    found = weighting.violation(np.stack([false_positives, false_negatives]), len(labels))
    np.testing.assert_allclose(found, objective.violation(left), atol=1e-6)
    # Of a batch: as if all samples were like it.
    third = weighting.violation(np.stack([false_positives, false_negatives]) / 3, len(labels) / 3)
    np.testing.assert_allclose(third, found, atol=1e-6)


@EACH
def test_weights_are_those_of_the_objective_with_the_heavier_class_at_one(objective):
    _, labels = problem(num_labels=2)
    weighting, value = ClassWeighting(objective, labels, None), np.array([0.3, 0.6])
    weighting.set_value(value)
    for multiplier in (np.zeros(2), np.array([0.2, 0.7]), 0.9 * np.minimum(weighting.max_multiplier, 5)):
        of_positives, of_negatives = (np.maximum(w, 0) for w in objective.class_weights(multiplier, value))
        found = weighting.class_weights(multiplier)
        np.testing.assert_allclose(found.max(axis=0), 1)
        np.testing.assert_allclose(found * np.maximum(of_positives, of_negatives), [of_negatives, of_positives])


@EACH
def test_up_to_the_most_no_class_loses_its_weight(objective):
    _, labels = problem(num_labels=2)
    weighting, value = ClassWeighting(objective, labels, None), np.full(2, 0.5)
    weighting.set_value(value)
    assert (weighting.max_multiplier > 0).all() and (weighting.max_multiplier <= MAX_MULTIPLIER).all()
    assert min(w.min() for w in objective.class_weights(0.99 * weighting.max_multiplier, value)) >= 0
    if (weighting.max_multiplier < MAX_MULTIPLIER).all():
        assert min(w.max() for w in objective.class_weights(1.01 * weighting.max_multiplier, value)) < 0
    assert (weighting.max_multiplier < MAX_MULTIPLIER).all() == isinstance(objective, RecallAtAlarmRate)


@EACH
def test_labels_of_one_class_weigh_nothing(objective):
    _, labels = problem(num_labels=2)
    for constant in (0, 1, np.nan):
        labels[:, 1] = constant
        weighting = ClassWeighting(objective, labels, None)
        alone = ClassWeighting(objective.for_labels(2)[0], labels[:, :1], None)
        assert weighting.num_learnable == 1 and weighting.samples_per_positive[1] == weighting.error_scale(10)[1] == 0
        assert weighting.error_scale(10)[0] == alone.error_scale(10)[0] > 0
        violation = weighting.violation(np.ones((2, 2)), len(labels))
        assert np.isfinite(violation).all() and violation[0] == alone.violation(np.ones((2, 1)), len(labels))[0]
    nothing = ClassWeighting(objective, labels[:, [1, 1]], None)
    assert nothing.num_learnable == 1 and (nothing.error_scale(10) == 0).all()


def test_shares_are_per_positive_that_a_batch_should_hold():
    _, labels = problem(num_labels=2, has_missing=True)
    weight = np.random.default_rng(0).random(labels.shape)
    positives, _ = classes(labels, weight)
    weighting = ClassWeighting(FPOR(0.8), labels, weight)
    np.testing.assert_allclose(weighting.error_scale(15), len(labels) / 15 / positives / 2)
