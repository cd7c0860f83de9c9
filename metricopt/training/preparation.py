"""What a training is made of: ``prepare`` turns a request into everything that the loop needs.

This file decides how the parts of a training are put together. It leaves the arguments to
:mod:`metricopt.training.request` and the training itself to :mod:`metricopt.training.loop`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from metricopt._validation import reject
from metricopt.evidence.rule import read_confidence
from metricopt.evidence.small_subgroups import too_small
from metricopt.problem.labels import mask_labels
from metricopt.problem.objectives import Objective
from metricopt.processes import Processes
from metricopt.progress import Display
from metricopt.solvers import Stage
from metricopt.solvers.side_by_side import SideBySide, of_replicas
from metricopt.training.checkpoint import Checkpoints
from metricopt.training.fingerprint import fingerprint_of
from metricopt.training.holdout import Holdout, choose_holdout
from metricopt.training.loss import DirectMetricLoss
from metricopt.training.optimizers import (
    Stepping,
    check_loss_trainable,
    check_scheduler,
    check_trainable,
    is_linear,
    num_trained,
    optimizer_maker,
    weights_of_loss,
)
from metricopt.training.partition import make_partition
from metricopt.training.parts import FoldedRows, Partition, partition_at
from metricopt.training.plan import is_wide, make_plan
from metricopt.training.random_states import RandomStates, generators_of
from metricopt.training.replicas import fresh_models, stacked
from metricopt.training.request import Request
from metricopt.training.selection import HeldOut, OutOfFold, Selection


@dataclass(frozen=True)
class Training:
    """Everything that a training needs before its first step.

    Attributes
    ----------
    model : Module
        What is trained: the model, or one for each fold side by side.
    given_model : Module or callable
        What the caller gave.
    objective : Objective
    parts : Partition
        The samples that train and those that select.
    label_names : tuple of str
    plan : sequence of Stage
    plan_with_warmup : callable ``(warmup_epochs) -> sequence of Stage``
        The plan where the warm-up takes more epochs than planned, because it has not begun to learn.
    loss : DirectMetricLoss
        The loss, with the solver.
    selection : Selection
        What candidates are compared by.
    confidence : float or None
        How sure the bound must be by the rows that choose the threshold.
    holdout : str
        Which rows these are, and why.
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
    given_model: Any
    objective: Objective
    parts: Partition
    label_names: tuple[str, ...]
    plan: Sequence[Stage]
    plan_with_warmup: Callable[[int], Sequence[Stage]]
    loss: DirectMetricLoss
    selection: Selection
    confidence: float | None
    holdout: str
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
    holdout = choose_holdout(request, processes.number)
    parts = _read_parts(request, holdout, processes, display)
    label_names = names_of_labels(request.label_names, parts.num_labels)
    request.objective.for_labels(len(label_names))
    confidence = read_confidence(request.confidence, judges_itself=parts.folded is None and parts.validation is None)
    if processes.is_main:
        _warn_of_small_subgroups(request.objective, parts, label_names, confidence)
    single, model = _make_model(request, parts.folded, len(label_names))
    check_trainable(model, request.optimizer)
    check_scheduler(request.scheduler)
    model.to(processes.device)
    processes.take_weights_of_main(model)
    make_stages = partial(
        make_plan,
        request.solver,
        request.epochs,
        steps_per_epoch=len(parts.train_loader),
        is_linear=is_linear(single),
        is_wide=_is_wide(single, parts),
        with_folds=parts.folded is not None,
    )
    plan = make_stages(request.warmup_epochs)
    loss = _make_loss(request, parts, plan, is_linear(single)).to(processes.device)
    own_weights = weights_of_loss(loss, model)
    check_loss_trainable(own_weights, request.optimizer, with_folds=parts.folded is not None)
    processes.take_weights_of_main(loss)
    own_generators = generators_of(request.loader, request.val_loader, request.eval_dataset)
    checkpoints = None
    if request.checkpoint_dir is not None:
        fingerprint = fingerprint_of(request, model, parts, plan, label_names, processes, generators=own_generators)
        checkpoints = Checkpoints(request.checkpoint_dir, request.checkpoint_every, fingerprint)
    return Training(
        model=model,
        given_model=request.model,
        objective=request.objective,
        parts=parts,
        label_names=label_names,
        plan=plan,
        plan_with_warmup=make_stages,
        loss=loss,
        selection=_make_selection(request, parts, plan),
        confidence=confidence,
        holdout=holdout.text(
            None if parts.folded is None else parts.folded.divisions, has_loader=request.val_loader is not None
        ),
        stepping=_make_stepping(
            request, single, nn.ModuleList([model, loss]) if own_weights else model, parts, processes
        ),
        processes=processes,
        checkpoints=checkpoints,
        random_states=RandomStates([parts.order, *own_generators]),
    )


def _is_wide(single: nn.Module, parts: Partition) -> bool:
    rows = parts.train if parts.folded is None else parts.folded
    return is_linear(single) and is_wide(num_trained(single) // parts.num_labels, rows.labels)


def _make_model(request: Request, folded: FoldedRows | None, num_labels: int) -> tuple[nn.Module, nn.Module]:
    """Return one model, and what is trained: the model itself, or one for each fold side by side."""
    if folded is not None:
        models = fresh_models(request.model, folded.num_replicas, request.seed)
        return models[0], stacked(models, num_labels)
    model = request.model if isinstance(request.model, nn.Module) else fresh_models(request.model, 1, request.seed)[0]
    return model, model


def _make_loss(request: Request, parts: Partition, plan: Sequence[Stage], is_linear_model: bool) -> DirectMetricLoss:
    objective, solver = request.objective, request.solver
    if parts.folded is not None:
        objective = of_replicas(objective, parts.folded.num_replicas)
        solver = SideBySide(solver, parts.folded.num_replicas)
    warmup_epochs = sum(stage.epochs for stage in plan if not stage.is_direct)
    # A network goes on from its warm-up, which the loss may extend, or end within the first epoch.
    is_default = request.warmup_epochs is None and not is_linear_model
    loss = DirectMetricLoss(
        objective,
        parts.train.labels,
        epochs=sum(stage.epochs for stage in plan),
        steps_per_epoch=len(parts.train_loader),
        solver=solver,
        warmup_epochs=None if is_default else warmup_epochs,
        sample_weight=parts.train.sample_weight,
        subgroups=parts.train.subgroups,
    )
    loss.sees_all_processes = True
    return loss


def _make_selection(request: Request, parts: Partition, plan: Sequence[Stage]) -> Selection:
    if parts.folded is None:
        return HeldOut(request.objective, parts)
    return OutOfFold(request.objective, parts.train, parts.folded, plan)


def _read_parts(request: Request, holdout: Holdout, processes: Processes, display: Display) -> Partition:
    parts = make_partition(
        request.loader,
        val_loader=request.val_loader,
        eval_dataset=request.eval_dataset,
        val_fraction=holdout.fraction,
        groups=request.groups,
        sample_weight=request.sample_weight,
        subgroups=request.subgroups,
        val_subgroups=request.val_subgroups,
        seed=request.seed,
        watch=display.watch,
        keep_workers=request.checkpoint_dir is None,
        processes=processes,
        deal=None if holdout.folds is None else partial(holdout.deal, seed=request.seed),
    )
    return partition_at(request.prevalence, parts)


def _warn_of_small_subgroups(
    objective: Objective, parts: Partition, label_names: Sequence[str], confidence: float | None
) -> None:
    """Warn of subgroups that have too few rows where thresholds are chosen, before a training in vain."""
    rows = parts.selection if parts.folded is None else parts.folded
    labels = mask_labels(rows.labels, parts.learnable)
    found = too_small(objective, labels, rows.subgroups, label_names, confidence=confidence, groups=rows.groups)
    if found:
        advice = "Merge small subgroups, bring more rows, or lower the bound or the confidence."
        warnings.warn("\n".join([*found, advice]), UserWarning, stacklevel=4)


def names_of_labels(given: Sequence[str] | None, num_labels: int) -> tuple[str, ...]:
    """Return one name for each label, the number of the label where no names are given."""
    numbered = ["label"] if num_labels == 1 else list(map(str, range(num_labels)))
    names = numbered if given is None else list(given)
    if len(names) != num_labels:
        reject("label_names", f"one name a label ({num_labels})", names, "give as many names as y has columns")
    if len(set(names)) < num_labels:
        reject("label_names", "different", names, "give each label a name of its own")
    return tuple(names)


def _make_stepping(
    request: Request, single: nn.Module, model: nn.Module, parts: Partition, processes: Processes
) -> Stepping:
    optimizer, clip = request.optimizer, request.gradient_clip
    return Stepping(
        optimizer_maker(model, optimizer, request.learning_rate, like=single),
        request.scheduler,
        first_state=deepcopy(optimizer.state_dict()) if isinstance(optimizer, torch.optim.Optimizer) else None,
        gradient_clip=None if clip is None else float(clip),
        num_replicas=1 if parts.folded is None else parts.folded.num_replicas,
        accelerator=processes.accelerator,
    )
