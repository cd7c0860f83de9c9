import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from metricopt.losses import TightRecallAtPrecision
from metricopt.losses.tight_sigmoid import DELTA, EPSILON, GAMMA, LIFT, lower_curve, upper_curve

GRID = torch.linspace(-20, 20, 400_001, dtype=torch.float64)
STEP = (GRID >= 0).double()


def test_the_curves_bound_the_indicator():
    upper, lower = upper_curve(GRID) - STEP, STEP + LIFT - lower_curve(GRID)
    assert upper.min() >= 0 and lower.min() >= 0
    assert (lower_curve(GRID) <= upper_curve(GRID)).all()


def test_how_tight_the_bounds_are():
    upper, lower = upper_curve(GRID), lower_curve(GRID) - LIFT
    # Far away: 0 and 1 + LIFT, of which LIFT is what the constraint takes off the positives.
    assert upper[0] < 1e-12 and upper[-1] == pytest.approx(1 + LIFT)
    assert lower[0] == pytest.approx(-LIFT) and lower[-1] == pytest.approx(1)
    # All of the rise lies in an interval of epsilon beside the step.
    outside = GRID <= -EPSILON
    assert (upper[outside] <= DELTA + 1e-12).all()
    inside = GRID >= EPSILON
    assert (1 - lower[inside] <= LIFT - DELTA + 1e-12).all()
    # The area between bound and indicator on [-1, 1], where that of the hinges is 1.
    near = GRID.abs() <= 1
    bounds = {0.534: upper - STEP, 0.882: STEP - lower, 1.0: 1 + GRID - STEP}
    for area, gap in bounds.items():
        assert 2 * gap[near].mean().item() == pytest.approx(area, abs=1e-3)


def test_the_constants_are_those_of_the_paper():
    """It reports slope 6.85 and shifts 1.59 and -3.54, fitted numerically."""
    parameters = {}
    for name, first, last in (("upper", -EPSILON, 0.0), ("lower", 0.0, EPSILON)):

        def misfit(guess, first=first, last=last):
            def curve(z):
                return (1 + GAMMA * DELTA) / (1 + np.exp(-(guess[0] * z + guess[1])))

            return (DELTA - curve(first)) ** 2 + (1 + DELTA - curve(last)) ** 2

        parameters[name] = minimize(misfit, [1.0, 0.0], options={"gtol": 1e-9}).x
    assert parameters["upper"] == pytest.approx([6.85, 1.59], abs=0.006)
    assert parameters["lower"] == pytest.approx([6.85, -3.54], abs=0.006)
    grid = np.linspace(-2, 2, 101)
    for curve, (slope, shift) in ((upper_curve, parameters["upper"]), (lower_curve, parameters["lower"])):
        expected = (1 + GAMMA * DELTA) / (1 + np.exp(-(slope * grid + shift)))
        np.testing.assert_allclose(curve(torch.from_numpy(grid)), expected, atol=1e-4)


@pytest.mark.parametrize("center", [-1.0, 3.0])
def test_value_is_the_published_formula(center):
    rng = np.random.default_rng(6)
    labels = (rng.random(60) < 0.4).astype(float)
    scores = rng.normal(size=60) * 0.3 + center * (2 * labels - 1)
    slope, upper_shift, lower_shift = 6.850769, 1.595049, -3.543028
    lower, upper = (1.245 / (1 + np.exp(-(slope * scores + shift))) for shift in (lower_shift, upper_shift))
    tp, fp, p = (lower * labels).sum(), (upper * (1 - labels)).sum(), labels.sum()
    violation = -tp + 0.8 / 0.2 * fp + 0.245 * p
    assert (violation > 0) == (center < 0)
    loss = TightRecallAtPrecision(0.8, penalty=50.0).prepare(labels)
    value = loss(torch.from_numpy(scores), torch.from_numpy(labels)).item()
    assert value == pytest.approx((-tp + 50.0 * max(0, violation)) / p, rel=1e-5)


@given(st.lists(st.tuples(st.floats(-3, 3), st.sampled_from([0.0, 1.0])), min_size=1, max_size=30))
def test_where_the_relaxed_bound_holds_precision_holds(rows):
    scores, labels = torch.tensor(rows, dtype=torch.float64).unbind(dim=1)
    mild, strict = (TightRecallAtPrecision(0.6, penalty).prepare(labels)(scores, labels) for penalty in (1.0, 2.0))
    if mild == strict:  # nothing was penalised
        alarms = scores >= 0
        assert (alarms & (labels == 1)).sum() >= 0.6 * alarms.sum() - 1e-9
