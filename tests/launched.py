"""Trainings for launches of several processes, in each of which :mod:`tests.launches` calls ``main(FOLDER, *CASES)``.

Each case is a function of the batch size of one process and of the number of processes; its outcome is written to
``FOLDER/CASE-POSITION.json``.
"""

import json
import os
import runpy
import signal
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, Subset, TensorDataset, WeightedRandomSampler

from metricopt.losses import FocalLoss
from tests import launched_loops
from tests.held_out import fit

BETWEEN = "--- the second launch ---"
"""What is printed between both launches."""
NAMES = ["a", "b", "c"]
BATCH = 20
ASKED = ["--label", "sick", "--alpha", "0.3", "--val-fraction", "0.2", "--model", "linear", "--epochs", "6"]


def blobs(num_rows=180, seed=0):
    draw = torch.Generator().manual_seed(seed)
    y = (torch.rand(num_rows, 3, generator=draw) < 0.3).float()
    x = torch.randn(num_rows, 3, generator=draw) + 1.5 * y
    y[::7, 1] = torch.nan
    return TensorDataset(x, y)


class Rows(Dataset):
    """Rows that must be read one by one, for their labels too."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, row):
        return self.rows[row]


class Batches(Sampler):
    """Whole batches drawn from torch's global generator, of which some are joined."""

    def __init__(self, joined):
        self.joined = joined

    def __len__(self):
        return -(-7 // self.joined)

    def __iter__(self):
        batches = iter(torch.randperm(180)[: 7 * 25].reshape(7, 25).tolist())
        while joined := list(islice(batches, self.joined)):
            yield [row for batch in joined for row in batch]


def network(*norm, bias=True):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 6), *norm, nn.Tanh(), nn.Linear(6, 3, bias=bias))


def case(batch, dataset=None, **rest):
    loader = DataLoader(blobs() if dataset is None else dataset, batch_size=batch, shuffle=True)
    return {"model": network(), "loader": loader, "sample_weight": np.linspace(0.5, 1.5, len(loader.dataset)), **rest}


def solver(name, objective="FPOR"):
    alpha = {"b": 0.6, "a": 0.5, "c": 0.4} if objective == "FPOR" else None
    # Pairs do not feel a bias: its gradient is rounding, of which Adam makes whole steps.
    return lambda batch, number: case(
        batch, solver=name, objective=objective, alpha=alpha, model=network(bias=objective == "FPOR")
    )


def scanned_rows(batch, number):
    return case(batch, Rows(blobs()), learning_rate=None, optimizer=lambda w: torch.optim.SGD(w, 0.1, momentum=0.9))


def one_row_left(batch, number):
    """The last global batch is a single row, so that all processes but one have none; two are never used at once."""
    return case(batch, Subset(blobs(), range(121)), val_loader=DataLoader(blobs(seed=1)), sample_weight=None)


def dropped_rows(batch, number):
    loader = DataLoader(Rows(blobs()), batch_size=batch, shuffle=True, drop_last=True, num_workers=1)
    return {**case(batch), "loader": loader}


def own_sampler(batch, number):
    """Drawn from torch's global generator, which differs between processes."""
    sampler = WeightedRandomSampler(torch.linspace(1, 3, 180), 150)
    loader = DataLoader(blobs(), batch_size=batch, sampler=sampler)
    return {**case(batch), "loader": loader, "val_loader": DataLoader(blobs(seed=1), batch_size=17)}


def own_batches(batch, number):
    """Two batches of one's own way make a global batch of two processes; the last of them stays alone."""
    loader = DataLoader(blobs(), batch_sampler=Batches(joined=2 // number))
    return {**case(batch), "loader": loader, "val_loader": DataLoader(blobs(seed=1), batch_size=17)}


def clipped_and_scheduled(batch, number):
    return case(
        batch, gradient_clip=0.1, scheduler=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    )


def other_loss(batch, number):
    return case(batch, solver=FocalLoss(), sample_weight=None)


def loss_of_the_weights(batch, number):
    """What a loss adds of the weights themselves must count once."""
    model = network()

    def penalised(scores, labels):
        return FocalLoss()(scores, labels) + 0.01 * sum(weight.square().sum() for weight in model.parameters())

    return case(batch, solver=penalised, model=model, sample_weight=None)


def frozen_and_unused(batch, number):
    """Weights without a gradient: frozen ones, and some that no forward pass uses."""
    model = network()
    model.requires_grad_(False)
    model[2].requires_grad_(True)
    model.unused = network()
    model.forward = lambda x: model[2](model[1](model[0](x)))
    return case(batch, model=model, optimizer=lambda weights: torch.optim.AdamW(weights, 0.01, weight_decay=0.1))


def other_weights(batch, number):
    """Each process comes with weights of its own: those of the main one count."""
    model = network()
    torch.nn.init.constant_(model[2].bias, float(os.environ.get("RANK", "0")))
    return case(batch, model=model)


EQUAL = {
    **{f"FPOR_{name}": solver(name) for name in ("profiled", "lagrangian", "augmented_lagrangian", "exact_penalty")},
    **{f"OAP_{name}": solver(name, "OAP") for name in ("profiled", "augmented_lagrangian")},
    **{made.__name__: made for made in (scanned_rows, one_row_left, dropped_rows, own_sampler, own_batches)},
    **{made.__name__: made for made in (clipped_and_scheduled, other_loss, loss_of_the_weights, frozen_and_unused)},
    "other_weights": other_weights,
}
"""Trainings that end in several processes as in one with batches as large as theirs together."""


def batch_norm_and_dropout(batch, number):
    """Statistics of batch normalisation and dropout are each process's own."""
    return case(batch, Rows(blobs()), model=network(nn.BatchNorm1d(6), nn.Dropout(0.2)))


CASES = {**EQUAL, "batch_norm_and_dropout": batch_norm_and_dropout}


def outcome(made, batch, number, **rest):
    """Train, and return what came out as JSON knows it, with how often callbacks were called."""
    arguments, seen = {"objective": "FPOR", "alpha": 0.5, **made(batch, number), **rest}, []
    model = arguments.pop("model")
    result = fit(
        model, arguments.pop("loader"), label_names=NAMES, epochs=5, warmup_epochs=2,
        **{"callbacks": [lambda records: seen.append(len(records))], **arguments},
    )  # fmt: skip
    return {
        "thresholds": result.thresholds.tolist(),
        "values": [report.value for report in result.selection],
        "counts": [vars(report.counts) for report in result.selection],
        "train": [report.to_dict() for report in [result.train]],
        "multipliers": result.multiplier,
        "statuses": [str(status) for status in result.statuses],
        "stage": result.selected_stage,
        "loss": [record["loss"] for record in result.history],
        "slack": None if result.slack is None else [agreement.to_dict() for agreement in result.slack],
        "seconds": result.seconds,
        "weights": {name: value.tolist() for name, value in model.state_dict().items()},
        "calls": len(seen),
    }


def kept(folder, *, resume=False, killed_at=None, batch=BATCH, number=2):
    """Train with checkpoints in FOLDER, or go on there; the second process kills itself at a step, if one is given."""
    model, steps = network(nn.Dropout(0.2)), 0

    def count(module, inputs):
        nonlocal steps
        steps += module.training
        if module.training and steps == killed_at and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)

    model.register_forward_pre_hook(count)
    checkpoints = {"checkpoint_dir": folder, "checkpoint_every": 4, "resume": resume}
    return outcome(lambda *_: case(batch), batch, number, model=model, **checkpoints)


class Stream(IterableDataset):
    def __iter__(self):
        yield from blobs(40)


class Damaged(Dataset):
    """Rows of which the last, which the second process scores, cannot be read or is no number."""

    labels = torch.tensor([0.0, 1.0]).repeat(20)

    def __init__(self, fault):
        self.fault = fault

    def __len__(self):
        return 40

    def __getitem__(self, row):
        if row == 39 and self.fault == "unreadable":
            raise OSError("image 39 is damaged")
        is_bad = row == 39 and self.fault == "NaN"
        return torch.tensor([torch.nan if is_bad else float(row)]), self.labels[row]


def faults(folder, number):
    """Return what each process says of data that cannot be trained on, and of checkpoints that may not be there."""
    (folder / "held").mkdir(exist_ok=True)
    (folder / "held" / "step-000000001.safetensors").write_bytes(b"")
    tried = {
        "stream": {"loader": DataLoader(Stream(), batch_size=4), "val_fraction": 0},
        "val_stream": {"val_loader": DataLoader(Stream(), batch_size=4)},
        "few_rows": {"val_loader": DataLoader(TensorDataset(torch.zeros(1, 3), torch.ones(1, 3)))},
        "NaN": {"loader": DataLoader(Damaged("NaN"), batch_size=4), "model": nn.Linear(1, 1)},
        "unreadable": {"loader": DataLoader(Damaged("unreadable"), batch_size=4), "model": nn.Linear(1, 1)},
        "held": {"checkpoint_dir": folder / "held"},
        "device": {"device": "cuda:0"},
        "sound": {},
    }
    said = {}
    for name, arguments in tried.items():
        arguments = {**case(BATCH, val_fraction=0, sample_weight=None), **arguments}
        try:
            fit(arguments.pop("model"), arguments.pop("loader"), "FPOR", alpha=0.5, epochs=2, **arguments)
        except (ValueError, RuntimeError, OSError) as error:
            said[name] = f"{type(error).__name__}: {error}"
    return said


def fit_by_command(folder):
    """Run ``python -m metricopt fit`` on FOLDER/table.csv, as if this process had been started for it."""
    options = [*ASKED, "--batch-size", "50"]
    arguments, sys.argv[1:] = sys.argv[1:], ["fit", str(folder / "table.csv"), *options, "--out", str(folder / "two")]
    try:
        runpy.run_module("metricopt", run_name="__main__")
    except SystemExit as end:
        assert not end.code, end.code
    sys.argv[1:] = arguments


def main(folder, *names):
    """Train each case and write its outcome down; "whole", "killed" and "resumed" keep checkpoints.

    "command" and "loops" write down what they lead to themselves.
    """
    position, number, folder = os.environ["RANK"], int(os.environ["WORLD_SIZE"]), Path(folder)
    for name in names:
        if name == "command":
            fit_by_command(folder)
            continue
        if name == "loops":
            launched_loops.main(folder)
            continue
        if name in CASES:
            said = outcome(CASES[name], BATCH, number)
        elif name == "faults":
            said = faults(folder, number)
        else:
            of_whole = folder / "whole" if name == "whole" else folder / "checkpoints"
            said = kept(of_whole, resume=name == "resumed", killed_at=19 if name == "killed" else None)
        (folder / f"{name}-{position}.json").write_text(json.dumps(said))
