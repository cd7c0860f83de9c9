"""On an accelerator nothing waits for the host, and all comes out as on the CPU: the same code, run on the CPU."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from metricopt import FPOR, FROP, OFBS, DirectMetricLoss, RecallAtAlarmRate, RecallAtFPR, choose_threshold
from metricopt.problem.tensor_cuts import best_cuts
from metricopt.solvers import Profiled
from metricopt.solvers.array_steps import Ramps, array_errors
from metricopt.solvers.tensor_steps import tensor_errors
from tests.devices import NoHost, as_accelerator

OBJECTIVES = [FPOR(0.6), FROP(0.7), OFBS(2.0), RecallAtFPR(0.1), RecallAtAlarmRate(0.3), FPOR((0.5, 0.9))]


def draw(num_rows=300, num_labels=2, seed=0, has_missing=False, decimals=None):
    random = np.random.default_rng(seed)
    labels = (random.random((num_rows, num_labels)) < 0.3).astype(np.float32)
    scores = (random.normal(size=labels.shape) + 1.5 * labels).astype(np.float32)
    scores = scores if decimals is None else scores.round(decimals)
    if has_missing:
        labels[random.random(labels.shape) < 0.2] = np.nan
    return torch.from_numpy(scores), torch.from_numpy(labels)


# The threshold


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_threshold_is_the_exact_one(objective, decimals, is_weighted):
    for seed in range(4):
        scores, labels = draw(60, seed=seed, has_missing=seed % 2 == 1, decimals=decimals)
        weight = torch.from_numpy(np.random.default_rng(seed).integers(0, 4, labels.shape)).float()
        weight = weight if is_weighted else None
        wanted = choose_threshold(scores, labels, objective, sample_weight=weight)
        threshold, value, is_judged = best_cuts(scores, labels, weight, objective)
        assert is_judged.all()
        torch.testing.assert_close(threshold, wanted.threshold.to(threshold), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(value, wanted.value.to(value), equal_nan=True)


def test_bounds_that_cannot_be_met_and_labels_of_one_class():
    scores = torch.tensor([[1.0, 1.0, 2.0], [2.0, 2.0, 1.0], [3.0, 3.0, 0.0]])
    labels = torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, torch.nan], [0.0, 0.0, torch.nan]])
    threshold, value, is_judged = best_cuts(scores, labels, None, FPOR(0.9))
    wanted = choose_threshold(scores[:, :1], labels[:, :1], FPOR(0.9))
    assert not wanted.feasible and threshold[0] == wanted.threshold[0] and value[0] == wanted.value[0]
    assert is_judged.tolist() == [True, False, False]
    flags_nothing = best_cuts(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [0.0]]), None, RecallAtFPR(0.5))
    assert flags_nothing[1] == choose_threshold([1.0, 2.0], [1, 0], RecallAtFPR(0.5)).value


# A step


@pytest.mark.parametrize("num_rows", [1, 63, 200])
@pytest.mark.parametrize("has_missing", [False, True])
@pytest.mark.parametrize("height", [1.0, 6.0])
def test_a_batch_adds_what_it_adds_in_numpy(num_rows, has_missing, height):
    scores, labels = draw(num_rows, 3, has_missing=has_missing)
    wild = scores.where(~labels.isnan(), torch.inf)  # what a model says of missing labels does not matter
    weight = torch.rand(labels.shape, generator=torch.Generator().manual_seed(0)) if num_rows > 100 else None
    threshold, slopes = np.array([0.1, -0.4, 1.0]), np.array([[1.0, 2.0, 0.5], [3.0, 0.7, 0.0]])
    cost, anchor = np.array([[0.3, 1.0, 1.0], [1.0, 0.2, 1.0]]), np.array([0.5, 0.0, 1.0])
    there = {name: torch.from_numpy(array).float() for name, array in (
        ("threshold", threshold), ("slopes", slopes), ("cost", cost), ("anchor", anchor))}  # fmt: skip
    errors, loss, derivatives = tensor_errors(
        wild, labels, weight, **there, offset=0.5, height=height, has_missing=has_missing
    )
    own = scores.double().numpy(), labels.double().numpy(), None if weight is None else weight.numpy()
    ramps = Ramps(threshold, slopes, cost, anchor, offset=0.5, height=height)
    wanted, wanted_loss, wanted_derivatives = array_errors(*own, ramps)
    assert errors.numpy() == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    assert loss.item() == pytest.approx(wanted_loss, rel=1e-4)
    assert derivatives.numpy() == pytest.approx(wanted_derivatives, rel=1e-4, abs=1e-5)


def test_large_batches_on_the_host_take_the_same_steps(monkeypatch):
    scores, labels = draw(500, 2)
    found = []
    for limit in (1, 10**9):
        monkeypatch.setattr("metricopt.solvers.profiled.LARGE_BATCH", limit)
        found.append(run(FPOR(0.6), scores, labels, torch.arange(500).split(100)))
    for some, other in zip(*found, strict=True):
        torch.testing.assert_close(some, other, rtol=1e-4, atol=1e-6)


def test_labels_of_other_samples_may_be_missing(monkeypatch):
    scores, labels = draw(300, 2)
    others = torch.where(torch.arange(600).view(300, 2) % 7 == 0, torch.nan, labels)
    losses = []
    for limit in (1, 10**9):
        monkeypatch.setattr("metricopt.solvers.profiled.LARGE_BATCH", limit)
        loss = DirectMetricLoss(FPOR(0.6), labels, epochs=2, steps_per_epoch=10, warmup_epochs=0)
        loss.update(scores)
        for truth in (labels, others):
            losses.append(loss(scores.clone().requires_grad_(), truth).item())
    assert losses[:2] == pytest.approx(losses[2:], rel=1e-4)
    assert 0 < losses[1] < losses[0]


def run(objective, scores, labels, batches, epochs=6, solver="profiled", weight=None, with_index=True):
    """Losses, gradients, multipliers and thresholds along a training on scores that stay as they are."""
    arguments = {"epochs": epochs, "steps_per_epoch": len(batches), "solver": solver, "sample_weight": weight}
    loss, found = DirectMetricLoss(objective, labels, **arguments), []
    for epoch in range(epochs):
        for rows in batches:
            own = (scores[rows] * (1 + epoch / 10)).requires_grad_()
            value = loss(own, labels[rows], rows if with_index else None)
            (gradient,) = torch.autograd.grad(value, own)
            found += [value.detach(), gradient]
    multiplier = loss.solver.multiplier()
    found += [torch.zeros(1) if multiplier is None else torch.from_numpy(multiplier).float()]
    return [*found, torch.from_numpy(np.atleast_1d(loss.threshold)).float(), torch.from_numpy(loss.latest_scores)]


CASES = {
    "default": {},
    "in order of arrival": {"with_index": False},
    "hinge": {"solver": Profiled("hinge")},
    "weights": {"weight": np.random.default_rng(0).random((300, 2))},
    "missing": {"has_missing": True},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("objective", [FPOR(0.6), OFBS(1.0), RecallAtAlarmRate(0.2)], ids=str)
def test_a_training_there_is_the_same(objective, case):
    options = dict(CASES[case])
    scores, labels = draw(300, 2, has_missing=options.pop("has_missing", False))
    batches = torch.arange(300).split(60)
    here = run(objective, scores, labels, batches, **options)
    with as_accelerator():
        there = run(objective, scores, labels, batches, **options)
    for some, other in zip(there, here, strict=True):
        torch.testing.assert_close(some, other, rtol=1e-3, atol=1e-5)


def test_several_bounds_come_to_the_host():
    program = metricopt.Program(maximize="recall", subject_to=["precision >= 0.5", "alarm_rate <= 0.3"])
    scores, labels = draw(300, 1)
    batches = torch.arange(300).split(60)
    here = run(program, scores, labels, batches)
    with as_accelerator():
        there = run(program, scores, labels, batches)
    for some, other in zip(there, here, strict=True):
        torch.testing.assert_close(some, other)


# Nothing waits


@pytest.mark.parametrize("weight", [None, np.ones(300)])
@pytest.mark.parametrize("with_index", [True, False])
def test_no_step_waits_for_the_device(weight, with_index):
    if weight is not None and not with_index:
        return
    scores, labels = draw(300, 2)
    rows = torch.arange(300).split(60)
    arguments = {"alpha": 0.6, "epochs": 20, "steps_per_epoch": 5, "warmup_epochs": 2, "sample_weight": weight}
    with as_accelerator():
        loss = DirectMetricLoss("FPOR", labels, **arguments)

        def step(number):
            own, index = scores[rows[number % 5]].requires_grad_(), rows[number % 5]
            loss(own, labels[index], index if with_index else None).backward()

        step(0)  # its values are checked
        with NoHost() as host:
            for number in range(1, 10):  # the rest of the warm-up
                step(number)
        assert host.transfers == 0
        step(10)  # the hand-over
        with NoHost() as host:
            for number in range(11, 60):  # with four refreshes of the threshold
                step(number)
        assert host.transfers == 0 and (loss.multiplier != 1.0).all()


def test_what_waits_is_counted():
    with as_accelerator(), NoHost() as host:
        tensor = torch.ones(3)
        tensor.sum().item()
        bool(tensor.isnan().any())
        tensor[tensor > 0]
        tensor.cpu()
        tensor.numpy()
    assert host.transfers == 5


def test_fit_waits_once_an_epoch_alone():
    x = torch.randn(400, 5, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 1).float()
    counted = {}
    for batch_size in (40, 20):
        with as_accelerator(), NoHost() as host:
            torch.manual_seed(0)
            network = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 1))
            loader = DataLoader(TensorDataset(x, y), batch_size=batch_size, shuffle=True)
            plan = {"epochs": 8, "warmup_epochs": 2, "progress": False}
            metricopt.fit(network, loader, "FPOR", alpha=0.5, optimizer=partial(torch.optim.SGD, lr=0.1), **plan)
        counted[batch_size] = host.transfers
    more_steps = 8 * 320 // 40
    of_labels = 2 * more_steps  # "cpu" and "numpy" of labels that the loader brings, which lie on the host
    assert 0 <= counted[20] - counted[40] - of_labels <= more_steps // 4


# Precision, and compiled models


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("there", [False, True])
def test_half_precision(dtype, there):
    x = torch.randn(240, 4, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 1).float()
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    loss = DirectMetricLoss("FPOR", y, alpha=0.7, epochs=10, steps_per_epoch=4)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    with as_accelerator(there):
        for _ in range(10):
            for rows in torch.arange(240).split(60):
                optimizer.zero_grad()
                with torch.autocast("cpu", dtype=dtype):
                    value = loss(network(x[rows])[:, 0], y[rows], rows)
                assert value.dtype == torch.float32 and value.isfinite()
                value.backward()
                optimizer.step()
    assert choose_threshold(network(x)[:, 0], y, "FPOR", alpha=0.7).value > 0.9


@pytest.mark.filterwarnings("ignore:Guards may run slower:RuntimeWarning")
def test_a_compiled_model_trains():
    x, y = torch.randn(120, 4, generator=torch.Generator().manual_seed(0)), (torch.arange(120) % 4 == 0).float()
    x[:, 0] += 2 * y
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    plain = [weight.detach().clone() for weight in network.parameters()]
    compiled = torch.compile(network, backend="eager")
    loader = DataLoader(TensorDataset(x, y), batch_size=30, shuffle=True)
    result = metricopt.fit(compiled, loader, "FPOR", alpha=0.6, epochs=4, learning_rate=0.05, progress=False)
    assert result.model is compiled
    assert not all(map(torch.equal, plain, network.parameters()))
