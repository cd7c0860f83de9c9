import numpy as np
import pytest
import torch

from metricopt.problem.objectives import FPOR, FROP, OAP, OFBS, RecallAtFPR
from metricopt.solvers import get_solver
from metricopt.solvers.base import spread_of, with_derivatives
from tests.solvers.driving import loss_and_gradient, problem


@pytest.mark.parametrize("constant", [0.0, 1e-3, -7.3, 1e30])
def test_scores_that_are_all_alike_have_a_spread_of_one(constant):
    """Also at 0, where a model begins whose last layer does; a tiny spread would make gradients enormous."""
    scores = np.full((7, 2), constant, dtype=np.float32)
    scores[:, 1] = np.arange(7)
    np.testing.assert_array_equal(spread_of(scores), [1.0, 2.0])


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e30])
def test_the_spread_grows_with_the_scores(scale):
    scores = (np.random.default_rng(0).normal(size=(50, 3)) * scale).astype(np.float32)
    np.testing.assert_allclose(spread_of(scores), scores.astype(np.float64).std(axis=0), rtol=1e-6)


def test_the_spread_of_weighted_scores_is_that_of_copies():
    random = np.random.default_rng(0)
    scores, times = random.normal(size=(30, 2)), random.integers(0, 4, size=(30, 2))
    scores[times == 0] = 1e6
    expected = [np.repeat(scores[:, label], times[:, label]).std() for label in (0, 1)]
    np.testing.assert_allclose(spread_of(scores, times.astype(float)), expected, rtol=1e-9)
    np.testing.assert_array_equal(spread_of(scores, np.zeros((30, 2))), [1.0, 1.0])
    np.testing.assert_array_equal(spread_of(np.full((30, 2), 0.1), times / 7), [1.0, 1.0])


def test_a_loss_with_known_derivatives():
    scores = torch.ones(2, 2, dtype=torch.float32, requires_grad=True)
    derivatives = np.array([[1.0, 2.0], [3.0, 4.0]])
    loss = with_derivatives(scores, 0.5, derivatives)
    (3 * loss).backward()
    assert loss.item() == 0.5 and scores.grad.tolist() == (3 * derivatives).tolist()
    assert loss.dtype == scores.grad.dtype == torch.float32


@pytest.mark.parametrize("truth", [0.0, 1.0])
@pytest.mark.parametrize("objective", [FPOR(0.8), FROP(0.7), OFBS(2.0), RecallAtFPR(0.1), OAP()], ids=str)
def test_what_a_solver_knows_of_a_label_remains_where_one_of_its_classes_is_not_to_be_seen(objective, truth):
    scores, labels = problem(num_labels=2)
    solver, of_both, of_one = get_solver("profiled", objective), [], labels.copy()
    of_one[:, 0] = truth
    solver.prepare(objective, labels, None)
    for truths, seen in ((labels, scores), (of_one, 3 * scores + 1)):
        solver.refresh(seen, truths, None)
        of_both.append(loss_and_gradient(solver, scores, labels)[1])
    np.testing.assert_array_equal(of_both[0][:, 0], of_both[1][:, 0])
    assert not np.array_equal(of_both[0][:, 1], of_both[1][:, 1])
