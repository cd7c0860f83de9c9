"""What is the Lagrangians' own: their dual steps, and how they differ."""

import time

import numpy as np
import pytest
import torch

from metricopt.evidence.thresholds import choose_threshold
from metricopt.problem.objectives import FPOR, OFBS, RecallAtAlarmRate
from metricopt.solvers.class_weighting import MULTIPLIER_STEP
from metricopt.solvers.exact_penalty import ExactPenalty
from metricopt.solvers.lagrangian import BOUND_PENALTY, DUAL_GROWTH, AugmentedLagrangian, Lagrangian
from metricopt.solvers.paths import PATHS
from tests.solvers.driving import SOLVERS, loss_and_gradient, problem, started

STAGES = list(PATHS)
BOTH = pytest.mark.parametrize("kind", [Lagrangian, AugmentedLagrangian])
FORMS = pytest.mark.parametrize("links", ["equality", "inequality"])


def multipliers_of(solver):
    return solver.state_dict()["of_links"].numpy()[:, 0].astype(np.float64)


def links_of(solver, scores, labels, margin):
    """g of each sample with its stored slack, in its own direction, from the definition."""
    choice = choose_threshold(scores, labels, FPOR(0.8))
    sign = np.where(labels == 1, 1.0, -1.0)[:, 0]
    d = sign * (scores[:, 0] - choice.threshold[0]) / scores.std(dtype=np.float64) - margin
    right = np.where(labels[:, 0] == 1, solver.slacks(), 1 - solver.slacks())
    return np.maximum(right + d - 1, 0) - np.maximum(-right, d)


# Multipliers of the links


@FORMS
@BOTH
def test_multipliers_of_links_move_by_their_violations(kind, links):
    scores, labels = problem(has_missing=True)
    labels[3] = np.nan
    solver = started(kind(links=links), FPOR(0.8), scores, labels, stage=STAGES.index("ramp"), num_steps=10)
    path, num_visits = PATHS["ramp"], solver.stages(200)[1].epochs
    index, moved = np.array([0, 3, 7, 8, 20, 31, 40]), 0
    for step in range(10):
        before = multipliers_of(solver)
        loss_and_gradient(solver, scores, labels, None, index)
        assert (multipliers_of(solver) == before).all()  # they move in step() alone
        solver.step()
        progress = step / 9
        rate = DUAL_GROWTH * 2 * path.strength(progress) ** 2 / num_visits
        expected = before + rate * links_of(solver, scores, labels, path.margin(progress))
        expected = np.maximum(expected, 0) if links == "inequality" else expected
        visited = np.isin(np.arange(len(labels)), index) & ~np.isnan(labels[:, 0])
        np.testing.assert_allclose(multipliers_of(solver)[visited], expected[visited], rtol=1e-4, atol=1e-4)
        assert (multipliers_of(solver)[~visited] == before[~visited]).all()
        moved += (multipliers_of(solver) != before).sum()
    assert moved > 10


@pytest.mark.slow
def test_multipliers_of_inequalities_are_never_negative():
    lowest = {}
    for kind in (Lagrangian, AugmentedLagrangian):
        for links in ("equality", "inequality"):
            rng, (scores, labels) = np.random.default_rng(0), problem()
            solver = started(kind(links=links), FPOR(0.8), scores, labels, num_steps=60)
            seen = []
            for _ in range(60):  # scores that jump: right samples and wrong ones change places
                loss_and_gradient(solver, rng.permutation(scores), labels)
                solver.step()
                seen.append(multipliers_of(solver).min())
            lowest[kind, links] = min(seen)
    assert lowest[Lagrangian, "inequality"] >= 0 and lowest[AugmentedLagrangian, "inequality"] >= 0
    assert lowest[Lagrangian, "equality"] < 0  # the twin that the projection keeps from it


def test_repeated_rows_move_a_multiplier_by_each_of_their_violations():
    scores, labels = problem()
    once, twice = (started(Lagrangian(), FPOR(0.8), scores, labels) for _ in range(2))
    start = multipliers_of(once)
    for solver, index in ((once, np.arange(30)), (twice, np.repeat(np.arange(30), 2))):
        loss_and_gradient(solver, scores, labels, None, index)
        solver.step()
    assert (multipliers_of(once) != start).any()
    np.testing.assert_allclose(multipliers_of(twice) - start, 2 * (multipliers_of(once) - start), rtol=1e-5, atol=1e-7)


# The multiplier of the bound


@pytest.mark.parametrize("kind", SOLVERS)
def test_the_bounds_multiplier_moves_by_the_violation_of_all_slacks(kind):
    objective = FPOR((0.9, 0.3))
    scores, labels = problem(num_labels=2, has_missing=True)
    weight = np.random.default_rng(0).random(labels.shape)
    solver = started(kind(), objective, scores, labels, weight, num_steps=10)
    for step in range(10):
        before = solver.state_dict()["of_bound"].numpy().copy()
        loss_and_gradient(solver, scores, labels, weight, np.arange(step, 60, 4))
        solver.step()
        slack = solver.slacks().reshape(labels.shape).astype(np.float64)
        tp, fp = ((weight * (labels == truth) * slack).sum(axis=0) for truth in (1, 0))
        violation = (np.array([0.9, 0.3]) * (tp + fp) - tp) / (weight * (labels == 1)).sum(axis=0)
        assert np.abs(violation).min() > 1e-4
        expected = np.maximum(before + MULTIPLIER_STEP * violation, 0)
        np.testing.assert_allclose(solver.state_dict()["of_bound"].numpy(), expected, atol=1e-7)
        if kind is AugmentedLagrangian:
            expected = np.maximum(expected + BOUND_PENALTY * violation, 0)
        np.testing.assert_allclose(solver.multiplier(), expected, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SOLVERS)
def test_the_bounds_multiplier_stays_between_zero_and_its_most(kind):
    """Beyond most = 1 an alarm budget would push positives down."""
    labels = np.repeat([1.0, 0.0], [20, 80]).astype(np.float32)[:, np.newaxis]
    good, bad = np.where(labels == 1, 1, -1).astype(np.float32), np.full_like(labels, 50.0)
    solver, seen = started(kind(), RecallAtAlarmRate(0.25), good, labels, num_steps=300), []
    for scores in (bad, good):
        for _ in range(150):
            loss_and_gradient(solver, scores, labels)
            solver.step()
            seen += [solver.multiplier()[0], solver.state_dict()["of_bound"][0].item()]
    assert min(seen) >= 0 and max(seen) == 1  # rose to the most and not beyond


@pytest.mark.parametrize("kind", SOLVERS)
def test_without_a_bound_there_is_no_multiplier(kind):
    scores, labels = problem()
    assert started(kind(), OFBS(1.0), scores, labels).multiplier() is None
    assert started(kind(), FPOR(0.8), scores, labels).multiplier() is not None


# Where the pressure on a broken link comes from


def slope_of_one_sample(solver, distance):
    """The pull on a positive that lies this far below the threshold, in units of its own weight."""
    labels = np.array([[1.0], [0.0], [0.0]], dtype=np.float32)
    scores = np.array([[0.0], [-1e4], [-1e4]], dtype=np.float32)
    solver._slacks._threshold, solver._slacks._spread = np.array([[distance]]), np.ones(1)
    _, gradient = loss_and_gradient(solver, scores, labels)
    return -gradient[0, 0]


@pytest.mark.parametrize(
    ("kind", "start", "growth"), [(Lagrangian, PATHS["polish"].strength(0.0), 1), (AugmentedLagrangian, 0.0, 2)]
)
def test_one_presses_on_all_broken_links_alike_the_other_on_far_ones_more(kind, start, growth):
    labels = np.array([[1.0], [0.0], [0.0]], dtype=np.float32)
    scores, path = np.array([[1.0], [0.0], [-1.0]], dtype=np.float32), PATHS["polish"]
    solver = started(kind(), FPOR(1.0), scores, labels, stage=STAGES.index("polish"))
    assert (multipliers_of(solver) == start).all()
    near, far = (slope_of_one_sample(solver, loss / path.strength(0) - path.margin(0)) for loss in (0.4, 0.8))
    assert near > 0 and far == pytest.approx(growth * near, rel=1e-4)


def test_the_penalty_rises_along_the_path_and_no_further():
    labels = np.array([[1.0], [0.0], [0.0]], dtype=np.float32)
    scores, path = np.array([[1.0], [0.0], [-1.0]], dtype=np.float32), PATHS["polish"]
    solver = started(AugmentedLagrangian(), FPOR(1.0), scores, labels, stage=STAGES.index("polish"), num_steps=12)
    quadratics = []
    for step in range(20):
        of_links = solver._of_links.weight.detach()
        of_links.zero_()  # the penalty alone
        progress = min(step / 11, 1)
        distance = 0.4 / path.strength(progress)  # nearer than 1 / kappa: not given up
        quadratics.append(slope_of_one_sample(solver, distance - path.margin(progress)) / distance)
        solver.step()
    expected = [2 * path.strength(min(step / 11, 1)) ** 2 for step in range(20)]
    np.testing.assert_allclose(quadratics, expected, rtol=1e-4)
    assert quadratics[0] == pytest.approx(2 * 4.0**2) and max(quadratics) == pytest.approx(2 * 32.0**2)
    assert quadratics[11:] == pytest.approx([quadratics[11]] * 9)


@pytest.mark.parametrize(("factor", "is_given_up"), [(0.9, False), (1.1, True)])
def test_a_sample_is_given_up_at_the_distance_of_the_ramps(factor, is_given_up):
    labels = np.array([[1.0], [0.0], [0.0]], dtype=np.float32)
    scores, path = np.array([[1.0], [0.0], [-1.0]], dtype=np.float32), PATHS["polish"]
    solver = started(AugmentedLagrangian(), FPOR(1.0), scores, labels, stage=STAGES.index("polish"))
    pull = slope_of_one_sample(solver, factor / path.strength(0) - path.margin(0))
    assert (pull == 0) == is_given_up
    assert (solver.slacks()[0] < 0.5) == is_given_up


# Cost


def seconds_of_a_step(kind, num_rows, links):
    labels = (np.arange(num_rows) % 10 == 0).astype(np.float32)[:, np.newaxis]
    scores = np.linspace(-1, 1, num_rows, dtype=np.float32)[:, np.newaxis]
    solver, rng, least = started(kind(links=links), FPOR(0.8), scores, labels), np.random.default_rng(0), np.inf
    for _ in range(25):
        index = rng.integers(0, num_rows, 256)
        began = time.perf_counter()
        loss_and_gradient(solver, scores, labels, None, index)
        solver.step()
        least = min(least, time.perf_counter() - began)
    return least


@pytest.mark.slow
@FORMS
@pytest.mark.parametrize("kind", SOLVERS)
def test_a_step_costs_the_batch_and_not_the_data_set(kind, links):
    assert seconds_of_a_step(kind, 1_000_000, links) <= 4 * seconds_of_a_step(kind, 10_000, links)


@pytest.mark.parametrize("kind", SOLVERS)
def test_state_takes_eight_bytes_a_sample_and_label(kind):
    """Slack 4 and multiplier or penalty 4, whatever holds them: all arrays that the solver reaches."""
    scores, labels = problem(2000, num_labels=3)
    solver = started(kind(), FPOR(0.8), scores, labels)
    loss_and_gradient(solver, scores, labels, None, np.arange(10))
    solver.step()
    held = {}
    reach(solver, held, {id(labels)})  # which the caller holds anyway
    assert 8 * labels.size <= sum(held.values()) <= 8 * labels.size + 5000
    assert sorted(held.values())[-2:] == [4 * labels.size] * 2


def reach(thing, held, seen):
    """Note the bytes of every array and tensor below a thing, each memory once."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, torch.Tensor):
        if thing.layout is torch.strided:
            held[thing.untyped_storage().data_ptr()] = thing.untyped_storage().nbytes()
        if thing.grad is not None:
            reach(thing.grad, held, seen)
        if thing.layout is torch.sparse_coo:
            reach(thing._values(), held, seen)
    elif isinstance(thing, np.ndarray):
        owner = thing if thing.base is None else thing.base
        if isinstance(owner, np.ndarray):
            held[owner.__array_interface__["data"][0]] = owner.nbytes
        else:
            reach(owner, held, seen)
    elif isinstance(thing, dict):
        for value in thing.values():
            reach(value, held, seen)
    elif isinstance(thing, (list, tuple)):
        for value in thing:
            reach(value, held, seen)
    elif hasattr(thing, "__dict__") and type(thing).__module__.startswith(("metricopt", "cooper", "torch.optim")):
        reach(vars(thing), held, seen)


def test_the_names_are_those_that_results_speak_of():
    assert [kind.name for kind in (Lagrangian, AugmentedLagrangian, ExactPenalty)] == [
        "lagrangian",
        "augmented_lagrangian",
        "exact_penalty",
    ]
