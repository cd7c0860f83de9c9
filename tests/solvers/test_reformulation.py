import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.nn.functional import binary_cross_entropy_with_logits

from metricopt.solvers.array_steps import Ramps, array_errors
from metricopt.solvers.reformulation import (
    closed_form_slack,
    eliminated_penalty,
    hinge_to_ramp,
    link,
    ramp,
    tie_margin,
)

NAN = torch.nan
SLACKS = st.floats(0, 1)
DISTANCES = st.floats(-50, 50).filter(lambda u: abs(u) > 1e-6)
WEIGHTS = st.floats(0.01, 1)
CLASSES = st.sampled_from([0.0, 1.0])


def double(value):
    return torch.tensor(value, dtype=torch.float64)


def penalised_term(slack, u, label, weight, steepness, margin):
    """What one sample with this slack adds to the penalised program: the definition, term by term."""
    if label == 1:
        return -weight * slack + steepness * link(slack, u - margin).clamp(min=0)
    return weight * slack + steepness * (-link(slack, u + margin)).clamp(min=0)


# The link


@given(SLACKS, DISTANCES)
@example(1.0, 0.85)  # slack + u is rounded before 1 is taken off: 1.1e-16 instead of 0
def test_link_is_the_distance_of_the_slack_to_the_indicator_cut_off_at_the_distance_to_the_threshold(slack, u):
    found = link(double(slack), double(u)).item()
    assert abs(found) == pytest.approx(min(abs(slack - (u > 0)), abs(u)), abs=1e-12)
    assert found <= 1e-12 if u > 0 else found >= -1e-12


@given(DISTANCES)
def test_link_vanishes_at_the_indicator_alone(u):
    indicator = float(u > 0)
    assert link(double(indicator), double(u)).item() == pytest.approx(0, abs=1e-12)
    assert abs(link(double(1 - indicator), double(u))).item() == pytest.approx(min(1, abs(u)))


@given(SLACKS)
def test_link_sees_nothing_at_a_tie(slack):
    """So the constant model at the threshold satisfies every constraint, whatever its slacks claim."""
    assert link(double(slack), double(0.0)) == 0


@given(st.floats(1e-3, 1))
def test_a_margin_makes_a_tie_break_the_link_of_slacks_that_claim_the_labels(margin):
    positive = link(double(1.0), double(0.0 - margin)).item()
    negative = link(double(0.0), double(0.0 + margin)).item()
    assert positive == pytest.approx(margin)  # g <= 0 is asked of positives
    assert negative == pytest.approx(-margin)  # g >= 0 is asked of negatives


@given(st.floats(0.05, 0.9), DISTANCES)
def test_link_is_flat_in_the_slack_beyond_the_distance(slack, u):
    """Gradient steps on slacks alone drift from the model: DESIGN's reason to solve for the slack."""
    moving = double(slack).requires_grad_()
    (slope,) = torch.autograd.grad(link(moving, double(u)), moving)
    error = abs(slack - (u > 0))
    if abs(error - abs(u)) > 1e-9:
        assert slope.item() == (0 if error > abs(u) else 1)


# The slack, solved and eliminated


def own_direction(u, label, margin):
    """Every sample seen in its own direction: where it is right by the margin, u is positive."""
    return u - margin if label == 1 else -(u + margin)


def lagrangian_term(right, u, gain, multiplier, penalty, quadratic):
    g = link(right, u.expand_as(right))
    return -gain * right + multiplier * g + penalty * g.abs() + quadratic / 2 * g**2


@given(st.floats(-3, 3), st.floats(-1, 5), st.floats(-4, 20), st.floats(0, 20), st.sampled_from([0.0, 0.5, 4.0, 512.0]))
def test_closed_form_slack_is_the_best_of_a_fine_grid(u, gain, multiplier, penalty, quadratic):
    terms = {"gain": gain, "multiplier": multiplier, "penalty": penalty, "quadratic": quadratic}
    right = closed_form_slack(np.array([u]), **terms)
    grid = torch.linspace(0, 1, 2001, dtype=torch.float64)
    found = lagrangian_term(double(right), double(u), *terms.values()).item()
    assert 0 <= right[0] <= 1
    assert found <= lagrangian_term(grid, double(u), *terms.values()).min().item() + 1e-9


@given(st.floats(-3, 3), st.floats(0, 5), st.floats(0, 20), st.sampled_from([0.5, 4.0, 512.0]))
def test_closed_form_slack_minimises_the_inequality_form_too(u, gain, multiplier, quadratic):
    def term(right):
        g = link(right, double(u).expand_as(right))
        return -gain * right + ((multiplier + quadratic * g).clamp(min=0) ** 2 - multiplier**2) / (2 * quadratic)

    right = closed_form_slack(np.array([u]), gain=gain, multiplier=multiplier, quadratic=quadratic)
    grid = torch.linspace(0, 1, 2001, dtype=torch.float64)
    assert term(double(right)).item() <= term(grid).min().item() + 1e-9


@pytest.mark.parametrize("label", [0, 1])
def test_the_link_reads_the_same_in_each_samples_own_direction(label):
    s, u = torch.rand(500, dtype=torch.float64), torch.randn(500, dtype=torch.float64)
    right = s if label == 1 else 1 - s
    sign = 1 if label == 1 else -1
    torch.testing.assert_close(link(right, own_direction(u, label, 0.0)), sign * link(s, u))


@given(st.floats(-3, 3), CLASSES, WEIGHTS, st.floats(1, 30))
def test_eliminated_penalty_is_the_minimum_over_the_slack(u, label, weight, steepness):
    margin = tie_margin(weight, steepness)
    right = double(closed_form_slack(np.array([own_direction(u, label, margin)]), gain=weight, penalty=steepness))
    slack = right if label == 1 else 1 - right
    least = penalised_term(slack, double(u), label, weight, steepness, tie_margin(weight, steepness)).item()
    least += weight * label  # positives gain weight * slack: count what they miss
    found = eliminated_penalty(double([u]), double([label]), weight, steepness).item()
    assert found == pytest.approx(least / weight, abs=1e-9)


def test_eliminated_penalty_is_half_an_error_at_a_tie():
    """The margin at work: no slack makes a constant model look right."""
    u, labels = torch.zeros(2, 1), torch.tensor([[1.0], [0.0]])
    for steepness in (0.5, 1.0, 32.0):
        assert eliminated_penalty(u, labels, 1.0, steepness).tolist() == [[0.5], [0.5]]


@given(DISTANCES, CLASSES, st.floats(0.05, 30), st.floats(1, 30))
def test_hinge_to_ramp_bounds_the_error_from_above_and_tightly(u, label, steepness, cap):
    is_error = float((u > 0) != (label == 1))
    found = hinge_to_ramp(double([u]), double([label]), steepness, cap).item()
    assert is_error <= found <= max(1.0, cap)
    if abs(u) * steepness >= 1:
        assert hinge_to_ramp(double([u]), double([label]), steepness, 1.0).item() == pytest.approx(is_error)


def test_hinge_to_ramp_counts_a_tie_as_an_error_of_either_class():
    assert hinge_to_ramp(torch.zeros(2), torch.tensor([1.0, 0.0]), 3.0, 20.0).tolist() == [1.0, 1.0]


@given(st.floats(-3, 3).filter(lambda u: abs(u) > 1e-3), CLASSES, WEIGHTS)
def test_steep_ramps_are_the_error_itself(u, label, weight):
    is_error = float((u > 0) != (label == 1))
    assert eliminated_penalty(double([u]), double([label]), weight, 1e4).item() == is_error
    assert hinge_to_ramp(double([u]), double([label]), 1e4, 1.0).item() == is_error


def test_missing_labels_weigh_nothing():
    u, labels = torch.tensor([-3.0, 3.0]), torch.tensor([NAN, NAN])
    assert eliminated_penalty(u, labels, 1.0, 1.0).tolist() == [0.0, 0.0]
    assert hinge_to_ramp(u, labels, 1.0, 5.0).tolist() == [0.0, 0.0]


# Gradients


def batch_away_from_kinks(offset, slopes, height, shape=(40, 2)):
    """Distances whose lifted value is at least 0.01 from both ends of the ramp; labels with NaN; weights."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, shape, generator=draw).double()
    u = torch.randn(shape, generator=draw, dtype=torch.float64)
    signed_slope = torch.where(labels == 1, slopes[1], -slopes[0])
    lifted = offset - signed_slope * u
    near = (lifted.abs() < 0.01) | ((lifted - height).abs() < 0.01)
    u = torch.where(near, u + 0.05 / signed_slope, u)
    labels[::7] = NAN
    return u.requires_grad_(), labels, torch.rand(shape, generator=draw, dtype=torch.float64)


SURROGATES = {
    "eliminated_penalty": (lambda u, labels: eliminated_penalty(u, labels, 0.7, 1.3), 0.5, 1.3 / 0.7, 1.0),
    "hinge_to_ramp": (lambda u, labels: hinge_to_ramp(u, labels, 1.3, 2.0), 1.0, 1.3, 2.0),
}


@pytest.mark.parametrize("name", SURROGATES)
def test_gradients_of_surrogates_are_finite_differences(name):
    surrogate, offset, slope, height = SURROGATES[name]
    u, labels, _ = batch_away_from_kinks(offset, double([[slope] * 2] * 2), height)
    assert gradcheck(lambda u: surrogate(u, labels), u)
    (gradient,) = torch.autograd.grad(surrogate(u, labels).sum(), u)
    inside = gradient != 0
    assert 0 < inside.sum() < gradient.numel()
    torch.testing.assert_close(gradient[inside].abs(), torch.full_like(gradient[inside], slope))


def test_gradients_of_the_link_are_finite_differences():
    slack = torch.linspace(0.03, 0.97, 12, dtype=torch.float64).requires_grad_()
    u = torch.linspace(-1.51, 1.49, 12, dtype=torch.float64).requires_grad_()
    assert gradcheck(link, (slack, u))


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("has_missing", [False, True])
@pytest.mark.parametrize(("offset", "height", "anchor"), [(0.5, 1.0, None), (1.0, 3.0, None), (1.0, 3.0, [0.2, 0.0])])
def test_a_step_takes_the_ramps_summed_by_class(offset, height, anchor, has_missing, is_weighted):
    slopes, threshold, cost = double([[0.7, 2.0], [1.1, 0.3]]), double([0.4, -2.0]), double([[0.3, 1.0], [2.0, 0.1]])
    u, labels, weight = batch_away_from_kinks(offset, slopes, height)
    labels = labels if has_missing else labels.nan_to_num()
    weight = weight if is_weighted else None
    slope = torch.where(labels == 1, slopes[1], slopes[0])
    held = (~labels.isnan()).double() if weight is None else weight * ~labels.isnan()
    plain = ramp(u, labels, offset=offset, slope=slope, height=height) * held
    by_class = torch.stack([(plain * (labels == truth)).sum(dim=0) for truth in (0, 1)])
    total = (cost * by_class).sum()
    if anchor is not None:
        truth = labels.nan_to_num()
        entropy = binary_cross_entropy_with_logits(u + threshold, truth, held, reduction="none")
        total = total + (double(anchor) * entropy).sum()

    scores = torch.where(labels.isnan(), torch.inf, u.detach() + threshold)  # that of a missing label does not matter
    arrays = (None if each is None else each.numpy() for each in (scores, labels, weight))
    ramps = Ramps(threshold.numpy(), slopes.numpy(), cost.numpy(), None, offset, height)
    errors, loss, derivatives = array_errors(
        *arrays, ramps._replace(anchor=None if anchor is None else np.array(anchor))
    )
    torch.testing.assert_close(torch.from_numpy(errors), by_class.detach())
    assert loss == pytest.approx(total.item())
    torch.testing.assert_close(torch.from_numpy(derivatives), torch.autograd.grad(total, u)[0])
