"""What a user's model, optimizer, scheduler and accelerator may be: each works as its owner means it, or is named."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from metricopt import DirectMetricLoss, InvalidInputError
from metricopt.scoring.forward import forward
from tests.held_out import fit
from tests.training.test_fit import FEW, blobs, loader_of


def network(norm=None):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 6), nn.BatchNorm1d(6) if norm is None else norm, nn.ReLU(), nn.Linear(6, 1))


def trained(model, **arguments):
    x, y = blobs()
    return fit(model, loader_of(x, y), "FPOR", **{"alpha": 0.7, **FEW, **arguments})


# Batch norms


@pytest.mark.parametrize(
    ("prepare", "is_frozen"),
    [(lambda model: None, False), (lambda model: model[1].eval(), True), (lambda model: model.eval(), False)],
)
def test_a_batch_norm_that_was_left_in_evaluation_mode_stays_so(prepare, is_frozen):
    model = network()
    prepare(model)
    modes = [module.training for module in model.modules()]
    before = model[1].running_mean.clone()
    trained(model)
    assert torch.equal(model[1].running_mean, before) == is_frozen
    assert [module.training for module in model.modules()] == modes


def test_folds_keep_it_too():
    made = []

    def make():
        made.append(network())
        made[-1][1].eval()
        return made[-1]

    result = trained(make, folds=3, val_fraction=None)
    state = result.model.state_dict()
    means = [value for name, value in state.items() if "buffer" in name and value.is_floating_point()]
    assert means and all(torch.isin(value, torch.tensor([0.0, 1.0])).all() for value in means)


# Outputs


class Head(nn.Module):
    """A linear model with an output of another form."""

    def __init__(self, make_output, num_logits=1):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(2, 1)
        self.make_output, self.num_logits = make_output, num_logits

    def forward(self, x):
        logits = self.layer(x)
        if self.num_logits == 2:
            logits = torch.cat([-0.25 * logits, 0.75 * logits], dim=1)  # whose difference is the logit
        return self.make_output(logits)


OUTPUTS = {
    "plain": lambda logits: logits,
    "attribute": lambda logits: SimpleNamespace(logits=logits, loss=None),
    "dict": lambda logits: {"loss": None, "logits": logits},
}


@pytest.mark.parametrize("num_logits", [1, 2])
@pytest.mark.parametrize("kind", OUTPUTS)
def test_outputs_that_hold_logits_train_alike(kind, num_logits):
    x, y = blobs()
    expected, model = (Head(OUTPUTS["plain"]), Head(OUTPUTS[kind], num_logits))
    results = [trained(each, learning_rate=0.05) for each in (expected, model)]
    scores = [result.scores(x) for result in results]
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-4, atol=1e-5)
    assert results[1].threshold == pytest.approx(results[0].threshold, rel=1e-3, abs=1e-4)
    assert results[1].evaluate((x, y)).counts == results[0].evaluate((x, y)).counts


@pytest.mark.parametrize(("kind", "num_logits"), [("attribute", 1), ("dict", 2), ("plain", 2)])
def test_outputs_that_hold_logits_train_in_folds_and_in_ones_own_loop(kind, num_logits):
    x, y = blobs()
    results = [
        trained(make, folds=3, val_fraction=None, learning_rate=0.05)
        for make in (lambda: Head(OUTPUTS["plain"]), lambda: Head(OUTPUTS[kind], num_logits))
    ]
    np.testing.assert_allclose(results[1].scores(x), results[0].scores(x), rtol=1e-3, atol=1e-4)
    values = []
    for model in (Head(OUTPUTS["plain"]), Head(OUTPUTS[kind], num_logits)):
        loss = DirectMetricLoss("FPOR", y, alpha=0.7, epochs=2, steps_per_epoch=1)
        values.append([loss(model(x), y).item() for _ in range(2)])
    assert values[1] == pytest.approx(values[0], rel=1e-5)


@pytest.mark.parametrize("output", [{"scores": torch.zeros(4, 1)}, SimpleNamespace(hidden=torch.zeros(4, 1)), None])
def test_other_outputs_are_named(output):
    with pytest.raises(InvalidInputError, match="model must be one that returns a tensor of logits, got"):
        forward(Head(lambda _: output), torch.zeros(4, 2))


@pytest.mark.parametrize("end", [nn.Sigmoid(), nn.Softmax(dim=1)])
def test_two_probabilities_are_no_logits(end):
    model = nn.Sequential(nn.Linear(2, 2), end)
    with pytest.raises(InvalidInputError, match="model must be one that returns logits, got the output of a s"):
        trained(model)
    trained(model[:1])


# Schedulers


def test_a_scheduler_that_waits_for_a_plateau_gets_the_metric():
    got = []

    class Plateau(torch.optim.lr_scheduler.ReduceLROnPlateau):
        def step(self, metrics, *arguments):
            got.append(metrics)
            super().step(metrics, *arguments)

    result = trained(network(), scheduler=lambda optimizer: Plateau(optimizer, mode="max"))
    records = {record["epoch"]: record["value"] for record in result.history if record["epoch"]}
    assert got == pytest.approx(list(records.values()))


@pytest.mark.parametrize(
    ("scheduler", "fault"),
    [
        (lambda of: torch.optim.lr_scheduler.ReduceLROnPlateau(of), "got mode='min'; give mode='max'"),
        (torch.optim.lr_scheduler.StepLR(torch.optim.SGD(nn.Linear(1, 1).parameters(), 0.1), 1), "an instance of Step"),
        (torch.optim.lr_scheduler.ReduceLROnPlateau(torch.optim.SGD(nn.Linear(1, 1).parameters(), 0.1)), "an instance"),
        ("cosine", "a callable .optimizer. -> LRScheduler, got 'cosine'"),
    ],
)
def test_schedulers_that_cannot_work_are_named(scheduler, fault):
    with pytest.raises(InvalidInputError, match=f"scheduler must be.* {fault}"):
        trained(network(), scheduler=scheduler)
    trained(network(), scheduler=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1))


# Derivatives and accelerators


@pytest.mark.parametrize("order", [1, 2])
def test_second_derivatives_raise(order):
    x, y = blobs()
    model = nn.Linear(2, 1)
    loss = DirectMetricLoss("FPOR", y, alpha=0.7, epochs=2, steps_per_epoch=1, warmup_epochs=0)
    loss.update(model(x).detach())
    (slope,) = torch.autograd.grad(loss(model(x) ** 3, y), model.weight, create_graph=order == 2)
    if order == 2:
        with pytest.raises(RuntimeError, match="first derivatives alone"):
            slope.sum().backward()
    assert slope.isfinite().all()


@pytest.mark.parametrize("precision", ["bf16", "no"])
def test_an_accelerator_of_another_precision_works_after_a_training(precision):
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()
    trained(network())
    accelerator = Accelerator(mixed_precision=precision, cpu=True)
    assert accelerator.mixed_precision == precision
    trained(network())  # and one that was there before stays
    assert AcceleratorState().mixed_precision == precision
    AcceleratorState._reset_state(reset_partial_state=True)


# Losses of one's own


class Scaled(nn.Module):
    """Cross-entropy of scores times a learnt factor, with a buffer."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("shift", torch.tensor(0.25))

    def forward(self, scores, labels):
        return nn.functional.binary_cross_entropy_with_logits(self.factor * scores + self.shift, labels)


@pytest.mark.parametrize("optimizer", [None, lambda weights: torch.optim.SGD(weights, 0.1)])
def test_the_weights_of_a_loss_are_trained(optimizer):
    loss = Scaled()
    trained(network(), solver=loss, optimizer=optimizer)
    assert loss.factor.item() != 0.5 and loss.shift.item() == 0.25
    _, y = blobs()
    own = DirectMetricLoss("FPOR", y, alpha=0.7, epochs=1, steps_per_epoch=1, solver=loss)
    assert [weight is loss.factor for weight in own.parameters()] == [True]
    own.to(torch.float64)
    assert loss.factor.dtype == loss.shift.dtype == torch.float64
    assert list(DirectMetricLoss("FPOR", y, alpha=0.7, epochs=1, steps_per_epoch=1).parameters()) == []


def test_the_weights_of_a_loss_must_be_those_of_the_optimizer():
    loss, model = Scaled(), network()
    with pytest.raises(InvalidInputError, match="optimizer must be one that holds the weights of the loss, got one wi"):
        trained(model, solver=loss, optimizer=torch.optim.SGD(model.parameters(), 0.1))
    with pytest.raises(InvalidInputError, match="a loss without weights of its own where models train in folds"):
        trained(network, solver=loss, folds=3, val_fraction=None)
    trained(model, solver=loss, optimizer=torch.optim.SGD([*model.parameters(), *loss.parameters()], 0.1))
    assert loss.factor.item() != 0.5


def test_a_training_with_such_a_loss_is_resumed(tmp_path):
    factors = []
    for folder in ("whole", "parts"):
        loss = Scaled()
        stop = [] if folder == "whole" else [lambda _: (_ for _ in ()).throw(KeyboardInterrupt)]
        for callbacks in (stop, []):
            with pytest.raises(KeyboardInterrupt) if callbacks else nullcontext():
                trained(
                    network(), solver=loss, epochs=3, warmup_epochs=0, callbacks=callbacks,
                    checkpoint_dir=tmp_path / folder, checkpoint_every=1, resume=True,
                )  # fmt: skip
            loss_at_end, loss = loss, Scaled()
        factors.append(loss_at_end.factor.item())
    assert factors[0] == factors[1] != 0.5
