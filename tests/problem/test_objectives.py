import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from metricopt._validation import InvalidInputError
from metricopt.problem.objectives import FPOR, FROP, OAP, OFBS, RecallAtAlarmRate, RecallAtFPR
from metricopt.problem.ratios import Counts
from metricopt.problem.registry import REGISTRY, get_objective
from tests import oracle

KINDS = {
    "numpy": lambda values: np.asarray(values, float),
    "torch": lambda values: torch.as_tensor(values, dtype=torch.float64),
}


def random_tallies(rng, size):
    """Counts with at least one positive, negative and alarm, so that every ratio is defined."""
    return [rng.integers(1, 20, size), *(rng.integers(0, 20, size) for _ in range(2)), rng.integers(1, 20, size)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bound", [0.8, (0.5, 0.8, 1.0)])
def test_class_weights_are_those_of_the_table(kind, bound):
    array = KINDS[kind]
    mu, tau = array([0.0, 0.7, 3.0]), array([0.1, 0.5, 0.9])
    alpha = array([bound] * 3 if isinstance(bound, float) else bound)
    square = 4.0
    table = {
        FPOR(bound): (1 + mu * (1 - alpha), mu * alpha),
        FROP(bound): ((1 - tau) + mu, tau),
        OFBS(2.0): ((1 + square) - tau, tau),
        # Recall s.t. FP / N <= alpha, and (TP + FP) / (P + N) <= alpha, as FP - alpha N <= 0 and so on.
        RecallAtFPR(bound): (1 + 0 * mu, mu),
        RecallAtAlarmRate(bound): (1 - mu, mu),
    }
    for objective, expected in table.items():
        for found, wanted in zip(objective.class_weights(mu, tau), expected, strict=True):
            assert isinstance(found, type(mu))
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["FPOR", "FROP", "RecallAtFPR", "RecallAtAlarmRate"])
def test_class_weights_are_the_slope_of_the_lagrangian(kind, name):
    """(a - tau b - mu e) falls by w_minus with one more FP, and rises by w_plus with one more TP out of the FN."""
    rng, array = np.random.default_rng(0), KINDS[kind]
    tp, fp, fn, tn = (array(part) for part in random_tallies(rng, 50))
    mu, tau, objective = array(rng.random(50) * 5), array(rng.random(50)), get_objective(name, alpha=0.75)

    def lagrangian(counts):
        ratio = objective.maximised
        return ratio.numerator(counts) - tau * ratio.denominator(counts) - mu * objective.violation(counts) * (tp + fn)

    base = lagrangian(Counts(tp, fp, fn, tn))
    w_plus, w_minus = objective.class_weights(mu, tau)
    np.testing.assert_allclose(lagrangian(Counts(tp + 1, fp, fn - 1, tn)) - base, w_plus, atol=1e-11)
    np.testing.assert_allclose(base - lagrangian(Counts(tp, fp + 1, fn, tn - 1)), w_minus, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["FPOR", "FROP", "RecallAtFPR", "RecallAtAlarmRate"])
def test_violation_is_positive_exactly_where_infeasible(kind, name):
    rng, array = np.random.default_rng(1), KINDS[kind]
    parts = random_tallies(rng, (200, 2))
    counts = Counts(*(array(part) for part in parts))
    bounds = (0.25, 0.75)  # dyadic, so that the violation of a bound met with equality is 0 without rounding
    objective = REGISTRY[name](bounds)
    violation, feasible = objective.violation(counts), objective.feasible(counts)
    assert isinstance(violation, type(counts.true_positives))
    np.testing.assert_array_equal(np.asarray(violation) <= 0, np.asarray(feasible))
    assert 0 < np.asarray(feasible).sum() < feasible.shape[0] * 2
    for k, bound in enumerate(bounds):
        program, single = oracle.program(name, bound), REGISTRY[name](bound)
        for row in range(200):
            tally = tuple(float(part[row, k]) for part in parts)
            met = program.sense * (program.bounded(tally) - bound) >= 0
            assert bool(feasible[row, k]) == met
            assert float(objective.value(counts)[row, k]) == program.value(tally)
            assert float(objective.bounded_value(counts)[row, k]) == program.bounded(tally)
        np.testing.assert_array_equal(single.violation(counts[:, k]), violation[:, k])


def test_violation_of_fpor_and_frop_written_out():
    counts = Counts(6.0, 4.0, 2.0, 88.0)
    assert FPOR(0.75).violation(counts) == (0.75 * 4 - 0.25 * 6) / 8
    assert FROP(0.875).violation(counts) == 0.875 - 6 / 8
    assert OFBS(2.0).violation(counts) == 0.0


def test_feasible_compares_the_ratio_itself():
    assert FPOR(0.8).feasible(Counts(4.0, 1.0, 0.0, 5.0))
    assert FPOR((0.8, 0.9)).feasible(Counts(*np.array([[4.0, 4.0], [1.0, 1.0], [0.0, 0.0], [5.0, 5.0]]))).tolist() == [
        True,
        False,
    ]
    single = Counts(*torch.tensor([4.0, 1.0, 0.0, 5.0], dtype=torch.float32))
    assert FPOR(0.8).feasible(single)
    assert not FPOR(0.81).feasible(single)
    assert FPOR(0.8).feasible(Counts(*torch.tensor([4, 1, 0, 5])))
    assert not FPOR(0.8).feasible(Counts(*torch.tensor([3, 1, 0, 5])))
    assert FPOR(0.75).violation(Counts(*torch.tensor([2, 1, 0, 5]))) == 0.125


@pytest.mark.parametrize("kind", KINDS)
def test_undefined_is_never_feasible(kind):
    no_alarm, no_positive, no_negative = (
        Counts(*KINDS[kind](parts)) for parts in ([0, 0, 3, 5], [0, 2, 0, 5], [2, 0, 1, 0])
    )
    assert not FPOR(0.1).feasible(no_alarm)
    assert FPOR(0.1).violation(no_alarm) == 0.0
    assert RecallAtFPR(0.1).feasible(no_alarm)
    assert not FROP(0.1).feasible(no_positive)
    assert math.isnan(FROP(0.1).violation(no_positive))
    assert not RecallAtFPR(1.0).feasible(no_negative)
    assert OFBS(1.0).feasible(no_alarm)
    assert not OFBS(1.0).feasible(Counts(*KINDS[kind]([0, 0, 0, 5])))


def test_objectives_are_small_frozen_values():
    assert FPOR(0.9) == FPOR(min_precision=0.9) == FPOR(np.float64(0.9))
    assert len({FPOR((0.8, 0.9)), FPOR([0.8, 0.9]), FPOR(np.array([0.8, 0.9]))}) == 1
    assert FPOR(1).bound == 1.0
    with pytest.raises(FrozenInstanceError):
        FPOR(0.9).min_precision = 0.5
    assert FPOR(0.9).with_bound(0.5) == FPOR(0.5)
    assert [objective.metric_name for objective in (FPOR(0.9), FROP(0.9), OFBS(2.0))] == ["recall", "precision", "f2"]
    built_in = {"FPOR", "FROP", "OAP", "OFBS", "RecallAtFPR", "RecallAtAlarmRate"}
    assert built_in <= set(REGISTRY)
    assert all((OAP() if name == "OAP" else REGISTRY[name](0.5)).name == name for name in built_in)


def test_objectives_say_what_they_ask():
    assert str(FPOR(0.9)) == "maximise recall subject to precision >= 0.9"
    assert str(RecallAtFPR((0.1, 0.05))) == "maximise recall subject to false_positive_rate <= (0.1, 0.05)"
    assert str(OFBS(0.5)) == "maximise f0.5"
    assert str(OAP()) == "maximise average_precision"


def test_bound_must_exist_to_be_changed():
    with pytest.raises(InvalidInputError, match=r"^objective must be one with a bound, got OFBS; "):
        OFBS(1.0).with_bound(0.5)
    with pytest.raises(InvalidInputError, match=r"^objective must be one with a bound, got OAP; "):
        OAP().with_bound(0.5)
    assert FROP(0.9).with_bound((0.5, 0.6)).bound == (0.5, 0.6)


def test_bounds_are_dealt_to_labels():
    assert FPOR((0.8, 0.9)).for_labels(2) == (FPOR(0.8), FPOR(0.9))
    assert FPOR(0.8).for_labels(3) == (FPOR(0.8),) * 3
    assert OFBS(2.0).for_labels(2) == (OFBS(2.0),) * 2
    with pytest.raises(
        InvalidInputError,
        match=r"^max_alarm_rate must be one number or one per label \(3\), got 2 numbers; give as many",
    ):
        RecallAtAlarmRate((0.1, 0.2)).for_labels(3)


@pytest.mark.parametrize("bound", [0.0, -0.1, 1.5, math.nan, True, None, "0.9", (0.9, 1.5), [0.9, 0.0], [[0.5, 0.6]]])
@pytest.mark.parametrize("name", ["FPOR", "FROP", "RecallAtFPR", "RecallAtAlarmRate"])
def test_bound_must_be_a_fraction(name, bound):
    says = rf"^{REGISTRY[name].bound_parameter} must be in \(0, 1\], got .*; give a fraction, e\.g\. 0\.9"
    with pytest.raises(InvalidInputError, match=says):
        REGISTRY[name](bound)
    assert REGISTRY[name]((0.9, 1.0)).bound == (0.9, 1.0)


@pytest.mark.parametrize("beta", [0.0, -1.0, math.inf, "2"])
def test_beta_must_be_positive(beta):
    with pytest.raises(
        InvalidInputError, match=r"^beta must be a finite number above 0, got .*; give for example 1\.0"
    ):
        OFBS(beta)
    assert OFBS(0.01).beta == 0.01


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("FPOR", {"alpha": 0.9}, FPOR(0.9)),
        ("FROP", {"alpha": [0.8, 0.9]}, FROP((0.8, 0.9))),
        ("FROP", {"alpha": {"b": 0.9, "a": 0.8}, "label_names": ["a", "b"]}, FROP((0.8, 0.9))),
        ("OFBS", {"beta": 2.0}, OFBS(2.0)),
        ("OFBS", {}, OFBS(1.0)),
        ("RecallAtFPR", {"alpha": 0.1}, RecallAtFPR(0.1)),
        ("RecallAtAlarmRate", {"alpha": 0.1}, RecallAtAlarmRate(0.1)),
        (FPOR(0.7), {}, FPOR(0.7)),
    ],
)
def test_names_stand_for_objectives(name, arguments, expected):
    assert get_objective(name, **arguments) == expected


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("fpor", {"alpha": 0.9}, r"objective must be one of 'FPOR', .*, got 'fpor'; did you mean 'FPOR'\?"),
        ("FRPO", {"alpha": 0.9}, r"objective must be one of .*, got 'FRPO'; did you mean 'F(POR|ROP)'\?"),
        ("accuracy", {}, r"objective must be one of .*, got 'accuracy'; "),
        (7, {}, r"objective must be one of .*, got 7; choose one of them"),
        ("FPOR", {}, r"alpha must be given for FPOR \(min_precision\), got None; give a fraction, e\.g\. alpha=0\.9"),
        ("FPOR", {"alpha": 1.5}, r"min_precision must be in \(0, 1\], got 1\.5; give a fraction"),
        ("FPOR", {"alpha": 0.9, "beta": 1.0}, r"beta must be left out for FPOR, got 1\.0; FPOR takes alpha"),
        ("OFBS", {"alpha": 0.9}, r"alpha must be left out for OFBS, got 0\.9; OFBS takes beta"),
        (
            "FPOR",
            {"alpha": {"a": 0.9}},
            r"alpha must be a number while label_names is not given, got \{'a': 0\.9\}; pass",
        ),
        (FPOR(0.9), {"alpha": 0.9}, r"alpha and beta must be left out when objective is an instance, got alpha=0\.9, "),
    ],
)
def test_what_names_nothing_is_refused(name, arguments, says):
    with pytest.raises(InvalidInputError, match=f"^{says}"):
        get_objective(name, **arguments)


def test_average_precision_takes_neither_number():
    assert get_objective("OAP") == OAP() == get_objective(OAP())
    for number in ({"alpha": 0.9}, {"beta": 2.0}):
        (name,) = number
        with pytest.raises(InvalidInputError, match=f"^{name} must be left out for OAP, .*; OAP takes neither"):
            get_objective("OAP", **number)


def test_only_average_precision_takes_its_threshold_from_another_metric():
    assert OAP().threshold_objective == OFBS(1.0)
    assert all(objective.threshold_objective is objective for objective in (FPOR(0.9), OFBS(2.0)))
    assert OAP().for_labels(3) == (OAP(),) * 3 and OAP().bound is None and OAP().bounded is None
