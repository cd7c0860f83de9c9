"""Models side by side: each as if it were alone, and their average as one model."""

import copy

import numpy as np
import pytest
import torch
from sklearn.model_selection import RepeatedKFold
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from metricopt import InvalidInputError, Status
from metricopt.evidence.frames import Frames
from metricopt.losses import FocalLoss, WeightedCrossEntropy
from metricopt.problem.objectives import FPOR, OAP, OFBS
from metricopt.scoring.ensemble import Ensemble, Replicas
from metricopt.solvers import ExactPenalty, Profiled, ProfiledRanking, Surrogate
from metricopt.solvers.side_by_side import SideBySide, of_replicas
from metricopt.training.loss import DirectMetricLoss
from metricopt.training.optimizers import clip_each
from metricopt.training.replicas import average_of, fresh_models, stacked, without_diverged


def table(num_rows=300, num_features=4, prevalence=0.15, seed=0):
    random = np.random.default_rng(seed)
    y = (random.random(num_rows) < prevalence).astype(np.float32)
    x = random.normal(size=(num_rows, num_features)).astype(np.float32)
    x[:, 0] += 2 * y
    return torch.from_numpy(x), torch.from_numpy(y)


def loader_of(x, y, batch_size=64):
    return DataLoader(TensorDataset(x, y), batch_size=batch_size, shuffle=True)


def mlp(num_features=4, num_labels=1):
    return nn.Sequential(nn.Linear(num_features, 8), nn.ReLU(), nn.Linear(8, num_labels))


MODELS = {"linear": lambda: nn.Linear(4, 1), "two labels": lambda: nn.Linear(4, 2), "mlp": mlp}


@pytest.mark.parametrize("kind", MODELS)
def test_side_by_side_they_score_as_each_alone(kind):
    models, x = fresh_models(MODELS[kind], 3, seed=5), table()[0]
    alone = torch.stack([model(x) for model in models], dim=1)  # (n, R, L)
    together = stacked(models)
    assert isinstance(together, nn.Linear if kind != "mlp" else Replicas)
    torch.testing.assert_close(together(x), alone.flatten(1))
    random = np.random.default_rng(0)
    shape = alone.shape[1:]
    frames = Frames(random.normal(size=shape), random.uniform(0.5, 3, shape))
    average = average_of(together, frames)
    wanted = frames.average(alone.detach().numpy())
    assert average(x).detach().numpy() == pytest.approx(wanted, abs=1e-5)
    assert isinstance(average, nn.Linear if kind != "mlp" else Ensemble)


def test_a_model_that_diverged_is_left_out_of_the_average():
    for make in (lambda: nn.Linear(4, 1), mlp):
        models, x = fresh_models(make, 3, seed=1), table()[0]
        with torch.no_grad():
            next(models[1].parameters()).fill_(torch.nan)
        frames = Frames(np.array([[0.5], [np.nan], [-1.0]]), np.array([[2.0], [np.nan], [0.5]]))
        average = average_of(stacked(models), frames)
        wanted = ((models[0](x) - 0.5) / 2 + (models[2](x) + 1) / 0.5) / 2
        torch.testing.assert_close(average(x), wanted)


def test_fresh_models_differ_from_each_other_and_not_from_run_to_run():
    torch.manual_seed(0)
    trained, before = mlp(), torch.get_rng_state()
    models = fresh_models(trained, 2, seed=3)
    again = fresh_models(trained, 2, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(models[1][0].weight, again[1][0].weight)
    assert not torch.equal(models[0][0].weight, models[1][0].weight)
    assert not torch.equal(models[0][0].weight, trained[0].weight)


class Stubborn(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return x @ self.weight


def test_what_cannot_start_afresh_is_rejected():
    with pytest.raises(
        InvalidInputError, match="one that can be started afresh for folds, got Stubborn; pass a callable"
    ):
        fresh_models(Stubborn(), 2, seed=0)
    assert len(fresh_models(Stubborn, 2, seed=0)) == 2
    with pytest.raises(InvalidInputError, match="a Module or a callable that returns one, got int"):
        fresh_models(lambda: 3, 2, seed=0)
    only = mlp()
    with pytest.raises(InvalidInputError, match="makes a new Module each time, got one that returns the same Module"):
        fresh_models(lambda: only, 2, seed=0)
    assert fresh_models(lambda: only, 1, seed=0) == [only]


def train(model, loss_of, x, labels, num_steps, optimizer, batch_size=64):
    """Steps on batches that depend on the step alone."""
    steps = optimizer(model.parameters())
    for step in range(num_steps):
        rows = torch.from_numpy(np.random.default_rng(step).choice(len(x), batch_size, replace=False))
        steps.zero_grad()
        loss_of(model(x[rows]), labels[rows], rows).backward()
        steps.step()


SOLVERS = {
    "profiled": (lambda: Profiled("guided ramp"), FPOR(0.8)),
    "profiled F1": (lambda: Profiled("hinge"), OFBS(1.0)),
    "ranking": (lambda: ProfiledRanking("ramp"), OAP()),
    "cross-entropy": (Surrogate, FPOR(0.8)),
    "focal": (lambda: Surrogate(FocalLoss()), FPOR(0.8)),
    "weighted": (lambda: Surrogate(WeightedCrossEntropy()), FPOR(0.8)),
    "exact penalty": (ExactPenalty, FPOR(0.8)),
    "augmented Lagrangian": (lambda: metricopt.solvers.AugmentedLagrangian(), FPOR(0.8)),
}
OPTIMIZERS = {
    "Adam": lambda w: torch.optim.Adam(w, lr=0.02),
    "SGD": lambda w: torch.optim.SGD(w, lr=0.05, momentum=0.9),
}


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("kind", "optimizer"), [("linear", "SGD"), ("mlp", "Adam")])
def test_each_replica_is_as_if_alone(solver, optimizer, kind):
    x, y = (tensor.double() for tensor in table())
    make, objective = SOLVERS[solver]
    trains = np.arange(len(y))[:, None] % 3 != np.arange(3)
    labels = torch.from_numpy(np.where(trains, y[:, None], np.nan))
    models = [model.double() for model in fresh_models(MODELS[kind], 3, seed=2)]
    together = stacked(copy.deepcopy(models))
    plan = {"epochs": 6, "steps_per_epoch": 5}
    loss = DirectMetricLoss(of_replicas(objective, 3), labels, solver=SideBySide(make(), 3), **plan)
    train(together, loss, x, labels, 30, OPTIMIZERS[optimizer])
    for replica, model in enumerate(models):
        own = labels[:, [replica]]
        alone = DirectMetricLoss(objective, own, solver=make(), **plan)
        train(model, alone, x, own, 30, OPTIMIZERS[optimizer])
        torch.testing.assert_close(together(x)[:, [replica]], model(x), rtol=1e-5, atol=1e-6)


def test_gradients_are_clipped_one_by_one():
    models, x = fresh_models(mlp, 3, seed=0), table()[0]
    together = stacked(models)
    scale = torch.tensor([1.0, 100.0, 0.01])
    (together(x) * scale).sum().backward()
    clip_each(together.parameters(), 3, 0.5)
    for replica, model in enumerate(models):
        (model(x) * scale[replica]).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        for stacked_weight, weight in zip(together.parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(stacked_weight.grad[replica], weight.grad)


def test_a_nan_ends_its_own_replica():
    scores = torch.tensor([[1.0, torch.inf, 2.0], [3.0, 0.0, -1.0]], requires_grad=True)
    labels = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    kept, truth = without_diverged(scores, labels, 3)
    kept.sum().backward()
    assert scores.grad.tolist() == [[1.0, 0.0, 1.0], [1.0, 0.0, 1.0]]
    assert truth.isnan().tolist() == [[False, True, False]] * 2
    assert kept.isfinite().all()


@pytest.fixture(scope="module")
def fitted():
    x, y = table(600)
    model = nn.Linear(4, 1)
    result = metricopt.fit(model, loader_of(x, y), "FPOR", alpha=0.7, folds=4, epochs=12, progress=False)
    return model, result, x, y


def test_the_callers_linear_model_gets_the_average(fitted):
    model, result, x, _ = fitted
    assert result.model is model
    own = model(x)[:, 0].detach().numpy()
    assert own == pytest.approx(result.data_scores["train"].scores[:, 0], abs=1e-4)
    assert result.validation.data == "out-of-fold"
    assert result.validation.num_samples == 600


def test_the_same_seed_gives_the_same_result(fitted):
    _, result, x, y = fitted
    again = metricopt.fit(nn.Linear(4, 1), loader_of(x, y), "FPOR", alpha=0.7, folds=4, epochs=12, progress=False)
    assert again.threshold == result.threshold
    assert torch.equal(again.model.weight, result.model.weight)
    assert again.history == result.history


def test_what_the_result_says_of_the_out_of_fold_rows_is_what_new_rows_show():
    x, y = table(3000, prevalence=0.1)
    result = metricopt.fit(nn.Linear(4, 1), loader_of(x, y, 256), "FPOR", alpha=0.6, folds=5, epochs=40, progress=False)
    new_x, new_y = table(50_000, prevalence=0.1, seed=9)
    report = result.evaluate((new_x, new_y))
    assert report.precision == pytest.approx(result.validation.precision, abs=0.06)
    assert report.recall == pytest.approx(result.validation.recall, abs=0.06)


def test_several_labels_weights_groups_and_missing_labels():
    x, y = table(400)
    labels = torch.stack([y, (x[:, 1] > 1).float()], dim=1)
    labels[::7, 1] = torch.nan
    result = metricopt.fit(
        lambda: mlp(4, 2),
        loader_of(x, labels),
        "FPOR",
        alpha={"first": 0.5, "second": 0.9},
        label_names=["first", "second"],
        groups=np.arange(400) // 2,
        sample_weight=np.where(np.arange(400) % 3 == 0, 2.0, 1.0),
        folds=3,
        epochs=8,
        progress=False,
    )
    assert isinstance(result.model, Ensemble)
    assert result.scores(x).shape == (400, 2)
    assert result.validation["second"].num_samples == int((~labels[:, 1].isnan()).sum())


def test_rows_that_are_divided_twice_are_judged_by_two_models_each():
    x, y = table()
    folds = RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)
    given = {"alpha": 0.5, "folds": folds, "epochs": 1, "progress": False}  # one epoch: one candidate
    result = metricopt.fit(mlp, loader_of(x, y), "FPOR", **given)
    assert result.holdout.startswith("3 folds, dealt out 2 times: every row trains")
    ensemble, total = result.model, np.zeros(300)
    with torch.no_grad():
        scores = ((ensemble.replicas(x) - ensemble.centre[:, 0]) / ensemble.spread[:, 0]).numpy()  # (300, 6)
    for replica, (_, test) in enumerate(folds.split(x)):
        total[test] += scores[test, replica]
    assert result.data_scores["validation"].scores[:, 0] == pytest.approx(total / 2, abs=1e-4)
    assert set(result.data_scores["validation"].folds) == {0, 1, 2}


@pytest.mark.parametrize("make", [lambda: nn.Linear(4, 2), lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))])
def test_a_label_that_is_missing_everywhere_is_left_out(make):
    x, y = table()
    labels = torch.stack([y, torch.full_like(y, torch.nan)], dim=1)
    result = metricopt.fit(make, loader_of(x, labels), "FPOR", alpha=0.1, folds=3, epochs=1, progress=False)
    assert result.statuses[1] is Status.NO_POSITIVES and np.isnan(result.thresholds[1])
    assert not result.predict(x)[:, 1].any() and result.baseline_name == "the untrained model"


def test_at_a_prevalence_all_rows_are_weighted_to_it():
    x, y = table(600)
    labels = torch.stack([y, (x[:, 1] > 1).float()], dim=1)
    given = {"folds": 3, "epochs": 8, "progress": False, "prevalence": (0.02, 0.05)}
    result = metricopt.fit(lambda: nn.Linear(4, 2), loader_of(x, labels), "FPOR", alpha=0.1, **given)
    for part in result.data_scores.values():
        weight = np.where(part.labels == 1, part.sample_weight, 0).sum(axis=0) / part.sample_weight.sum(axis=0)
        assert weight == pytest.approx([0.02, 0.05])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"folds": 1}, "folds must be an integer >= 2"),
        ({"folds": 5, "val_fraction": 0.2}, "val_fraction must be left out beside folds"),
        ({"folds": 5, "warmup_epochs": 0}, "warmup_epochs must be above 0 with folds"),
        ({"folds": 1000}, "at most the number of positives"),
        ({"folds": 5, "optimizer": torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)}, "optimizer must be made"),
    ],
)
def test_bad_input(given, message):
    x, y = table()
    with pytest.raises(InvalidInputError, match=message):
        metricopt.fit(nn.Linear(4, 1), loader_of(x, y), "FPOR", alpha=0.8, epochs=8, progress=False, **given)


@pytest.mark.parametrize("times", [(1, 1), (8, 8), (3, 1)])
def test_copies_of_rows_are_warned_of_unless_they_are_one_group(times):
    y = (torch.arange(60) % 3 == 0).float()
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)) + y[:, None]
    rows = torch.repeat_interleave(torch.arange(60), torch.where(y == 1, *map(torch.tensor, times)))
    loader = DataLoader(TensorDataset(x[rows], y[rows]), batch_size=64)
    asked = {"alpha": 0.4, "epochs": 2, "progress": False}
    if times == (1, 1):
        metricopt.fit(nn.Linear(3, 1), loader, "FPOR", **asked)
    else:
        with pytest.warns(UserWarning, match=f"In loader each positive row is there {times[0]} times or more"):
            metricopt.fit(nn.Linear(3, 1), loader, "FPOR", **asked)
    metricopt.fit(nn.Linear(3, 1), loader, "FPOR", groups=rows.tolist(), **asked)  # a warning would be an error


def test_large_batches_of_replicas_train_without_a_warning():
    """Together they have more than 16,384 scores a batch, which torch counts instead of NumPy."""
    x, y = table(num_rows=4000)
    result = metricopt.fit(
        nn.Linear(4, 1), loader_of(x, y, batch_size=4000), "FPOR", alpha=0.5, epochs=16, progress=False
    )
    assert "hinge" in {record["stage"] for record in result.history}
    assert all(np.isfinite(record["loss"]) for record in result.history)
