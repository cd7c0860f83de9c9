from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers import cooper_proxy
from benchmarks.peers.cooper_proxy import CooperProxy
from metricopt import FPOR, FROP, OAP, OFBS, Status
from metricopt._validation import InvalidInputError
from tests.held_out import fit

BOUNDS = pytest.mark.parametrize("objective", [FPOR(0.75), FROP(0.75)], ids=str)


def problem(seed=0, num_labels=1):
    random = np.random.default_rng(seed)
    labels = (random.random((40, num_labels)) < 0.4).astype(float)
    return random.normal(size=(40, num_labels)) + labels, labels


def solver_for(objective, labels, multiplier=0.0, rate=0.5, sample_weight=None):
    solver = CooperProxy(rate)
    solver.prepare(objective, labels, sample_weight)
    solver.load_state_dict({"multiplier": torch.full((labels.shape[1],), multiplier)})
    return solver


def by_hand(objective, alarms, labels, weight, positives):
    """The metric and how far the bound is missed, for one label and alarms between 0 and 1."""
    hits, false = (weight * alarms)[labels == 1].sum(), (weight * alarms)[labels == 0].sum()
    all_positive = weight[labels == 1].sum()
    if isinstance(objective, FPOR):
        return hits / all_positive, (0.75 * (hits + false) - hits) / positives
    return hits / (hits + false), (0.75 * all_positive - hits) / positives


@BOUNDS
def test_the_loss_is_the_relaxed_lagrangian(objective):
    scores, labels = problem()
    weight = np.random.default_rng(1).random((40, 1))
    labels[5] = np.nan
    positives = 16 / 40 * weight[labels == 1].sum()
    tensors = [torch.from_numpy(each[:16]).float() for each in (scores, labels, weight)]
    solver = solver_for(objective, labels, 2.0, sample_weight=weight)
    present = ~np.isnan(labels[:16])
    metric, violation = by_hand(objective, *(each[:16][present] for each in (expit(scores), labels, weight)), positives)
    positions = tensors[0].requires_grad_()
    loss = solver.loss(*tensors)
    assert loss.item() == pytest.approx(-metric + 2 * violation, rel=1e-5)
    loss.backward()
    assert positions.grad[~torch.from_numpy(present)].abs().sum() == 0
    for row in range(0, 4):
        step = np.zeros((16, 1))
        step[row] = 1e-4
        moved = []
        for sign in (1, -1):
            alarms = expit(scores[:16] + sign * step)
            moved.append(by_hand(objective, *(each[present] for each in (alarms, labels[:16], weight[:16])), positives))
        slope = (-moved[0][0] + moved[1][0] + 2 * (moved[0][1] - moved[1][1])) / 2e-4
        assert positions.grad[row].item() == pytest.approx(slope, abs=1e-4)


@BOUNDS
def test_exact_counts_move_the_multiplier(objective):
    """By the rate times how far they miss the bound, however confident the scores are."""
    scores, labels = problem()
    for factor in (0.01, 100.0):
        solver = solver_for(objective, labels, 1.0)
        solver.loss(torch.from_numpy(factor * scores), torch.from_numpy(labels))
        solver.step()
        weight = np.ones(40)
        _, violation = by_hand(objective, (scores[:, 0] >= 0).astype(float), labels[:, 0], weight, labels.sum())
        assert solver.multiplier() == pytest.approx([1 + 0.5 * violation], rel=1e-5)
        assert violation != 0


@pytest.mark.parametrize(("objective", "bad", "good"), [(FPOR(0.75), 1.0, -1.0), (FROP(0.75), -1.0, 1.0)], ids=str)
def test_the_multiplier_rises_while_the_bound_is_missed_and_falls_to_zero_after(objective, bad, good):
    """All flagged misses a precision, nothing flagged a recall."""
    _, labels = problem()
    solver, held = solver_for(objective, labels), [0.0]
    for score in [bad] * 3 + [good] * 30:
        right = np.where(labels == 1, 1.0, -1.0) if isinstance(objective, FPOR) and score == good else score
        solver.loss(torch.from_numpy(np.broadcast_to(right, labels.shape).copy()), torch.from_numpy(labels))
        solver.step()
        held.append(solver.multiplier().item())
    assert held[0] < held[1] < held[2] < held[3]
    assert all(after < before or after == 0 for before, after in pairwise(held[3:]))
    assert held[-1] == 0


@BOUNDS
def test_batches_without_a_class_have_finite_gradients(objective):
    labels = np.repeat([[1.0], [0.0]], 20, axis=0)
    solver = solver_for(objective, labels, 1.0)
    for truth in (0.0, 1.0, np.nan):
        scores = torch.zeros(8, 1, requires_grad=True)
        loss = solver.loss(scores, torch.full((8, 1), truth))
        loss.backward()
        solver.step()
        assert torch.isfinite(loss) and torch.isfinite(scores.grad).all() and np.isfinite(solver.multiplier()).all()


def test_labels_have_a_multiplier_each():
    scores, labels = problem(num_labels=2)
    together = solver_for(FPOR((0.75, 0.3)), labels)
    together.loss(torch.from_numpy(scores), torch.from_numpy(labels))
    together.step()
    for label, bound in enumerate((0.75, 0.3)):
        column = slice(label, label + 1)
        alone = solver_for(FPOR(bound), labels[:, column])
        alone.loss(torch.from_numpy(scores[:, column]), torch.from_numpy(labels[:, column]))
        alone.step()
        assert together.multiplier()[label] == pytest.approx(alone.multiplier()[0])


@BOUNDS
def test_it_trains_through_fit_and_repeats(objective):
    random = np.random.default_rng(0)
    y = (random.random(200) < 0.3).astype(np.float32)
    x = (random.normal(size=(200, 2)) + 1.5 * y[:, None]).astype(np.float32)
    loader = DataLoader(TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), batch_size=50, shuffle=True)

    def train():
        model = nn.Linear(2, 1)
        model.weight.data = torch.tensor([[0.1, -0.1]])
        nn.init.constant_(model.bias, 0.5 if isinstance(objective, FPOR) else -0.5)  # either misses its bound
        arguments = {"epochs": 12, "warmup_epochs": 0, "val_fraction": 0, "progress": False}
        return fit(model, loader, objective, solver=CooperProxy(0.1), **arguments)

    first, again = train(), train()
    multipliers, values = ([record[name] for record in first.history] for name in ("multiplier", "value"))
    assert len(multipliers) == 12 and multipliers[0] > 0
    assert [record["multiplier"] for record in again.history] == multipliers
    assert first.solver == "cooper, sigmoid proxy" and first.status == Status.FEASIBLE
    assert max(values) > values[0]


def test_the_state_is_no_alias():
    scores, labels = problem()
    solver = solver_for(FPOR(0.75), labels, 1.0)
    state = solver.state_dict()
    solver.loss(torch.from_numpy(scores), torch.from_numpy(labels))
    solver.step()
    assert state["multiplier"].item() == 1.0 != solver.multiplier().item()
    other = solver_for(FPOR(0.75), labels)
    other.load_state_dict(solver.state_dict())
    assert other.multiplier().item() == solver.multiplier().item()
    assert repr(CooperProxy(0.1)) != repr(CooperProxy(0.2))


def test_faults():
    _, labels = problem()
    for objective in (OFBS(1.0), OAP()):
        with pytest.raises(InvalidInputError, match="objective must be one with a bound"):
            CooperProxy().prepare(objective, labels, None)
    with pytest.raises(InvalidInputError, match="dual_learning_rate must be a finite number above 0, got 0"):
        CooperProxy(0)
    CooperProxy().prepare(FROP(0.5), labels, None)


def test_missing(monkeypatch):
    assert cooper_proxy.missing() == []
    monkeypatch.setattr(cooper_proxy, "find_spec", lambda name: None)
    assert cooper_proxy.missing() == ["cooper-optim"]
