import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from metricopt._validation import InvalidInputError
from metricopt.evidence.thresholds import choose_threshold
from metricopt.problem.objectives import FPOR, FROP, OAP, OFBS, RecallAtAlarmRate, RecallAtFPR
from metricopt.problem.ratios import Counts
from metricopt.solvers import Profiled
from metricopt.solvers.class_weighting import MULTIPLIER_STEP
from metricopt.solvers.paths import LINEAR_PATHS, NETWORK_PATHS, PATHS, stages_of

OBJECTIVES = [FPOR(0.8), FROP(0.7), OFBS(2.0), RecallAtFPR(0.1), RecallAtAlarmRate(0.3)]
PER_LABEL = [FPOR((0.8, 0.6, 0.9)), FROP((0.7, 0.5, 0.9)), RecallAtFPR((0.1, 0.2, 0.05)), RecallAtAlarmRate((0.3,) * 3)]
NUM_STEPS = 30


def problem(num_rows=80, num_labels=1, seed=0, has_missing=False):
    """Scores that tell the classes apart a little; every label has both classes."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((num_rows, num_labels)) < 0.3).astype(np.float32)
    labels[0], labels[1] = 1, 0
    scores = (labels + rng.normal(size=labels.shape)).astype(np.float32)
    if has_missing:
        labels[5::7] = np.nan
    return scores, labels


def started(objective, scores, labels, weight=None, stage=0, seen=None):
    """A solver at the first step of a stage; its threshold is chosen on ``seen``, by default on the same samples."""
    solver = Profiled()
    solver.prepare(objective, labels, weight)
    solver.start(solver.stages(200)[stage], NUM_STEPS)
    solver.refresh(*(seen or (scores, labels, weight)))
    return solver


def tensors(*arrays):
    return [None if array is None else torch.from_numpy(np.array(array)).float() for array in arrays]


def loss_and_gradient(solver, scores, labels, weight=None):
    scores, labels, weight = tensors(scores, labels, weight)
    scores.requires_grad_()
    loss = solver.loss(scores, labels, weight)
    (gradient,) = torch.autograd.grad(loss, scores)
    return loss.item(), gradient.numpy()


def train(solver, scores, labels, num_steps, weight=None):
    """Let the scores themselves descend; return the losses and multipliers on the way."""
    scores, trail = scores.copy(), []
    for number in range(num_steps):
        loss, gradient = loss_and_gradient(solver, scores, labels, weight)
        solver.step()
        scores -= 0.5 * gradient
        if number % 5 == 4:
            solver.refresh(scores, labels, weight)
        trail.append((loss, None if solver.multiplier() is None else solver.multiplier().tolist()))
    return trail, scores


def at_the_end(objective, scores, labels, weight=None, stage=0):
    """A solver at the end of a path, where a sample far from the threshold counts as one error or none."""
    solver = started(objective, scores, labels, weight)
    solver.start(solver.stages(200)[stage], 1)
    loss_and_gradient(solver, scores, labels, weight)
    solver.step()
    return solver


def far_from(threshold, labels, seed=3):
    """Scores a thousand above or below the threshold at random, and the counts that they make by label."""
    is_alarm = np.random.default_rng(seed).random(labels.shape) < np.where(labels == 1, 0.8, 0.15)
    return (threshold + np.where(is_alarm, 1000, -1000)).astype(np.float32), is_alarm


def count(is_alarm, labels, weight=None):
    weight = np.ones(labels.shape) if weight is None else weight
    groups = [(1, is_alarm), (0, is_alarm), (1, ~is_alarm), (0, ~is_alarm)]
    return Counts(*(np.where((labels == truth) & flagged, weight, 0).sum(axis=0) for truth, flagged in groups))


# Stages


def test_stages_share_out_the_epochs():
    for epochs in (1, 2, 7, 40, 200):
        assert Profiled().stages(epochs) == stages_of(epochs, LINEAR_PATHS)
        assert Profiled().stages(epochs, is_linear=False) == stages_of(epochs, NETWORK_PATHS)


def test_longer_trainings_run_more_paths():
    assert len(Profiled().stages(1)) < len(Profiled().stages(200))


# The loss and the violation of a batch


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("objective", [o for o in (*OBJECTIVES, *PER_LABEL) if o.bounded], ids=str)
def test_multiplier_moves_by_the_violation_of_the_counts(objective, is_weighted):
    scores, labels = problem(num_labels=3, has_missing=True)
    weight = np.random.default_rng(1).random(labels.shape) if is_weighted else None
    solver = at_the_end(objective, scores, labels, weight)
    far, is_alarm = far_from(choose_threshold(scores, labels, objective, sample_weight=weight).threshold, labels)
    before = solver.multiplier()
    loss_and_gradient(solver, far, labels, weight)
    solver.step()
    violation = objective.violation(count(is_alarm, labels, weight))
    assert (solver.multiplier() > 0).all() and np.abs(violation).min() > 1e-3
    np.testing.assert_allclose((solver.multiplier() - before) / MULTIPLIER_STEP, violation, atol=1e-4)


def test_ramps_of_networks_take_over_from_cross_entropy():
    scores, labels = problem()
    batch, truth = tensors(scores, labels)
    solver = Profiled(path="guided ramp")
    solver.prepare(FPOR(0.8), labels, None)
    solver.start(solver.stages(8, is_linear=False)[0], NUM_STEPS)
    solver.refresh(scores, labels, None)
    entropy = binary_cross_entropy_with_logits(batch, truth, reduction="sum").item() / labels.sum()
    ramps = []
    for step in range(NUM_STEPS):
        ramps.append(solver.loss(batch, truth).item() - entropy)
        solver._multiplier[:], solver._position._step = 1.0, step + 1
    assert ramps[0] == pytest.approx(0, abs=1e-5)
    assert 0 < ramps[1] < 0.1 * ramps[-1]


@pytest.mark.parametrize("stage", range(len(Profiled().stages(200))))
@pytest.mark.parametrize("objective", [*OBJECTIVES, *PER_LABEL], ids=str)
def test_loss_weighs_errors_as_the_objective_says(objective, stage):
    """Per positive, averaged over labels, with the larger weight of the two classes scaled to 1; beside its anchor."""
    scores, labels = problem(num_labels=3, has_missing=True)
    solver = at_the_end(objective, scores, labels, stage=stage)
    choice = choose_threshold(scores, labels, objective)
    far, is_alarm = far_from(choice.threshold, labels)
    counts = count(is_alarm, labels)
    anchor = PATHS[Profiled().stages(200)[stage].name].anchor
    logits, present = torch.from_numpy(far).double(), ~np.isnan(labels)
    entropy = binary_cross_entropy_with_logits(logits, torch.from_numpy(labels).nan_to_num().double(), reduction="none")
    expected_of_anchor = anchor * (entropy.numpy() * present).sum(axis=0) / counts.positives
    for _ in range(3):  # wherever the multiplier is by then
        multiplier = np.zeros(3) if solver.multiplier() is None else solver.multiplier()
        of_positives, of_negatives = np.maximum(objective.class_weights(multiplier, choice.value), 0)
        loss, _ = loss_and_gradient(solver, far, labels)
        errors = of_positives * counts.false_negatives + of_negatives * counts.false_positives
        expected = errors / np.maximum(of_positives, of_negatives) / counts.positives + expected_of_anchor
        assert loss == pytest.approx(expected.mean(), rel=1e-5)
        solver.step()


@pytest.mark.parametrize("stage", range(len(Profiled().stages(200))))
@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_loss_pulls_positives_up_and_negatives_down(objective, stage):
    scores, labels = problem()
    _, gradient = loss_and_gradient(started(objective, scores, labels, stage=stage), scores, labels)
    assert (gradient[labels == 1] <= 0).all() and (gradient[labels == 0] >= 0).all()
    assert np.abs(gradient).max() > 0


@pytest.mark.parametrize("objective", [FPOR(0.8), FROP(0.7), RecallAtFPR(0.1), RecallAtAlarmRate(0.3)], ids=str)
def test_multiplier_rises_while_infeasible_and_falls_while_feasible(objective):
    labels = np.repeat([1.0, 0.0], [20, 80]).astype(np.float32)[:, np.newaxis]
    good = np.where(labels == 1, 1, -1).astype(np.float32)
    solver = started(objective, good, labels)
    # Alarms for everyone break a bound on alarms, alarms for nobody a bound on recall.
    bad = np.full_like(good, -9.0 if isinstance(objective, FROP) else 9.0)
    for scores, sign in ((good, -1), (bad, 1), (good, -1)):
        before = solver.multiplier()
        loss_and_gradient(solver, scores, labels)
        assert solver.multiplier() == before  # moves in step() alone
        solver.step()
        assert np.sign(solver.multiplier() - before) == sign


@pytest.mark.slow
def test_multiplier_is_never_negative():
    labels = np.repeat([1.0, 0.0], [20, 80]).astype(np.float32)[:, np.newaxis]
    scores = np.where(labels == 1, 1, -1).astype(np.float32)
    solver = started(FPOR(0.8), scores, labels)
    for _ in range(2000):
        loss_and_gradient(solver, scores, labels)
        solver.step()
    assert solver.multiplier() == 0


def test_alarm_budget_never_takes_all_weight_from_positives():
    """w_plus = 1 - mu: beyond mu = 1 positives would be pushed down."""
    labels = np.repeat([1.0, 0.0], [20, 80]).astype(np.float32)[:, np.newaxis]
    solver = started(RecallAtAlarmRate(0.1), np.where(labels == 1, 1, -1).astype(np.float32), labels)
    everyone = np.full_like(labels, 9.0)
    for _ in range(500):
        loss, _ = loss_and_gradient(solver, everyone, labels)
        solver.step()
        assert np.isfinite(loss)
    assert solver.multiplier() <= 1


def test_without_a_bound_there_is_no_multiplier():
    scores, labels = problem()
    assert started(OFBS(1.0), scores, labels).multiplier() is None
    assert started(FPOR(0.8), scores, labels).multiplier() is not None


def test_scale_and_shift_of_the_scores_do_not_matter():
    scores, labels = problem()
    stage = next(k for k, stage in enumerate(Profiled().stages(200)) if not PATHS[stage.name].anchor)
    loss, gradient = loss_and_gradient(started(FPOR(0.8), scores, labels, stage=stage), scores, labels)
    moved = 64 * scores + 32
    same, scaled = loss_and_gradient(started(FPOR(0.8), moved, labels, stage=stage), moved, labels)
    assert same == pytest.approx(loss, rel=1e-4)
    np.testing.assert_allclose(64 * scaled, gradient, atol=1e-5)


@pytest.mark.parametrize("stage", range(len(Profiled().stages(200))))
def test_the_gradient_is_that_of_the_loss(stage):
    """By finite differences along one direction, with weights and missing labels."""
    scores, labels = problem(num_labels=2, has_missing=True)
    weight = np.random.default_rng(4).random(labels.shape)
    solver = started(FPOR(0.8), scores, labels, weight, stage=stage)
    direction = np.random.default_rng(5).normal(size=scores.shape)
    target, truth, of_sample = torch.from_numpy(scores).double(), *tensors(labels, weight)

    def loss_at(step):
        return solver.loss(target + step * torch.from_numpy(direction), truth, of_sample).item()

    at = target.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(solver.loss(at, truth, of_sample), at)
    slope = (loss_at(1e-6) - loss_at(-1e-6)) / 2e-6
    assert slope == pytest.approx((gradient.numpy() * direction).sum(), rel=1e-4)


@pytest.mark.parametrize("stage", range(len(Profiled().stages(200))))
def test_infinite_scores_count_where_they_are_labelled_alone(stage):
    scores, labels = problem(has_missing=True)
    solver = started(FPOR(0.8), scores, labels, stage=stage)
    loss, gradient = loss_and_gradient(solver, scores, labels)
    beyond = np.where(np.isnan(labels), np.inf, scores).astype(np.float32)
    same, equal = loss_and_gradient(solver, beyond, labels)
    assert same == loss and (equal == gradient).all()


# State


@pytest.mark.parametrize("objective", [FPOR((0.8, 0.6)), OFBS(1.0), RecallAtAlarmRate(0.2)], ids=str)
@pytest.mark.parametrize("stage", [0, 1])
def test_state_dict_continues_identically(objective, stage):
    scores, labels = problem(num_labels=2)
    solver = started(objective, scores, labels, stage=stage)
    _, halfway = train(solver, scores, labels, 12)
    state = copy.deepcopy(solver.state_dict())
    expected, _ = train(solver, halfway, labels, 12)

    other_scores, _ = problem(num_labels=2, seed=9)
    resumed = started(objective, other_scores, labels, stage=stage)
    resumed.load_state_dict(state)
    found, _ = train(resumed, halfway, labels, 12)
    assert found == expected
    assert train(started(objective, other_scores, labels, stage=stage), halfway, labels, 12)[0] != expected


# Samples: missing, weighted, several labels


def test_missing_labels_count_nowhere():
    scores, labels = problem(has_missing=True)
    present = ~np.isnan(labels[:, 0])
    loss, gradient = loss_and_gradient(started(FPOR(0.8), scores, labels), scores, labels)
    # A missing label leaves a sample its score, and so its part in their spread.
    without = started(FPOR(0.8), scores[present], labels[present], seen=(scores, labels, None))
    alone, own = loss_and_gradient(without, scores[present], labels[present])
    assert loss == pytest.approx(alone, rel=1e-5)
    assert (gradient[~present] == 0).all()
    np.testing.assert_allclose(gradient[present], own, atol=1e-7)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_an_integer_weight_repeats_the_sample(objective):
    scores, labels = problem()
    times = np.random.default_rng(2).integers(0, 4, len(labels))
    times[:2] = 1
    weight = times[:, np.newaxis].astype(float)
    copies = [np.repeat(array, times, axis=0) for array in (scores, labels)]
    weighted = started(objective, scores, labels, weight)
    repeated = started(objective, *copies)
    loss, gradient = loss_and_gradient(weighted, scores, labels, weight)
    expected, by_copy = loss_and_gradient(repeated, *copies)
    assert loss == pytest.approx(expected, rel=1e-5)
    summed = np.zeros_like(gradient)
    np.add.at(summed, np.repeat(np.arange(len(labels)), times), by_copy)
    np.testing.assert_allclose(gradient, summed, atol=1e-6)
    if objective.bounded:
        for solver in (weighted, repeated):
            solver.step()
        np.testing.assert_allclose(weighted.multiplier(), repeated.multiplier(), atol=1e-6)


@pytest.mark.parametrize("objective", PER_LABEL, ids=str)
def test_labels_are_solved_column_by_column(objective):
    scores, labels = problem(num_labels=3, has_missing=True)
    trail, end = train(started(objective, scores, labels), scores, labels, 15)
    singles = []
    for label, single in enumerate(objective.for_labels(3)):
        column = np.s_[:, label : label + 1]
        solver = started(single, scores[column], labels[column])
        own = scores[column].copy()
        for number in range(15):
            loss, gradient = loss_and_gradient(solver, own, labels[column])
            solver.step()
            own -= 0.5 * gradient / 3  # the loss of three labels is their mean
            if number % 5 == 4:
                solver.refresh(own, labels[column], None)
        singles.append((loss, solver.multiplier()[0]))
        np.testing.assert_allclose(end[column], own, rtol=1e-4, atol=1e-5)
    loss, multipliers = trail[-1]
    assert loss == pytest.approx(np.mean([single for single, _ in singles]), rel=1e-4)
    np.testing.assert_allclose(multipliers, [multiplier for _, multiplier in singles], rtol=1e-4)


@pytest.mark.parametrize("truth", [0, 1])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_a_batch_of_one_class_is_fine(objective, truth):
    scores, labels = problem()
    solver = started(objective, scores, labels)
    batch = labels[:, 0] == truth
    loss, gradient = loss_and_gradient(solver, scores[batch], labels[batch])
    solver.step()
    assert np.isfinite(loss) and np.isfinite(gradient).all() and np.abs(gradient).max() > 0
    assert solver.multiplier() is None or np.isfinite(solver.multiplier()).all()


@pytest.mark.parametrize("constant", [0.0, 1.0, np.nan])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_a_label_of_one_class_has_no_effect(objective, constant):
    scores, labels = problem(num_labels=2)
    labels[:, 1] = constant
    both = started(objective, scores, labels)
    alone = started(objective, scores[:, :1], labels[:, :1])
    for _ in range(3):
        loss, gradient = loss_and_gradient(both, scores, labels)
        expected, own = loss_and_gradient(alone, scores[:, :1], labels[:, :1])
        both.step()
        alone.step()
        assert loss == pytest.approx(expected)
        np.testing.assert_allclose(gradient[:, :1], own, atol=1e-7)
        assert (gradient[:, 1] == 0).all()
    if both.multiplier() is not None:
        assert np.isfinite(both.multiplier()).all()
        assert both.multiplier()[0] == pytest.approx(alone.multiplier()[0])


def test_constant_scores_lose_half_an_error_at_least():
    """The tie that satisfies every slack program is no way out of the loss."""
    _, labels = problem()
    scores = np.zeros_like(labels)
    for stage in range(len(Profiled().stages(200))):
        solver = started(FPOR(0.8), scores, labels, stage=stage)
        loss, gradient = loss_and_gradient(solver, scores, labels)
        assert loss >= 0.5
        assert (gradient[labels == 1] < 0).all() and (gradient[labels == 0] > 0).all()


def test_an_objective_without_counts_is_rejected():
    with pytest.raises(InvalidInputError, match="objective must be one with counts at a threshold, got OAP; "):
        Profiled().prepare(OAP(), np.array([[1.0], [0.0]]), None)
    Profiled().prepare(FPOR(0.9), np.array([[1.0], [0.0]]), None)


def test_scores_that_are_all_alike_have_no_scale():
    labels = np.array([[1.0], [0.0], [0.0], [0.0]], dtype=np.float32)
    solver = Profiled()
    solver.prepare(FPOR(0.5), labels, None)
    solver.start(solver.stages(1)[0], 10)
    solver.refresh(np.full((4, 1), 1e-3, dtype=np.float32), labels, None)
    scores = torch.full((4, 1), 1e-3, requires_grad=True)
    solver.loss(scores, torch.from_numpy(labels)).backward()
    assert scores.grad.abs().max() < 10


def test_state_moves_to_another_solver():
    labels = np.array([[1.0], [0.0], [0.0], [1.0]], dtype=np.float32)
    scores = torch.tensor([[0.5], [0.1], [-0.4], [-0.2]])
    solver, other = Profiled(), Profiled()
    solver.prepare(FPOR(0.5), labels, None)
    solver.start(solver.stages(100)[2], 10)
    solver.refresh(scores.numpy(), labels, None)
    solver.loss(scores, torch.from_numpy(labels))
    solver.step()
    other.prepare(FPOR(0.5), labels, None)
    other.load_state_dict(solver.state_dict())
    assert other.loss(scores, torch.from_numpy(labels)) == solver.loss(scores, torch.from_numpy(labels))
