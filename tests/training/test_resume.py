"""A training that was interrupted anywhere and resumed ends as if it had never stopped, bit for bit."""

import random
import subprocess
import sys
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, WeightedRandomSampler

from benchmarks.studies import resume
from metricopt import OAP, InvalidInputError, Status
from metricopt.data import BalancedBatchSampler
from metricopt.solvers import REGISTRY, ExactPenalty, Stage, Surrogate, get_solver
from metricopt.training.checkpoint import flatten
from tests.held_out import fit

NUM_STOPS = 3
ROOT = Path(__file__).parents[2]


def blobs(num_rows=120, num_labels=1, seed=0):
    draw = torch.Generator().manual_seed(seed)
    y = (torch.rand(num_rows, num_labels, generator=draw) < 0.3).float()
    x = torch.randn(num_rows, 2 * num_labels, generator=draw)
    x[:, :num_labels] += 1.5 * y
    return x, y


X, Y = blobs()


def network(num_features=2, num_labels=1):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(num_features, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, num_labels)
        )


def linear():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(2, 1)


class Noisy(Dataset):
    """Rows with augmentation from all the global generators."""

    def __len__(self):
        return len(Y)

    def __getitem__(self, row):
        return X[row] + 0.1 * torch.randn(2) + 0.1 * np.random.randn() + 0.1 * random.random(), Y[row]


class Shuffled(IterableDataset):
    """A stream with a generator of its own."""

    def __init__(self, seed=0):
        self.generator = np.random.default_rng(seed)

    def __iter__(self):
        for row in self.generator.permutation(len(Y)):
            yield X[row], Y[row]


class MovingLoss(nn.Module):
    """A loss with a state of its own."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, scores, labels):
        self.mean = 0.9 * self.mean + 0.1 * scores.detach().mean()
        return nn.functional.binary_cross_entropy_with_logits(scores - self.mean, labels)


def loader_of(dataset=None, **rest):
    return DataLoader(TensorDataset(X, Y) if dataset is None else dataset, **({"batch_size": 20} | rest))


# Each returns the arguments of a fit from nothing, as a program that is started again does.


def plain():
    return {"model": linear(), "loader": loader_of(shuffle=True)}


def network_with_everything():
    model = network()
    return {
        "model": model,
        "loader": loader_of(Noisy(), shuffle=True, drop_last=True, batch_size=25),
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9),
        "scheduler": lambda optimizer: torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2], 0.5),
        "gradient_clip": 0.5,
    }


def sampled(generator=None):
    sampler = WeightedRandomSampler(1 + 3 * Y[:, 0], 90, generator=generator)
    val_loader = loader_of(TensorDataset(*blobs(seed=1)))
    return {"model": network(), "loader": loader_of(sampler=sampler), "val_loader": val_loader}


def sampled_by_own_generator():
    return sampled(torch.Generator().manual_seed(5))


def balanced():
    loader = DataLoader(TensorDataset(X, Y), batch_sampler=BalancedBatchSampler(Y, 20, positive_fraction=0.4, seed=3))
    return {"model": network(), "loader": loader, "val_loader": loader_of(TensorDataset(*blobs(seed=1)))}


def workers():
    loader = loader_of(Noisy(), shuffle=True, num_workers=2, persistent_workers=True, batch_size=40)
    return {"model": network(), "loader": loader, "epochs": 3, "warmup_epochs": 1}


def stream():
    return {"model": network(), "loader": loader_of(Shuffled()), "val_fraction": 0}


def labels_with_gaps():
    x, y = blobs(num_labels=2)
    y[::7, 0] = torch.nan
    weight = np.random.default_rng(0).random(len(y))
    loader = loader_of(TensorDataset(x, y), shuffle=True)
    return {"model": network(4, 2), "loader": loader, "sample_weight": weight, "label_names": ["a", "b"]}


def many_stages():
    return {"model": linear(), "loader": loader_of(shuffle=True, batch_size=60), "epochs": 34}


def own_loss():
    return {"model": network(), "loader": loader_of(shuffle=True), "solver": MovingLoss()}


def some_weights_alone():
    model = network()
    optimizer = torch.optim.Adagrad(model[4].parameters(), lr=0.1)
    return {"model": model, "loader": loader_of(shuffle=True), "optimizer": optimizer, "gradient_clip": 0.1}


CASES = [
    plain, network_with_everything, sampled, sampled_by_own_generator, balanced, workers, stream, labels_with_gaps,
    many_stages, own_loss, some_weights_alone,
]  # fmt: skip


class KilledError(Exception):
    """What ends a training in the tests that do not start a process for it."""


def train(case, folder=None, *, stop_at=None, every=4, **rest):
    """Run a case, or the forward passes of ``stop_at - 1`` steps of it; return the result and the steps taken."""
    arguments = {"epochs": 10, "warmup_epochs": 3, "alpha": 0.6, **case(), **rest}
    model, loader = arguments.pop("model"), arguments.pop("loader")
    steps = 0

    def count(module, inputs):
        nonlocal steps
        steps += module.training
        if module.training and steps == stop_at:
            raise KilledError

    hook = model.register_forward_pre_hook(count)
    if folder is not None:
        arguments = {"checkpoint_dir": folder, "checkpoint_every": every, **arguments}
    try:
        return fit(model, loader, "FPOR", **arguments), steps
    finally:
        hook.remove()


def kill(case, folder, stop_at, **rest):
    with pytest.raises(KilledError):
        train(case, folder, stop_at=stop_at, **rest)


def outcome(result, solver=None):
    """All that came out of a training but its seconds, as text and bytes."""
    skipped = {"model", "data_scores", "seconds"}
    said = {name: repr(value) for name, value in vars(result).items() if name not in skipped}
    said["history"] = repr(list(result.history))
    for name in ("train", "validation", "baseline_train", "baseline_validation"):
        report = getattr(result, name)
        said[name] = None if report is None else repr(report.to_dict())
    scored = {
        data: {name: repr(value) for name, value in vars(part).items()} for data, part in result.data_scores.items()
    }
    arrays = {data: vars(part) for data, part in result.data_scores.items()}
    state = {} if solver is None else solver.state_dict()
    skeleton, tensors = flatten([result.model.state_dict(), arrays, state])
    return said, scored, repr(skeleton), {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def stops(num_steps, seed):
    """The first step, the last, and some between."""
    return sorted({1, num_steps, *random.Random(seed).sample(range(2, num_steps), NUM_STOPS - 2)})


# Killed and resumed


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_training_that_was_killed_ends_as_if_it_had_not_been(case, tmp_path):
    # Without checkpoints, which leave a training alone; but workers that live on from pass to pass cannot be put back.
    whole, num_steps = train(case, tmp_path / "whole" if case is workers else None)
    wanted = outcome(whole)
    moments = stops(num_steps, case.__name__)
    # To begin anew, and to end, is the same for all.
    for stop_at in moments if case is plain else moments[1:2]:
        folder = tmp_path / str(stop_at)
        kill(case, folder, stop_at)
        resumed, steps_taken = train(case, folder, resume=True)
        assert outcome(resumed) == wanted, stop_at
        assert steps_taken <= num_steps - (stop_at - 1) // 4 * 4


@pytest.mark.slow
@pytest.mark.parametrize("name", REGISTRY)
def test_with_every_solver_the_end_and_the_solver_are_the_same(name, tmp_path):
    def make_and_train(folder=None, **rest):
        solver, trained = resume.watched(REGISTRY[name]())
        result, num_steps = train(network_with_everything, folder, solver=solver, **rest)
        return outcome(result, trained[-1]), num_steps

    make, wanted = REGISTRY[name], make_and_train()
    num_steps = wanted[1]
    for stop_at in stops(num_steps, name)[1:]:
        kill(network_with_everything, tmp_path / str(stop_at), stop_at, solver=make())
        assert make_and_train(tmp_path / str(stop_at), resume=True)[0] == wanted[0], stop_at


@pytest.mark.slow
@pytest.mark.parametrize("name", REGISTRY)
def test_average_precision_ends_the_same_too(name, tmp_path):
    def train_on_ranking(**arguments):
        solver, trained = resume.watched(get_solver(name, OAP()))
        loader = DataLoader(TensorDataset(X, Y), batch_size=32, shuffle=True)
        settings = {"epochs": 12, "warmup_epochs": 4, "progress": False, "solver": solver, **arguments}
        result = fit(network(), loader, OAP(), **settings)
        return outcome(result, trained[-1])

    class KilledError(Exception):
        pass

    wanted = train_on_ranking()
    for epoch in (
        (2, 7, 11) if name == "profiled" else (7, 11)
    ):  # in the warm-up, which is that of all, and on two paths

        def die(records, epoch=epoch):
            if records[0]["epoch"] == epoch:
                raise KilledError

        checkpoints = {"checkpoint_dir": tmp_path / str(epoch), "checkpoint_every": 3}
        with pytest.raises(KilledError):
            train_on_ranking(callbacks=[die], **checkpoints)
        assert train_on_ranking(resume=True, **checkpoints) == wanted


@pytest.mark.slow
def test_checkpoints_leave_a_training_with_workers_alone(tmp_path):
    """Unless these live on from pass to pass, which cannot be put back."""

    def case():
        loader = loader_of(Noisy(), shuffle=True, num_workers=1, batch_size=40)
        return {**workers(), "loader": loader, "epochs": 2, "warmup_epochs": 1}

    assert outcome(train(case, tmp_path)[0]) == outcome(train(case)[0])


def test_a_training_may_be_killed_again_and_again(tmp_path):
    wanted = outcome(train(network_with_everything)[0])
    for stop_at in (7, 5, 2, 9):  # steps after the checkpoint
        kill(network_with_everything, tmp_path, stop_at, resume=True)
    assert outcome(train(network_with_everything, tmp_path, resume=True)[0]) == wanted


@pytest.mark.slow
def test_kill_9(tmp_path, monkeypatch):
    """A process is killed, and this one goes on.

    Every solver, and more and longer trainings: ``python -m benchmarks resume``.
    """
    started = []

    def start(solver, folder):
        if started:
            digest = resume.train(solver, folder)
            return SimpleNamespace(communicate=lambda: (digest, ""), returncode=0)
        code = "import sys, pathlib; from benchmarks.studies import resume; resume.EPOCHS = 8; "
        code += "print(resume.train(sys.argv[1], pathlib.Path(sys.argv[2])))"
        command = [sys.executable, "-c", code, solver, str(folder)]
        started.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[0]

    monkeypatch.setattr(resume, "EPOCHS", 8)
    monkeypatch.setattr(resume, "_start", start)
    wanted = resume.train("profiled", tmp_path)
    num_steps = max(int(file.stem.removeprefix("step-")) for file in tmp_path.glob("step-*.safetensors"))
    row = resume.run_killed("profiled", 0, wanted, num_steps)
    assert row["identical"] and row["was_killed"] and 0 <= row["resumed_from_step"] < num_steps, row


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda parameters: torch.optim.AdamW(parameters, lr=0.02, amsgrad=True),
        lambda parameters: torch.optim.NAdam(parameters, lr=0.02),
        lambda parameters: torch.optim.RMSprop(parameters, lr=0.02, momentum=0.5),
        lambda parameters: torch.optim.Adagrad(parameters, lr=0.02, initial_accumulator_value=0.1),
        lambda parameters: torch.optim.ASGD(parameters, lr=0.02),
    ],
)
def test_optimizers_go_on(make, tmp_path):
    wanted = outcome(train(plain, optimizer=make)[0])
    kill(plain, tmp_path, 32, optimizer=make)
    assert outcome(train(plain, tmp_path, optimizer=make, resume=True)[0]) == wanted


class Halving:
    """A schedule with a state that torch stores, as an object of its own."""

    def __call__(self, epoch):
        return 0.5**epoch


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20),
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3),
        lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch),
        lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, Halving()),
        lambda optimizer: torch.optim.lr_scheduler.SequentialLR(
            optimizer,
            [
                torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=2),
                torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9),
            ],
            milestones=[2],
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:The epoch parameter in:UserWarning")  # SequentialLR's own call
def test_schedulers_go_on(make, tmp_path):
    wanted = outcome(train(plain, scheduler=make)[0])
    for stop_at in (3, 32):
        kill(plain, tmp_path / str(stop_at), stop_at, scheduler=make)
        resumed, _ = train(plain, tmp_path / str(stop_at), scheduler=make, resume=True)
        assert outcome(resumed) == wanted


def test_a_scheduler_may_take_its_first_step_right_after_a_checkpoint(tmp_path):
    """Its optimizer took none in this process, of which torch would warn."""
    scheduler = {"scheduler": lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)}
    wanted = outcome(train(plain, **scheduler)[0])
    kill(plain, tmp_path, 6, every=5, **scheduler)  # five steps an epoch
    (tmp_path / "step-000000000.safetensors").unlink()
    assert outcome(train(plain, tmp_path, every=5, resume=True, **scheduler)[0]) == wanted


def test_model_and_optimizer_of_the_killed_training_may_be_passed_again(tmp_path):
    """As in a notebook, where a cell was interrupted."""
    wanted = outcome(train(network_with_everything)[0])
    arguments = network_with_everything()
    kill(arguments.copy, tmp_path, 7)  # in the warm-up, so that another stage is to begin with the first state
    assert outcome(train(arguments.copy, tmp_path, resume=True)[0]) == wanted


def test_a_training_that_ends_early_or_diverges_ends_so_again(tmp_path):
    class NanAfter(nn.Module):
        """A loss that turns NaN at a step, which it counts."""

        def __init__(self):
            super().__init__()
            self.register_buffer("left", torch.tensor(17))

        def forward(self, scores, labels):
            self.left -= 1
            loss = nn.functional.binary_cross_entropy_with_logits(scores, labels)
            return loss if self.left > 0 else loss * torch.nan

    wanted = train(plain, solver=NanAfter())[0]
    assert wanted.status is Status.DIVERGED
    kill(plain, tmp_path, 14, solver=NanAfter())
    for _ in range(2):
        assert outcome(train(plain, tmp_path, solver=NanAfter(), resume=True)[0]) == outcome(wanted)


def test_a_training_that_overflows_where_nothing_selects_falls_back_to_the_start_again(tmp_path):
    def case():
        x = X.clone()
        x[0] = torch.tensor([2e38, 0.0])
        sampler = WeightedRandomSampler((torch.arange(120) > 0).float(), 100)  # the large one is scored alone
        loader, val_loader = loader_of(TensorDataset(x, Y), sampler=sampler), loader_of(TensorDataset(*blobs(seed=1)))
        return {"model": linear(), "loader": loader, "val_loader": val_loader}

    arguments = {"learning_rate": 1.0}
    wanted = train(case, **arguments)[0]
    assert wanted.status is Status.DIVERGED and wanted.baseline_name == "the model as passed"
    assert len(wanted.history) == 3
    kill(case, tmp_path, 9, **arguments)
    assert outcome(train(case, tmp_path, resume=True, **arguments)[0]) == outcome(wanted)


def test_a_stage_that_gains_nothing_ends_as_early(tmp_path):
    class InVain(Surrogate):
        def stages(self, epochs, is_linear=True):
            return [Stage("first", 2), Stage("polish", epochs - 2, start="best")]

    arguments = {"warmup_epochs": 0, "solver": InVain(lambda scores, labels: scores.sum() * 0)}
    wanted = train(plain, **arguments)[0]
    assert len(wanted.history) == 2 + 5  # of 8, the fifth was one too many
    kill(plain, tmp_path, 24, **arguments)  # in the last but two
    assert outcome(train(plain, tmp_path, resume=True, **arguments)[0]) == outcome(wanted)


# What is done again, and what is not


@pytest.mark.slow
@pytest.mark.parametrize("case", [plain, stream])
def test_a_finished_training_is_not_repeated(case, tmp_path):
    calls = []
    first, num_steps = train(case, tmp_path, callbacks=[calls.append])
    num_calls = len(calls)
    again, steps_taken = train(case, tmp_path, callbacks=[calls.append], resume=True)
    assert num_steps > steps_taken == 0 and len(calls) == num_calls > 0
    assert outcome(again) == outcome(first)
    assert again.seconds == first.seconds


def test_nothing_to_resume_is_a_beginning(tmp_path):
    wanted = outcome(train(plain)[0])
    assert outcome(train(plain, tmp_path / "to" / "be" / "made", resume=True)[0]) == wanted
    assert len(list((tmp_path / "to" / "be" / "made").iterdir())) == 2


def test_seconds_add_up(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def pass_time(records):
        now[0] += 1

    train(plain, tmp_path / "whole", callbacks=[pass_time])
    kill(plain, tmp_path / "killed", 48, every=5, callbacks=[pass_time])  # 9 epochs, 9 seconds
    now[0] += 1000
    result, _ = train(plain, tmp_path / "killed", every=5, callbacks=[pass_time], resume=True)
    assert result.seconds == pytest.approx(10, abs=1)


def test_an_epoch_that_a_callback_broke_off_is_repeated(tmp_path):
    seen = []

    def fail_once(records):
        seen.append(records[0]["epoch"])
        if seen == [1, 2, 3, 4]:
            raise KilledError

    with pytest.raises(KilledError):
        train(plain, tmp_path, callbacks=[fail_once])
    assert outcome(train(plain, tmp_path, callbacks=[fail_once], resume=True)[0]) == outcome(train(plain)[0])
    assert seen[:4] == [1, 2, 3, 4] and seen[4] <= 4 and seen[-1] == 10
    assert seen[4:] == list(range(seen[4], 11))


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path):
    kill(plain, tmp_path, 20)
    older, newest = sorted(tmp_path.iterdir())
    newest.write_bytes(newest.read_bytes()[:-100])
    with pytest.warns(UserWarning, match=f"{newest.name} is damaged and left out"):
        result, steps_taken = train(plain, tmp_path, resume=True)
    assert outcome(result) == outcome(train(plain)[0])
    assert steps_taken == 50 - int(older.stem[5:])


def test_stale_files_of_a_damaged_run_do_not_come_back(tmp_path):
    """A damaged newest file must not outlive the new, shorter run's files."""
    kill(plain, tmp_path, 40)
    newest = max(tmp_path.iterdir())
    newest.write_bytes(b"")
    with pytest.warns(UserWarning, match="damaged"):
        kill(plain, tmp_path, 1, resume=True, every=1)
    with pytest.warns(UserWarning, match="damaged"):  # nothing was written yet
        kill(plain, tmp_path, 2, resume=True, every=1)
    assert outcome(train(plain, tmp_path, resume=True)[0]) == outcome(train(plain)[0])


# Errors


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_checkpoints_are_not_overwritten_unasked(tmp_path):
    kill(plain, tmp_path, 20)
    before = files_of(tmp_path)
    with pytest.raises(InvalidInputError, match="checkpoint_dir must be a folder without checkpoints.*resume=True"):
        train(plain, tmp_path)
    assert files_of(tmp_path) == before
    train(plain, tmp_path, resume=True)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"checkpoint_dir": None, "resume": True}, "checkpoint_dir must be given to resume, got None"),
        ({"checkpoint_every": 0}, "checkpoint_every must be an integer >= 1, got 0"),
        ({"checkpoint_every": 2.5}, "checkpoint_every must be an integer >= 1, got 2.5"),
        ({"checkpoint_every": 5}, None),
        ({"checkpoint_dir": None}, None),
    ],
)
def test_arguments(change, part, tmp_path):
    arguments = {"checkpoint_dir": tmp_path / "x", "epochs": 2, "warmup_epochs": 1, **change}
    if part is None:
        train(plain, **arguments)
    else:
        with pytest.raises(InvalidInputError, match=part):
            train(plain, **arguments)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "letter").write_text("dear")
    for folder in (tmp_path / "letter", tmp_path / "letter" / "x"):
        with pytest.raises(InvalidInputError, match="checkpoint_dir must be a folder that can be made, got .*letter"):
            train(plain, folder)
    assert (tmp_path / "letter").read_text() == "dear"


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    (tmp_path / "letter.safetensors").write_text("dear")
    (tmp_path / "step-1.safetensors").write_text("one")
    train(plain, tmp_path)
    assert (tmp_path / "letter.safetensors").read_text() == "dear"
    assert (tmp_path / "step-1.safetensors").read_text() == "one"


def other_rows():
    x, y = blobs(seed=1)
    return {"model": linear(), "loader": loader_of(TensorDataset(x, y), shuffle=True)}


def wider():
    x, y = blobs()
    return {"model": nn.Linear(3, 1), "loader": loader_of(TensorDataset(torch.cat([x, y], 1), y), shuffle=True)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "change", "part"),
    [
        (plain, {}, None),
        (plain, {"checkpoint_every": 9, "callbacks": [lambda records: None]}, None),
        (plain, {"alpha": 0.7}, r"objective \(FPOR\(min_precision=0.6\) there, FPOR\(min_precision=0.7\) now\)"),
        (plain, {"seed": 1}, r"seed \(0 there, 1 now\)"),
        (plain, {"epochs": 9}, "stages .*for 7 epochs there.*for 6 epochs now"),
        (plain, {"solver": ExactPenalty("both")}, r"by exact_penalty\(terms='both', links='inequality', slack_step="),
        (plain, {"solver": "cross_entropy"}, "stages .*by profiled.* there, .*by cross_entropy"),
        (plain, {"learning_rate": 0.5}, r"learning_rate \(None there, 0.5 now\)"),
        (plain, {"gradient_clip": 1.0}, r"gradient_clip \(None there, 1.0 now\)"),
        (plain, {"optimizer": torch.optim.Adam}, r"optimizer \(NoneType there, type now\)"),
        (plain, {"scheduler": lambda own: torch.optim.lr_scheduler.StepLR(own, 1)}, r"scheduler \(False there"),
        (plain, {"val_fraction": 0.5}, "training data .*96 rows.* there, 60 rows.*held-out data"),
        (plain, {"sample_weight": np.ones(120)}, "training data .*weights"),
        (plain, {"label_names": ["sick"]}, r"label_names \(label there, sick now\)"),
        (plain, {"loader": loader_of(shuffle=True, batch_size=10)}, r"batch size \(20 there, 10 now\)"),
        (plain, {"loader": loader_of()}, r"sampler \(RandomSampler there, SequentialSampler now\)"),
        (other_rows, {}, "training data .*held-out data"),
        (wider, {}, r"model \(Linear [0-9a-f]{8} there, Linear [0-9a-f]{8} now\)"),
        (wider, {}, r"weights weight \(torch.float32 \(1, 2\) there, torch.float32 \(1, 3\) now\)"),
        (network_with_everything, {}, "and [0-9]+ more; resume with the same arguments and data"),
    ],
)
def test_the_checkpoint_of_another_training_is_refused_and_says_why(case, change, part, tmp_path):
    kill(plain, tmp_path, 20)
    before = files_of(tmp_path)
    if part is None:
        train(case, tmp_path, resume=True, **change)
        return
    with pytest.raises(InvalidInputError, match=f"checkpoint_dir must be of the training that is resumed, .*{part}"):
        train(case, tmp_path, resume=True, **change)
    assert files_of(tmp_path) == before


def test_a_state_that_cannot_be_stored_is_an_error_before_the_first_step(tmp_path):
    class Own(torch.optim.lr_scheduler.LRScheduler):
        def get_lr(self):
            return [group["lr"] for group in self.optimizer.param_groups]

    def with_function(optimizer):
        scheduler = Own(optimizer)
        scheduler.rule = lambda epoch: 1.0
        return scheduler

    steps = []
    solver = nn.BCEWithLogitsLoss()
    solver.register_forward_hook(lambda *_: steps.append(1))
    with pytest.raises(
        InvalidInputError, match="what a checkpoint stores must be made of .*, got function at /scheduler/rule"
    ):
        train(plain, tmp_path / "function", scheduler=with_function, solver=solver)
    assert not steps
    train(plain, tmp_path / "plain", scheduler=Own, solver=solver)
    train(plain, scheduler=with_function, solver=solver)  # without checkpoints anything goes
    assert steps


@pytest.mark.slow
def test_a_stream_with_workers_that_live_on_is_refused(tmp_path):
    for persistent in (False, True):
        loader = loader_of(Shuffled(), num_workers=1, persistent_workers=persistent)
        arguments = {"model": linear(), "loader": loader, "val_fraction": 0, "epochs": 2, "warmup_epochs": 1}
        if persistent:
            with pytest.raises(InvalidInputError, match="persistent_workers=False"):
                train(arguments.copy, tmp_path / "lives on")
        else:
            train(arguments.copy, tmp_path / "ends")


def test_a_stream_that_has_become_shorter_is_refused_within_an_epoch(tmp_path):
    kill(stream, tmp_path, 29, every=1)

    class Shorter(Shuffled):
        """The first pass reads the labels."""

        def __iter__(self):
            self.num_rows, *self.later = self.later
            return islice(super().__iter__(), self.num_rows)

        later = (len(Y), 16, 16, 20)  # the fingerprint takes the first rows, twice

    def shorter():
        return {**stream(), "loader": loader_of(Shorter())}

    with pytest.raises(InvalidInputError, match="loader must be of . batches or more, as before, got fewer"):
        train(shorter, tmp_path, resume=True)
    train(stream, tmp_path, resume=True)
