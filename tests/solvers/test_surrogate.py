import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from metricopt._validation import InvalidInputError
from metricopt.losses import cross_entropy
from metricopt.problem.objectives import FPOR, OAP
from metricopt.solvers import Profiled, ProfiledRanking, Surrogate, get_solver

SCORES = torch.tensor([[0.5, -1.0], [2.0, 0.0], [-0.5, 3.0]])
LABELS = torch.tensor([[1.0, 0.0], [torch.nan, 1.0], [0.0, torch.nan]])
LABELS_1 = np.array([[1.0], [0.0]])


def test_cross_entropy_is_the_mean_over_labels_present():
    present = ~LABELS.isnan()
    expected = binary_cross_entropy_with_logits(SCORES[present], LABELS[present])
    torch.testing.assert_close(cross_entropy(SCORES, LABELS), expected)
    torch.testing.assert_close(
        cross_entropy(SCORES, present.float()), binary_cross_entropy_with_logits(SCORES, present.float())
    )


def test_cross_entropy_weighs_samples():
    weight = torch.tensor([[1.0, 2.0], [5.0, 3.0], [0.0, 7.0]])
    by_sample = binary_cross_entropy_with_logits(SCORES, LABELS.nan_to_num(), reduction="none") * weight
    torch.testing.assert_close(cross_entropy(SCORES, LABELS, weight), by_sample[~LABELS.isnan()].sum() / 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cross_entropy_is_as_precise_as_the_scores(dtype):
    for labels in (LABELS, LABELS.nan_to_num()):
        assert cross_entropy(SCORES.to(dtype), labels, torch.ones(3, 2)).dtype == dtype


@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_weights_leave_the_steps_their_size(unit):
    """The mean weight of the training samples is 1, whatever the unit; that of a batch may be another."""
    weight = np.array([[1.0, 2.0], [5.0, 3.0], [0.0, 7.0]])
    solver = Surrogate()
    solver.prepare(FPOR(0.9), LABELS.numpy(), unit * weight)
    loss = solver.loss(SCORES[:2], LABELS[:2], torch.tensor(unit * weight).float()[:2])
    present = ~np.isnan(LABELS.numpy())
    expected = cross_entropy(SCORES[:2], LABELS[:2], torch.tensor(weight / weight[present].mean()).float()[:2])
    torch.testing.assert_close(loss, expected)
    solver.prepare(FPOR(0.9), LABELS.numpy(), None)
    torch.testing.assert_close(solver.loss(SCORES, LABELS), cross_entropy(SCORES, LABELS))


@pytest.mark.parametrize("weight", [None, torch.tensor([[1.0, 2.0], [5.0, 3.0], [0.0, 7.0]]).repeat(1, 3)])
def test_of_several_models_side_by_side_it_is_the_mean_of_what_each_has_alone(weight):
    scores = torch.randn(3, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = LABELS.repeat(1, 3)
    labels[0, 2:4] = torch.nan  # the second of three models lacks a row
    labels[:, 4:] = torch.nan  # and the third all of them
    prepared = None if weight is None else weight.numpy()
    together, alone = Surrogate(), Surrogate()
    together.num_replicas = 3
    together.prepare(FPOR(0.9), labels.numpy(), prepared)
    loss = together.loss(scores, labels, weight)
    expected = []
    for first in (0, 2, 4):
        own = slice(first, first + 2)
        alone.prepare(FPOR(0.9), labels[:, own].numpy(), None if prepared is None else prepared[:, own])
        expected.append(alone.loss(scores[:, own], labels[:, own], None if weight is None else weight[:, own]))
    torch.testing.assert_close(loss, torch.stack(expected).mean())
    (gradient,) = torch.autograd.grad(loss, scores, retain_graph=True)
    torch.testing.assert_close(gradient, torch.autograd.grad(torch.stack(expected).mean(), scores)[0])


def test_cross_entropy_without_labels_is_a_differentiable_zero():
    scores = torch.ones(2, 1, requires_grad=True)
    loss = cross_entropy(scores, torch.full((2, 1), torch.nan))
    loss.backward()
    assert loss.item() == 0 and scores.grad.abs().sum() == 0


def test_a_loss_sees_present_labels_of_one_label_and_all_of_several():
    seen = []

    def loss(scores, labels):
        seen.append((scores, labels))
        return scores.sum()

    solver = Surrogate(loss)
    assert solver.name == "loss" and [stage.epochs for stage in solver.stages(7)] == [7]
    solver.loss(SCORES[:, :1], LABELS[:, :1])
    assert seen[-1][0].tolist() == [[0.5], [-0.5]] and seen[-1][1].tolist() == [[1.0], [0.0]]
    solver.loss(SCORES, LABELS)
    assert seen[-1][0] is SCORES and seen[-1][1] is LABELS


def test_a_mean_loss_over_a_batch_without_labels_is_zero():
    scores = torch.ones(2, 1, requires_grad=True)
    loss = Surrogate(torch.nn.BCEWithLogitsLoss()).loss(scores, torch.full((2, 1), torch.nan))
    loss.backward()
    assert loss.item() == 0 and scores.grad.abs().sum() == 0


def test_weights_need_a_loss_that_takes_them():
    weight = np.ones((2, 1))
    with pytest.raises(InvalidInputError, match="sample_weight must be left out when solver is a loss, got weights; "):
        Surrogate(torch.nn.BCEWithLogitsLoss()).prepare(FPOR(0.9), LABELS_1, weight)
    Surrogate(torch.nn.BCEWithLogitsLoss()).prepare(FPOR(0.9), LABELS_1, None)
    Surrogate().prepare(FPOR(0.9), LABELS_1, weight)


def test_get_solver():
    instance = Profiled()
    for objective, kind in ((FPOR(0.9), Profiled), (OAP(), ProfiledRanking)):
        assert get_solver(instance, objective) is instance
        assert type(get_solver("profiled", objective)) is kind
        assert get_solver("cross_entropy", objective).name == "cross_entropy"
        assert get_solver(torch.nn.BCEWithLogitsLoss(), objective).name == "BCEWithLogitsLoss"


@pytest.mark.parametrize(
    ("solver", "message"),
    [
        ("profield", "solver must be one of .*, got 'profield'; did you mean 'profiled'?"),
        (torch.nn.BCEWithLogitsLoss, "solver must be a name, a Solver or a loss .*; create an instance"),
        (3, "solver must be a name, a Solver or a loss .*, got 3; "),
    ],
)
def test_get_solver_rejects_what_is_none(solver, message):
    with pytest.raises(InvalidInputError, match=message):
        get_solver(solver, FPOR(0.9))
