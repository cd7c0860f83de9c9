import numpy as np
import pytest

from metricopt.evidence.thresholds import choose_threshold
from metricopt.problem.objectives import FPOR, FROP, OFBS
from metricopt.solvers import Profiled
from metricopt.solvers.exact_penalty import TOLERANCE, ExactPenalty
from metricopt.solvers.paths import PATHS
from metricopt.solvers.reformulation import link
from tests.solvers.driving import loss_and_gradient, problem, started

STAGES = list(PATHS)


def penalties_of(solver):
    return solver.state_dict()["penalties"].numpy().astype(np.float64)


def distance_of(scores, labels, objective, margin):
    """In each sample's own direction, margin subtracted."""
    choice = choose_threshold(scores, labels, objective)
    sign = np.where(labels == 1, 1.0, -1.0)
    return sign * (scores - choice.threshold) / scores.std(axis=0, dtype=np.float64) - margin


def violation_of(solver, scores, labels, margin):
    """g of each sample with its stored slack, from the definition."""
    d = distance_of(scores, labels, FPOR(0.8), margin)[:, 0]
    right = np.where(labels[:, 0] == 1, solver.slacks(), 1 - solver.slacks())
    return np.maximum(right + d - 1, 0) - np.maximum(-right, d)


# Penalties


@pytest.mark.parametrize("slack_step", ["exact", "gradient"])
@pytest.mark.parametrize("links", ["equality", "inequality"])
def test_only_broken_links_grow_and_no_further_than_the_path(links, slack_step):
    scores, labels = problem(has_missing=True)
    path, num_visits = PATHS["ramp"], 6
    solver = ExactPenalty(links=links, slack_step=slack_step)
    solver.prepare(FPOR(0.8), labels, None)
    stage = next(stage for stage in solver.stages(57) if stage.name == "ramp")
    solver.start(type(stage)("ramp", num_visits), num_steps=200)  # slowly: the margin stays where it was
    solver.refresh(scores, labels, None)
    if slack_step == "gradient":
        solver._slacks.values[:] = 0.5  # right samples have slacks left to gain: g < 0, broken as an equality alone
    growth, index = (path.strength(1) / path.strength(0)) ** (1 / (num_visits - 1)), np.arange(0, 60, 2)
    assert (penalties_of(solver) == path.strength(0)).all()
    for step in range(12):
        before, slacks = penalties_of(solver), solver.slacks()
        loss_and_gradient(solver, scores, labels, None, index)
        margin = path.margin(step / 199)
        current = solver.slacks()
        if slack_step == "gradient":  # which links are broken is seen before the slacks move
            solver._slacks.values[:] = slacks
        violation = violation_of(solver, scores, labels, margin)
        solver._slacks.values[:] = current
        solver.step()
        is_broken = np.abs(violation) > TOLERANCE if links == "equality" else violation > TOLERANCE
        is_broken &= ~np.isnan(labels[:, 0]) & np.isin(np.arange(60), index)
        expected = np.where(is_broken, np.minimum(before * growth, path.strength(1)), before)
        np.testing.assert_allclose(penalties_of(solver), expected, rtol=1e-5)
        assert (penalties_of(solver)[~is_broken] == before[~is_broken]).all()
    assert penalties_of(solver).max() == path.strength(1) and penalties_of(solver).min() == path.strength(0)


def test_a_link_that_breaks_at_every_visit_reaches_the_end_of_the_path_at_the_last():
    labels = np.repeat([1.0, 0.0], [5, 15]).astype(np.float32)[:, np.newaxis]
    scores, near = np.zeros_like(labels), 0.03  # nearer than the steepest ramp is wide
    path, solver = PATHS["ramp"], ExactPenalty()
    solver.prepare(FPOR(0.8), labels, None)
    stage = next(stage for stage in solver.stages(200) if stage.name == "ramp")
    solver.start(stage, num_steps=1000 * stage.epochs)  # slowly: the margin hardly shrinks
    solver.refresh(scores, labels, None)
    solver._slacks._threshold = np.array([[near - path.margin(0)]])  # positives miss the margin by so much, for good
    seen = []
    for _ in range(stage.epochs):
        seen.append(penalties_of(solver)[0])
        loss_and_gradient(solver, scores, labels)
        solver.step()
    assert (np.diff(seen) > 0).all() and (solver._slacks._spread == 1).all()
    assert seen[0] == path.strength(0) and seen[-1] == pytest.approx(path.strength(1), rel=1e-4)


def test_a_sample_that_is_given_up_keeps_its_penalty():
    """Its slack says what its score says, so its link is whole."""
    scores, labels = problem()
    solver = started(ExactPenalty(), FPOR(0.8), 100 * scores * (2 * labels - 1), labels, stage=STAGES.index("polish"))
    far = np.where(labels == 1, -1e4, 1e4).astype(np.float32)
    before = penalties_of(solver)
    _, gradient = loss_and_gradient(solver, far, labels)
    solver.step()
    np.testing.assert_array_equal(solver.slacks(), 1 - labels[:, 0])
    assert (penalties_of(solver) == before).all() and (gradient == 0).all()


def test_a_row_that_is_twice_in_a_batch_grows_once():
    scores, labels = problem()
    ends = []
    for index in (np.arange(60), np.repeat(np.arange(60), 2)):
        solver = started(ExactPenalty(), FPOR(0.8), scores, labels)
        loss_and_gradient(solver, scores, labels, None, index)
        solver.step()
        ends.append(penalties_of(solver))
    np.testing.assert_array_equal(*ends)
    assert len(np.unique(ends[0])) == 2


# An eliminated slack is the same problem


def gradients(objective, stage, has_missing=True):
    """Of the explicit and of the eliminated slacks on the same first batch, with weights and two labels."""
    scores, labels = problem(num_labels=2, has_missing=has_missing)
    scores = scores + 0.3 * np.random.default_rng(4).normal(size=scores.shape).astype(np.float32)
    weight = np.random.default_rng(1).random(labels.shape) + 0.2
    index = np.arange(0, 60, 2)
    found = [
        loss_and_gradient(started(solver, objective, scores, labels, weight, STAGES.index(stage)), scores, labels,
                          weight, index)[1]
        for solver in (ExactPenalty(), Profiled())
    ]  # fmt: skip
    path = PATHS[stage]
    choice = choose_threshold(scores, labels, objective, sample_weight=weight)
    spread = np.sqrt([np.cov(scores[:, label], aweights=weight[:, label], ddof=0) for label in (0, 1)])
    u = np.where(labels == 1, 1, -1) * (scores - choice.threshold) / spread
    return *found, (u - path.margin(0))[index], choice, labels[index]


@pytest.mark.parametrize("stage", ["polish", "wide polish"])
def test_of_ramps_at_least_one_steep_it_is_the_same(stage):
    """FPOR(1) at the multiplier 1 weighs both classes alike, so that the margin centres either ramp."""
    explicit, eliminated, _, _, _ = gradients(FPOR(1.0), stage)
    np.testing.assert_allclose(explicit, eliminated, atol=1e-6)
    assert np.abs(explicit).max() > 0


@pytest.mark.parametrize("objective", [FPOR(0.8), FROP(0.7), OFBS(2.0)], ids=str)
def test_of_the_heavier_class_it_is_the_same_and_the_lighter_one_keeps_the_width(objective):
    """Differs from the eliminated slack, whose ramps of the lighter class are narrower by its weight."""
    explicit, eliminated, _, choice, labels = gradients(objective, "wide polish")
    multiplier = np.ones(2) if objective.bounded else np.zeros(2)
    is_heavier = labels == np.greater(*objective.class_weights(multiplier, choice.value))
    np.testing.assert_allclose(explicit[is_heavier], eliminated[is_heavier], atol=1e-6)
    assert np.abs(explicit[is_heavier]).max() > 0
    assert np.abs(explicit - eliminated)[~is_heavier & ~np.isnan(labels)].max() > 1e-4


@pytest.mark.parametrize("stage", ["strict hinge", "hinge", "wide hinge"])
@pytest.mark.parametrize("objective", [FPOR(0.8), FROP(0.7), OFBS(2.0)], ids=str)
def test_of_hinges_it_is_the_same_within_a_spread_where_the_link_is_flat_beyond(objective, stage):
    """Up to the cap, which is a scale of the loss."""
    explicit, eliminated, d, _, labels = gradients(objective, stage)
    is_near = (d > -1) & ~np.isnan(labels)
    np.testing.assert_allclose(PATHS[stage].height(0) * explicit[is_near], eliminated[is_near], rtol=1e-4, atol=1e-6)
    assert (explicit[is_near & (d < 0)] != 0).all()
    assert (explicit[~is_near] == 0).all()


def test_of_a_hinge_at_its_end_it_is_the_same_everywhere():
    scores, labels = problem()
    threshold = choose_threshold(scores, labels, FPOR(0.8)).threshold
    near = (threshold + np.linspace(0.02, 1, 60)[:, np.newaxis] * (scores - threshold)).astype(np.float32)
    ends = []
    for solver in (ExactPenalty(), Profiled()):
        started(solver, FPOR(0.8), scores, labels, stage=STAGES.index("hinge"), num_steps=2)
        loss_and_gradient(solver, scores, labels)
        solver.step()  # to the end of the path, the multipliers apart by now
        if isinstance(solver, ExactPenalty):
            solver._penalties[:] = PATHS["hinge"].strength(1)
            solver._of_bound = np.array([0.7])
        else:
            solver._multiplier = np.array([0.7])
        ends.append(loss_and_gradient(solver, near, labels)[1])
    np.testing.assert_allclose(*ends, atol=1e-6)
    assert np.abs(ends[0]).max() > 0


def test_the_link_of_the_judge_is_that_of_the_package():
    import torch

    scores, labels = problem()
    solver = started(ExactPenalty(), FPOR(0.8), scores, labels)
    right = np.where(labels[:, 0] == 1, solver.slacks(), 1 - solver.slacks()).astype(np.float64)
    d = distance_of(scores, labels, FPOR(0.8), 0.1)[:, 0]
    expected = link(torch.from_numpy(right), torch.from_numpy(d))
    np.testing.assert_allclose(violation_of(solver, scores, labels, 0.1), expected)
