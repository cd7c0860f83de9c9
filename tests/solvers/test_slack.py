import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricopt.evidence.thresholds import choose_threshold
from metricopt.problem.metrics import confusion_counts
from metricopt.problem.objectives import FPOR, FROP, OFBS, RecallAtAlarmRate, RecallAtFPR
from metricopt.solvers.slack import SampleSlacks, gap
from tests.solvers.driving import problem

OBJECTIVES = [FPOR((0.8, 0.6)), FROP(0.7), OFBS(2.0), RecallAtFPR(0.1), RecallAtAlarmRate(0.3)]


def ready(objective, scores, labels, weight=None):
    """Slacks that stand for the predictions at the exact threshold."""
    slacks = SampleSlacks(objective, labels, weight)
    slacks.refresh(scores, labels, weight)
    slacks.restart(scores, weight)
    return slacks


def batch_of(slacks, scores, labels, weight, index):
    own = None if weight is None else weight[index]
    return slacks.items(scores[index], labels[index], own, index, np.ones(labels.shape[1])), own


def errors_by_slacks(slack, labels, weight):
    """Recount: what slacks (n, L) leave of negatives above and of positives below, summed over all samples."""
    weight = np.ones(labels.shape) if weight is None else weight
    negatives = (weight * np.where(labels == 0, slack, 0)).sum(axis=0)
    return np.stack([negatives, (weight * np.where(labels == 1, 1 - slack, 0)).sum(axis=0)])


def violation_by_slacks(objective, slack, labels, weight):
    """Recount: the bound's excess over the positives, straight from the metrics."""
    weight = np.ones(labels.shape) if weight is None else weight
    fp, fn = errors_by_slacks(slack, labels, weight)
    positives, negatives = ((weight * (labels == truth)).sum(axis=0) for truth in (1, 0))
    tp, bound = positives - fn, None if objective.bound is None else np.asarray(objective.bound)
    return {
        "FPOR": lambda: bound * (tp + fp) - tp,
        "FROP": lambda: bound * positives - tp,
        "OFBS": lambda: 0 * tp,
        "RecallAtFPR": lambda: fp - bound * negatives,
        "RecallAtAlarmRate": lambda: tp + fp - bound * (positives + negatives),
    }[objective.name]() / positives


# Sums over all slacks


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(OBJECTIVES), st.integers(0, 999), st.booleans(), st.integers(1, 70))
def test_running_sums_equal_a_recount_after_many_batches(objective, seed, is_weighted, batch_size):
    scores, labels = problem(num_labels=2, seed=seed, has_missing=True)
    rng = np.random.default_rng(seed)
    weight = rng.random(labels.shape) * 3 if is_weighted else None
    slacks = ready(objective, scores, labels, weight)
    for _ in range(40):
        index = rng.integers(0, len(labels), batch_size)  # with replacement
        items, own = batch_of(slacks, scores, labels, weight, index)
        slacks.store(items, rng.random(len(items.flat)), own)
    slack = slacks.values.reshape(labels.shape).astype(np.float64)
    assert not set(np.unique(slack)) <= {0, 1}  # something was stored
    found = slacks.state_dict()["errors"].numpy().reshape(2, 2)
    np.testing.assert_allclose(found, errors_by_slacks(slack, labels, weight), atol=1e-9)
    np.testing.assert_allclose(slacks.violation(), violation_by_slacks(objective, slack, labels, weight), atol=1e-7)


def test_slacks_of_missing_labels_are_never_moved():
    scores, labels = problem(num_labels=2, has_missing=True)
    slacks = ready(OBJECTIVES[0], scores, labels)
    before = slacks.values.copy()
    items, _ = batch_of(slacks, scores, labels, None, np.arange(len(labels)))
    slacks.store(items, np.full(len(items.flat), 0.5), None)
    np.testing.assert_array_equal(slacks.values != before, ~np.isnan(labels.ravel()))


def test_a_sample_that_is_twice_in_a_batch_is_stored_once():
    scores, labels = problem()
    slacks = ready(FPOR(0.8), scores, labels)
    items, _ = batch_of(slacks, scores, labels, None, np.array([0, 1, 0]))
    slacks.store(items, np.array([0.25, 0.5, 0.75]), None)
    assert slacks.values[:2].tolist() == [0.25, 0.5]
    slack = slacks.values.reshape(labels.shape).astype(np.float64)
    errors = slacks.state_dict()["errors"].numpy().reshape(2, 1)
    np.testing.assert_allclose(errors, errors_by_slacks(slack, labels, None))


def test_slacks_start_at_the_predictions_and_their_counts():
    scores, labels = problem(num_labels=2, has_missing=True)
    weight = np.random.default_rng(0).random(labels.shape)
    slacks = ready(OBJECTIVES[0], scores, labels, weight)
    threshold = choose_threshold(scores, labels, OBJECTIVES[0], sample_weight=weight).threshold
    np.testing.assert_array_equal(slacks.values.reshape(labels.shape), scores >= threshold)
    counts = confusion_counts(scores, labels, threshold, weight)
    errors = slacks.state_dict()["errors"].numpy().reshape(2, 2)
    np.testing.assert_allclose(errors, [counts.false_positives, counts.false_negatives])


# Items of a batch and the way back


def test_items_see_each_sample_in_its_own_direction():
    scores, labels = problem(num_labels=2, has_missing=True)
    slacks = ready(OBJECTIVES[0], scores, labels)
    index = np.array([9, 4, 5, 30])  # 5 has no first label
    items, _ = batch_of(slacks, scores, labels, None, index)
    choice = choose_threshold(scores, labels, OBJECTIVES[0])
    expected = {}
    for row in index:
        for column in (0, 1):
            if labels[row, column] == labels[row, column]:
                distance = (scores[row, column] - choice.threshold[column]) / scores[:, column].std(dtype=np.float64)
                expected[2 * row + column] = distance if labels[row, column] == 1 else -distance
    assert sorted(items.flat.tolist()) == sorted(expected)
    np.testing.assert_allclose(items.u, [expected[flat] for flat in items.flat], rtol=1e-5)
    np.testing.assert_array_equal(items.is_positive, labels.ravel()[items.flat] == 1)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_items_weigh_errors_as_the_objective_says(objective):
    """Per positive that a batch should hold, averaged over labels, the heavier class scaled to 1."""
    scores, labels = problem(num_labels=2, has_missing=True)
    weight = np.random.default_rng(3).random(labels.shape)
    slacks, index = ready(objective, scores, labels, weight), np.arange(0, 60, 3)
    items, _ = batch_of(slacks, scores, labels, weight, index)
    w_plus, w_minus = objective.class_weights(
        np.ones(2), choose_threshold(scores, labels, objective, sample_weight=weight).value
    )
    heavier = np.maximum(w_plus, w_minus)
    positives = (weight * (labels == 1)).sum(axis=0)
    scale = len(labels) / positives / len(index) / 2
    each = np.where(labels == 1, w_plus, np.maximum(w_minus, 0)) / heavier * scale * weight
    np.testing.assert_allclose(items.loss_weight, each.ravel()[items.flat], rtol=1e-6)


def test_derivatives_find_their_way_back_to_the_scores():
    scores, labels = problem(num_labels=2, has_missing=True)
    slacks, index = ready(OBJECTIVES[0], scores, labels), np.array([3, 5, 3])
    toward = np.random.default_rng(1).normal(size=(3, 2))

    def total(moved):
        batch = scores[index].astype(np.float64) + moved
        items = slacks.items(batch, labels[index], None, index, np.ones(2))
        return items, (items.u.astype(np.float64) * np.arange(1, 1 + len(items.u))).sum()

    items, start = total(0)
    derivatives = slacks.to_scores(items, np.arange(1.0, 1 + len(items.u)), (3, 2))
    assert total(0.25 * toward)[1] - start == pytest.approx(0.25 * (derivatives * toward).sum(), abs=1e-5)
    assert derivatives[1, 0] == 0  # its label is missing


# Cost


def seconds_of_a_step(num_rows):
    labels = (np.arange(num_rows) % 10 == 0).astype(np.float32)[:, np.newaxis]
    slacks = ready(FPOR(0.8), np.linspace(-1, 1, num_rows, dtype=np.float32)[:, np.newaxis], labels)
    rng, least = np.random.default_rng(0), np.inf
    for _ in range(30):
        index = rng.integers(0, num_rows, 256)
        scores, right = rng.normal(size=(256, 1)).astype(np.float32), rng.random(256)
        began = time.perf_counter()
        items = slacks.items(scores, labels[index], None, index, np.ones(1))
        slacks.store(items, right, None)
        slacks.violation()
        least = min(least, time.perf_counter() - began)
    tracemalloc.start()
    slacks.store(slacks.items(scores, labels[index], None, index, np.ones(1)), right, None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return least, peak


def test_a_step_costs_the_batch_and_not_the_data_set():
    (small, small_peak), (large, large_peak) = seconds_of_a_step(10_000), seconds_of_a_step(1_000_000)
    assert large <= 4 * small  # 2 where nothing else runs
    assert large_peak <= 1.5 * small_peak + 10_000


def test_slacks_take_four_bytes_a_sample_and_label():
    scores, labels = problem(1000, num_labels=3)
    slacks = ready(FPOR(0.8), scores, labels)
    held = [value for value in vars(slacks).values() if isinstance(value, np.ndarray) and value is not labels]
    assert slacks.values.nbytes == 4 * labels.size
    assert sum(array.nbytes for array in held) <= 4 * labels.size + 500


# Slacks beside a model


def test_slacks_that_are_the_predictions_agree():
    scores, labels = problem(num_labels=2, has_missing=True)
    slacks = ready(OBJECTIVES[0], scores, labels)
    for slack in (slacks.values, None):
        for compared in slacks.compare(slack, scores, labels, None, ["a", "b"]):
            assert compared.agreement == 1 and compared.worst_violation < 1e-12 and compared.holds
            assert compared.value == compared.model_value
            assert compared.bounded_value == compared.model_bounded_value


def test_metrics_by_slacks_and_by_the_model_are_put_side_by_side():
    labels = np.array([1, 1, 0, 0, 0, np.nan], dtype=np.float32)[:, np.newaxis]
    scores = np.array([2, -1, 1, -2, -3, 5], dtype=np.float32)[:, np.newaxis]  # best F1: the first alone, or three
    slacks = ready(OFBS(1.0), scores, labels)
    weight = np.array([1.0, 2, 1, 1, 1, 9])[:, np.newaxis]
    slack = np.array([1, 0.75, 0.5, 0, 0, 0], dtype=np.float32)
    (compared,) = slacks.compare(slack, scores, labels, weight, ["sick"])
    choice = choose_threshold(scores, labels, OFBS(1.0), sample_weight=weight)
    alarms = (scores >= choice.threshold)[:, 0]
    distance = (scores[:, 0] - choice.threshold[0]) / scores.std()
    tp, fp = 1 + 2 * 0.75, 0.5
    assert compared.label == "sick" and compared.model_value == choice.value[0]
    assert compared.value == pytest.approx(2 * tp / (tp + fp + 3))
    assert compared.agreement == (np.abs(slack - alarms) < 0.5)[:5].mean()  # the missing label counts nowhere
    violation = np.minimum(np.abs(slack - (distance > 0)), np.abs(distance))
    assert compared.worst_violation == pytest.approx(violation[:5].max(), rel=1e-6)
    assert compared.bounded_value is compared.model_bounded_value is None


def test_labels_without_positives_have_nothing_to_disagree_about():
    scores, labels = problem(num_labels=2)
    labels[:, 1] = 0
    slacks = ready(OBJECTIVES[0], scores, labels)
    learnt, empty = slacks.compare(slacks.values, scores, labels, None, ["a", "b"])
    assert learnt.holds and empty.holds and np.isnan([empty.agreement, empty.worst_violation, empty.value]).all()


def test_gap():
    assert gap(np.array([1.0, 0.4, 0.6, 0.5]), np.array([2.0, -0.3, -0.2, 1.0])) == (0.5, pytest.approx(0.5))
    assert np.isnan(gap(np.empty(0), np.empty(0))).all()
