import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricopt._validation import InvalidInputError
from metricopt.problem.metrics import average_precision
from metricopt.solvers.pair_slack import MAX_PAIRS, PairSlacks
from tests.solvers.driving import problem


def ready(scores, labels, weight=None):
    """Slacks that stand for the order that the scores make."""
    slacks = PairSlacks(labels, weight)
    slacks.refresh(scores, labels, weight)
    slacks.restart(scores, weight)
    return slacks


def batch_of(slacks, scores, labels, index):
    return slacks.items(scores[index], labels[index], None, index, np.zeros(labels.shape[1]))


def rows_of(labels):
    """The positives in the order of the table's rows: label after label."""
    return [(row, column) for column in range(labels.shape[1]) for row in np.flatnonzero(labels[:, column] == 1)]


def sums_by_slacks(table, labels, weight):
    """Recount, pair by pair: the weighted slacks of each row's negatives, and of its other positives."""
    sums = np.zeros((len(table), 2))
    for number, (row, column) in enumerate(rows_of(labels)):
        for other in range(len(labels)):
            if other != row and labels[other, column] == labels[other, column]:
                sums[number, int(labels[other, column])] += weight[other, column] * table[number, other]
    return sums


def average_precision_by_slacks(table, labels, weight):
    """The definition, averaged over labels: what a table of slacks makes of a_i / b_i."""
    of_labels, sums = [[] for _ in range(labels.shape[1])], sums_by_slacks(table, labels, weight)
    for (row, column), (of_negatives, of_positives) in zip(rows_of(labels), sums, strict=True):
        above = weight[row, column] + of_positives
        of_labels[column].append((above / (above + of_negatives), weight[row, column]))
    return np.mean(
        [np.average(*np.transpose(of_label)[:1], weights=np.transpose(of_label)[1]) for of_label in of_labels]
    )


# Sums over all slacks


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999), st.booleans(), st.integers(1, 30))
def test_running_sums_equal_a_recount_after_many_batches(seed, is_weighted, batch_size):
    scores, labels = problem(25, num_labels=2, seed=seed, has_missing=True)
    rng = np.random.default_rng(seed)
    weight = rng.random(labels.shape) if is_weighted else np.ones(labels.shape)
    slacks = ready(scores, labels, weight if is_weighted else None)
    for _ in range(30):
        items = batch_of(slacks, scores, labels, rng.integers(0, len(labels), batch_size))  # with replacement
        slacks.store(items, rng.random(len(items.flat)), None)
    table = slacks.values.reshape(-1, len(labels)).astype(np.float64)
    np.testing.assert_allclose(slacks.state_dict()["sums"], sums_by_slacks(table, labels, weight), atol=1e-9)


def test_slacks_start_at_the_order_of_the_scores():
    scores, labels = problem(25, num_labels=2, has_missing=True)
    scores[3] = scores[4]  # tied samples count as above one another
    slacks = ready(scores, labels)
    table = slacks.values.reshape(-1, len(labels))
    for number, (row, column) in enumerate(rows_of(labels)):
        np.testing.assert_array_equal(table[number], scores[:, column] >= scores[row, column])


# Pairs of a batch and the way back


def test_a_batch_has_the_pairs_of_its_positives_with_all_others():
    scores, labels = problem(25, num_labels=2, has_missing=True)
    index = np.array([0, 1, 5, 0, 8, 11])  # 0 is drawn twice, 5 has no first label
    labels[[8, 11]] = [[1, 0], [0, 1]]
    items = batch_of(ready(scores, labels), scores, labels, index)
    expected = set()
    for number, (row, column) in enumerate(rows_of(labels)):
        others = {other for other in index if other != row and not np.isnan(labels[other, column])}
        expected |= {25 * number + other for other in others if row in index}
    assert set(items.flat.tolist()) == expected
    for flat, u, is_positive in zip(items.flat, items.u, items.is_positive, strict=True):
        row, column = rows_of(labels)[flat // 25]
        other = flat % 25
        distance = (scores[other, column] - scores[row, column]) / scores[:, column].std(dtype=np.float64)
        assert is_positive == (labels[other, column] == 1)
        assert u == pytest.approx(distance if is_positive else -distance, rel=1e-5, abs=1e-6)


def test_pairs_weigh_what_their_slacks_change_in_average_precision():
    """Derivatives of AP, averaged over labels, by finite differences of the definition in each slack."""
    scores, labels = problem(14, num_labels=2, seed=2)
    rng = np.random.default_rng(0)
    weight = rng.random(labels.shape) + 0.2
    slacks = ready(scores, labels, weight)
    everyone = np.arange(len(labels))
    items = batch_of(slacks, scores, labels, everyone)
    slacks.store(items, rng.random(len(items.flat)), None)
    items = batch_of(slacks, scores, labels, everyone)
    table = slacks.values.reshape(-1, len(labels)).astype(np.float64)

    for flat, is_positive, cost in list(zip(items.flat, items.is_positive, items.loss_weight, strict=True))[::3]:
        ends = []
        for step in (1e-6, -1e-6):
            moved = table.copy()
            moved.ravel()[flat] += step
            ends.append(average_precision_by_slacks(moved, labels, weight))
        slope = (ends[0] - ends[1]) / 2e-6
        assert cost == pytest.approx(slope if is_positive else -slope, rel=1e-4, abs=1e-9)


def test_pairs_of_a_batch_stand_for_all_pairs():
    scores, labels = problem(40)
    slacks, rng = ready(scores, labels), np.random.default_rng(0)
    batches = [batch_of(slacks, scores, labels, rng.permutation(40)[:10]).loss_weight.sum() for _ in range(3000)]
    whole = batch_of(slacks, scores, labels, np.arange(40)).loss_weight.sum()
    # Without replacement a batch of 10 of 40 holds 10 * 9 of 40 * 39 pairs, a little less than (10 / 40)^2.
    assert np.mean(batches) == pytest.approx(whole * (10 * 9 / (40 * 39)) * 16, rel=0.05)


def test_derivatives_find_their_way_back_to_the_scores():
    scores, labels = problem(25, num_labels=2, has_missing=True)
    slacks, index = ready(scores, labels), np.array([0, 1, 5, 0, 8])
    toward = np.random.default_rng(1).normal(size=(5, 2))

    def total(step):
        moved = scores[index].astype(np.float64) + step * toward
        items = slacks.items(moved, labels[index], None, index, np.zeros(2))
        return items, (items.u.astype(np.float64) * np.arange(1, 1 + len(items.u))).sum()

    items, start = total(0.0)
    derivatives = slacks.to_scores(items, np.arange(1.0, 1 + len(items.u)), (5, 2))
    assert total(0.25)[1] - start == pytest.approx(0.25 * (derivatives * toward).sum(), rel=1e-4)
    np.testing.assert_allclose(derivatives.sum(axis=0), 0, atol=1e-9)  # only differences of scores matter


def test_a_batch_without_positives_has_no_pairs():
    scores, labels = problem(25)
    slacks, negatives = ready(scores, labels), np.flatnonzero(labels[:, 0] == 0)
    items = batch_of(slacks, scores, labels, negatives)
    before = slacks.values.copy()
    slacks.store(items, np.empty(0), None)
    assert len(items.flat) == 0 and (slacks.values == before).all()
    assert (slacks.to_scores(items, np.empty(0), (len(negatives), 1)) == 0).all()


def test_samples_of_weight_zero_weigh_nothing():
    scores, labels = problem(25)
    top = int(np.argmax(scores[:, 0]))
    labels[top] = 1  # above it there is nobody, so its sums are 0
    weight = np.ones(labels.shape)
    weight[top] = 0
    slacks = ready(scores, labels, weight)
    items = batch_of(slacks, scores, labels, np.arange(25))
    row = rows_of(labels).index((top, 0))
    touches = (items.flat // 25 == row) | (items.flat % 25 == top)
    assert touches.any() and (items.loss_weight[touches] == 0).all() and (items.loss_weight[~touches] >= 0).all()
    (compared,) = slacks.compare(slacks.values, scores, labels, weight, ["a"])
    assert compared.holds and compared.value == pytest.approx(average_precision(scores, labels, weight)[0])


# Limits


def test_too_many_pairs_are_told_before_they_take_memory():
    labels = np.ones((MAX_PAIRS // 2000 + 1, 1), dtype=np.float32)
    labels[2000:] = 0
    message = r"objective must be OAP on a problem of at most 4,000,000 pairs .*, got 4,002,000 \(positives times"
    tracemalloc.start()
    with pytest.raises(InvalidInputError, match=message):
        PairSlacks(labels, None)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    assert len(PairSlacks(labels[:2000], None).values) == MAX_PAIRS


def test_comparing_takes_memory_for_the_pairs_and_not_for_all_samples_squared():
    labels = np.zeros((20_000, 1), dtype=np.float32)
    labels[:10] = 1
    scores = np.random.default_rng(0).normal(size=labels.shape).astype(np.float32)
    slacks = ready(scores, labels)
    tracemalloc.start()
    slacks.compare(slacks.values, scores, labels, None, ["a"])
    batch_of(slacks, scores, labels, np.arange(len(labels)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 250 * len(slacks.values)  # 50 MB; the square would be 400


# Slacks beside a model


def test_slacks_that_are_the_order_agree():
    scores, labels = problem(25, num_labels=2, has_missing=True)
    weight = np.random.default_rng(0).random(labels.shape)
    slacks = ready(scores, labels, weight)
    for slack in (slacks.values, None):
        for column, compared in enumerate(slacks.compare(slack, scores, labels, weight, ["a", "b"])):
            assert compared.agreement == 1 and compared.worst_violation < 1e-12 and compared.holds
            assert compared.value == pytest.approx(average_precision(scores, labels, weight)[column])
            assert compared.value == pytest.approx(compared.model_value) and compared.bounded_value is None


def test_average_precision_by_slacks_and_by_the_model_are_put_side_by_side():
    scores, labels = problem(25, num_labels=2, has_missing=True)
    weight = np.random.default_rng(0).random(labels.shape)
    slacks = ready(scores, labels, weight)
    perfect = np.concatenate([labels[:, column] == 1 for _, column in rows_of(labels)]).astype(np.float32)
    for column, compared in enumerate(slacks.compare(perfect, scores, labels, weight, ["a", "b"])):
        assert compared.value == 1 and not compared.holds
        assert compared.model_value == pytest.approx(average_precision(scores, labels, weight)[column])
        pairs = [
            (scores[other, column] >= scores[row, column]) == (labels[other, column] == 1)
            for row, of_label in rows_of(labels) if of_label == column
            for other in range(25) if other != row and not np.isnan(labels[other, column])
        ]  # fmt: skip
        assert compared.agreement == pytest.approx(np.mean(pairs)) and 0 < compared.worst_violation <= 1


def test_labels_without_positives_have_nothing_to_disagree_about():
    scores, labels = problem(25, num_labels=3)
    labels[:, 1], labels[:, 2] = 0, np.nan
    slacks = ready(scores, labels)
    compared = slacks.compare(slacks.values, scores, labels, None, ["a", "b", "c"])
    assert all(one.holds for one in compared)
    assert np.isnan([compared[1].agreement, compared[2].agreement, compared[1].value]).all()
    alone = ready(scores[:, :1], labels[:, :1])
    weights = [
        batch_of(s, scores[:, :w], labels[:, :w], np.arange(25)).loss_weight for s, w in ((slacks, 3), (alone, 1))
    ]
    np.testing.assert_allclose(*weights)
