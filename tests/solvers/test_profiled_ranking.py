import tracemalloc

import numpy as np
import pytest
import torch

from metricopt._validation import InvalidInputError
from metricopt.problem.metrics import average_precision
from metricopt.problem.objectives import FPOR, OAP
from metricopt.solvers import ProfiledRanking
from metricopt.solvers.paths import RANKING_PATHS as PATHS

NUM_STEPS = 30


def problem(num_rows=60, num_labels=1, seed=0, has_missing=False, is_tied=False, is_weighted=False):
    """Scores that tell the classes apart a little, labels and weights; every label has both classes."""
    random = np.random.default_rng(seed)
    labels = (random.random((num_rows, num_labels)) < 0.3).astype(np.float32)
    labels[0], labels[1] = 1, 0
    scores = labels + random.normal(size=labels.shape)
    if is_tied:
        scores = scores.round()
    if has_missing:
        labels[5::7] = np.nan
    weight = random.uniform(0.5, 2, labels.shape) * (random.random(labels.shape) < 0.9) if is_weighted else None
    return scores.astype(np.float32), labels, weight


KINDS = [
    {},
    {"is_weighted": True},
    {"is_tied": True},
    {"num_labels": 3, "has_missing": True, "is_weighted": True},
    {"num_labels": 2, "has_missing": True, "is_tied": True},
]


def started(scores, labels, weight=None, steepness=1.0):
    """A solver that has seen these scores; its ramps are a ``steepness``-th of the scores' spread wide."""
    solver = ProfiledRanking()
    solver.prepare(OAP(), labels, weight)
    solver.start(solver.stages(200)[0], NUM_STEPS)
    solver.refresh(scores, labels, weight)
    # The width at the first step is spread / PATHS["ramp"].steepness[0].
    solver._spread = solver._spread * PATHS["ramp"].steepness[0] / steepness
    return solver


def loss_and_gradient(solver, scores, labels, weight=None):
    scores = torch.tensor(scores, dtype=torch.float64, requires_grad=True)
    loss = solver.loss(scores, torch.tensor(labels), None if weight is None else torch.tensor(weight))
    (gradient,) = torch.autograd.grad(loss, scores)
    return loss.item(), gradient.numpy()


def ratios_of_ranks(scores, labels, weight):
    """Weights c and e of each sample as if it were a positive, pair by pair."""
    above = scores[np.newaxis] >= scores[:, np.newaxis]
    a = (above * np.where(labels == 1, weight, 0)).sum(axis=1)
    b = (above * np.where(labels == labels, weight, 0)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return a / b**2, (b - a) / b**2


def weighted_spread(scores, weight):
    return np.sqrt(np.average((scores - np.average(scores, weights=weight)) ** 2, weights=weight))


def judge(seen, own, steepness):
    """Loss and gradient by all pairs and autograd, of own samples beside the stored ones; both (scores, labels, w)."""
    stored_scores, stored_labels, stored_weight = seen
    scores, labels, weight = own
    num_labels = labels.shape[1]
    ones = np.ones_like(labels)
    weight, stored_weight = (
        (ones if weight is None else weight),
        (np.ones_like(stored_labels) if stored_weight is None else stored_weight),
    )
    z = torch.tensor(scores, dtype=torch.float64, requires_grad=True)
    loss = torch.zeros((), dtype=torch.float64)
    learnable = [
        k for k in range(num_labels) if all(stored_weight[stored_labels[:, k] == y, k].sum() > 0 for y in (0, 1))
    ]
    for k in learnable:
        x = stored_scores[:, k].astype(np.float64)
        y, w = stored_labels[:, k], stored_weight[:, k].astype(np.float64)
        width = weighted_spread(x, w) / steepness
        c, e = ratios_of_ranks(x, y, w)
        positives, negatives = np.flatnonzero((y == 1) & (w > 0)), np.flatnonzero((y == 0) & (w > 0))
        for row in range(len(scores)):
            if labels[row, k] != labels[row, k]:
                continue

            def ramp(difference, width=width):
                return (0.5 + difference / width).clamp(0, 1)

            at, stored = z[row, k], torch.from_numpy(x)
            term = torch.zeros((), dtype=torch.float64)
            if labels[row, k] == 0:
                for i in positives:
                    term = term + w[i] * c[i] * ramp(at - stored[i])
            else:
                at_least = [i for i in positives if x[i] >= at.item()]
                same = min(at_least, key=lambda i: x[i]) if at_least else max(positives, key=lambda i: x[i])
                for j in negatives:
                    term = term + c[same] * w[j] * ramp(stored[j] - at)
                for j in positives:
                    term = term - e[same] * w[j] * ramp(stored[j] - at) - w[j] * e[j] * ramp(at - stored[j])
            worth = len(x) / w[positives].sum() / len(scores) / len(learnable)
            loss = loss + worth * weight[row, k] * term
    if not loss.requires_grad:
        return loss.item(), np.zeros_like(scores)
    (gradient,) = torch.autograd.grad(loss, z)
    return loss.item(), gradient.numpy()


# Loss and derivative


@pytest.mark.slow
@pytest.mark.parametrize("steepness", [0.3, 2.0, 20.0])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_loss_and_gradient_are_those_of_all_pairs(kind, steepness):
    seen = problem(num_rows=40, **kind)
    solver = started(*seen, steepness=steepness)
    scores, labels, weight = seen
    moved = scores + np.random.default_rng(1).normal(scale=0.2, size=scores.shape)
    for own_scores in (scores.astype(np.float64), moved):  # as the solver saw them last, and drifted since
        for rows in (slice(None), slice(10, 30)):
            own = (own_scores[rows], labels[rows], None if weight is None else weight[rows])
            loss, gradient = loss_and_gradient(solver, *own)
            expected_loss, expected = judge(seen, own, steepness)
            assert loss == pytest.approx(expected_loss, rel=1e-8)
            # On the very end of a ramp the derivative is any number between those on either side.
            smooth = slice(None) if not kind.get("is_tied") else np.abs(gradient - expected) < 1e-8
            assert np.mean(np.abs(gradient - expected) < 1e-8) > 0.7
            np.testing.assert_allclose(gradient[smooth], expected[smooth], atol=1e-8)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_whole_data_as_a_batch_descend_the_linearised_program(is_weighted):
    """Each pair once, the pair of a positive with itself left out."""
    scores, labels, weight = problem(is_weighted=is_weighted)
    solver = started(scores, labels, weight, steepness=1.5)
    _, gradient = loss_and_gradient(solver, scores.astype(np.float64), labels, weight)
    w = np.ones(len(labels)) if weight is None else weight[:, 0]
    c, e = ratios_of_ranks(scores[:, 0], labels[:, 0], w)
    z = torch.tensor(scores[:, 0], dtype=torch.float64, requires_grad=True)
    ramps = (
        0.5 + (z[np.newaxis] - z[:, np.newaxis]) / (weighted_spread(scores[:, 0].astype(np.float64), w) / 1.5)
    ).clamp(0, 1)
    is_positive = labels[:, 0] == 1
    pairs = np.where(is_positive[np.newaxis], -e[:, np.newaxis], c[:, np.newaxis]) * w[:, np.newaxis] * w
    pairs = np.nan_to_num(pairs) * (is_positive[:, np.newaxis] & ~np.eye(len(w), dtype=bool))
    program = (torch.from_numpy(pairs) * ramps).sum() / w[is_positive].sum()
    (expected,) = torch.autograd.grad(program, z)
    np.testing.assert_allclose(gradient[:, 0], expected.numpy(), atol=1e-10)


def test_the_gradient_is_that_of_the_loss():
    """By finite differences along one direction, with weights and missing labels."""
    scores, labels, weight = problem(num_labels=2, has_missing=True, is_weighted=True)
    solver = started(scores, labels, weight)
    # Off the stored scores, where a positive passes from one stored positive's weights to the next one's.
    random = np.random.default_rng(5)
    at, direction = scores + random.normal(scale=0.1, size=scores.shape), random.normal(size=scores.shape)
    (above, _), (below, _) = (loss_and_gradient(solver, at + s * direction, labels, weight) for s in (1e-7, -1e-7))
    _, gradient = loss_and_gradient(solver, at, labels, weight)
    assert (above - below) / 2e-7 == pytest.approx((gradient * direction).sum(), rel=1e-5)


def test_batches_average_to_the_whole():
    scores, labels, weight = problem(num_rows=60, num_labels=2, is_weighted=True)
    solver = started(scores, labels, weight)
    loss, gradient = loss_and_gradient(solver, scores, labels, weight)
    parts = [loss_and_gradient(solver, *(array[k::6] for array in (scores, labels, weight))) for k in range(6)]
    assert np.mean([part[0] for part in parts]) == pytest.approx(loss)
    for k, (_, of_part) in enumerate(parts):
        np.testing.assert_allclose(of_part / 6, gradient[k::6])


def test_permuting_the_rows_permutes_the_gradient():
    scores, labels, weight = problem(is_weighted=True, has_missing=True)
    order = np.random.default_rng(2).permutation(len(scores))
    loss, gradient = loss_and_gradient(started(scores, labels, weight), scores, labels, weight)
    permuted = [array[order] for array in (scores, labels, weight)]
    same, of_permuted = loss_and_gradient(started(*permuted), *permuted)
    assert same == pytest.approx(loss)
    np.testing.assert_allclose(of_permuted, gradient[order], atol=1e-12)


def test_whole_weights_are_repeated_samples():
    scores, labels, _ = problem()
    times = np.random.default_rng(3).integers(0, 4, len(scores))
    weight = times[:, np.newaxis].astype(float)
    solver = started(scores, labels, weight)
    repeated = np.repeat(scores, times, axis=0), np.repeat(labels, times, axis=0)
    other = started(*repeated)
    solver._spread = other._spread
    _, gradient = loss_and_gradient(solver, scores, labels, weight)
    _, of_repeated = loss_and_gradient(other, *repeated)
    sums = np.zeros_like(gradient)
    np.add.at(sums, np.repeat(np.arange(len(scores)), times), of_repeated)
    np.testing.assert_allclose(gradient, sums, atol=1e-10)


def test_scale_and_shift_of_the_scores_do_not_matter():
    scores, labels, _ = problem()
    loss, gradient = loss_and_gradient(started(scores, labels), scores, labels)
    moved = 64 * scores + 32
    same, scaled = loss_and_gradient(started(moved, labels), moved, labels)
    assert same == pytest.approx(loss, rel=1e-4)
    np.testing.assert_allclose(64 * scaled, gradient, atol=1e-5)


# Where there is little to learn from


@pytest.mark.parametrize("truth", [0, 1])
def test_a_batch_of_one_class_learns_from_the_stored_scores_of_the_other(truth):
    scores, labels, _ = problem()
    rows = labels[:, 0] == truth
    _, gradient = loss_and_gradient(started(scores, labels), scores[rows], labels[rows])
    assert (np.sign(gradient) == (1 if truth == 0 else -1)).mean() > 0.9


def test_a_batch_without_labels_teaches_nothing():
    scores, labels, _ = problem()
    loss, gradient = loss_and_gradient(started(scores, labels), scores, np.full_like(labels, np.nan))
    assert loss == 0 and (gradient == 0).all()


def test_labels_without_positives_or_negatives_weigh_nothing():
    scores, labels, _ = problem(num_labels=4)
    labels[:, 1], labels[:, 2] = 0, 1
    _, gradient = loss_and_gradient(started(scores, labels), scores, labels)
    assert (gradient[:, 1:3] == 0).all() and np.abs(gradient[:, [0, 3]]).max() > 0
    _, alone = loss_and_gradient(started(scores[:, :1], labels[:, :1]), scores[:, :1], labels[:, :1])
    np.testing.assert_allclose(2 * gradient[:, :1], alone)  # the mean over the two labels that can be learnt
    labels[:] = 0
    loss, gradient = loss_and_gradient(started(scores, labels), scores, labels)
    assert loss == 0 and (gradient == 0).all()


def test_a_constant_model_is_pulled_apart():
    labels = np.repeat([1.0, 0.0], [20, 80]).astype(np.float32)[:, np.newaxis]
    for level in (0.0, 7.0, -1e9):
        scores = np.full_like(labels, level)
        _, gradient = loss_and_gradient(started(scores, labels), scores, labels)
        assert (gradient[labels == 1] < 0).all() and (gradient[labels == 0] > 0).all()


def test_scores_that_count_nowhere_may_be_anything():
    scores, labels, _ = problem(has_missing=True)
    solver = started(scores, labels)
    loss, gradient = loss_and_gradient(solver, scores, labels)
    beyond = np.where(np.isnan(labels), np.inf, scores)
    same, of_beyond = loss_and_gradient(solver, beyond, labels)
    assert same == loss
    np.testing.assert_array_equal(of_beyond, gradient)
    loss, _ = loss_and_gradient(solver, np.full_like(scores, np.inf), labels)
    assert not np.isfinite(loss)  # the training loop says that it diverged


# Exact where it can be; linear models are judged by the suite of small problems


def test_free_scores_reach_a_perfect_ranking():
    scores, labels, _ = problem(num_rows=80, seed=4)
    assert average_precision(scores, labels)[0] < 0.9
    solver = ProfiledRanking()
    solver.prepare(OAP(), labels, None)
    solver.start(next(stage for stage in solver.stages(200) if stage.name == "wide ramp"), 400)
    scores = scores.astype(np.float64)
    for _ in range(400):
        solver.refresh(scores.astype(np.float32), labels, None)
        gradient = loss_and_gradient(solver, scores, labels)[1]
        scores -= 0.02 * np.sign(gradient)
        solver.step()
    assert average_precision(scores, labels)[0] == 1


# Schedule, state, cost


@pytest.mark.parametrize("epochs", [1, 3, 8, 9, 20, 200])
def test_stages_share_out_the_epochs(epochs):
    stages = ProfiledRanking().stages(epochs)
    assert sum(stage.epochs for stage in stages) == epochs and min(stage.epochs for stage in stages) >= 1
    assert [stage.name for stage in stages] == list(PATHS)[: len(stages)]
    assert stages[0].start == "warm"


def test_ramps_narrow_along_a_path():
    scores, labels, _ = problem()
    solver = started(scores, labels)
    seen = []
    for _ in range(NUM_STEPS):
        seen.append((loss_and_gradient(solver, scores, labels)[1] != 0).mean())
        solver.step()
    assert seen[0] > 1.5 * seen[-1] > 0


def test_other_objectives_are_rejected_before_training():
    labels = np.array([[1.0], [0.0]], np.float32)
    with pytest.raises(InvalidInputError, match=r"objective must be average precision \(OAP\), got FPOR; "):
        ProfiledRanking().prepare(FPOR(0.9), labels, None)
    ProfiledRanking().prepare(OAP(), labels, None)


def test_what_is_seen_is_not_kept_by_reference():
    scores, labels, weight = problem(is_weighted=True)
    solver = started(scores, labels, weight)
    loss, _ = loss_and_gradient(solver, scores, labels, weight)
    state = {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in
             solver.state_dict().items()}  # fmt: skip
    own = scores.copy(), labels.copy(), weight.copy()
    scores[:], labels[:] = 0, 1
    assert loss_and_gradient(solver, *own)[0] == loss
    assert torch.equal(solver.state_dict()["scores"], state["scores"])


def test_state_is_taken_over():
    scores, labels, weight = problem(num_labels=2, has_missing=True, is_weighted=True)
    solver, other = ProfiledRanking(), ProfiledRanking()
    for each in (solver, other):
        each.prepare(OAP(), labels, weight)
    solver.start(solver.stages(200)[1], NUM_STEPS)
    solver.refresh(scores, labels, weight)
    for _ in range(7):
        solver.step()
    assert loss_and_gradient(other, scores, labels, weight)[0] != loss_and_gradient(solver, scores, labels, weight)[0]
    other.load_state_dict(solver.state_dict())
    for _ in range(3):
        for left, right in zip(*(loss_and_gradient(s, scores, labels, weight) for s in (solver, other)), strict=True):
            np.testing.assert_array_equal(left, right)
        solver.step(), other.step()
        solver.refresh(scores * 2, labels, weight), other.refresh(scores * 2, labels, weight)


def test_memory_grows_with_the_samples_not_with_the_pairs():
    scores, labels, _ = problem(num_rows=100_000)
    solver = ProfiledRanking()
    tracemalloc.start()
    solver.prepare(OAP(), labels, None)
    solver.refresh(scores, labels, None)
    loss_and_gradient(solver, scores[:256], labels[:256])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200 * len(scores)  # all pairs would take 24,000 bytes a sample
