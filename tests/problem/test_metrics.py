import math
import warnings
from dataclasses import astuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from metricopt._validation import InvalidInputError
from metricopt.problem import metrics, ranking, ratios
from metricopt.problem.metrics import average_precision, confusion_counts, f_beta, precision_recall_curve
from metricopt.problem.ratios import Counts
from tests import oracle

RATES = {
    metrics.recall: oracle.recall,
    metrics.precision: oracle.precision,
    metrics.specificity: oracle.specificity,
    metrics.false_positive_rate: oracle.false_positive_rate,
    metrics.alarm_rate: oracle.alarm_rate,
}


def random_case(rng, n=None, both_classes=False):
    n = n or int(rng.integers(1, 40))
    scores = np.round(rng.normal(size=n), int(rng.integers(0, 3)))
    labels = (rng.random(n) < rng.choice([0.1, 0.5])).astype(float)
    if both_classes and n > 1:
        labels[:2] = [0.0, 1.0]
    weights = rng.random(n) * 3 if rng.random() < 0.5 else None
    return scores, labels, weights


def test_counts_and_rates_equal_plain_loops():
    rng = np.random.default_rng(0)
    for _ in range(300):
        n = int(rng.integers(0, 9))
        scores, threshold = rng.integers(-2, 3, n) / 2, rng.integers(-3, 4) / 2
        labels = rng.choice([0.0, 1.0, np.nan], n)
        weights = rng.integers(0, 5, n) / 4 if rng.random() < 0.5 else None
        expected = oracle.tally(scores, labels, np.ones(n) if weights is None else weights, threshold)
        assert astuple(confusion_counts(scores, labels, threshold, weights))[:4] == expected
        for rate, by_hand in RATES.items():
            np.testing.assert_array_equal(rate(scores, labels, threshold, weights), by_hand(expected))
        for beta in (0.5, 1.0, 2.0):
            found = f_beta(scores, labels, threshold, beta, weights)
            np.testing.assert_array_equal(found, oracle.f_beta(beta)(expected))


@pytest.mark.slow
def test_metrics_at_a_threshold_agree_with_scikit_learn():
    rng = np.random.default_rng(1)
    for _ in range(60):
        scores, labels, weights = random_case(rng, both_classes=True, n=int(rng.integers(2, 60)))
        threshold = float(rng.choice(scores))  # so that there is an alarm
        flagged, w = (scores >= threshold).astype(float), {"sample_weight": weights}
        expected = {
            metrics.precision: reference.precision_score(labels, flagged, **w),
            metrics.recall: reference.recall_score(labels, flagged, **w),
            metrics.specificity: reference.recall_score(labels, flagged, pos_label=0, **w),
            metrics.false_positive_rate: 1 - reference.recall_score(labels, flagged, pos_label=0, **w),
        }
        for rate, value in expected.items():
            assert rate(scores, labels, threshold, weights) == pytest.approx(value, abs=1e-12, rel=0)
        for beta in (0.3, 1.0, 2.0):
            value = reference.fbeta_score(labels, flagged, beta=beta, **w)
            assert f_beta(scores, labels, threshold, beta, weights) == pytest.approx(value, abs=1e-12, rel=0)
        (tn, fp), (fn, tp) = reference.confusion_matrix(labels, flagged, labels=[0, 1], **w)
        found = astuple(confusion_counts(scores, labels, threshold, weights))[:4]
        assert found == pytest.approx((tp, fp, fn, tn), rel=1e-12, abs=1e-12)


def test_average_precision_and_curve_agree_with_scikit_learn():
    rng = np.random.default_rng(2)
    for _ in range(100):
        scores, labels, weights = random_case(rng, n=int(rng.integers(2, 60)))
        if weights is not None:
            weights[rng.random(len(weights)) < 0.2] = 0.0
            weights[0] = 1.0
        labels[0] = 1.0
        value = reference.average_precision_score(labels, scores, sample_weight=weights)
        assert average_precision(scores, labels, weights) == pytest.approx(value, abs=1e-12, rel=0)
        precision, recall, thresholds = reference.precision_recall_curve(labels, scores, sample_weight=weights)
        curve = precision_recall_curve(scores, labels, weights)
        np.testing.assert_allclose(curve.precision, precision[:-1], rtol=0, atol=1e-12)
        np.testing.assert_allclose(curve.recall, recall[:-1], rtol=0, atol=1e-12)
        np.testing.assert_array_equal(curve.thresholds, thresholds)


def test_agreement_holds_on_many_samples():
    rng = np.random.default_rng(3)
    scores, labels, weights = rng.normal(size=100_000), (rng.random(100_000) < 0.05) * 1.0, rng.random(100_000)
    value = reference.average_precision_score(labels, scores, sample_weight=weights)
    assert average_precision(scores, labels, weights) == pytest.approx(value, abs=1e-12, rel=0)
    value = reference.precision_score(labels, scores >= 0.3, sample_weight=weights)
    assert metrics.precision(scores, labels, 0.3, weights) == pytest.approx(value, abs=1e-12, rel=0)


def test_average_precision_equals_its_definition_by_ranks():
    rng = np.random.default_rng(4)
    for _ in range(100):
        scores, labels, _ = random_case(rng)
        ranks = [
            (scores[labels == 1] >= score).sum() / (scores >= score).sum()
            for score, label in zip(scores, labels, strict=True)
            if label == 1
        ]
        expected = np.mean(ranks) if ranks else math.nan
        np.testing.assert_allclose(average_precision(scores, labels), expected, rtol=1e-13)


def test_constant_scores_reach_the_prevalence():
    assert average_precision(np.zeros(8), [1, 1, 0, 0, 0, 0, 0, 0]) == 0.25


def test_undefined_is_nan_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for as_array in (np.array, torch.tensor):
            scores, negative, positive = as_array([0.1, 0.2]), as_array([0.0, 0.0]), as_array([1.0, 1.0])
            assert math.isnan(metrics.recall(scores, negative, 0.0))
            assert math.isnan(metrics.precision(scores, positive, 1.0))
            assert math.isnan(metrics.specificity(scores, positive, 0.0))
            assert math.isnan(metrics.false_positive_rate(scores, positive, 0.0))
            assert math.isnan(metrics.alarm_rate(scores, as_array([math.nan, math.nan]), 0.0))
            assert math.isnan(f_beta(scores, negative, 1.0))
            assert math.isnan(average_precision(scores, negative))
            assert all(map(math.isnan, precision_recall_curve(scores, negative).recall))
            assert f_beta(scores, negative, 0.0) == 0.0


@pytest.mark.parametrize("shape", [(0,), (0, 3)])
def test_no_samples_at_all(shape):
    nothing = np.zeros(shape)
    for value in (average_precision(nothing, nothing), metrics.recall(nothing, nothing, 0.0)):
        assert np.shape(value) == shape[1:]
        assert np.isnan(value).all()
    curves = precision_recall_curve(nothing, nothing, np.zeros(0))
    assert [len(curve.thresholds) for curve in (curves if shape[1:] else [curves])] == [0] * (shape[1:] or (1,))[0]


def test_missing_labels_and_zero_weights_count_nowhere():
    rng = np.random.default_rng(5)
    for _ in range(50):
        scores, labels, weights = random_case(rng, n=20)
        weights = np.ones(20) if weights is None else weights
        missing, unweighted = rng.random(20) < 0.3, rng.random(20) < 0.3
        holes, zeros = np.where(missing, np.nan, labels), np.where(unweighted, 0.0, weights)
        kept = ~missing & ~unweighted
        for metric in (average_precision, lambda s, y, w: metrics.precision(s, y, 0.1, w)):
            expected = metric(scores[kept], labels[kept], weights[kept])
            np.testing.assert_allclose(metric(scores, holes, zeros), expected, rtol=1e-12)
        np.testing.assert_array_equal(precision_recall_curve(scores, holes, zeros).thresholds, np.unique(scores[kept]))


def test_every_label_is_measured_by_itself():
    rng = np.random.default_rng(6)
    scores, labels = np.round(rng.normal(size=(30, 3)), 1), rng.choice([0.0, 1.0, np.nan], (30, 3))
    thresholds, weights = np.array([-0.5, 0.0, 0.5]), rng.random((30, 3))
    for weight in (None, weights[:, 0], weights):
        for k in range(3):
            own = weight[:, k] if weight is weights else weight
            together = confusion_counts(scores, labels, thresholds, weight)[k]
            alone = confusion_counts(scores[:, k], labels[:, k], thresholds[k], own)
            np.testing.assert_allclose(astuple(together)[:4], astuple(alone)[:4], rtol=1e-14)
            value = average_precision(scores, labels, weight)
            assert value.shape == (3,)
            assert value[k] == average_precision(scores[:, k], labels[:, k], own)
            curve = precision_recall_curve(scores, labels, weight)[k]
            for column, expected in zip(
                astuple(curve), astuple(precision_recall_curve(scores[:, k], labels[:, k], own)), strict=True
            ):
                np.testing.assert_array_equal(column, expected)
    one_threshold = metrics.recall(scores, labels, 0.0)
    np.testing.assert_array_equal(one_threshold, metrics.recall(scores, labels, np.zeros(3)))


@pytest.mark.parametrize("labels", [[1, 0, 1, 0], [True, False, True, False], np.array([1, 0, 1, 0], np.int8)])
def test_kinds_that_are_read(labels):
    for scores in ([0.9, 0.8, 0.4, 0.2], np.float16([0.9, 0.8, 0.4, 0.2]), torch.tensor([0.9, 0.8, 0.4, 0.2])):
        value = metrics.precision(scores, labels, 0.3)
        assert isinstance(value, torch.Tensor if isinstance(scores, torch.Tensor) else np.float64)
        assert float(value) == pytest.approx(2 / 3, abs=1e-15)
    assert metrics.precision([3, 2, 1, 0], labels, 1) == pytest.approx(2 / 3, abs=1e-15)
    assert metrics.precision([0.9, 0.1], [1, None], 0.0) == 1.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_give_float64_tensors_in_every_precision(dtype):
    scores = torch.tensor([[0.5, 2.0], [0.25, 1.0], [0.125, 3.0]], dtype=dtype, requires_grad=True)
    labels = torch.tensor([[1, 0], [0, 1], [1, 1]])
    expected = average_precision(scores.detach().double().numpy(), labels.numpy())
    value = average_precision(scores, labels)
    assert value.dtype == torch.float64
    assert value.tolist() == expected.tolist()
    counts = confusion_counts(scores, labels, torch.tensor([0.25, 2.0]))
    assert [c.tolist() for c in astuple(counts)[:4]] == [[1, 1], [1, 1], [1, 1], [0, 0]]
    assert all(c.dtype == torch.float64 for c in astuple(counts)[:4])
    curve = precision_recall_curve(scores, labels)[0]
    assert curve.thresholds.tolist() == [0.125, 0.25, 0.5]
    assert all(column.dtype == torch.float64 for column in (curve.precision, curve.recall, curve.thresholds))


@pytest.mark.parametrize("weights", [None, [0.25, 0.5]])
def test_threshold_is_not_rounded_to_the_scores_precision(weights):
    scores, labels = np.float32([0.7, 0.3]), [1, 1]
    assert float(scores[0]) < 0.7 and float(scores[1]) > 0.3
    tensor = torch.from_numpy(scores)
    for given_scores in (scores, tensor, tensor.bfloat16()):
        exact = [float(score) for score in given_scores]
        for threshold in (0.7, 0.3, np.float64(0.7), torch.tensor(0.7, dtype=torch.float64)):
            expected = oracle.tally(exact, labels, weights or [1, 1], float(threshold))
            counts = confusion_counts(given_scores, labels, threshold, weights)
            assert tuple(map(float, astuple(counts)[:4])) == expected


def test_threshold_nan_and_infinities():
    for threshold, alarms in [(math.nan, 0), (math.inf, 0), (-math.inf, 3)]:
        assert metrics.alarm_rate([0.0, 1.0, 2.0], [0, 1, 0], threshold) == alarms / 3


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 3), st.sampled_from([0.0, 1.0]), st.integers(0, 3)), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
)
def test_average_precision_is_a_rank_metric(rows, random):
    scores, labels, weights = (np.array(column, float) for column in zip(*rows, strict=True))
    value = average_precision(scores, labels, weights)
    np.testing.assert_array_equal(average_precision(np.exp(scores) - 3.0, labels, weights), value)
    order = list(range(len(rows)))
    random.shuffle(order)
    np.testing.assert_array_equal(average_precision(scores[order], labels[order], weights[order]), value)
    repeated = np.repeat(np.arange(len(rows)), weights.astype(int))
    np.testing.assert_array_equal(average_precision(scores[repeated], labels[repeated]), value)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([st.floats(1e-300, 1e300), st.floats(0.1, 1.0), st.integers(1, 2**30).map(float)]).flatmap(
        lambda weight: st.lists(weight, min_size=1, max_size=40)
    ),
    st.randoms(use_true_random=False),
)
def test_sums_of_weights_are_those_of_exact_arithmetic_in_any_order(weights, random):
    sums = ranking._sums_from_the_end(np.array(weights))
    exact = [math.fsum(weights[first:]) for first in range(len(weights) + 1)]
    np.testing.assert_allclose(sums, exact, rtol=2**-51)
    if all(weight.is_integer() and weight < 2**31 for weight in weights):
        assert sums.tolist() == exact
    shuffled = list(weights)
    random.shuffle(shuffled)
    assert ranking._sums_from_the_end(np.array(shuffled))[0] == sums[0]


def test_counts_are_those_of_samples_where_all_weigh_the_same():
    scores, labels = np.arange(20.0), np.array([0.0, 1.0] * 10)
    plain, third = (confusion_counts(scores, labels, 3.0, weight) for weight in (None, np.full(20, 1 / 3)))
    assert third.true_positives == pytest.approx(plain.true_positives / 3, rel=1e-15) and astuple(
        third.in_units()
    ) == astuple(plain)
    assert ratios.PRECISION(third) == ratios.PRECISION(plain)
    many = confusion_counts(np.stack([scores, scores], 1), np.stack([labels, labels], 1), 3.0, np.full(20, 1 / 3))
    assert astuple(many[1]) == astuple(third) and (ratios.RECALL(many) == ratios.RECALL(plain)).all()
    tensors = Counts(*map(torch.as_tensor, astuple(many)))
    assert ratios.PRECISION(tensors).tolist() == ratios.PRECISION(many).tolist()


def test_linear_forms_add_and_scale():
    counts = Counts(4.0, 1.0, 2.0, 8.0)
    first, second = ratios.LinearForm(tp=1.0, positives=2.0), ratios.LinearForm(fp=3.0, negatives=-1.0)
    assert (first(counts), second(counts)) == (16.0, -6.0)
    assert (first + second)(counts) == 10.0
    assert (first - second)(counts) == 22.0
    assert (second * 0.5)(counts) == -3.0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (([[[0.1]]], [[[1]]], 0.5), r"scores must be of shape \(n,\) or \(n, L\), got shape \(1, 1, 1\)"),
        (([0.1, 0.2], [1], 0.5), r"labels must be of the scores' shape \(2,\), got shape \(1,\)"),
        (([0.1, 0.2], [[1], [0]], 0.5), r"labels must be of the scores' shape \(2,\), got shape \(2, 1\)"),
        (([0.1, math.nan], [1, 0], 0.5), r"scores must be finite, got 1 NaN or infinite values; clean"),
        (([0.1, math.inf], [1, 0], 0.5), r"scores must be finite, got 1 NaN or infinite values; clean"),
        (([0.1, 0.2], [1, 2], 0.5), r"labels must be 0, 1 or NaN \(missing\), got \[2.0\]; map"),
        (([0.1, 0.2], [1, 0], [0.5, 0.5]), r"threshold must be one number, got shape \(2,\); give"),
        (([[0.1, 0.2]], [[1, 0]], [0.5]), r"threshold must be one number or one per label \(2\), got shape \(1,\)"),
        (([0.1, 0.2], [1, 0], 0.5, [1.0]), r"sample_weight must be of shape \(2,\), got shape \(1,\)"),
        (([[0.1, 0.2]], [[1, 0]], 0.5, [[1.0]]), r"sample_weight must be of shape \(1,\) or \(1, 2\), got shape"),
        (([0.1, 0.2], [1, 0], 0.5, [1.0, -1.0]), r"sample_weight must be >= 0, got -1; give 0 to leave"),
        (([0.1, 0.2], [1, 0], 0.5, [1.0, math.nan]), r"sample_weight must be finite, got 1 NaN"),
        ((["a", "b"], [1, 0], 0.5), r"scores must be an array of real numbers, got list; give"),
        (([0.1, 0.2], ["no", "yes"], 0.5), r"labels must be an array of real numbers, got list; give"),
        (([0.1j, 0.2], [1, 0], 0.5), r"scores must be an array of real numbers, got list; give"),
        (([0.1, 0.2], [1, 0], "high"), r"threshold must be an array of real numbers, got str; give"),
    ],
)
def test_what_cannot_be_used_is_named(arguments, says):
    with pytest.raises(InvalidInputError, match=f"^{says}"):
        confusion_counts(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ([0.1, 0.2], [1, 0], 0.5),
        ([[0.1], [0.2]], [[1], [0]], [0.5]),
        ([[0.1, 0.2]], [[1, math.nan]], [0.5, 0.6], [1.0]),
        ([[0.1, 0.2]], [[1, 0]], 0.5, [[1.0, 0.0]]),
    ],
)
def test_what_can_be_used_is_counted(arguments):
    counts = confusion_counts(*arguments)
    assert np.sum(counts.false_negatives) == 1.0
    assert np.sum(counts.true_positives) == 0.0


def test_beta_must_be_positive():
    for beta in (0.0, -1.0, math.inf, math.nan, "1", True):
        with pytest.raises(InvalidInputError, match=r"^beta must be a finite number above 0, got"):
            f_beta([0.1, 0.9], [0, 1], 0.5, beta)
    assert f_beta([0.1, 0.9], [0, 1], 0.5, 3) == 1.0
