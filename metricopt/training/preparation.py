"""What a training is made of: :func:`prepare` turns a request into everything that the loop needs.

This file decides how the parts of a training are put together. It leaves the arguments to
:mod:`metricopt.training.request` and the training itself to :mod:`metricopt.training.loop`.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn

from metricopt._validation import reject
from metricopt.processes import Processes
from metricopt.progress import Display
from metricopt.solvers import Stage
from metricopt.training.checkpoint import Checkpoints
from metricopt.training.fingerprint import fingerprint_of
from metricopt.training.loss import DirectMetricLoss
from metricopt.training.optimizers import Stepping, is_linear, optimizer_maker
from metricopt.training.partition import Partition, make_partition, partition_at
from metricopt.training.plan import make_plan
from metricopt.training.random_states import RandomStates, generators_of
from metricopt.training.request import Request


@dataclass(frozen=True)
class Training:
    """Everything that a training needs before its first step.

    Attributes
    ----------
    model : Module
    parts : Partition
        The samples that train and those that select.
    label_names : tuple of str
    plan : sequence of Stage
    loss : DirectMetricLoss
        The loss, with the objective and the solver.
    stepping : Stepping
        The optimizers and schedulers.
    processes : Processes
        The processes that train together.
    checkpoints : Checkpoints or None
        Where the state of the training is kept; None keeps it nowhere.
    random_states : RandomStates
        The random generators that the training draws from.
    """

    model: nn.Module
    parts: Partition
    label_names: tuple[str, ...]
    plan: Sequence[Stage]
    loss: DirectMetricLoss
    stepping: Stepping
    processes: Processes
    checkpoints: Checkpoints | None
    random_states: RandomStates


def prepare(request: Request, processes: Processes, display: Display) -> Training:
    """Read the data, and make the plan, the loss and the place for checkpoints.

    Parameters
    ----------
    request : Request
    processes : Processes
        The processes that train together; the model moves to the device of this one.
    display : Display
        Shows progress while data are read.

    Raises
    ------
    InvalidInputError
        If the data cannot be learnt from, or do not fit the arguments.
    """
    model, objective, solver = request.model, request.objective, request.solver
    model.to(processes.device)
    processes.share_weights(model)
    parts = _read_parts(request, processes, display)
    label_names = _label_names(request.label_names, parts.train.labels.shape[1])
    objective.for_labels(len(label_names))
    steps_per_epoch = len(parts.train_loader)
    plan = make_plan(solver, request.epochs, request.warmup_epochs, steps_per_epoch, is_linear(model))
    loss = DirectMetricLoss(
        objective,
        parts.train.labels,
        epochs=sum(stage.epochs for stage in plan),
        steps_per_epoch=steps_per_epoch,
        solver=solver,
        warmup_epochs=sum(stage.epochs for stage in plan if not stage.is_direct),
        sample_weight=parts.train.sample_weight,
    )
    own_generators = generators_of(request.loader, request.val_loader, request.eval_dataset)
    checkpoints = None
    if request.checkpoint_dir is not None:
        fingerprint = fingerprint_of(request, parts, plan, label_names, processes, num_generators=len(own_generators))
        checkpoints = Checkpoints(request.checkpoint_dir, request.checkpoint_every, fingerprint)
    return Training(
        model=model,
        parts=parts,
        label_names=label_names,
        plan=plan,
        loss=loss,
        stepping=_make_stepping(request, processes),
        processes=processes,
        checkpoints=checkpoints,
        random_states=RandomStates([parts.order, *own_generators]),
    )


def _read_parts(request: Request, processes: Processes, display: Display) -> Partition:
    parts = make_partition(
        request.loader,
        val_loader=request.val_loader,
        eval_dataset=request.eval_dataset,
        val_fraction=0.0 if request.val_loader is not None else float(request.val_fraction),
        groups=request.groups,
        sample_weight=request.sample_weight,
        seed=request.seed,
        watch=display.watch,
        keep_workers=request.checkpoint_dir is None,
        processes=processes,
    )
    return partition_at(request.prevalence, parts)


def _label_names(given: Sequence[str] | None, num_labels: int) -> tuple[str, ...]:
    """Return one name for each label, the number of the label where no names are given."""
    numbered = ["label"] if num_labels == 1 else list(map(str, range(num_labels)))
    names = numbered if given is None else list(given)
    if len(names) != num_labels:
        reject("label_names", f"one name a label ({num_labels})", names, "give as many names as y has columns")
    if len(set(names)) < num_labels:
        reject("label_names", "different", names, "give each label a name of its own")
    return tuple(names)


def _make_stepping(request: Request, processes: Processes) -> Stepping:
    optimizer, clip = request.optimizer, request.gradient_clip
    return Stepping(
        optimizer_maker(request.model, optimizer, request.learning_rate),
        request.scheduler,
        first_state=deepcopy(optimizer.state_dict()) if isinstance(optimizer, torch.optim.Optimizer) else None,
        gradient_clip=None if clip is None else float(clip),
        accelerator=processes.accelerator,
    )
