"""Plans are exact, or log-domain Sinkhorn; where they are not what they should be, they say so."""

import builtins

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import metricopt.transfer
from metricopt import InvalidInputError
from metricopt.transfer.inputs import Classes
from metricopt.transfer.transport import (
    distances_between_classes,
    import_pot,
    joint_of_classes,
    squared_distances,
    transport,
)


def problem(n=12, seed=0):
    random = np.random.default_rng(seed)
    cost = squared_distances(random.normal(size=(n, 3)), random.normal(size=(n, 3)))
    return cost, np.full(n, 1 / n)


@pytest.mark.parametrize("unit", [1.0, 1e-12, 1e12])
def test_the_exact_plan_is_an_assignment(unit):
    cost, mass = problem()
    plan = transport(unit * cost, mass, mass)
    np.testing.assert_array_equal(np.argmax(plan.mass, axis=1), linear_sum_assignment(cost)[1])
    assert plan.caveats == []


def test_weights_are_marginals():
    cost, mass = problem()
    other = np.arange(1.0, 13) / 78
    for regularisation in (0.0, 0.5):
        plan = transport(cost, mass, other, regularisation)
        np.testing.assert_allclose(plan.mass.sum(axis=1), mass, atol=1e-9)
        np.testing.assert_allclose(plan.mass.sum(axis=0), other, atol=1e-9)
        assert plan.caveats == []


def test_a_small_regularisation_is_nearly_exact():
    cost, mass = problem()
    near, exact = transport(cost, mass, mass, 0.3), transport(cost, mass, mass)
    assert near.caveats == []
    cheapest = (exact.mass * cost).sum()
    assert cheapest < (near.mass * cost).sum() < cheapest + 0.3 * np.log(12)  # the entropy at stake


def test_a_plan_short_of_its_marginals_says_so(monkeypatch):
    monkeypatch.setattr(metricopt.transfer.transport, "_SINKHORN_STEPS", 50)
    cost, mass = problem()
    assert "misses its marginals" in transport(cost, mass, mass, 1e-3).caveats[0]
    assert transport(cost, mass, mass, 10.0).caveats == []


def test_distances_survive_an_offset():
    random = np.random.default_rng(0)
    source, target = random.normal(size=(5, 3)), random.normal(size=(4, 3))
    exact = ((source[:, None] - target[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(squared_distances(source, target), exact, rtol=1e-12)
    np.testing.assert_allclose(squared_distances(source + 1e6, target + 1e6), exact, rtol=1e-7)
    assert transport(np.zeros((2, 2)), np.full(2, 0.5), np.full(2, 0.5)).mass.sum() == 1


def test_widths_must_agree():
    with pytest.raises(
        InvalidInputError, match=r"target_features must be as wide as the source's \(3 features\), got 2"
    ):
        squared_distances(np.ones((5, 3)), np.ones((4, 2)))


def test_sums_over_classes():
    source, target = (Classes(np.array([3, 8]), np.array(index)) for index in ([0, 1, 1], [1, 0]))
    mass = np.array([[0.1, 0.2], [0.0, 0.3], [0.4, 0.0]])
    np.testing.assert_allclose(joint_of_classes(mass, source, target), [[0.2, 0.1], [0.3, 0.4]])
    cost = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    np.testing.assert_allclose(distances_between_classes(cost, source, target), [[2.0, 1.0], [5.0, 4.0]])


def test_without_pot_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "ot":
            raise ModuleNotFoundError("No module named 'ot'", name="ot")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'metricopt\[transfer\]'"):
        import_pot()
