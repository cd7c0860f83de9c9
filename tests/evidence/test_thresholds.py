import math
from dataclasses import astuple, dataclass
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metricopt._validation import InvalidInputError
from metricopt.evidence.evaluation import evaluate
from metricopt.evidence.thresholds import choose_threshold
from metricopt.problem import ratios
from metricopt.problem.metrics import confusion_counts
from metricopt.problem.objectives import FPOR, FROP, OAP, OFBS, RecallAtAlarmRate, RecallAtFPR
from metricopt.problem.registry import REGISTRY
from tests import oracle

BOUNDS = [0.1, 0.2, 0.25, 1 / 3, 0.5, 0.6, 2 / 3, 0.75, 0.8, 0.9, 1.0]
BETAS = [0.5, 1.0, 2.0]
NAMES = ["FPOR", "FROP", "OFBS", "RecallAtFPR", "RecallAtAlarmRate"]


def random_number(rng, name):
    return float(rng.choice(BETAS if name == "OFBS" else BOUNDS))


def random_case(rng, missing=True):
    """Few samples, many ties; scores, labels and weights are multiples of 1/4, so every sum is exact."""
    n = int(rng.integers(1, 11))
    scores = rng.integers(-4, 5, n) / 4 if rng.random() < 0.6 else rng.normal(size=n)
    labels = (rng.random(n) < rng.choice([0.0, 0.2, 0.5, 0.8, 1.0])).astype(float)
    if missing and rng.random() < 0.3:
        labels[rng.random(n) < 0.3] = np.nan
    weights = rng.integers(0, 9, n) / 4 if rng.random() < 0.5 else None
    return scores, labels, weights


def judge(scores, labels, weights, wanted):
    weights = np.ones(len(scores)) if weights is None else weights
    return oracle.best_cut(scores.tolist(), labels.tolist(), weights.tolist(), wanted)


def assert_equal(choice, best):
    """Exact equality, NaN equal to NaN; nothing is rounded in either computation."""
    found = (*astuple(choice.counts)[:4], choice.threshold, choice.value)
    np.testing.assert_array_equal([float(f) for f in found], [*best.counts, best.threshold, best.value])
    assert bool(choice.feasible) == best.feasible
    assert (choice.bounded_value is None) == (best.bounded_value is None)
    if best.bounded_value is not None:
        np.testing.assert_array_equal(float(choice.bounded_value), best.bounded_value)


@pytest.mark.parametrize("name", NAMES)
def test_equals_brute_force_over_all_cuts(name):
    rng = np.random.default_rng(NAMES.index(name))
    seen = set()
    for _ in range(1200):
        scores, labels, weights = random_case(rng)
        number = random_number(rng, name)
        best = judge(scores, labels, weights, oracle.program(name, number))
        assert_equal(choose_threshold(scores, labels, REGISTRY[name](number), sample_weight=weights), best)
        seen.add((best.feasible, math.isnan(best.threshold)))
    assert {(True, False), (False, True)} <= seen
    if name == "FPOR":
        assert (False, False) in seen


@dataclass(frozen=True)
class PrecisionAtFPR(RecallAtFPR):
    """Its value is undefined without alarms, though the bound holds there."""

    maximised = ratios.PRECISION


@dataclass(frozen=True)
class PrecisionAtMinAlarmRate(RecallAtAlarmRate):
    """False alarms help to meet the bound: the best cut may end in negatives alone."""

    maximised = ratios.PRECISION
    bound_direction = "min"


@dataclass(frozen=True)
class SpecificityAtRecall(FROP):
    maximised = ratios.SPECIFICITY


@dataclass(frozen=True)
class RecallAtFalseDiscoveryRate(RecallAtFPR):
    """A bounded denominator with false positives in it."""

    bounded = ratios.Ratio("false_discovery_rate", ratios.LinearForm(fp=1.0), ratios.LinearForm(tp=1.0, fp=1.0))


@dataclass(frozen=True)
class OddsAtRecall(FROP):
    """Defined only where there are false alarms."""

    maximised = ratios.Ratio("odds", ratios.LinearForm(tp=1.0), ratios.LinearForm(fp=1.0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "value", "bounded", "sense"),
    [
        (OddsAtRecall, oracle.odds, oracle.recall, 1),
        (PrecisionAtFPR, oracle.precision, oracle.false_positive_rate, -1),
        (PrecisionAtMinAlarmRate, oracle.precision, oracle.alarm_rate, 1),
        (SpecificityAtRecall, oracle.specificity, oracle.recall, 1),
        (RecallAtFalseDiscoveryRate, oracle.recall, oracle.false_discovery_rate, -1),
    ],
)
def test_equals_brute_force_for_a_users_own_objective(objective, value, bounded, sense):
    rng = np.random.default_rng(10)
    for _ in range(400):
        scores, labels, weights = random_case(rng)
        bound = float(rng.choice(BOUNDS))
        best = judge(scores, labels, weights, oracle.Program(value, bounded, bound, sense))
        assert_equal(choose_threshold(scores, labels, objective(bound), sample_weight=weights), best)


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_chosen_one_by_one(name):
    rng = np.random.default_rng(20)
    for _ in range(100):
        n, num_labels = int(rng.integers(1, 9)), int(rng.integers(1, 4))
        scores = rng.integers(-3, 4, (n, num_labels)) / 2
        labels = rng.choice([0.0, 1.0, np.nan], (n, num_labels))
        weights = rng.integers(0, 5, (n, num_labels)) / 4
        numbers = [random_number(rng, name)] * num_labels
        if name != "OFBS":
            numbers = [random_number(rng, name) for _ in range(num_labels)]
        objective = REGISTRY[name](numbers[0] if name == "OFBS" else tuple(numbers))
        choice = choose_threshold(scores, labels, objective, sample_weight=weights)
        shared = choose_threshold(scores, labels, objective, sample_weight=weights[:, 0])
        assert choice.threshold.shape == choice.feasible.shape == (num_labels,)
        for k in range(num_labels):
            for found, weight in [(choice, weights[:, k]), (shared, weights[:, 0])]:
                bounded_value = None if found.bounded_value is None else found.bounded_value[k]
                one = type(found)(found.threshold[k], found.value[k], bounded_value, found.counts[k], found.feasible[k])
                assert_equal(one, judge(scores[:, k], labels[:, k], weight, oracle.program(name, numbers[k])))


cases = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(-4, 4), min_size=n, max_size=n),
        st.lists(st.sampled_from([0.0, 1.0, math.nan]), min_size=n, max_size=n),
        st.lists(st.integers(0, 3), min_size=n, max_size=n),
        st.sampled_from(NAMES),
        st.sampled_from(BETAS),
        st.sampled_from(BOUNDS),
        st.permutations(range(n)),
    )
)


def unpack(case):
    scores, labels, weights, name, beta, bound, order = case
    objective = REGISTRY[name](beta if name == "OFBS" else bound)
    return np.array(scores, float), np.array(labels), np.array(weights, float), objective, np.array(order)


def fields_of(choice, threshold=True):
    bounded_value = [] if choice.bounded_value is None else [choice.bounded_value]
    rest = [*astuple(choice.counts)[:4], choice.value, choice.feasible, *bounded_value]
    return [*rest, choice.threshold] if threshold else rest


@settings(max_examples=150, deadline=None)
@given(cases)
def test_order_of_rows_does_not_matter(case):
    scores, labels, weights, objective, order = unpack(case)
    choice = choose_threshold(scores, labels, objective, sample_weight=weights)
    shuffled = choose_threshold(scores[order], labels[order], objective, sample_weight=weights[order])
    np.testing.assert_array_equal(fields_of(choice), fields_of(shuffled))


@settings(max_examples=150, deadline=None)
@given(cases)
def test_rising_transform_of_scores_changes_the_threshold_alone(case):
    scores, labels, weights, objective, _ = unpack(case)
    choice = choose_threshold(scores, labels, objective, sample_weight=weights)
    transformed = choose_threshold(np.exp(scores) - 7.0, labels, objective, sample_weight=weights)
    np.testing.assert_array_equal(fields_of(choice, threshold=False), fields_of(transformed, threshold=False))


@settings(max_examples=150, deadline=None)
@given(cases)
def test_integer_weights_repeat_samples(case):
    scores, labels, weights, objective, _ = unpack(case)
    repeated = np.repeat(np.arange(len(scores)), weights.astype(int))
    choice = choose_threshold(scores, labels, objective, sample_weight=weights)
    np.testing.assert_array_equal(
        fields_of(choice), fields_of(choose_threshold(scores[repeated], labels[repeated], objective))
    )


@pytest.mark.slow
@pytest.mark.parametrize("weight", [0.1, 0.3, 0.7, 3.0])
def test_equal_weights_change_nothing(weight):
    rng = np.random.default_rng(40)
    for _ in range(30):
        scores, labels, _ = random_case(rng)
        weights = np.full(len(scores), weight)
        for objective in (*(REGISTRY[name](random_number(rng, name)) for name in NAMES), OFBS(0.7), OAP()):
            plain = choose_threshold(scores, labels, objective)
            choice = choose_threshold(scores, labels, objective, sample_weight=weights)
            np.testing.assert_array_equal(fields_of(choice)[4:], fields_of(plain)[4:])
            np.testing.assert_allclose(fields_of(choice)[:4], weight * np.array(fields_of(plain)[:4]), rtol=1e-15)


@pytest.mark.slow
def test_a_report_says_what_the_choice_said_in_whatever_order_the_samples_come():
    rng = np.random.default_rng(41)
    for _ in range(60):
        scores, labels, _ = random_case(rng)
        if not (labels == 1).any():
            continue
        equal, own = np.full(len(scores), float(rng.choice([0.1, 0.3, 0.7]))), rng.random(len(scores)) * 3
        order = rng.permutation(len(scores))
        columns = (scores[order, np.newaxis], labels[order, np.newaxis])
        for name, weights in product(NAMES, (equal, own)):
            objective = REGISTRY[name](random_number(rng, name))
            choice = choose_threshold(scores, labels, objective, sample_weight=weights)
            threshold = np.atleast_1d(choice.threshold)
            given = {"label_names": ["label"], "data": "test", "sample_weight": weights[order, np.newaxis]}
            report = evaluate(*columns, threshold, objective, **given)[0]
            assert list(astuple(report.counts)[:4]) == fields_of(choice)[:4]
            np.testing.assert_array_equal(report.value, choice.value)
            if choice.bounded_value is not None:
                np.testing.assert_array_equal(report.bounded_value, choice.bounded_value)
            assert report.met is None or report.met == choice.feasible


DTYPES = [np.float16, np.float32, np.float64, torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_threshold_reproduces_counts_in_the_scores_own_precision(dtype):
    rng = np.random.default_rng(30)
    moved = 0
    for _ in range(150):
        n = int(rng.integers(2, 10))
        labels = np.append((rng.random(n - 1) < 0.4).astype(float), 1.0)
        # Neighbouring numbers of the dtype leave no room for a midpoint; so do those next to its largest.
        base = torch.tensor(rng.choice([-1.0, 1.0, 0.0, 60000.0]))
        dtype_torch = dtype if isinstance(dtype, torch.dtype) else torch.from_numpy(np.empty(0, dtype)).dtype
        ladder = [base.to(dtype_torch)]
        for _ in range(4):
            ladder.append(torch.nextafter(ladder[-1], torch.tensor(np.inf, dtype=dtype_torch)))
        tensor = torch.stack(ladder)[torch.from_numpy(rng.integers(0, 5, n))]
        scores = tensor if isinstance(dtype, torch.dtype) else tensor.numpy()
        objective = REGISTRY[name := str(rng.choice(NAMES))](random_number(rng, name))
        choice = choose_threshold(scores, labels, objective)
        threshold = torch.as_tensor(choice.threshold)
        assert threshold.to(dtype_torch).double() == threshold
        own = tensor >= threshold.to(dtype_torch)
        again = confusion_counts(scores, labels, choice.threshold)
        for counts in (again, confusion_counts(own.double(), labels, 0.5)):
            assert [float(c) for c in astuple(counts)[:4]] == [float(c) for c in astuple(choice.counts)[:4]]
        best = judge(tensor.double().numpy(), labels, None, oracle.program(name, _number(objective)))
        assert tuple(float(c) for c in astuple(choice.counts)[:4]) == best.counts
        moved += float(threshold) != best.threshold
    if dtype not in (np.float64, torch.float64):
        assert moved > 20  # the case that the rounding is for did occur


def _number(objective):
    return objective.bound if objective.bound is not None else objective.beta


def test_midpoint_is_rounded_to_the_scores_dtype():
    scores, labels = np.array([0.1, 0.4], np.float32), [0, 1]
    threshold = choose_threshold(scores, labels, FPOR(0.9)).threshold
    assert threshold == np.float32((float(scores[0]) + float(scores[1])) / 2)
    assert threshold.dtype == np.float64


def test_midpoint_of_huge_scores_does_not_overflow():
    huge = np.finfo(np.float64).max
    assert choose_threshold([huge / 2, huge], [0, 1], FPOR(0.9)).threshold == huge / 2 + huge / 4
    assert choose_threshold([huge, huge / 2], [0, 1], RecallAtFPR(0.5)).threshold == np.inf


def test_ratio_that_meets_its_bound_exactly_is_feasible():
    scores, labels = np.arange(10.0), np.array([0, 0, 0, 0, 0, 1, 1, 0, 1, 1])
    assert 0.8 * 1 - (1 - 0.8) * 4 > 0  # the linear form rejects 4 of 5 at .8 in floats
    choice = choose_threshold(scores, labels, FPOR(0.8))
    assert (choice.value, choice.bounded_value, choice.feasible) == (1.0, 0.8, True)
    assert not choose_threshold(scores[:-2], labels[:-2], FPOR(np.nextafter(2 / 3, 1))).feasible


def test_edges_of_the_cut_range():
    everything = choose_threshold([3.0, 1.0, 2.0], [1, 1, 0], FROP(1.0))
    assert (everything.threshold, everything.value) == (1.0, 2 / 3)
    nothing = choose_threshold([3.0, 1.0, 2.0], [0, 1, 0], RecallAtFPR(0.25))
    assert nothing.threshold == np.nextafter(3.0, np.inf)
    assert (nothing.value, nothing.bounded_value, nothing.feasible) == (0.0, 0.0, True)


def test_constant_scores_leave_flag_everything_or_nothing():
    constant = choose_threshold(np.zeros(4), [1, 0, 0, 0], FPOR(0.5))
    assert (constant.threshold, constant.bounded_value, constant.feasible) == (0.0, 0.25, False)
    assert choose_threshold(np.zeros(4), [1, 0, 0, 0], FPOR(0.25)).feasible


def test_infeasible_returns_the_best_achievable_bound():
    choice = choose_threshold([4.0, 3.0, 2.0, 1.0], [0, 1, 1, 0], FPOR(0.9))
    assert (choice.feasible, choice.bounded_value, choice.value, choice.threshold) == (False, 2 / 3, 1.0, 1.5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("labels", [[], [0.0, 0.0], [np.nan, np.nan]])
def test_label_without_positives_has_no_threshold(name, labels):
    choice = choose_threshold(np.zeros(len(labels)), np.array(labels), REGISTRY[name](0.5))
    assert math.isnan(choice.threshold) and math.isnan(choice.value) and not choice.feasible
    assert (choice.counts.true_positives, choice.counts.false_positives) == (0.0, 0.0)
    assert choice.counts.true_negatives == sum(label == 0 for label in labels)


@pytest.mark.parametrize("kind", [np, torch])
def test_result_is_of_the_kind_that_came_in(kind):
    scores, labels = [[0.9, 0.1], [0.2, 0.8]], [[1.0, 0.0], [0.0, 1.0]]
    scores, labels = kind.asarray(scores, dtype=kind.float64), kind.asarray(labels)
    choice = choose_threshold(scores, labels, FPOR(0.9))
    one = choose_threshold(scores[:, 0], labels[:, 0], FPOR(0.9))
    for found, shape in [(choice, (2,)), (one, ())]:
        for array in (found.threshold, found.value, found.bounded_value, *astuple(found.counts)[:4], found.feasible):
            assert isinstance(array, torch.Tensor) == (kind is torch)
            assert array.shape == shape
    assert (choice.threshold.dtype, choice.feasible.dtype) == (kind.float64, kind.zeros(0, dtype=bool).dtype)
    np.testing.assert_allclose(choice.threshold, [0.55, 0.45], rtol=1e-15)


def test_scores_with_gradients_are_read():
    scores = torch.tensor([0.0, 1.0], requires_grad=True)
    assert choose_threshold(scores, torch.tensor([False, True]), OFBS()).threshold == 0.5


def test_what_came_in_is_left_alone():
    scores, labels, weights = np.array([3.0, 1.0, 2.0]), np.array([1.0, np.nan, 0.0]), np.array([1.0, 2.0, 0.0])
    copies = scores.copy(), labels.copy(), weights.copy()
    choose_threshold(scores, labels, FPOR(0.5), sample_weight=weights)
    for array, copy in zip((scores, labels, weights), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_objective_must_be_one():
    with pytest.raises(InvalidInputError, match=r"objective must be one of .*, got 'FPOX'; did you mean 'FPOR'\?"):
        choose_threshold([0.0, 1.0], [0, 1], "FPOX", alpha=0.9)
    with pytest.raises(InvalidInputError, match=r"alpha must be given for FPOR"):
        choose_threshold([0.0, 1.0], [0, 1], "FPOR")
    with pytest.raises(InvalidInputError, match=r"alpha and beta must be left out when objective is an instance"):
        choose_threshold([0.0, 1.0], [0, 1], FPOR(0.9), alpha=0.9)
    with pytest.raises(InvalidInputError, match=r"objective must be one of"):
        choose_threshold([0.0, 1.0], [0, 1], 0.9)
    assert choose_threshold([0.0, 1.0], [0, 1], FPOR(0.9)).feasible
    assert choose_threshold([0.0, 1.0], [0, 1], "FPOR", alpha=0.9).feasible


def test_number_of_bounds_must_be_that_of_labels():
    scores, labels = np.eye(2), np.eye(2)
    with pytest.raises(
        InvalidInputError, match=r"min_precision must be one number or one per label \(2\), got 3 numbers"
    ):
        choose_threshold(scores, labels, FPOR((0.7, 0.8, 0.9)))
    assert choose_threshold(scores, labels, FPOR((0.7, 0.8))).feasible.all()


@pytest.mark.parametrize("is_weighted", [False, True])
def test_average_precision_is_exact_and_its_threshold_that_of_f1(is_weighted):
    random = np.random.default_rng(0)
    for _ in range(50):
        scores = random.integers(0, 8, (20, 2)) / 8
        labels = random.choice([0.0, 1.0, np.nan], (20, 2))
        weights = random.integers(0, 3, (20, 2)) / 2 if is_weighted else None
        choice, of_f1 = (
            choose_threshold(scores, labels, objective, sample_weight=weights) for objective in (OAP(), OFBS(1.0))
        )
        np.testing.assert_array_equal(choice.threshold, of_f1.threshold)
        np.testing.assert_array_equal(choice.counts.true_positives, of_f1.counts.true_positives)
        for k in range(2):
            own = [1.0] * 20 if weights is None else weights[:, k].tolist()
            value = oracle.average_precision(scores[:, k].tolist(), labels[:, k].tolist(), own)
            assert choice.value[k] == pytest.approx(value, abs=1e-12, nan_ok=True)
            assert choice.feasible[k] == (value == value)
        assert choice.bounded_value is None
    nothing = choose_threshold([0.5, 0.2], [0, 0], OAP())
    assert np.isnan(nothing.value) and np.isnan(nothing.threshold) and not nothing.feasible
