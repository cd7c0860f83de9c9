"""Where the objective takes over from cross-entropy: the scale of the loss, the optimizer, a late warm-up."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.studies.spots import spots
from metricopt import DirectMetricLoss
from metricopt.solvers import Solver, Stage, Surrogate
from metricopt.solvers.paths import NETWORK_PATHS, PATHS
from metricopt.training.hand_over import has_begun_to_learn, scales_at_hand_over
from tests.held_out import fit

OBJECTIVES = {
    "FPOR": {"alpha": 0.8},
    "FROP": {"alpha": 0.8},
    "OFBS": {"beta": 1.0},
    "RecallAtFPR": {"alpha": 0.05},
    "RecallAtAlarmRate": {"alpha": 0.05},
    "OAP": {},
}


def calibrated(num_rows, prevalence, seed=0):
    """Scores that are the logits of the labels' probabilities, and labels of exactly this prevalence."""
    random = np.random.default_rng(seed)
    labels = np.zeros(num_rows)
    labels[: round(prevalence * num_rows)] = 1
    random.shuffle(labels)
    scores = 2 * (random.normal(size=num_rows) + 2 * labels - 1) + np.log(prevalence / (1 - prevalence))
    return torch.from_numpy(scores).float(), torch.from_numpy(labels).float()


@pytest.mark.parametrize("solver", ["profiled", "augmented_lagrangian", "lagrangian", "exact_penalty"])
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("prevalence", [0.001, 0.03, 0.5])
def test_the_gradient_goes_on_as_long_as_that_of_cross_entropy(prevalence, objective, solver):
    num_rows = 2000 if objective == "OAP" and solver != "profiled" else 4000
    scores, labels = calibrated(num_rows, prevalence)
    halves = [torch.argsort(labels, stable=True)[part::2] for part in range(2)]  # with as many positives each
    arguments = {"epochs": 100, "steps_per_epoch": 2, "warmup_epochs": 1, "solver": solver, **OBJECTIVES[objective]}
    loss = DirectMetricLoss(objective, labels, **arguments)

    def norm(rows):
        own = scores[rows].requires_grad_()
        (gradient,) = torch.autograd.grad(loss(own, labels[rows], rows), own)
        return gradient.norm()

    before = torch.stack([norm(rows) for rows in halves]).norm()
    assert not loss._driver.schedule.is_on_path
    after = torch.stack([norm(rows) for rows in halves]).norm()
    assert 0.5 < after / before < 2
    assert loss._driver.schedule.is_on_path


def test_on_the_weights_of_a_network_too():
    scores, labels = calibrated(2000, 0.03)
    x = scores[:, None] + torch.randn(2000, 4, generator=torch.Generator().manual_seed(1))
    for objective, options in OBJECTIVES.items():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        arguments = {"epochs": 40, "steps_per_epoch": 10, "warmup_epochs": 10, **options}
        loss, norms = DirectMetricLoss(objective, labels, **arguments), []
        for epoch in range(12):
            for rows in torch.randperm(2000, generator=torch.Generator().manual_seed(epoch)).split(200):
                optimizer.zero_grad()
                loss(network(x[rows])[:, 0], labels[rows], rows).backward()
                norms.append(torch.cat([weight.grad.flatten() for weight in network.parameters()]).norm().item())
                optimizer.step()
        ratio = np.mean(norms[100:]) / np.mean(norms[80:100])
        assert 0.5 < ratio < 2, (objective, ratio)


class Flat(Solver):
    """A loss that pulls at all scores alike."""

    def prepare(self, objective, labels, sample_weight):
        pass

    def stages(self, epochs, is_linear=True):
        return [Stage("flat", epochs)]

    def loss(self, scores, labels, weight=None, index=None):
        return self.slope * scores.mean()


@pytest.mark.parametrize("slope", [3.0, 0.0])
def test_a_model_that_knows_its_rows_by_heart_still_has_a_gradient_afterwards(slope):
    labels = calibrated(1000, 0.05)[1][:, None].numpy()
    solver, cross_entropy, scores = Flat(), Surrogate(), 9 * (2 * labels - 1)
    solver.slope = slope
    cross_entropy.prepare(metricopt.OAP(), labels, None)
    (scale,) = scales_at_hand_over(solver, cross_entropy, scores, labels, None)
    of_constant = np.sqrt(0.05 * 0.95)
    assert scale == pytest.approx(0.1 * of_constant / 3 if slope else 0.05, rel=1e-4)
    (scale,) = scales_at_hand_over(solver, cross_entropy, 0 * scores, labels, None)
    assert scale == pytest.approx(0.5 / 3 if slope else 0.05, rel=1e-4)


def test_gradients_of_parts_of_a_batch_add_up_to_that_of_the_batch():
    scores, labels = calibrated(400, 0.2)
    whole, parts = (
        DirectMetricLoss("FPOR", labels, alpha=0.7, epochs=2, steps_per_epoch=4, warmup_epochs=0) for _ in range(2)
    )
    for loss in (whole, parts):
        loss.update(scores)
    own = scores.clone().requires_grad_()
    whole(own, labels, torch.arange(400)).backward()
    other = scores.clone().requires_grad_()
    for rows in torch.arange(400).split(200):
        (parts(other[rows], labels[rows], rows) / 2).backward()
    torch.testing.assert_close(other.grad, own.grad, rtol=0.1, atol=1e-6)  # the multiplier has moved once in between


def blobs(num_rows=240, seed=0, distance=1.5):
    random = np.random.default_rng(seed)
    y = (np.arange(num_rows) % 6 == 0).astype(np.float32)
    x = random.normal(size=(num_rows, 4)).astype(np.float32)
    x[:, 0] += distance * y
    return torch.from_numpy(x), torch.from_numpy(y)


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))


def loader_of(x, y):
    return DataLoader(TensorDataset(x, y), batch_size=40, shuffle=True)


def test_a_network_keeps_its_optimizer_and_its_schedule():
    made, rates = [], []

    def make(parameters):
        made.append(torch.optim.SGD(parameters, lr=0.1, momentum=0.9))
        return made[-1]

    fit(
        mlp(), loader_of(*blobs()), "FPOR", alpha=0.5, epochs=8, optimizer=make,
        scheduler=lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 8),
        callbacks=[lambda _: rates.append(made[-1].param_groups[0]["lr"])], progress=False,
    )  # fmt: skip
    assert len(made) == 1
    assert rates == pytest.approx([0.05 * (1 + np.cos(np.pi * epoch / 8)) for epoch in range(1, 9)])


def test_the_first_path_alone_goes_on():
    assert len(NETWORK_PATHS) == 1 < len(PATHS)
    made = []

    def make(parameters):
        made.append(torch.optim.Adam(parameters))
        return made[-1]

    fit(nn.Linear(4, 1), loader_of(*blobs()), "FPOR", alpha=0.5, epochs=16, optimizer=make, progress=False)
    assert len(made) == 4  # a linear model begins each path with an optimizer of its own


# A warm-up that has not begun to learn


def stages_of(distance, **arguments):
    result = fit(mlp(), loader_of(*blobs(distance=distance)), "FPOR", alpha=0.5, progress=False, **arguments)
    return [record["stage"] for record in result.history]


def test_a_warm_up_that_has_not_begun_to_learn_is_extended_to_half_of_the_epochs():
    slow = partial(torch.optim.SGD, lr=1e-4)
    fast = partial(torch.optim.Adam, lr=0.03)
    with pytest.warns(UserWarning, match="extended to 6 epochs, the model is hardly better .* Train for more epochs"):
        assert stages_of(0.0, epochs=12, optimizer=slow) == ["warm-up"] * 6 + ["guided ramp"] * 6
    assert stages_of(3.0, epochs=12, optimizer=fast) == ["warm-up"] * 3 + ["guided ramp"] * 9
    asked = stages_of(0.0, epochs=12, optimizer=slow, warmup_epochs=2)  # as the caller says
    assert asked == ["warm-up"] * 2 + ["guided ramp"] * 10


def test_ones_own_loop_extends_it_as_well():
    _, y = blobs(distance=0.0)
    loss = DirectMetricLoss("FPOR", y, alpha=0.5, epochs=12, steps_per_epoch=1)
    assert loss.warmup_epochs == 3
    for _ in range(5):
        loss(torch.zeros(240, requires_grad=True), y).backward()
    assert loss.warmup_epochs == 6
    again = DirectMetricLoss("FPOR", y, alpha=0.5, epochs=12, steps_per_epoch=1)
    again.load_state_dict(loss.state_dict())
    assert again.warmup_epochs == 6


def test_what_counts_as_begun():
    _, y = blobs()
    labels, weight = y[:, None].numpy(), np.ones((240, 1))
    constant = np.full((240, 1), np.log(1 / 5))
    assert not has_begun_to_learn(constant, labels, None)
    assert has_begun_to_learn(constant + labels, labels, weight)
    weight[labels == 1] = 0  # nothing to learn
    assert has_begun_to_learn(constant, labels, weight)
    missing = np.where(np.arange(240)[:, None] < 120, np.nan, labels)
    assert has_begun_to_learn(constant + np.nan_to_num(missing), missing, None)


# What is kept


@pytest.mark.filterwarnings("ignore:After a warm-up that was extended")
def test_a_good_start_is_kept():
    x, y = blobs(480, distance=4.0)
    trained = fit(mlp(), loader_of(x, y), "FPOR", alpha=0.7, epochs=20, progress=False)
    before = {name: value.clone() for name, value in trained.model.state_dict().items()}
    again = fit(trained.model, loader_of(x, y), "FPOR", alpha=0.7, epochs=4, learning_rate=30.0, progress=False)
    assert again.validation.recall >= trained.validation.recall > 0.7
    assert again.selected_stage == "start" and again.baseline_name.startswith("warm-up")
    assert all(torch.equal(value, before[name]) for name, value in again.model.state_dict().items())


@pytest.mark.filterwarnings("ignore:After a warm-up that was extended")
def test_a_start_that_was_made_for_the_training_gives_way_to_the_warm_up():
    x, y = blobs(distance=3.0)
    result = fit(mlp, loader_of(x, y), "FPOR", alpha=0.7, epochs=4, learning_rate=1e-9, progress=False)
    assert result.selected_stage != "start"


# A small twin of `python -m benchmarks spots`


@pytest.mark.parametrize(
    "optimizer", [partial(torch.optim.Adam, lr=0.01), partial(torch.optim.SGD, lr=0.05, momentum=0.9)]
)
def test_a_small_image_network_learns_with_any_optimizer(optimizer):
    """With SGD the loss jumped by one over the prevalence before, and hardly anything was found."""
    train, validation = spots(600, 0, size=12), spots(1000, 1, size=12)
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 1)),
    )
    result = fit(
        network, DataLoader(train, batch_size=32, shuffle=True), "FPOR", alpha=0.8, epochs=12,
        val_loader=DataLoader(validation, batch_size=1000), optimizer=optimizer, progress=False,
    )  # fmt: skip
    assert result.validation.recall > 0.4
