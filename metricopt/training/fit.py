"""The front door: :func:`fit` checks what it is given and sets the loop to work.

This file decides arguments and defaults. It leaves training to :mod:`metricopt.training.loop`, and what is held out to
:mod:`metricopt.training.partition`.
"""

from __future__ import annotations

import copy
import math
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from metricopt._validation import Faults, is_integer, reject
from metricopt.data.loaders import has_own_order, is_iterable
from metricopt.problem.objectives import Objective, get_objective
from metricopt.problem.prevalence import partition_at, read_prevalence
from metricopt.processes import join_launch
from metricopt.progress import Display
from metricopt.results.result import FitResult
from metricopt.solvers import Solver, Stage, get_solver
from metricopt.training.checkpoint import Checkpoints, claim_folder
from metricopt.training.fingerprint import fingerprint_of
from metricopt.training.loop import Loop
from metricopt.training.loss import DirectMetricLoss, default_warmup_epochs
from metricopt.training.optimizers import OptimizerLike, is_linear, optimizer_maker
from metricopt.training.partition import make_partition
from metricopt.training.random_states import RandomStates, generators_of
from metricopt.training.records import Callback

DEFAULT_STEPS = 6000
MIN_DEFAULT_EPOCHS = 20


def fit(
    model: nn.Module,
    loader: DataLoader[Any],
    objective: str | Objective,
    *,
    alpha: float | Sequence[float] | Mapping[str, float] | None = None,
    beta: float | None = None,
    label_names: Sequence[str] | None = None,
    groups: Sequence[Any] | None = None,
    val_loader: DataLoader[Any] | None = None,
    eval_dataset: Dataset[Any] | None = None,
    val_fraction: float = 0.2,
    solver: str | Solver | Callable[[Tensor, Tensor], Tensor] = "profiled",
    epochs: int | None = None,
    warmup_epochs: int | None = None,
    learning_rate: float | None = None,
    optimizer: OptimizerLike | None = None,
    scheduler: Callable[[torch.optim.Optimizer], Any] | None = None,
    gradient_clip: float | None = None,
    sample_weight: Any = None,
    prevalence: float | Sequence[float] | Mapping[str, float] | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: bool | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint_dir: str | Path | None = None,
    checkpoint_every: int = 1000,
    resume: bool = False,
) -> FitResult:
    r"""Train a model on the metric that its users answer for.

    .. math:: \max_{\theta, t} \; \text{objective}(f_\theta, t) \quad \text{s.t.} \quad \text{its bound}

    A warm-up with cross-entropy comes first; its best epoch with its exact threshold is candidate zero. The solver then
    trains on the objective itself, in stages. After every epoch the exact metric is computed on the selection data (the
    held-out part, or the training data if ``val_fraction=0``), and the best weights are returned, or the average of the
    best weights of several stages where that keeps up with them on held-out data (:mod:`metricopt.training.averaging`):
    on the selection data the result is never below candidate zero.

    In a launch of several processes (``torchrun --nproc_per_node 2 script.py``, ``accelerate launch``) all of them
    train as one would on batches as large as theirs together (:mod:`metricopt.processes`). Each returns the same
    result; the main one shows progress, calls callbacks and writes files. If a process is lost, the others end with a
    ``ProcessLostError`` that names the checkpoints. Any number of processes can resume with the same batches together.

    Parameters
    ----------
    model : Module
        Maps x to logits of shape (B,), (B, 1) or (B, L); trained in place. A tuple x is passed as positional, a dict as
        keyword arguments.
    loader : DataLoader
        Yields (x, y), y of shape (B,) or (B, L) with 0, 1 or NaN (missing). Its batch size (that of each process, in a
        launch), workers, collate function and order are kept.
    objective : str or Objective
        ``"FPOR"``, ``"FROP"``, ``"OFBS"``, ``"OAP"``, ``"RecallAtFPR"``, ``"RecallAtAlarmRate"``, or an instance.
    alpha : float, sequence or {label name: float}, in (0, 1]
        The bound of a bounded objective asked for by name; one for all labels, or one for each.
    beta : float, > 0
        The beta of OFBS asked for by name.
    label_names : sequence of str, length L
        Names for reports; by default those that the data set has as its ``label_names``, if any. A label that lacks
        positives or negatives in a part is left out: it gets no threshold, its status says why.
    groups : sequence, shape (n,)
        Rows of equal value (a patient's images) are held out together.
    val_loader : DataLoader
        Selection data; nothing is held out then.
    eval_dataset : Dataset
        The rows of ``loader.dataset`` without training augmentation, for scoring.
    val_fraction : float, in [0, 1)
        The share of rows held out for selection, stratified and seeded. 0 selects on the training data.
    solver : str, Solver or loss
        ``"profiled"`` (default), ``"augmented_lagrangian"``, ``"lagrangian"`` or ``"exact_penalty"`` (explicit slacks,
        one a sample and label; for OAP one a pair, of which at most 4,000,000) or ``"cross_entropy"``; an instance; or
        any loss ``(scores, labels) -> scalar``, to compare with.
    epochs : int
        In total, warm-up included. By default as many as make about 6,000 steps, at least 20.
    warmup_epochs : int
        Of these, with cross-entropy; a quarter by default. 0 starts from the model as it is.
    learning_rate : float, > 0
        Of Adam. By default 0.02 for a linear model, 0.003 for small networks and 0.001 above 100,000 parameters.
    optimizer : Optimizer or callable ``(parameters) -> Optimizer``
        Instead of Adam; every stage begins with its initial state.
    scheduler : callable ``(optimizer) -> LRScheduler``
        Made for every stage anew and stepped once an epoch.
    gradient_clip : float, > 0
        The largest norm of the gradient.
    sample_weight : array, shape (n,) or (n, L)
        Weights >= 0 of the rows of ``loader.dataset``, held-out ones too, in training, thresholds and reports. Rows of
        ``val_loader`` are not weighted.
    prevalence : float, sequence or {label name: float}, in (0, 1)
        The share of positives where the model will be used, if the data are enriched: metrics in training, thresholds
        and reports are those at this prevalence (:mod:`metricopt.problem.prevalence`). By default that of the data.
    seed : int
        The same seed gives the same result, bit for bit on one CPU.
    device : str or device
        Where to train; accelerate's choice by default.
    progress : bool
        Show a progress bar; by default if standard error is a terminal.
    callbacks : sequence of callable
        Called after every epoch with its records (one a label, as in the history); one that returns True ends training.
    checkpoint_dir : str or Path
        Keep the state of the training in this folder, so that it can be resumed.
    checkpoint_every : int, >= 1
        Steps between two checkpoints. There is one after an epoch as well, about once a second at most.
    resume : bool
        Go on from the newest checkpoint in ``checkpoint_dir``, with the same arguments; from the beginning where there
        is none, and not at all where training was finished: its result is returned. On one CPU the result is bit for
        bit that of a run without interruption. Random draws may come from the global generators of Python, NumPy and
        torch, and from a generator that a loader, sampler or data set holds as an attribute; with workers from their
        global ones alone. Callbacks are called again for an epoch that ended after the checkpoint.

    Returns
    -------
    FitResult
        Also where the bound cannot be met or the loss diverges: its status says so, with advice.

    Raises
    ------
    InvalidInputError
        On bad arguments, data, model outputs or checkpoints, before training starts.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> x = torch.linspace(-1, 1, 200)[:, None]
    >>> y = (x[:, 0] > 0.8).float()
    >>> loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    >>> result = fit(torch.nn.Linear(1, 1), loader, "FPOR", alpha=0.9, epochs=40)
    >>> result.status, result.validation.recall
    (<Status.FEASIBLE: 'feasible'>, 1.0)

    References
    ----------
    L. Peng, Y. Travadi, C. He, Y. Cui, J. Sun (2025). Exact reformulation and optimization for direct metric
    optimization in binary imbalanced classification.
    """
    label_names = _names(label_names, loader)
    target = get_objective(objective, alpha=alpha, beta=beta, label_names=label_names)
    chosen = get_solver(solver, target)
    shares = read_prevalence(prevalence, label_names)
    faults = Faults()
    counts = (("epochs", epochs, 1), ("warmup_epochs", warmup_epochs, 0), ("checkpoint_every", checkpoint_every, 1))
    for name, number, least in counts:
        is_count = is_integer(number) and number >= least
        faults.check(number is None or is_count, name, f"an integer >= {least}", repr(number), f"give {least} or more")
    is_seed = is_integer(seed) and 0 <= seed < 2**32
    faults.check(is_seed, "seed", "an integer in [0, 2**32)", repr(seed), "give e.g. 0")
    for name, value in (("learning_rate", learning_rate), ("gradient_clip", gradient_clip)):
        is_positive = _is_real(value) and math.isfinite(value) and value > 0
        faults.check(value is None or is_positive, name, "a finite number above 0", repr(value), "give e.g. 0.01")
    faults.check(
        _is_real(val_fraction) and 0 <= val_fraction < 1,
        *("val_fraction", "in [0, 1)", repr(val_fraction), "give e.g. 0.2, or 0 to select on the training data"),
    )
    faults.check(
        optimizer is None or learning_rate is None,
        *("learning_rate", "left out beside optimizer", learning_rate, "set it in the optimizer"),
    )
    called = tuple(callbacks) if isinstance(callbacks, Iterable) else (None,)
    faults.check(
        all(map(callable, called)),
        *("callbacks", "a sequence of callables", repr(callbacks), "put it in a list: [callback]"),
    )
    is_folder = checkpoint_dir is None or isinstance(checkpoint_dir, (str, os.PathLike))
    faults.check(is_folder, "checkpoint_dir", "a path", repr(checkpoint_dir), "give the path of a folder")
    faults.check(isinstance(resume, bool), "resume", "True or False", repr(resume), "give one of them")
    faults.check(
        checkpoint_dir is not None or not resume,
        *("checkpoint_dir", "given to resume", None, "pass the folder of the run that was interrupted"),
    )
    faults.check(isinstance(model, nn.Module), "model", "a torch Module", type(model).__name__, "wrap it in one")
    _check_loaders(faults, loader, val_loader, eval_dataset, val_fraction, groups, sample_weight, shares, chosen)
    faults.raise_if_any()
    if epochs is not None and warmup_epochs is not None and warmup_epochs >= epochs:
        reject("warmup_epochs", f"below epochs ({epochs})", warmup_epochs, "leave epochs for the objective")
    processes = join_launch(device)
    with processes.in_step():
        if checkpoint_dir is not None and processes.is_main:
            claim_folder(checkpoint_dir, resume=resume)

    with (
        _as_it_was(model, seed + processes.position),
        Display(progress if processes.is_main else False) as display,
        processes.watched(checkpoint_dir),
    ):
        on = processes.accelerator.device if device is None or processes.number > 1 else torch.device(device)
        model.to(on)
        processes.share_weights(model)
        parts = make_partition(
            loader,
            val_loader=val_loader,
            eval_dataset=eval_dataset,
            val_fraction=0.0 if val_loader is not None else float(val_fraction),
            groups=groups,
            sample_weight=sample_weight,
            seed=seed,
            watch=display.watch,
            keep_workers=checkpoint_dir is None,
            processes=processes,
        )
        parts = partition_at(shares, parts)
        num_labels = parts.train.labels.shape[1]
        default_names = ["label"] if num_labels == 1 else list(map(str, range(num_labels)))
        names = tuple(default_names if label_names is None else label_names)
        if len(names) != num_labels:
            reject(
                "label_names", f"one name a label ({num_labels})", list(names), "give as many names as y has columns"
            )
        if len(set(names)) < num_labels:
            reject("label_names", "different", list(names), "give each label a name of its own")
        target.for_labels(num_labels)
        steps_an_epoch = len(parts.train_loader)
        plan = _plan(chosen, epochs, warmup_epochs, steps_an_epoch, is_linear(model))
        loss = DirectMetricLoss(
            target,
            parts.train.labels,
            epochs=sum(stage.epochs for stage in plan),
            steps_per_epoch=steps_an_epoch,
            solver=chosen,
            warmup_epochs=sum(stage.epochs for stage in plan if not stage.is_direct),
            sample_weight=parts.train.sample_weight,
        )
        own_generators = generators_of(loader, val_loader, eval_dataset)
        checkpoints = None
        if checkpoint_dir is not None:
            fingerprint = fingerprint_of(
                model,
                loader,
                parts,
                target,
                chosen,
                plan,
                names,
                processes.number,
                seed=seed,
                learning_rate=learning_rate,
                optimizer=type(optimizer).__name__,
                gradient_clip=gradient_clip,
                scheduler=scheduler is not None,
                precision=processes.accelerator.mixed_precision,
                generators=len(own_generators),
            )
            checkpoints = Checkpoints(checkpoint_dir, checkpoint_every, fingerprint)
        loop = Loop(
            model,
            parts,
            loss,
            names,
            processes=processes,
            device=on,
            make_optimizer=optimizer_maker(model, optimizer, learning_rate),
            make_scheduler=scheduler,
            first_optimizer_state=(
                copy.deepcopy(optimizer.state_dict()) if isinstance(optimizer, torch.optim.Optimizer) else None
            ),
            gradient_clip=None if gradient_clip is None else float(gradient_clip),
            callbacks=called,
            display=display,
            seed=seed,
            checkpoints=checkpoints,
            random_states=RandomStates([parts.order, *own_generators]),
        )
        return loop.run(plan)


def _names(label_names: Any, loader: Any) -> list[str] | None:
    """Return the names of the labels as given, or as the data set knows them."""
    dataset = getattr(loader, "dataset", None)
    while label_names is None and isinstance(dataset, Subset):
        dataset = dataset.dataset
    names = getattr(dataset, "label_names", None) if label_names is None else label_names
    if names is None:
        return None
    if isinstance(names, str) or not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
        reject("label_names", "a sequence of names", repr(names), "give e.g. ['Edema', 'Pneumonia']")
    return list(names)


def default_epochs(steps_an_epoch: int) -> int:
    """Return how many epochs :func:`fit` takes unless it is told: about 6,000 steps, at least 20 epochs."""
    return max(MIN_DEFAULT_EPOCHS, math.ceil(DEFAULT_STEPS / steps_an_epoch))


def _is_real(number: Any) -> TypeGuard[float]:
    return isinstance(number, Real) and not isinstance(number, bool)


def _plan(
    solver: Solver, epochs: int | None, warmup_epochs: int | None, steps_an_epoch: int, is_linear: bool
) -> list[Stage]:
    """Return the stages of a training."""
    if epochs is None:
        epochs = max(default_epochs(steps_an_epoch), (warmup_epochs or 0) + 1)
    if warmup_epochs is None:
        warmup_epochs = default_warmup_epochs(solver, epochs)
    warmup = [Stage("warm-up", warmup_epochs, is_direct=False)] if warmup_epochs else []
    return [*warmup, *solver.stages(epochs - warmup_epochs, is_linear)]


def _check_loaders(
    faults: Faults,
    loader: Any,
    val_loader: Any,
    eval_dataset: Any,
    val_fraction: float,
    groups: Any,
    sample_weight: Any,
    prevalence: Any,
    solver: Solver,
) -> None:
    """Note what does not fit together among the arguments that bring data."""
    remedy = "wrap the data set: DataLoader(dataset, batch_size=256)"
    are_loaders = {
        "loader": isinstance(loader, DataLoader),
        "val_loader": val_loader is None or isinstance(val_loader, DataLoader),
    }
    for name, value in (("loader", loader), ("val_loader", val_loader)):
        faults.check(are_loaders[name], name, "a torch DataLoader", type(value).__name__, remedy)
    if not all(are_loaders.values()):
        return
    for name, value in (("loader", loader), ("val_loader", val_loader)):
        makes_batches = value is None or is_iterable(value) or value.batch_sampler is not None
        faults.check(makes_batches, name, "one that makes batches", "batch_size=None", "give batch_size, e.g. 256")
    holds_out = val_loader is None and val_fraction != 0
    known = prevalence is None or not any(each is not None and is_iterable(each) for each in (loader, val_loader))
    remedy = "its order may change; use map-style ones"
    faults.check(known, "prevalence", "left out for an iterable data set", "given", remedy)
    if is_iterable(loader):
        remedy = "pass val_loader, or val_fraction=0"
        faults.check(not holds_out, "loader", "over a map-style data set to hold rows out", "an iterable one", remedy)
        faults.check(not solver.needs_index, "loader", f"map-style for {solver.name}", "iterable", "use 'profiled'")
        for name, value in (("groups", groups), ("sample_weight", sample_weight), ("eval_dataset", eval_dataset)):
            faults.check(value is None, name, "left out for an iterable data set", "given", "use a map-style one")
        return
    got = "a sampler of its own"
    faults.check(
        not (holds_out and has_own_order(loader)), "loader", "without one to hold rows out", got, "pass val_loader"
    )
    if groups is not None:
        rows, values = len(loader.dataset), len(groups)
        rule = f"one value a row ({rows})"
        faults.check(values == rows, "groups", rule, f"{values} values", "give one group a row")
    if eval_dataset is not None:
        rows, own = len(loader.dataset), len(eval_dataset)
        rule = f"the same {rows} rows as the loader's"
        faults.check(rows == own, "eval_dataset", rule, f"{own} rows", "pass the same rows")


@contextmanager
def _as_it_was(model: nn.Module, seed: int) -> Iterator[None]:
    """Seed the random generators; afterwards leave them and the model's mode as they were."""
    modes = [(module, module.training) for module in model.modules()]
    python_state, numpy_state = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count()))
    try:
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        for module, mode in modes:
            module.training = mode
