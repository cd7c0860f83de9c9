"""The loss for one's own loop: the weights that fit trains, whatever solver, and what surrounds them."""

import copy
import io
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from metricopt import FPOR, OFBS, DirectMetricLoss, InvalidInputError, choose_threshold
from metricopt.losses import FocalLoss
from metricopt.scoring.forward import score_loader
from metricopt.solvers import ExactPenalty, Profiled, ProfiledRanking, Surrogate
from metricopt.solvers.lagrangian import AugmentedLagrangian, Lagrangian
from metricopt.training.driver import DivergedError
from tests.held_out import fit

EPOCHS, BATCH, SEED = 8, 40, 3
GUIDED = "guided ramp"


def blobs(num_rows=200, num_labels=1, has_missing=False, seed=0):
    draw = torch.Generator().manual_seed(seed)
    y = (torch.rand(num_rows, num_labels, generator=draw) < 0.3).float()
    x = torch.randn(num_rows, 3, generator=draw) + 1.2 * y[:, :1]
    if has_missing:
        y[::7, 0] = torch.nan
    return x, y


def network(num_labels=1, dropout=0.2):
    torch.manual_seed(0)
    layers = nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, num_labels)
    return nn.Sequential(*layers)


def weights_of(model):
    return {name: value.tolist() for name, value in model.state_dict().items()}


def scores_of(model, x):
    return score_loader(model, [(x, torch.zeros(len(x)))], torch.device("cpu"), num_labels=None)[0]


def steps_of(loader):
    """Batches of an epoch in the order in which fit draws them, one epoch after the other."""
    order, epoch = torch.Generator().manual_seed(SEED), 0
    ordered = DataLoader(loader.dataset, loader.batch_size, shuffle=True, generator=order)
    while True:
        epoch += 1
        order.manual_seed(SEED * 1_000_003 + epoch)
        yield iter(ordered)


def train(model, loss, batches_of_epochs, optimizer, x, *, num_epochs=EPOCHS, with_index=True, after_epoch=None):
    """One's own loop, which does nothing that a reader of the docstring would not do."""
    torch.manual_seed(SEED)
    for epoch in range(num_epochs):
        if epoch == loss.warmup_epochs == 0:
            model.eval()
            with torch.no_grad():
                loss.update(model(x))
        model.train()
        for inputs, labels, index in next(batches_of_epochs):
            optimizer.zero_grad()
            loss(model(inputs), labels, index if with_index else None).backward()
            optimizer.step()
        if after_epoch is not None:
            after_epoch()
    return model


# The same training as that of fit

CASES = {
    "default": {"alpha": 0.7},
    "SGD with momentum": {"alpha": 0.7, "solver": Profiled(GUIDED)},
    "without warm-up": {"alpha": 0.7, "solver": Profiled("strict hinge"), "warmup_epochs": 0},
    "bound on recall, three labels, missing ones": {"objective": "FROP", "alpha": 0.8, "solver": Profiled("hinge")},
    "F-beta, weights": {"objective": "OFBS", "beta": 2.0, "solver": Profiled(GUIDED), "sample_weight": True},
    "average precision": {"objective": "OAP", "solver": ProfiledRanking("ramp")},
    "augmented Lagrangian": {"alpha": 0.7, "solver": AugmentedLagrangian(path=GUIDED), "sample_weight": True},
    "Lagrangian": {"alpha": 0.7, "solver": Lagrangian(path="ramp")},
    "exact penalty": {"alpha": 0.7, "solver": ExactPenalty(path="hinge"), "warmup_epochs": 1},
    "a loss to compare with": {"alpha": 0.7, "solver": Surrogate(FocalLoss())},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_ones_own_loop_ends_in_the_weights_of_fit(name):
    case = {"objective": "FPOR", **CASES[name]}
    is_weighted, num_labels = case.pop("sample_weight", False), 3 if "three labels" in name else 1
    x, y = blobs(num_labels=num_labels, has_missing=num_labels > 1)
    if is_weighted:
        case["sample_weight"] = np.random.default_rng(0).random(len(x))
    make_optimizer = (
        partial(torch.optim.SGD, lr=0.1, momentum=0.9) if "SGD" in name else partial(torch.optim.Adam, lr=0.01)
    )
    by_fit, ends = network(num_labels), []
    fit(
        by_fit, DataLoader(TensorDataset(x, y), BATCH, shuffle=True), **case, epochs=EPOCHS, val_fraction=0, seed=SEED,
        optimizer=make_optimizer, progress=False, callbacks=[lambda _: ends.append(weights_of(by_fit))],
    )  # fmt: skip
    assert len(ends) == EPOCHS and ends[0] != ends[-1]

    loader = DataLoader(TensorDataset(x, y, torch.arange(len(x))), BATCH)
    loss = DirectMetricLoss(labels=y, epochs=EPOCHS, steps_per_epoch=len(loader), **case)
    own, own_ends = network(num_labels), []
    optimizer = make_optimizer(own.parameters())
    train(own, loss, steps_of(loader), optimizer, x, after_epoch=lambda: own_ends.append(weights_of(own)))
    assert own_ends == ends


class Stream(IterableDataset):
    def __init__(self, *tensors):
        self.tensors = tensors

    def __iter__(self):
        return zip(*self.tensors, strict=True)


def test_without_index_too_where_fit_has_none():
    """In order of arrival: each batch takes the place of the one that came as many samples before."""
    x, y = blobs(num_labels=2, has_missing=True)
    make_optimizer, ends, by_fit = partial(torch.optim.SGD, lr=0.1), [], network(2, dropout=0)
    fit(
        by_fit, DataLoader(Stream(x, y), BATCH), "FPOR", alpha=0.7, solver=Profiled(GUIDED), epochs=EPOCHS,
        val_fraction=0, seed=SEED, optimizer=make_optimizer, callbacks=[lambda _: ends.append(weights_of(by_fit))],
        progress=False,
    )  # fmt: skip
    loader = DataLoader(Stream(x, y, torch.arange(len(x))), BATCH)
    loss, own = DirectMetricLoss("FPOR", y, alpha=0.7, epochs=EPOCHS, steps_per_epoch=5), network(2, dropout=0)
    batches = iter(lambda: iter(loader), None)
    train(own, loss, batches, make_optimizer(own.parameters()), x, with_index=False)
    assert weights_of(own) == ends[-1]


def test_a_stream_need_not_be_as_long_each_time():
    class Varying(Stream):
        lengths = iter([200, 190, 200, *[180, 210] * 20])

        def __iter__(self):
            rows = list(zip(*self.tensors, strict=True))
            return iter((rows + rows)[: next(self.lengths)])

    result = fit(network(), DataLoader(Varying(*blobs()), BATCH), "OFBS", epochs=8, val_fraction=0, progress=False)
    assert result.train.f_beta > 0.5


def test_the_best_epoch_is_what_fit_returns():
    x, y = blobs(400)
    val = TensorDataset(*blobs(400, seed=1))
    make_optimizer, case = partial(torch.optim.SGD, lr=0.3), {"alpha": 0.6, "solver": Profiled(GUIDED)}
    result = fit(
        network(), DataLoader(TensorDataset(x, y), BATCH, shuffle=True), "FPOR", **case, epochs=12, seed=SEED,
        val_loader=DataLoader(val), optimizer=make_optimizer, progress=False,
    )  # fmt: skip
    assert result.selected_stage == GUIDED and result.validation.met

    loader = DataLoader(TensorDataset(x, y, torch.arange(len(x))), BATCH)
    loss, own, found = DirectMetricLoss("FPOR", y, epochs=12, steps_per_epoch=len(loader), **case), network(), []

    def judge():
        choice = choose_threshold(scores_of(own, val.tensors[0]), val.tensors[1].numpy(), loss.objective)
        found.append((bool(choice.feasible[0]), choice.value[0], choice.bounded_value[0], weights_of(own)))

    train(own, loss, steps_of(loader), make_optimizer(own.parameters()), x, num_epochs=12, after_epoch=judge)
    best = max(found[loss.warmup_epochs :], key=lambda each: each[:3])
    assert best[-1] == weights_of(result.model) and best[1] == result.validation.recall


# What the state holds


def started(solver="profiled", num_labels=1, **arguments):
    """A loss on its path, and the batch that it has seen."""
    x, y = blobs(num_labels=num_labels)
    arguments = {"alpha": 0.7, "epochs": 4, "steps_per_epoch": 30, "warmup_epochs": 0, **arguments}
    loss = DirectMetricLoss("FPOR", y, solver=solver, **arguments)
    loss.update(x[:, :num_labels])
    return loss, x[:, :num_labels].clone().requires_grad_(), y


def call(loss, scores, labels, rows):
    """The loss of some rows and its derivatives."""
    batch = scores[rows].detach().requires_grad_()
    value = loss(batch, labels[rows], rows)
    (gradient,) = torch.autograd.grad(value, batch)
    return value.item(), gradient.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["profiled", "augmented_lagrangian", "lagrangian", "exact_penalty"])
@pytest.mark.parametrize("warmup_epochs", [0, 1])
def test_the_state_dict_holds_all_that_moves(solver, warmup_epochs):
    loss, scores, y = started(solver, warmup_epochs=warmup_epochs)
    rows = [torch.randperm(200, generator=torch.Generator().manual_seed(k))[:50] for k in range(60)]
    for row in rows[:25]:
        call(loss, scores, y, row)
    stored = io.BytesIO()
    torch.save(loss.state_dict(), stored)
    stored.seek(0)
    again = DirectMetricLoss(
        "FPOR", y, alpha=0.7, epochs=4, steps_per_epoch=30, warmup_epochs=warmup_epochs, solver=solver
    )
    again.load_state_dict(torch.load(stored, weights_only=True))
    for row in rows[25:]:  # past the end of the warm-up, and several refreshes
        assert call(again, scores, y, row) == call(loss, scores, y, row)
    assert again.threshold == loss.threshold and again.multiplier == loss.multiplier > 0


def test_a_state_dict_is_no_alias():
    loss, scores, y = started()
    state = loss.state_dict()["_extra_state"]
    before = state["memory"]["scores"].tolist(), state["solver"]["multiplier"].tolist()
    call(loss, 2 * scores, y, torch.arange(50))
    assert (state["memory"]["scores"].tolist(), state["solver"]["multiplier"].tolist()) == before
    after = loss.state_dict()["_extra_state"]
    assert after["memory"]["scores"].tolist() != before[0] and after["solver"]["multiplier"].tolist() != before[1]


@pytest.mark.parametrize(
    ("arguments", "got"),
    [({"alpha": 0.8}, "min_precision=0.7"), ({"solver": Profiled("hinge")}, "by profiled on"), ({}, None)],
)
def test_the_state_of_another_loss_is_rejected(arguments, got):
    loss, scores, y = started()
    call(loss, scores, y, torch.arange(50))
    other = started(**arguments)[0]
    if got is None:
        other.load_state_dict(loss.state_dict())
        assert other.multiplier == loss.multiplier
    else:
        with pytest.raises(InvalidInputError, match=f"state_dict must be that of .* got .*{got}.*same arguments"):
            other.load_state_dict(loss.state_dict())


def test_it_is_part_of_the_state_of_a_module_around_it():
    loss, scores, y = started()
    around = nn.ModuleDict({"head": nn.Linear(1, 1), "loss": loss})
    call(loss, scores, y, torch.arange(50))
    other = nn.ModuleDict({"head": nn.Linear(1, 1), "loss": started()[0]})
    other.load_state_dict(around.state_dict())
    assert other["loss"].multiplier == loss.multiplier
    assert list(loss.parameters()) == list(loss.buffers()) == []


# What moves it, and what does not


def test_what_is_passed_to_start_is_left_alone():
    x, y = blobs()
    loss = DirectMetricLoss("FPOR", y, alpha=0.7, epochs=2, steps_per_epoch=1, warmup_epochs=0)
    scores, labels = np.zeros((len(y), 1), dtype=np.float32), y.numpy().copy()
    loss.start(loss.solver.stages(2)[0], scores, labels)
    loss(network()(x), y).backward()
    assert not np.array_equal(loss.latest_scores, scores)
    assert not scores.any() and np.array_equal(labels, y.numpy())


@pytest.mark.parametrize("make", [Profiled, ExactPenalty, AugmentedLagrangian])
def test_a_solver_given_to_two_losses_serves_each_by_itself(make):
    x, y = blobs()
    solver, model = make(), network(dropout=0.0).eval()

    def make_loss(solver, rows):
        loss = DirectMetricLoss("FPOR", y[:rows], alpha=0.7, epochs=2, steps_per_epoch=2, solver=solver)
        loss.update(model(x[:rows]))
        return loss

    def values(loss):
        return [loss(model(x[:50]), y[:50], torch.arange(50)).item() for _ in range(4)]

    alone, first = make_loss(make(), len(y)), make_loss(solver, len(y))
    other = make_loss(solver, 100)
    assert values(first) == values(alone) != values(other)


def test_validation_leaves_the_state_alone():
    loss, scores, y = started()
    call(loss, scores, y, torch.arange(50))
    before = repr(loss.state_dict())
    with torch.no_grad():
        in_validation = loss(scores[50:90], y[50:90])
    loss.eval()
    assert loss(scores[50:90], y[50:90]).item() == in_validation.item() > 0
    assert repr(loss.state_dict()) == before
    loss.train()
    assert loss(scores[50:90], y[50:90], torch.arange(50, 90)).item() == in_validation.item()
    assert repr(loss.state_dict()) != before


@pytest.mark.parametrize("warmup_epochs", [0, 2])
def test_slacks_have_no_loss_for_other_samples(warmup_epochs):
    loss, scores, y = started("exact_penalty", warmup_epochs=warmup_epochs)
    call(loss, scores, y, torch.arange(50))
    with pytest.raises(InvalidInputError, match="training batches alone for exact_penalty.*choose_threshold"):
        loss.eval()(scores, y)


def test_a_batch_that_is_not_finite_moves_nothing():
    loss, scores, y = started()
    call(loss, scores, y, torch.arange(50))
    before = repr(loss.state_dict())
    assert np.isnan(call(loss, scores * torch.nan, y, torch.arange(50))[0])
    assert repr(loss.state_dict()) == before
    call(loss, scores, y, torch.arange(50))
    assert np.isfinite(loss.multiplier) and np.isfinite(loss.threshold)


@pytest.mark.parametrize("solver", ["profiled", "exact_penalty", "cross_entropy"])
@pytest.mark.parametrize("warmup_epochs", [0, 1])
def test_a_batch_without_a_sample_moves_nothing(solver, warmup_epochs):
    loss, scores, y = started(solver, warmup_epochs=warmup_epochs)
    call(loss, scores, y, torch.arange(50))
    before = repr(loss.state_dict())
    assert call(loss, scores, y, torch.arange(0)) == (0.0, [])
    assert repr(loss.state_dict()) == before


def test_infinite_scores_end_it_at_the_next_refresh():
    loss, scores, y = started()
    broken = scores.detach().clone()
    broken[y == 1] = torch.inf  # right by far: the ramps are flat, and the loss is finite
    with pytest.raises(DivergedError, match="scores must be finite, got NaN or infinity after 15 batches; lower the"):
        for _ in range(15):
            value, _ = call(loss, broken, y, torch.arange(200))
            assert np.isfinite(value)


def test_half_precision_and_single_columns():
    loss, scores, y = started()
    other = started()[0]
    logits = scores.detach()[:, 0].bfloat16().requires_grad_()
    value = loss(logits, y[:, 0].bool())
    assert value.dtype == torch.float32 and value.item() == other(logits.float()[:, None], y).item()
    value.backward()
    assert logits.grad.dtype == torch.bfloat16 and logits.grad.abs().sum() > 0


# The latest scores


def test_update_sets_the_threshold():
    loss, scores, y = started(Profiled(path="ramp"))  # without an anchor: only distances to the threshold count
    choice = choose_threshold(scores.detach().numpy(), y.numpy(), loss.objective)
    assert loss.threshold == choice.threshold[0]
    call(loss, scores, y, torch.arange(50))
    first = call(loss, scores, y, torch.arange(50))[0]
    loss.update(scores.detach() - 3)  # all of them lower: as they stand, far below the threshold
    assert loss.threshold == pytest.approx(choice.threshold[0] - 3, abs=1e-5)
    assert call(loss, scores - 3, y, torch.arange(50))[0] == pytest.approx(first, rel=0.2)
    other = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    loss.update(scores.detach()[other], y[other])
    assert loss.threshold == choice.threshold[0]


def test_several_labels_have_several_thresholds():
    loss, scores, y = started(num_labels=3)
    choice = choose_threshold(scores.detach().numpy(), y.numpy(), loss.objective)
    np.testing.assert_array_equal(loss.threshold, choice.threshold)
    call(loss, scores, y, torch.arange(50))
    assert loss.multiplier.shape == (3,)
    assert started(num_labels=3)[0].multiplier.shape == (3,)
    plain = DirectMetricLoss(OFBS(1.0), y, epochs=2, steps_per_epoch=2)
    assert plain.multiplier is None


def test_the_warm_up_is_cross_entropy_and_brings_the_scores():
    x, y = blobs()
    assert DirectMetricLoss("FPOR", y, alpha=0.7, epochs=4, steps_per_epoch=4).warmup_epochs == 1
    loss = DirectMetricLoss("FPOR", y, alpha=0.7, epochs=4, steps_per_epoch=4, warmup_epochs=1)
    plain = nn.functional.binary_cross_entropy_with_logits
    scores = x[:, :1]
    for rows in torch.arange(200).split(50):
        assert call(loss, scores, y, rows)[0] == plain(scores[rows], y[rows]).item()
    assert loss.threshold == choose_threshold(scores.numpy(), y.numpy(), loss.objective).threshold[0]
    goes_on = call(loss, scores, y, rows)[0]  # its path begins as cross-entropy goes on, and on its scale
    assert goes_on == pytest.approx(plain(scores[rows], y[rows]).item(), rel=1e-5)
    assert loss.multiplier not in (0.0, 1.0)  # it has moved from where its path begins


@pytest.mark.parametrize("with_index", [True, False])
def test_rows_that_no_batch_has_shown_are_left_out(with_index):
    """With drop_last, say: the threshold is that of the samples whose scores are known."""
    x, y = blobs()
    loss = DirectMetricLoss("FPOR", y, alpha=0.7, epochs=4, steps_per_epoch=4)
    seen = torch.arange(150)
    loss(x[seen, :1].requires_grad_(), y[seen], seen if with_index else None)
    assert loss.threshold == choose_threshold(x[seen, 0].numpy(), y[seen, 0].numpy(), loss.objective).threshold


OBJECTIVES = {
    "FPOR": {"alpha": 0.7},
    "FROP": {"alpha": 0.7},
    "OFBS": {},
    "OAP": {},
    "RecallAtFPR": {"alpha": 0.1},
    "RecallAtAlarmRate": {"alpha": 0.1},
}


@pytest.mark.parametrize("rare", [0, 1])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_what_is_known_of_a_label_outlives_a_memory_without_one_of_its_classes(objective, rare):
    """One sample of a class in 40, drawn with replacement: without rows the last 40 hold none of it now and then."""
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    y = torch.stack([1.0 - rare * torch.ones(40), torch.tensor([0.0, 1] * 20)], dim=1)
    y[0, 0] = rare
    loss = DirectMetricLoss(objective, y, epochs=8, steps_per_epoch=20, warmup_epochs=0, **OBJECTIVES[objective])
    loss.update(x)
    common = torch.arange(1, 40)
    before = call_without_rows(loss, x, y, torch.arange(40))[1]
    for _ in range(10):  # past a refresh
        call_without_rows(loss, x, y, common)
    assert np.isnan(loss.threshold[0]) == rare and np.isfinite(loss.threshold[1])
    again = DirectMetricLoss(objective, y, epochs=8, steps_per_epoch=20, warmup_epochs=0, **OBJECTIVES[objective])
    again.load_state_dict(loss.state_dict())
    after = call_without_rows(loss, x, y, torch.arange(40))
    assert after == call_without_rows(again, x, y, torch.arange(40))
    pulls_rare = np.array([before[0][0], after[1][0][0]])
    assert (pulls_rare != 0).all() and (np.sign(pulls_rare) == (-1 if rare else 1)).all()


def call_without_rows(loss, scores, labels, rows):
    batch = scores[rows].detach().requires_grad_()
    value = loss(batch, labels[rows])
    (gradient,) = torch.autograd.grad(value, batch)
    return value.item(), gradient.tolist()


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("solver", ["profiled", "exact_penalty", "augmented_lagrangian", "cross_entropy"])
@pytest.mark.parametrize("unseen", [1, 0])
def test_epochs_and_batches_of_one_class(objective, solver, unseen):
    y = torch.tensor([1.0 - unseen] * 38 + [float(unseen)] * 2)
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    model = nn.Linear(2, 1)
    loss = DirectMetricLoss(objective, y, epochs=6, steps_per_epoch=4, solver=solver, **OBJECTIVES[objective])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(6):
        for rows in torch.arange(36).split(10):  # the class of the last two is never seen
            optimizer.zero_grad()
            loss(model(x[rows]), y[rows], rows if loss.solver.needs_index else None).backward()
            optimizer.step()
    assert all(weights.isfinite().all() for weights in model.parameters())


@pytest.mark.parametrize("objective", ["FPOR", "FROP", "OAP"])
@pytest.mark.parametrize(("epochs", "steps"), [(1, 8), (2, 4), (2, 1), (1, 1)])
def test_a_short_training_begins_with_a_quarter_of_cross_entropy(objective, epochs, steps):
    x, y = blobs()
    arguments = OBJECTIVES[objective]
    loss = DirectMetricLoss(objective, y, epochs=epochs, steps_per_epoch=steps, **arguments)
    plain, num_batches = nn.functional.binary_cross_entropy_with_logits, epochs * steps
    is_plain, rows = [], torch.arange(200).split(200 // steps)
    for batch in rows * epochs:
        is_plain.append(call(loss, x[:, :1], y, batch)[0] == plain(x[batch, :1], y[batch]).item())
    num_plain = max(1, num_batches // 4)
    assert all(is_plain[:num_plain]) and (num_batches <= 2 or not all(is_plain[num_plain:]))
    if num_batches > num_plain:  # the whole path in what is left
        state = loss.state_dict()["_extra_state"]["solver"]
        assert (state["step"], state["num_steps"]) == (num_batches - num_plain, num_batches - num_plain)


@pytest.mark.parametrize("objective", ["FPOR", "OAP"])
@pytest.mark.parametrize("has_begun", [True, False])
def test_a_short_training_of_a_model_that_has_begun_to_learn_has_no_warm_up(objective, has_begun):
    x, y = blobs()
    loss = DirectMetricLoss(objective, y, epochs=1, steps_per_epoch=8, **OBJECTIVES[objective])
    loss.update((4 * y - 3 if has_begun else 0 * y) + x[:, :1] / 10)
    again = DirectMetricLoss(objective, y, epochs=1, steps_per_epoch=8, **OBJECTIVES[objective])
    again.load_state_dict(loss.state_dict())
    for each in (loss, again):
        for _ in range(8):
            call(each, x[:, :1], y, torch.arange(50))
        state = each.state_dict()["_extra_state"]["solver"]
        assert (state["step"], state["num_steps"]) == ((8, 8) if has_begun else (6, 6))


@pytest.mark.parametrize("epochs", [1, 2])
@pytest.mark.parametrize("is_trained", [False, True])
def test_a_short_training_by_fit_is_that_of_ones_own_loop(epochs, is_trained):
    x, y = blobs()
    start, make_optimizer = network(), partial(torch.optim.Adam, lr=0.01)
    if is_trained:
        optimizer = torch.optim.Adam(start.parameters(), lr=0.05)
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(start(x), y).backward()
            optimizer.step()
    by_fit, own, ends = copy.deepcopy(start), copy.deepcopy(start), []
    fit(
        by_fit, DataLoader(TensorDataset(x, y), BATCH, shuffle=True), "FPOR", alpha=0.7, epochs=epochs, val_fraction=0,
        seed=SEED, optimizer=make_optimizer, progress=False, callbacks=[lambda _: ends.append(weights_of(by_fit))],
    )  # fmt: skip
    loader = DataLoader(TensorDataset(x, y, torch.arange(len(x))), BATCH)
    loss = DirectMetricLoss("FPOR", y, alpha=0.7, epochs=epochs, steps_per_epoch=len(loader))
    train(own, loss, steps_of(loader), make_optimizer(own.parameters()), x, num_epochs=epochs)
    assert weights_of(own) == ends[-1]
    num_batches = epochs * len(loader)
    num_steps = num_batches if is_trained else num_batches - round(num_batches / 4)
    assert loss.state_dict()["_extra_state"]["solver"]["num_steps"] == num_steps


def test_past_its_epochs_it_goes_on_as_at_their_end():
    loss, scores, y = started(epochs=1, steps_per_epoch=5)
    for _ in range(20):
        value, gradient = call(loss, scores, y, torch.arange(200))
    assert np.isfinite(value) and np.isfinite(gradient).all()
    assert loss.state_dict()["_extra_state"]["solver"]["step"] == 20


# What is rejected before training

LABELS = torch.tensor([0.0, 1.0] * 20)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"objective": "FPRO"}, "did you mean"),
        ({"objective": "FPOR", "alpha": 1.5}, r"alpha must be in \(0, 1\]|min_precision must be in \(0, 1\]"),
        ({"epochs": 0}, r"epochs must be an integer >= 1, got 0; give 1 or more"),
        (
            {"epochs": True, "steps_per_epoch": 2.5},
            r"epochs must be .* got True;.*\nsteps_per_epoch must be .* got 2.5;",
        ),
        ({"warmup_epochs": -1}, r"warmup_epochs must be an integer >= 0, got -1"),
        ({"warmup_epochs": 4}, r"warmup_epochs must be below epochs \(4\), got 4"),
        ({"solver": "profild"}, "did you mean 'profiled'"),
        ({"labels": torch.zeros(5)}, "labels must be of both classes, got 5 of one class or missing"),
        ({"labels": torch.tensor([0, 1, 2])}, r"labels must be 0, 1 or NaN \(missing\), got \[2.0\]"),
        ({"labels": torch.zeros(2, 2, 2)}, r"labels must be of shape \(n,\) or \(n, L\)"),
        ({"sample_weight": [1.0]}, r"sample_weight must be of shape \(40,\)"),
        ({"sample_weight": [-1.0] * 40}, "sample_weight must be >= 0, got -1"),
        ({"sample_weight": [1.0] * 40, "solver": FocalLoss()}, "sample_weight must be left out when solver is a loss"),
        ({"objective": FPOR((0.9, 0.8)), "alpha": None}, "2"),
    ],
)
def test_bad_arguments(arguments, text):
    right = {"objective": "FPOR", "labels": LABELS, "alpha": 0.9, "epochs": 4, "steps_per_epoch": 2}
    DirectMetricLoss(**right)
    with pytest.raises(InvalidInputError, match=text):
        DirectMetricLoss(**{**right, **arguments})


@pytest.mark.parametrize("solver", [Profiled, ProfiledRanking, ExactPenalty])
def test_a_path_is_asked_for_by_name(solver):
    assert [stage.epochs for stage in solver(path="ramp").stages(30)] == [30]
    assert len(solver().stages(30)) > 1
    assert "path='ramp'" in repr(solver(path="ramp")) and "path" not in repr(solver())
    with pytest.raises(InvalidInputError, match="path must be one of .* got 'rampe'; did you mean 'ramp'"):
        solver(path="rampe")


def made(**arguments):
    return DirectMetricLoss("FPOR", LABELS, **{"alpha": 0.9, "epochs": 4, "steps_per_epoch": 2, **arguments})


LOGITS = torch.linspace(-1, 1, 40)
ROWS = torch.arange(40)


@pytest.mark.parametrize(
    ("arguments", "batch", "text"),
    [
        ({}, (LOGITS[:, None].expand(40, 3), LABELS), r"of shape \(B, 1\) or \(B,\), got \(40, 3\) and \(40,\)"),
        ({}, (LOGITS[:30], LABELS), r"got \(30,\) and \(40,\); return one logit"),
        ({}, ({"scores": LOGITS}, LABELS), "logits must be a tensor, got dict; pass e.g. outputs.logits"),
        ({}, (LOGITS, LABELS.numpy()), "labels must be a tensor, got ndarray"),
        ({}, (LOGITS, LABELS + 0.5), r"labels must be 0, 1 or NaN \(missing\), got \[0.5, 1.5\]"),
        ({}, (LOGITS, LABELS, ROWS + 1), "index must be 40 rows from 0 to 39, got 40 of 1 to 40"),
        ({}, (LOGITS, 1 - LABELS, ROWS), "labels must be those of the rows in index, got other values; let index name"),
        ({"warmup_epochs": 0}, (LOGITS, LABELS), r"scores must be known .* got none; call loss.update\(scores\)"),
        ({"solver": "exact_penalty"}, (LOGITS, LABELS), "index must be given for exact_penalty, got None"),
        ({"sample_weight": [1.0] * 40}, (LOGITS, LABELS), "index must be given for sample_weight, got None"),
    ],
)
def test_a_first_batch_that_does_not_fit(arguments, batch, text):
    logits, *rest = batch
    with pytest.raises(InvalidInputError, match=text):
        made(**arguments)(logits.clone().requires_grad_() if isinstance(logits, torch.Tensor) else logits, *rest)
    assert made(warmup_epochs=1)(LOGITS.clone().requires_grad_(), LABELS, ROWS).item() > 0


def test_probabilities_are_taken_by_a_loss_of_ones_own_alone():
    logits = LOGITS.clone().requires_grad_()
    for probabilities in (logits.sigmoid(), torch.stack([-logits, logits], dim=1).softmax(dim=1)[:, 1]):
        for solver in ("profiled", "cross_entropy", FocalLoss()):
            with pytest.raises(InvalidInputError, match="model must be one that returns logits, got the output of a s"):
                made(solver=solver)(probabilities, LABELS, ROWS)
            made(solver=solver)(logits, LABELS, ROWS)
        made(solver=nn.BCELoss())(probabilities, LABELS, ROWS)


def test_index_is_given_always_or_never():
    loss = made()
    loss(LOGITS.clone().requires_grad_(), LABELS, ROWS)
    loss(LOGITS.clone().requires_grad_(), LABELS)  # from now on in order of arrival
    with pytest.raises(InvalidInputError, match="index must be given for every batch or for none"):
        loss(LOGITS.clone().requires_grad_(), LABELS, ROWS)
    loss.update(LOGITS)
    loss(LOGITS.clone().requires_grad_(), LABELS, ROWS)


@pytest.mark.parametrize(
    ("index", "got"),
    [
        (ROWS.tolist(), "list"),
        (ROWS.numpy(), "ndarray"),
        (ROWS[:, None], r"a tensor of shape \(40, 1\), torch.int64"),
        (ROWS[:1], r"a tensor of shape \(1,\)"),
        (ROWS.float(), r"a tensor of shape \(40,\), torch.float32"),
        (ROWS > 0, "a tensor of shape .*, torch.bool"),
    ],
)
def test_index_names_a_row_for_each_sample(index, got):
    loss = made()
    with pytest.raises(
        InvalidInputError, match=f"index must be a tensor of 40 integers, one for each sample, got {got}"
    ):
        loss(LOGITS.clone().requires_grad_(), LABELS, index)
    loss(LOGITS.clone().requires_grad_(), LABELS, ROWS.int())


def test_a_copy_keeps_scores_of_its_own():
    loss = made()
    loss(LOGITS.clone().requires_grad_(), LABELS, ROWS)
    twin = copy.deepcopy(loss)
    twin(LOGITS.clone().requires_grad_() + 1, LABELS, ROWS)
    assert (loss.latest_scores[:, 0] == LOGITS.numpy().ravel()).all()
    assert (twin.latest_scores == loss.latest_scores + 1).all()


@pytest.mark.parametrize(
    ("scores", "labels", "text"),
    [
        (LOGITS[:30], None, r"scores must be of shape \(40, 1\), got shape \(30, 1\); give those of every"),
        (LOGITS, LABELS[:30], r"labels must be of shape \(40, 1\), got shape \(30, 1\)"),
        (LOGITS / 0, None, "scores must be finite"),
        (LOGITS, LABELS * 2, "labels must be 0, 1 or NaN"),
        (LOGITS, 1 - LABELS, "labels must be left out, or those that the loss was made with, got others"),
    ],
)
def test_scores_that_do_not_fit(scores, labels, text):
    loss = made(solver="exact_penalty")
    with pytest.raises(InvalidInputError, match=text):
        loss.update(scores, labels)
    loss.update(LOGITS, LABELS)
    made().update(LOGITS, 1 - LABELS)
    assert np.isfinite(loss.threshold)


def test_there_is_no_threshold_without_scores():
    with pytest.raises(InvalidInputError, match="scores must be known for a threshold, got none; train first"):
        _ = made().threshold


def test_it_shows_what_it_was_made_for():
    shown = repr(made())
    assert "FPOR" in shown and "guided ramp" in shown and "warmup_epochs=1" in shown
