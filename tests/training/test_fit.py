import copy
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, confusion_matrix, fbeta_score, precision_score, recall_score
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from metricopt import FPOR, OAP, OFBS, InvalidInputError, Status
from metricopt.data import rath_hughes_toy
from metricopt.evidence.thresholds import choose_threshold
from metricopt.problem.registry import REGISTRY
from metricopt.solvers import Profiled, ProfiledRanking, Solver, Stage
from metricopt.solvers.slack import SampleSlacks
from tests import oracle
from tests.held_out import fit

NUMBERS = {
    "FPOR": {"alpha": 0.7},
    "FROP": {"alpha": 0.7},
    "OFBS": {"beta": 2.0},
    "OAP": {},
    "RecallAtFPR": {"alpha": 0.1},
    "RecallAtAlarmRate": {"alpha": 0.2},
}
FEW = {"epochs": 10, "warmup_epochs": 3}


def blobs(seed=0, num_rows=200, num_labels=1, prevalence=0.3, distance=1.5):
    """Two overlapping Gaussian classes a label."""
    draw = torch.Generator().manual_seed(seed)
    y = (torch.rand(num_rows, num_labels, generator=draw) < prevalence).float()
    x = torch.randn(num_rows, 2 * num_labels, generator=draw)
    x[:, :num_labels] += distance * y
    return x, y


def loader_of(x, y, batch_size=50, **rest):
    return DataLoader(TensorDataset(x, y), batch_size=batch_size, **({"shuffle": True} | rest))


def linear(num_features=2, num_labels=1, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Linear(num_features, num_labels)


def with_dropout():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 1))


def weights_of(model):
    return {name: value.tolist() for name, value in model.state_dict().items()}


class Structured(Dataset):
    """x as a tuple or a dict of two tensors."""

    def __init__(self, x, y, form):
        self.x, self.y, self.form = x, y, form

    def __len__(self):
        return len(self.y)

    def __getitem__(self, row):
        parts = self.x[row, :1], self.x[row, 1:]
        return (parts if self.form == "tuple" else dict(zip(("a", "b"), parts, strict=True))), self.y[row, 0]


class Stream(IterableDataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __iter__(self):
        return iter(zip(self.x, self.y, strict=True))


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = linear()

    def forward(self, a, b):
        return self.layer(torch.cat([a, b], dim=1))


class Shaped(nn.Module):
    """Logits of shape (B,)."""

    def __init__(self):
        super().__init__()
        self.layer = linear()

    def forward(self, x):
        return self.layer(x)[:, 0]


# What is returned


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(REGISTRY)),
    seed=st.integers(0, 999),
    prevalence=st.sampled_from([0.05, 0.3, 0.7]),
    val_fraction=st.sampled_from([0.0, 0.3]),
    warmup_epochs=st.sampled_from([0, 2]),
    distance=st.sampled_from([0.0, 1.5]),
)
def test_never_below_candidate_zero_and_reports_are_true(name, seed, prevalence, val_fraction, warmup_epochs, distance):
    x, y = blobs(seed, 120, prevalence=prevalence, distance=distance)
    y[:4], y[4:8] = 1, 0
    model, objective = linear(seed=seed), NUMBERS[name]
    result = fit(
        model, loader_of(x, y), name, **objective, val_fraction=val_fraction, epochs=7, warmup_epochs=warmup_epochs,
        seed=seed,
    )  # fmt: skip
    reached, baseline = result.selection, result.baseline
    assert reached.data == ("validation" if val_fraction else "train")
    assert (result.validation is None) == (val_fraction == 0)
    bounded = reached.bounded_metric is not None
    assert result.status == (Status.INFEASIBLE if bounded and not reached.met else
                             Status.FEASIBLE if bounded else Status.OPTIMIZED)  # fmt: skip
    if not bounded or baseline.met:
        assert reached.value >= baseline.value
        assert not bounded or reached.met
    elif not reached.met:
        bound_direction = result.objective.bound_direction
        better = reached.bounded_value - baseline.bounded_value
        assert better >= 0 if bound_direction == "min" else better <= 0
    for data, report in (("train", result.train), ("validation", result.validation)):
        if report is not None:
            check_against_sklearn(result, result.data_scores[data], report)


def check_against_sklearn(result, scored, report):
    y, alarm = scored.labels[:, 0], scored.scores[:, 0].astype(np.float64) >= result.threshold
    tn, fp, fn, tp = confusion_matrix(y, alarm, labels=[0, 1]).ravel()
    found = (report.true_positives, report.false_positives, report.false_negatives, report.true_negatives)
    assert found == (tp, fp, fn, tn)
    assert report.precision == pytest.approx(precision_score(y, alarm, zero_division=np.nan), nan_ok=True)
    assert report.recall == pytest.approx(recall_score(y, alarm))
    beta = result.objective.beta if isinstance(result.objective, OFBS) else 1.0
    assert report.f_beta == pytest.approx(fbeta_score(y, alarm, beta=beta))
    assert report.average_precision == pytest.approx(average_precision_score(y, scored.scores[:, 0]))
    if result.objective.bounded:
        number = result.objective.bound
        wanted = oracle.program(result.objective.name, number)
        assert report.bounded_value == pytest.approx(wanted.bounded((tp, fp, fn, tn)), nan_ok=True)
        assert report.met == (wanted.sense * report.bounded_value >= wanted.sense * number)


@pytest.mark.parametrize("name", REGISTRY)
def test_the_returned_model_is_the_reported_one(name):
    x, y = blobs()
    model = linear()
    result = fit(model, loader_of(x, y, shuffle=False), name, **NUMBERS[name], **FEW, val_fraction=0)
    assert result.model is model
    scores = model(x).detach().numpy()
    np.testing.assert_allclose(result.data_scores["train"].scores, scores, rtol=1e-5, atol=1e-6)
    # Average precision takes its threshold from F1.
    wanted = oracle.program("OFBS", 1.0) if name == "OAP" else oracle.program(name, next(iter(NUMBERS[name].values())))
    samples = result.data_scores["train"].scores[:, 0].tolist(), y[:, 0].tolist(), [1.0] * len(y)
    best = oracle.best_cut(*samples, wanted)
    assert result.train.value == pytest.approx(oracle.average_precision(*samples) if name == "OAP" else best.value)
    assert (result.train.true_positives, result.train.false_positives) == best.counts[:2]


def test_an_impossible_bound_is_a_status_with_the_best_achievable_value():
    x, y = torch.zeros(200, 2), torch.zeros(200)
    y[:20] = 1
    x[:40] = 1.0  # half of these are positive, whatever the model
    result = fit(linear(), loader_of(x, y), "FPOR", alpha=0.95, **FEW, val_fraction=0)
    assert result.status is Status.INFEASIBLE and not result.train.met
    assert result.train.bounded_value == pytest.approx(0.5)
    assert f"Best achievable precision: {result.train.precision:.3f} (asked 0.95)" in result.advice()
    assert result.advice() in result.summary()


# Ties


@pytest.mark.parametrize("name", REGISTRY)
@pytest.mark.parametrize("warmup_epochs", [0, 2])
def test_a_model_that_starts_constant_ends_with_true_metrics(name, warmup_epochs):
    """All scores tie at the threshold, where slacks that equal the labels satisfy every link."""
    x, y = blobs()
    model = linear()
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    result = fit(model, loader_of(x, y), name, **NUMBERS[name], epochs=10, warmup_epochs=warmup_epochs, val_fraction=0)
    assert len(np.unique(result.data_scores["train"].scores)) > 100
    check_against_sklearn(result, result.data_scores["train"], result.train)
    assert result.train.average_precision > 1.5 * y.mean()


@pytest.mark.parametrize(("name", "number", "is_met"), [("FPOR", 0.7, False), ("FPOR", 0.2, True), ("FROP", 0.9, True)])
def test_a_model_that_stays_constant_is_judged_by_its_real_counts(name, number, is_met):
    """Every sample is the same: whatever slacks would claim, all are flagged or none."""
    y = torch.zeros(100)
    y[:30] = 1
    result = fit(linear(), loader_of(torch.ones(100, 2), y), name, alpha=number, **FEW, val_fraction=0)
    assert result.status is (Status.FEASIBLE if is_met else Status.INFEASIBLE)
    assert (result.train.true_positives, result.train.false_positives) == (30, 70)
    assert result.train.precision == pytest.approx(0.3) and result.train.recall == 1
    assert "gives every row the same score, " in result.advice() and result.advice().endswith("flags every row.")


# Repeatability, and what is left alone


def outcome(seed, make_model=linear, **arguments):
    x, y = blobs()
    result = fit(make_model(), loader_of(x, y), "FPOR", alpha=0.7, **FEW, seed=seed, **arguments)
    history = [{key: repr(value) for key, value in record.items()} for record in result.history]
    return weights_of(result.model), result.threshold, history, result.data_scores["validation"].labels.tolist()


@pytest.mark.parametrize("make_model", [linear, with_dropout])
def test_the_same_seed_gives_the_same_result_bit_for_bit(make_model):
    first = outcome(1, make_model)
    for draw in (torch.rand, np.random.rand, random.seed):  # what came before does not matter
        draw(3)
    assert outcome(1, make_model) == first
    assert outcome(2, make_model) != first


def test_a_seed_of_numpy_is_the_same_seed():
    outcomes = [outcome(seed) for seed in (1, np.int64(1), np.uint8(1))]
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_the_seed_holds_for_samplers_and_augmentation_that_draw_from_global_generators():
    class Noisy(TensorDataset):
        def __getitem__(self, row):
            x, y = super().__getitem__(row)
            return x + 0.1 * torch.randn(2) + 0.01 * np.random.randn() + 0.01 * random.random(), y

    x, y = blobs()
    ends = []
    for seed in (1, 1, 2):
        loader = DataLoader(Noisy(x, y), batch_size=50, sampler=WeightedRandomSampler(torch.ones(200), 200))
        result = fit(
            linear(), loader, "FPOR", alpha=0.7, **FEW, seed=seed, val_loader=loader_of(x, y),
            eval_dataset=TensorDataset(x, y),
        )  # fmt: skip
        ends.append(weights_of(result.model))
    assert ends[0] == ends[1] != ends[2]


def test_trainings_in_threads_are_those_of_one_thread():
    models = [with_dropout() for _ in range(4)]
    x, y = blobs()

    def train(model):
        return weights_of(fit(model, loader_of(x, y), "FPOR", alpha=0.7, **FEW, seed=1, progress=False).model)

    alone = train(copy.deepcopy(models[0]))
    with ThreadPoolExecutor(max_workers=2) as pool:
        together = list(pool.map(train, models))
    assert together == [alone] * 4


def test_what_belongs_to_the_caller_stays_as_it_was():
    x, y = blobs()
    own = torch.Generator().manual_seed(3)
    loader, model = loader_of(x, y, generator=own), with_dropout()
    model.train()
    model[1].eval()
    modes = [module.training for module in model.modules()]
    attributes = {name: value for name, value in vars(loader).items() if not name.startswith("__")}
    before = (own.get_state(), torch.get_rng_state(), np.random.get_state(), random.getstate(), torch.get_num_threads())
    fit(model, loader, "FPOR", alpha=0.7, **FEW)
    after = (own.get_state(), torch.get_rng_state(), np.random.get_state(), random.getstate(), torch.get_num_threads())
    assert [module.training for module in model.modules()] == modes
    assert vars(loader).keys() == attributes.keys()
    assert all(vars(loader)[name] is value for name, value in attributes.items())
    assert torch.equal(before[0], after[0]) and torch.equal(before[1], after[1])
    np.testing.assert_equal(before[2], after[2])
    assert before[3:] == after[3:]


def test_everything_is_left_alone_after_an_error_as_well():
    x, y = blobs()
    model = with_dropout().eval()
    before = torch.get_rng_state()

    def fail(records):
        raise RuntimeError("from the callback")

    with pytest.raises(RuntimeError, match="from the callback"):
        fit(model, loader_of(x, y), "FPOR", alpha=0.7, **FEW, callbacks=[fail])
    assert not any(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), before)


# What fit takes


def test_inputs_and_outputs_of_each_form_train_alike():
    x, y = blobs()
    ends = []
    for model, dataset in (
        (linear(), TensorDataset(x, y)),
        (linear(), TensorDataset(x, y[:, 0].bool())),
        (Shaped(), TensorDataset(x, y[:, 0].long())),
        (TwoInputs(), Structured(x, y, "tuple")),
        (TwoInputs(), Structured(x, y, "dict")),
    ):
        result = fit(model, DataLoader(dataset, batch_size=50, shuffle=True), "FPOR", alpha=0.7, **FEW)
        ends.append((result.threshold, result.validation.counts))
    for threshold, counts in ends[1:]:
        assert threshold == pytest.approx(ends[0][0], rel=1e-3) and counts == ends[0][1]


def test_several_labels_with_missing_ones_and_one_without_positives():
    x, y = blobs(num_labels=4, num_rows=300)
    y[::5, 0], y[:, 2], y[:, 3] = torch.nan, 0, torch.nan
    names = ["a", "b", "none", "unlabelled"]
    result = fit(
        linear(8, 4), loader_of(x, y), "FPOR", alpha={"a": 0.5, "b": 0.6, "none": 0.7, "unlabelled": 0.8},
        label_names=names, **FEW,
    )  # fmt: skip
    assert result.objective == FPOR((0.5, 0.6, 0.7, 0.8))
    assert list(result.status) == names
    assert [str(status) for status in result.status.values()][2:] == ["no_positives", "no_positives"]
    assert {result.status["a"], result.status["b"]} <= {Status.FEASIBLE, Status.INFEASIBLE}
    assert np.isnan(result.threshold).tolist() == [False, False, True, True]
    present = ~torch.isnan(y).numpy()
    assert [report.num_samples for report in result.train] == (
        present.sum(axis=0) - [report.num_samples for report in result.validation]
    ).tolist()
    assert result.validation["a"].bound == 0.5 and result.validation["b"].bound == 0.6
    assert np.isnan(result.validation["none"].recall) and np.isnan(result.validation["none"].value)
    for label in (0, 1):
        scored, report = result.data_scores["validation"], result.validation[label]
        held = ~np.isnan(scored.labels[:, label])
        best = oracle.best_cut(
            scored.scores[held, label].tolist(), scored.labels[held, label].tolist(), [1.0] * held.sum(),
            oracle.program("FPOR", report.bound),
        )  # fmt: skip
        assert (report.value, report.met) == (pytest.approx(best.value), best.feasible)
    assert "no_positives" in result.summary() and "no_positives" in repr(result)
    assert np.isfinite(result.scores(x)).all()
    assert result.predict(x)[:, 2:].sum() == 0


def test_sample_weights_reach_training_thresholds_and_reports():
    x, y = blobs()
    ignored = torch.arange(200) % 2 == 1
    noisy = torch.where(ignored[:, None], 1 - y, y)
    weight = (~ignored).float()
    result = fit(linear(), loader_of(x, noisy), "FPOR", alpha=0.7, sample_weight=weight, val_fraction=0, epochs=20)
    report = result.train
    assert report.counts.positives == y[~ignored].sum() and report.counts.negatives == (1 - y)[~ignored].sum()
    clean = fit(linear(), loader_of(x[~ignored], y[~ignored]), "FPOR", alpha=0.7, val_fraction=0, epochs=20)
    against = fit(linear(), loader_of(x, noisy), "FPOR", alpha=0.7, val_fraction=0, epochs=20)
    assert report.met and report.recall >= clean.train.recall - 0.05
    assert not against.train.met or against.train.recall < 0.5 * report.recall
    assert result.train.intervals == result.evaluate((x[~ignored], y[~ignored])).intervals != {}


def test_integer_weights_are_copies_in_the_report():
    x, y = blobs()
    times = torch.arange(200) % 3
    weighted = fit(linear(), loader_of(x, y), "FPOR", alpha=0.7, sample_weight=times, val_fraction=0, **FEW)
    alarm = weighted.data_scores["train"].scores[:, 0] >= weighted.threshold
    repeated = np.repeat(np.arange(200), times)
    assert weighted.train.precision == pytest.approx(precision_score(y[repeated, 0], alarm[repeated]))
    assert weighted.train.recall == pytest.approx(recall_score(y[repeated, 0], alarm[repeated]))


def test_a_val_loader_selects():
    (x, y), (new_x, new_y) = blobs(0), blobs(1, 80)
    result = fit(linear(), loader_of(x, y), "FPOR", alpha=0.7, **FEW, val_loader=loader_of(new_x, new_y))
    assert result.selection is result.validation
    assert result.train.num_samples == 200 and result.validation.num_samples == 80
    assert result.data_scores["validation"].labels.tolist() == new_y.tolist()


@pytest.mark.parametrize("has_val_loader", [False, True])
def test_streams_train(has_val_loader):
    x, y = blobs()
    stream = DataLoader(Stream(x, y), batch_size=50)
    arguments = {"val_loader": loader_of(x, y)} if has_val_loader else {"val_fraction": 0}
    result = fit(linear(), stream, "FPOR", alpha=0.7, **FEW, **arguments)
    rows = fit(linear(), loader_of(x, y, shuffle=False), "FPOR", alpha=0.7, **FEW, **arguments)
    assert weights_of(result.model) == weights_of(rows.model) and result.threshold == rows.threshold


def test_scoring_takes_eval_dataset_and_training_the_augmented_rows():
    x, y = blobs()
    seen = []

    class Watched(nn.Linear):
        def forward(self, x):
            seen.append((self.training, x[:, 0].min().item() > 500))
            return super().forward(x)

    augmented = TensorDataset(x + 1000, y)
    fit(Watched(2, 1), DataLoader(augmented, batch_size=50), "FPOR", alpha=0.7, epochs=2, warmup_epochs=1,
        eval_dataset=TensorDataset(x, y))  # fmt: skip
    assert set(seen) == {(True, True), (False, False)}


def test_groups_are_held_out_together():
    x, y = blobs()
    x[:, 1] = torch.arange(200) // 4
    result = fit(linear(), loader_of(x, y), "FPOR", alpha=0.7, **FEW, groups=x[:, 1].int().tolist())
    assert result.validation.num_samples % 4 == 0 and result.train.num_samples % 4 == 0


# Solvers, schedules, stopping


def test_a_loss_module_is_a_solver():
    x, y = blobs()
    result = fit(linear(), loader_of(x, y), "FPOR", alpha=0.7, solver=nn.BCEWithLogitsLoss(), epochs=5)
    assert result.solver == "BCEWithLogitsLoss" and {record["stage"] for record in result.history} == {"training"}
    assert result.baseline_name == "the model as passed" and result.history[-1]["multiplier"] is None
    named = fit(linear(), loader_of(x, y), "FPOR", alpha=0.7, solver="cross_entropy", epochs=5)
    assert weights_of(named.model) == weights_of(result.model)  # the same loss


def test_warm_up_and_stages_share_the_epochs():
    x, y = blobs()
    result = fit(linear(), loader_of(x, y), "OFBS", epochs=40, warmup_epochs=6)
    stages = [record["stage"] for record in result.history]
    assert stages[:7] == ["warm-up"] * 6 + [stages[6]] and stages[6] != "warm-up"
    assert [record["epoch"] for record in result.history] == list(range(1, len(stages) + 1)) and len(stages) <= 40
    assert result.selected_stage in {*stages} or result.selected_stage.startswith("average of ")


def test_without_warm_up_training_starts_from_the_model_as_passed():
    x, y = blobs()
    trained = fit(linear(), loader_of(x, y), "FPOR", alpha=0.7, epochs=30).model
    start = copy.deepcopy(trained)
    result = fit(trained, loader_of(x, y), "FPOR", alpha=0.7, epochs=4, warmup_epochs=0, learning_rate=1e-4)
    assert result.baseline_name == "the model as passed"
    assert "warm-up" not in {record["stage"] for record in result.history}
    rows = result.data_scores["validation"].baseline_scores
    own = start(x).detach().numpy()
    assert all(np.abs(own - score).min() < 1e-5 for score in rows)


def test_optimizers():
    x, y = blobs()

    def run(**arguments):
        return weights_of(fit(linear(), loader_of(x, y), "FPOR", alpha=0.7, **FEW, **arguments).model)

    by_factory = run(optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.05))
    assert by_factory == run(learning_rate=0.05) != run(learning_rate=0.01)
    model = linear()
    instance = torch.optim.Adam(model.parameters(), lr=0.05)
    assert weights_of(fit(model, loader_of(x, y), "FPOR", alpha=0.7, **FEW, optimizer=instance).model) == by_factory


def test_schedulers_start_anew_with_each_stage_and_step_each_epoch():
    x, y = blobs()
    rates = []

    class Watched(torch.optim.lr_scheduler.ExponentialLR):
        def step(self, *args):
            super().step(*args)
            rates.append(self.get_last_lr()[0])

    fit(linear(), loader_of(x, y), "FPOR", alpha=0.7, epochs=5, warmup_epochs=2, learning_rate=0.01,
        scheduler=lambda optimizer: Watched(optimizer, 0.5))  # fmt: skip
    assert rates == pytest.approx([0.01, 0.005, 0.0025, 0.01, 0.005, 0.0025, 0.00125])


def test_schedulers_start_anew_with_an_optimizer_that_was_passed():
    x, y = blobs()
    model, rates = linear(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    fit(model, loader_of(x, y), "FPOR", alpha=0.7, epochs=5, warmup_epochs=2, optimizer=optimizer,
        scheduler=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5),
        callbacks=[lambda records: rates.append(optimizer.param_groups[0]["lr"])])  # fmt: skip
    assert rates == pytest.approx([0.005, 0.0025, 0.005, 0.0025, 0.00125])


def test_gradient_clip_limits_the_step():
    x, y = blobs()
    steps = []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            grads = [p.grad for group in self.param_groups for p in group["params"]]
            steps.append(torch.cat([grad.flatten() for grad in grads]).norm().item())
            return super().step(closure)

    for clip in (None, 0.01):
        steps.clear()
        fit(
            linear(), loader_of(x, y), "FPOR", alpha=0.7, **FEW, gradient_clip=clip, optimizer=lambda p: Watched(p, 0.1)
        )
        assert (max(steps) <= 0.01 + 1e-6) == (clip is not None)


def test_callbacks_see_every_epoch_and_may_stop():
    x, y = blobs(num_labels=2)
    seen = []

    def stop(records):
        seen.append([dict(record) for record in records])
        return len(seen) == 4

    result = fit(linear(4, 2), loader_of(x, y), "FPOR", alpha=0.7, **FEW, callbacks=[stop, lambda records: None])
    assert [record for records in seen for record in records] == [
        {name: value for name, value in record.items() if name != "chosen"} for record in result.history
    ]
    assert len(seen) == 4 and [record["label"] for record in seen[0]] == ["0", "1"]


def test_training_ends_when_nothing_is_left_to_gain():
    x = torch.linspace(-1, 1, 100)[:, None]
    result = fit(linear(1), loader_of(x, (x[:, 0] > 0.5).float()), "FPOR", alpha=0.9, epochs=200, warmup_epochs=5,
                 learning_rate=0.5, val_fraction=0)  # fmt: skip
    assert result.train.recall == result.train.precision == 1 and result.status is Status.FEASIBLE
    assert max(record["epoch"] for record in result.history) < 100


def test_batches_without_a_positive_are_fine():
    x, y = blobs(prevalence=0.04)
    result = fit(linear(), loader_of(x, y, batch_size=5), "FPOR", alpha=0.5, epochs=5, val_fraction=0)
    assert result.status in (Status.FEASIBLE, Status.INFEASIBLE) and len(result.history) == 5


class Scripted(Solver):
    """Cross-entropy in three stages, which notes what the loop tells it."""

    name = "scripted"
    warms_up = False

    def __init__(self, model):
        self.model, self.starts, self.calls = model, [], []

    def prepare(self, objective, labels, sample_weight):
        self.labels, self.sample_weight = labels, sample_weight
        self.calls.append("prepare")

    def stages(self, epochs, is_linear=True):
        return [Stage("first", 3), Stage("second", epochs - 5), Stage("last", 2, start="best")]

    def start(self, stage, num_steps):
        self.starts.append((stage.name, num_steps, weights_of(self.model)))
        self.calls.append("start")

    def refresh(self, scores, labels, sample_weight):
        np.testing.assert_array_equal(labels, self.labels)
        np.testing.assert_array_equal(sample_weight, self.sample_weight)
        assert scores.shape == labels.shape
        self.calls.append("refresh")

    def loss(self, scores, labels, weight=None, index=None):
        np.testing.assert_array_equal(labels, self.labels[index])
        np.testing.assert_allclose(weight, self.sample_weight[index], rtol=1e-6)
        self.calls.append("loss")
        return nn.functional.binary_cross_entropy_with_logits(scores, labels, weight)

    def step(self):
        self.calls.append("step")


def test_the_loop_drives_a_solver_as_its_interface_says():
    x, y = blobs()
    model, ends = linear(), []
    nn.init.constant_(model.weight, -3.0)
    begin, solver = weights_of(model), Scripted(model)
    result = fit(
        model, loader_of(x, y, batch_size=10), "OFBS", solver=solver, epochs=10, learning_rate=0.2,
        sample_weight=np.random.default_rng(0).random(200),
        callbacks=[lambda records: ends.append((records[0]["value"], weights_of(model)))],
    )  # fmt: skip
    assert [(name, steps) for name, steps, _ in solver.starts] == [("first", 48), ("second", 80), ("last", 32)]
    first, second, last = (weights for _, _, weights in solver.starts)
    assert first == second == begin  # paths start from the warm model, not from one another's end
    values = [value for value, _ in ends[:8]]
    assert max(values[:3]) > result.baseline.value
    assert last == ends[int(np.argmax(values))][1]
    assert result.validation.value == max(value for value, _ in ends) and result.solver == "scripted"

    assert solver.calls[:4] == ["prepare", "start", "refresh", "loss"]
    assert solver.calls.count("loss") == solver.calls.count("step") == 160
    batches = [call for call in solver.calls if call in ("loss", "step")]
    assert batches == ["loss", "step"] * 160
    assert solver.calls.count("refresh") >= 10  # once an epoch at least


# Explicit slacks


EXPLICIT = ["augmented_lagrangian", "lagrangian", "exact_penalty"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NUMBERS, "OAP"])
@pytest.mark.parametrize("solver", EXPLICIT)
def test_solvers_with_slacks_report_them_beside_the_model(solver, name):
    x, y = blobs(num_labels=3)
    y[::5, 0], y[:, 2] = torch.nan, 0
    weight, numbers = np.random.default_rng(0).random(200), NUMBERS.get(name, {})
    result = fit(linear(6, 3), loader_of(x, y), name, **numbers, **FEW, solver=solver, sample_weight=weight)
    assert result.solver == solver and [compared.label for compared in result.slack] == ["0", "1", "2"]
    assert result.slack[2].holds and result.statuses[2] is Status.NO_POSITIVES
    bounded = result.validation[0].bounded_metric is not None
    for compared, status, report in zip(result.slack[:2], result.statuses, result.validation, strict=False):
        met = Status.FEASIBLE if bounded else Status.OPTIMIZED
        fits = met if compared.holds else Status.SLACK_GAP
        assert status is (Status.INFEASIBLE if bounded and not report.met else fits)
        assert 0 <= compared.agreement <= 1 and 0 <= compared.worst_violation <= 1
        assert (compared.bounded_value is None) == (not bounded)
    for compared in result.slack[:2]:
        assert f"Slacks    {compared.label}: {compared}" in result.summary()
    scored = result.data_scores["train"]
    best = choose_threshold(scored.scores, scored.labels, result.objective, sample_weight=scored.sample_weight)
    if result.objective.bounded:
        np.testing.assert_allclose([c.model_bounded_value for c in result.slack], best.bounded_value)
    np.testing.assert_allclose([c.model_value for c in result.slack], best.value)


@pytest.mark.parametrize("solver", ["profiled", "cross_entropy", nn.BCEWithLogitsLoss()])
def test_solvers_without_slacks_report_none(solver):
    x, y = blobs()
    result = fit(linear(), loader_of(x, y), "FPOR", alpha=0.7, **FEW, solver=solver)
    assert result.slack is None and "Slacks" not in result.summary()


@pytest.mark.parametrize("solver", EXPLICIT)
def test_slacks_that_stand_for_another_model_are_no_success(solver):
    """At the beginning of a path links cost little: the slacks claim the labels, whatever the model does."""
    x, y = blobs()
    result = fit(
        linear(), loader_of(x, y), "FPOR", alpha=0.7, solver=solver, epochs=40, warmup_epochs=0, val_fraction=0,
        learning_rate=0.05, callbacks=[lambda records: True],
    )  # fmt: skip
    (compared,) = result.slack
    assert compared.value > 0.95 > result.train.recall + 0.2 and not compared.holds
    assert result.train.met and result.status is Status.SLACK_GAP  # feasible, but not by what was optimized
    assert result.advice().startswith("The reported metrics are the model's own") and "slack_gap" in result.summary()
    other = result.with_bound(0.6)  # a threshold for the model's own scores, of which no slack spoke
    assert other.slack is None and other.status is Status.FEASIBLE and other.train.met


class Claims(Solver):
    """Cross-entropy with slacks that are the labels, or what the model predicts at the time."""

    name, needs_index, warms_up = "claims", True, False

    def __init__(self, model, x, claims_labels):
        self.model, self.x, self.claims_labels = model, x, claims_labels

    def prepare(self, objective, labels, sample_weight):
        self.objective, self.labels = objective, labels
        self.store = SampleSlacks(objective, labels, sample_weight)

    def stages(self, epochs, is_linear=True):
        return [Stage("claims", epochs)]

    def loss(self, scores, labels, weight=None, index=None):
        return nn.functional.binary_cross_entropy_with_logits(scores, labels)

    def slacks(self):
        if self.claims_labels:
            return self.labels.ravel().copy()
        scores = self.model(self.x).detach().numpy()
        return (scores >= choose_threshold(scores, self.labels, self.objective).threshold).astype(np.float32).ravel()

    def compare(self, *arguments):
        return self.store.compare(*arguments)


@pytest.mark.parametrize(
    ("claims_labels", "status", "value"), [(True, Status.SLACK_GAP, 1), (False, Status.FEASIBLE, None)]
)
def test_slacks_are_those_of_the_returned_weights(claims_labels, status, value):
    """Not those at the end of training: after its best epoch the model goes on to change."""
    x, y = blobs()
    model = linear()
    result = fit(
        model, loader_of(x, y), "FPOR", alpha=0.7, solver=Claims(model, x, claims_labels), epochs=12, val_fraction=0,
        learning_rate=0.1, scheduler=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 3.0),
    )  # fmt: skip
    (compared,) = result.slack
    assert result.selected_stage == "claims" and result.train.met and result.train.recall < 0.95
    ends = [record["value"] for record in result.history if record["feasible"]]
    assert ends[-1] < max(ends) == result.train.recall  # the last epoch is not the returned one
    assert result.status is status and compared.value == pytest.approx(value or result.train.recall)


@pytest.mark.parametrize("solver", EXPLICIT)
def test_weights_of_the_warm_up_have_their_own_predictions_for_slacks(solver):
    x, y = blobs()
    rates = iter([1.0, 0.0])  # nothing is found after the warm-up
    result = fit(
        linear(), loader_of(x, y), "FPOR", alpha=0.7, solver=solver, epochs=7, warmup_epochs=3, val_fraction=0,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=next(rates)),
    )  # fmt: skip
    assert result.selected_stage == "warm-up" and len(result.history) == 7
    assert result.status is Status.FEASIBLE and result.slack[0].agreement == 1
    assert result.slack[0].value == pytest.approx(result.train.recall)


@pytest.mark.slow
@pytest.mark.parametrize("solver", EXPLICIT)
def test_a_constant_start_is_left_by_solvers_with_slacks(solver):
    """All scores tie at the threshold, where slacks that equal the labels satisfy every link; also without Adam."""
    x, y = blobs(distance=3.0)
    for optimizer in (None, lambda parameters: torch.optim.SGD(parameters, lr=0.1)):
        model = linear()
        nn.init.zeros_(model.weight)
        nn.init.zeros_(model.bias)
        result = fit(
            model, loader_of(x, y), "FPOR", alpha=0.8, solver=solver, epochs=24, warmup_epochs=0, val_fraction=0,
            optimizer=optimizer,
        )  # fmt: skip
        assert result.train.met and result.train.recall > 0.8 and result.train.average_precision > 0.9
        assert model.weight.abs().max() < 100
        check_against_sklearn(result, result.data_scores["train"], result.train)


@pytest.mark.slow
@pytest.mark.parametrize("solver", EXPLICIT)
def test_solvers_with_slacks_repeat_bit_for_bit(solver):
    assert outcome(1, solver=solver) == outcome(1, solver=solver) != outcome(2, solver=solver)


class Rows(Dataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.y)

    def __getitem__(self, row):
        return self.x[row], self.y[row]


def as_columns(items):
    """A collate function of one's own."""
    x, y = zip(*items, strict=True)
    return 2 * torch.stack(x), torch.stack(y)


@pytest.mark.slow
@pytest.mark.parametrize("solver", EXPLICIT)
@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": 48, "shuffle": True, "drop_last": True},
        {"batch_size": 50, "shuffle": True, "num_workers": 1, "persistent_workers": True},
        {"batch_size": 50, "shuffle": True, "collate_fn": as_columns},
        {"batch_size": 50, "sampler": WeightedRandomSampler(torch.linspace(0.1, 1, 200), 170)},
        {"batch_sampler": BatchSampler(RandomSampler(range(200), replacement=True), 32, drop_last=False)},
    ],
    ids=["drop_last", "workers", "collate_fn", "weighted", "batch_sampler"],
)
def test_any_loader_of_rows_serves_solvers_with_slacks(solver, arguments):
    x, y = blobs()
    loader = DataLoader(Rows(x, y), **arguments)
    result = fit(
        linear(), loader, "FPOR", alpha=0.7, epochs=4, warmup_epochs=1, solver=solver, val_loader=loader_of(*blobs(1))
    )
    assert {record["stage"] for record in result.history} == {"warm-up", "anchored ramp"}
    assert result.slack is not None and result.status is not Status.DIVERGED
    assert result.train.num_samples == 200
    check_against_sklearn(result, result.data_scores["train"], result.train)


# Divergence


class NanAfter:
    """A loss that turns NaN at a step."""

    def __init__(self, step):
        self.left = step

    def __call__(self, scores, labels):
        self.left -= 1
        return nn.functional.binary_cross_entropy_with_logits(scores, labels) * (1 if self.left > 0 else torch.nan)


@pytest.mark.parametrize("step", [1, 3, 12])
def test_a_loss_that_turns_nan_ends_training_with_the_best_model_so_far(step):
    x, y = blobs()
    result = fit(linear(), loader_of(x, y, batch_size=40), "FPOR", alpha=0.7, solver=NanAfter(step), epochs=9)
    assert result.status is Status.DIVERGED and "learning_rate" in result.advice()
    assert len(result.history) == (step - 1) // 4
    assert all(torch.isfinite(value).all() for value in result.model.state_dict().values())
    check_against_sklearn(result, result.data_scores["validation"], result.validation)
    assert result.selection.value >= result.baseline.value or not result.baseline.met


class Overflowing(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = linear()

    def forward(self, x):
        return torch.exp(self.layer(x)) - 1


@pytest.mark.parametrize("val_fraction", [0, 0.3])
@pytest.mark.parametrize("warmup_epochs", [0, 3])
def test_a_model_that_overflows_ends_training_with_the_best_model_so_far(warmup_epochs, val_fraction):
    x, y = blobs()
    result = fit(
        Overflowing(), loader_of(x, y), "FPOR", alpha=0.7, epochs=10, warmup_epochs=warmup_epochs, learning_rate=100.0,
        val_fraction=val_fraction,
    )  # fmt: skip
    assert result.status is Status.DIVERGED
    assert all(torch.isfinite(value).all() for value in result.model.state_dict().values())
    assert np.isfinite(result.scores(x)).all() and np.isfinite(result.threshold)
    check_against_sklearn(result, result.data_scores["train"], result.train)


@pytest.mark.parametrize("seed", range(6))
def test_a_model_that_overflows_on_training_data_alone_ends_with_a_status(seed):
    """The selection data stay finite while one training sample does not."""
    x, y = blobs()
    x[0] = 1e30
    validation = loader_of(*blobs(1))
    result = fit(
        linear(), loader_of(x, y), "FPOR", alpha=0.7, **FEW, val_loader=validation, learning_rate=1e9,
        gradient_clip=1.0, seed=seed,
    )  # fmt: skip
    assert result.status is Status.DIVERGED
    assert np.isfinite(result.data_scores["train"].scores).all() and np.isfinite(result.scores(x)).all()
    check_against_sklearn(result, result.data_scores["train"], result.train)


# Known optima


def toy_loader(batch_size):
    features, labels = rath_hughes_toy()
    return loader_of(torch.from_numpy(features).float(), torch.from_numpy(labels).float(), batch_size)


@pytest.mark.slow
def test_the_toy_problem_is_solved_by_an_augmented_lagrangian():
    result = fit(
        linear(), toy_loader(256), "FPOR", alpha=0.9, val_fraction=0, solver="augmented_lagrangian", epochs=250
    )
    assert result.train.true_positives == 29 and result.train.precision >= 0.9
    assert result.status is (Status.FEASIBLE if result.slack[0].holds else Status.SLACK_GAP)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("alpha", "found", "batch_size", "epochs"),  # by default several times as many
    [(0.9, 29, 570, 700), (0.8, 89, 256, 350), (0.95, 28, 256, 350)],
)
def test_the_toy_problem_is_solved_to_its_global_optimum(alpha, found, batch_size, epochs):
    result = fit(linear(), toy_loader(batch_size), "FPOR", alpha=alpha, val_fraction=0, epochs=epochs)
    assert result.status is Status.FEASIBLE
    assert result.train.true_positives == found and result.train.precision >= alpha


def test_the_toy_problem_is_beyond_cross_entropy():
    result = fit(linear(), toy_loader(256), "FPOR", alpha=0.9, val_fraction=0, solver="cross_entropy", epochs=40)
    assert result.status is Status.INFEASIBLE


def test_a_shuffling_stream_keeps_scores_and_labels_together():
    generator = torch.Generator().manual_seed(0)
    x = torch.linspace(-1, 1, 200)[:, None]

    class Shuffled(torch.utils.data.IterableDataset):
        def __iter__(self):
            for row in torch.randperm(200, generator=generator):
                yield x[row], (x[row, 0] > 0.5).float()

    loader = DataLoader(Shuffled(), batch_size=20)
    result = fit(torch.nn.Linear(1, 1), loader, "FPOR", alpha=0.9, val_fraction=0, epochs=8, learning_rate=0.1)
    # One feature: either threshold separates the classes, whatever the order of the pass.
    assert result.train.recall == result.baseline_train.recall == 1
    assert result.train.average_precision == pytest.approx(1)
    assert result.baseline_train.average_precision == pytest.approx(1)


# Average precision


def test_average_precision_of_several_labels_is_trained_together():
    """One label without positives, one partly missing; the mean over those that can be learnt decides."""
    x, y = blobs(num_labels=3, num_rows=300, prevalence=0.15)
    y[:, 1] = 0
    y[::4, 2] = torch.nan
    result = fit(linear(6, 3), loader_of(x, y), "OAP", label_names=["a", "b", "c"], epochs=20, val_fraction=0)
    assert result.status == {"a": Status.OPTIMIZED, "b": Status.NO_POSITIVES, "c": Status.OPTIMIZED}
    values = [result.train[name].value for name in ("a", "c")]
    at_start = [result.baseline_train[name].value for name in ("a", "c")]
    assert np.mean(values) >= np.mean(at_start)
    for column, name in ((0, "a"), (2, "c")):
        present = ~y[:, column].isnan()
        scores = result.data_scores["train"].scores[present, column]
        assert result.train[name].value == pytest.approx(average_precision_score(y[present, column], scores))
    best = max(
        np.nanmean([r["value"] for r in result.history if r["epoch"] == epoch])
        for epoch in {r["epoch"] for r in result.history}
    )
    assert np.mean(values) == pytest.approx(max(best, np.mean(at_start)))


def test_average_precision_is_trained_on_weighted_samples():
    x, y = blobs(num_rows=300)
    weight = np.random.default_rng(0).uniform(0, 2, 300)
    result = fit(linear(), loader_of(x, y), "OAP", sample_weight=weight, val_fraction=0, **FEW)
    expected = average_precision_score(y[:, 0], result.data_scores["train"].scores[:, 0], sample_weight=weight)
    assert result.train.value == pytest.approx(expected)


def test_average_precision_learns_from_batches_with_hardly_any_positive():
    x, y = blobs(num_rows=600, prevalence=0.02, distance=2.0)
    y[:8], x[:8, 0] = 1, x[:8, 0] + 2
    model = linear()
    nn.init.zeros_(model.weight)
    result = fit(model, loader_of(x, y, batch_size=16), "OAP", epochs=6, warmup_epochs=0, val_fraction=0)
    assert result.train.value > 3 * y.mean().item()


def test_a_solver_for_another_objective_is_told_before_training():
    x, y = blobs()
    epochs = []
    for objective, solver, wants in ((FPOR(0.7), ProfiledRanking(), "average precision"),
                                     (OAP(), Profiled(), "one with counts at a threshold")):  # fmt: skip
        with pytest.raises(InvalidInputError, match=f"objective must be {wants}.*, got {objective.name}; "):
            fit(linear(), loader_of(x, y), objective, solver=solver, callbacks=[epochs.append], **FEW)
    assert not epochs
    fit(linear(), loader_of(x, y), OAP(), solver=ProfiledRanking(), callbacks=[epochs.append], **FEW)
    assert len(epochs) == FEW["epochs"]
