"""What a caller of :func:`~metricopt.fit` asks for: the arguments, read and checked before anything else happens.

This file decides which arguments can be used, and reports all faults among them at once. It leaves faults of the data
themselves to :mod:`metricopt.training.partition`.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from metricopt._validation import Faults, reject
from metricopt.data.loaders import has_own_order, is_iterable
from metricopt.evidence.subgroups import SubgroupColumn, read_subgroups
from metricopt.problem.label_programs import LabelPrograms
from metricopt.problem.objectives import Objective
from metricopt.problem.prevalence import Prevalence, read_prevalence
from metricopt.problem.registry import Asked, check_registered, get_objective
from metricopt.solvers import Solver, get_solver
from metricopt.training.optimizers import OptimizerLike
from metricopt.training.records import Callback


@dataclass(frozen=True, kw_only=True)
class Request:
    """The arguments of :func:`~metricopt.fit`, under their names there, with names turned into what they stand for.

    Attributes
    ----------
    objective : Objective
    solver : Solver
    label_names : list of str or None
        Names of the labels; None where neither the caller nor the data set gives any.
    callbacks : tuple of callable
    """

    model: nn.Module | Callable[[], nn.Module]
    loader: DataLoader[Any]
    objective: Objective
    label_names: list[str] | None
    groups: Sequence[Any] | None
    val_loader: DataLoader[Any] | None
    eval_dataset: Dataset[Any] | None
    val_fraction: float | None
    folds: Any
    confidence: Any
    solver: Solver
    epochs: int | None
    warmup_epochs: int | None
    learning_rate: float | None
    optimizer: OptimizerLike | None
    scheduler: Callable[[torch.optim.Optimizer], Any] | None
    gradient_clip: float | None
    sample_weight: Any
    subgroups: Mapping[str, SubgroupColumn]
    val_subgroups: Mapping[str, SubgroupColumn]
    prevalence: Prevalence | None
    seed: int
    device: str | torch.device | None
    progress: bool | None
    callbacks: tuple[Callback, ...]
    checkpoint_dir: str | Path | None
    checkpoint_every: int
    resume: bool


def read_request(
    *,
    loader: Any,
    objective: Asked,
    alpha: float | Sequence[float] | Mapping[str, float] | None,
    beta: float | None,
    label_names: Sequence[str] | None,
    solver: str | Solver | Callable[[Tensor, Tensor], Tensor],
    prevalence: float | Sequence[float] | Mapping[str, float] | None,
    subgroups: Any,
    val_subgroups: Any,
    callbacks: Any,
    **as_given: Any,
) -> Request:
    """Return the arguments of :func:`~metricopt.fit`, read and checked.

    Raises
    ------
    InvalidInputError
        If an argument cannot be used, or does not fit another; with all such faults that do not depend on each other.
    """
    names = _read_names(label_names, loader)
    target = get_objective(objective, alpha=alpha, beta=beta, label_names=names)
    check_registered(target)
    if names is None and isinstance(target, LabelPrograms):
        names = list(target.labels)
    request = Request(
        loader=loader,
        objective=target,
        label_names=names,
        solver=get_solver(solver, target),
        prevalence=read_prevalence(prevalence, names),
        subgroups={},
        val_subgroups={},
        callbacks=tuple(callbacks) if isinstance(callbacks, Iterable) else (callbacks,),
        **as_given,
    )
    faults = Faults()
    _check_numbers(faults, request)
    are_callbacks = isinstance(callbacks, Iterable) and all(map(callable, request.callbacks))
    remedy = "put it in a list: [callback]"
    faults.check(are_callbacks, "callbacks", "a sequence of callables", repr(callbacks), remedy)
    _check_checkpoints(faults, request)
    is_model = isinstance(request.model, nn.Module) or _takes_nothing(request.model)
    rule, remedy = "a torch Module or a callable that makes one", "wrap it in a Module, or give lambda: MyModel()"
    faults.check(is_model, "model", rule, type(request.model).__name__, remedy)
    _check_loaders(faults, request)
    faults.raise_if_any()
    epochs, warmup_epochs = request.epochs, request.warmup_epochs
    if epochs is not None and warmup_epochs is not None and warmup_epochs >= epochs:
        reject("warmup_epochs", f"below epochs ({epochs})", warmup_epochs, "leave epochs for the objective")
    return replace(
        request,
        seed=int(request.seed),  # Python's generator takes no integer of NumPy
        subgroups=_subgroups_of("subgroups", subgroups, loader, target, strict=True),
        val_subgroups=_subgroups_of("val_subgroups", val_subgroups, request.val_loader, target, strict=False),
    )


def _subgroups_of(
    argument: str, given: Any, loader: DataLoader[Any] | None, objective: Objective, *, strict: bool
) -> dict[str, SubgroupColumn]:
    """Return the columns that the objective names, for the rows of a loader's data set."""
    if loader is None or not objective.columns:
        return {}
    if is_iterable(loader):
        remedy = "use a map-style one, whose rows have subgroups"
        reject("loader", "over a map-style data set for bounds in subgroups", "an iterable one", remedy)
    if given is None:
        named, example = ", ".join(map(repr, objective.columns)), objective.columns[0]
        reject(argument, f"given for bounds in every {named}", None, f"pass {argument}={{{example!r}: values}}")
    return read_subgroups(given, objective.columns, len(loader.dataset), strict=strict)  # type: ignore[arg-type]


def _read_names(label_names: Any, loader: Any) -> list[str] | None:
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


def _check_numbers(faults: Faults, request: Request) -> None:
    for name, minimum in (("epochs", 1), ("warmup_epochs", 0), ("checkpoint_every", 1)):
        number = getattr(request, name)
        if number is not None:
            faults.check_integer(name, number, minimum)
    faults.check_seed(request.seed)
    _check_confidence(faults, request.confidence)
    for name in ("learning_rate", "gradient_clip"):
        value = getattr(request, name)
        is_positive = _is_real(value) and math.isfinite(value) and value > 0
        faults.check(value is None or is_positive, name, "a finite number above 0", repr(value), "give e.g. 0.01")
    fraction = request.val_fraction
    is_fraction = fraction is None or (_is_real(fraction) and 0 <= fraction < 1)
    remedy = "give e.g. 0.2, or 0 to select on the training data"
    faults.check(is_fraction, "val_fraction", "in [0, 1)", repr(fraction), remedy)
    rate, remedy = request.learning_rate, "set it in the optimizer"
    one_rate = request.optimizer is None or rate is None
    faults.check(one_rate, "learning_rate", "left out beside optimizer", rate, remedy)


def _check_confidence(faults: Faults, confidence: Any) -> None:
    is_fraction = _is_real(confidence) and 0 < confidence < 1
    is_left = confidence is None or (isinstance(confidence, str) and confidence == "auto")
    rule = '"auto", None or a number in (0, 1)'
    faults.check(is_fraction or is_left, "confidence", rule, repr(confidence), "give e.g. 0.9, or None for none")


def _check_checkpoints(faults: Faults, request: Request) -> None:
    folder, resume = request.checkpoint_dir, request.resume
    is_folder = folder is None or isinstance(folder, (str, os.PathLike))
    faults.check(is_folder, "checkpoint_dir", "a path", repr(folder), "give the path of a folder")
    faults.check(isinstance(resume, bool), "resume", "True or False", repr(resume), "give one of them")
    remedy = "pass the folder of the run that was interrupted"
    faults.check(folder is not None or not resume, "checkpoint_dir", "given to resume", None, remedy)


def _check_loaders(faults: Faults, request: Request) -> None:
    """Note what does not fit together among the arguments that bring data."""
    loader, loaders = request.loader, {"loader": request.loader, "val_loader": request.val_loader}
    are_loaders = {
        name: isinstance(value, DataLoader) or (name == "val_loader" and value is None)
        for name, value in loaders.items()
    }
    remedy = "wrap the data set: DataLoader(dataset, batch_size=256)"
    for name, value in loaders.items():
        faults.check(are_loaders[name], name, "a torch DataLoader", type(value).__name__, remedy)
    if not all(are_loaders.values()):
        return
    given = {name: value for name, value in loaders.items() if value is not None}
    for name, value in given.items():
        makes_batches = is_iterable(value) or value.batch_sampler is not None
        faults.check(makes_batches, name, "one that makes batches", "batch_size=None", "give batch_size, e.g. 256")
    in_known_order = request.prevalence is None or not any(map(is_iterable, given.values()))
    remedy = "its order may change; use map-style ones"
    faults.check(in_known_order, "prevalence", "left out for an iterable data set", "given", remedy)
    has_folds = request.folds is not None and not (isinstance(request.folds, str) and request.folds == "auto")
    holds_out = request.val_loader is None and request.val_fraction != 0 and not has_folds
    if is_iterable(loader):
        _check_stream(faults, request, holds_out)
        return
    can_hold_out, remedy = not (holds_out and has_own_order(loader)), "pass val_loader, or val_fraction=0"
    faults.check(can_hold_out, "loader", "without a sampler of its own to hold rows out", "one", remedy)
    _check_rows(faults, request)


def _check_stream(faults: Faults, request: Request, holds_out: bool) -> None:
    solver, remedy = request.solver, "pass val_loader, or val_fraction=0"
    faults.check(not holds_out, "loader", "over a map-style data set to hold rows out", "an iterable one", remedy)
    faults.check(not solver.needs_index, "loader", f"map-style for {solver.name}", "iterable", "use 'profiled'")
    for name in ("groups", "sample_weight", "eval_dataset"):
        is_left_out = getattr(request, name) is None
        faults.check(is_left_out, name, "left out for an iterable data set", "given", "use a map-style one")


def _check_rows(faults: Faults, request: Request) -> None:
    rows: int = len(request.loader.dataset)  # type: ignore[arg-type]
    if request.groups is not None:
        values, rule = len(request.groups), f"one value a row ({rows})"
        faults.check(values == rows, "groups", rule, f"{values} values", "give one group a row")
    if request.eval_dataset is not None:
        own: int = len(request.eval_dataset)  # type: ignore[arg-type]
        rule = f"the same {rows} rows as the loader's"
        faults.check(rows == own, "eval_dataset", rule, f"{own} rows", "pass the same rows")


def _takes_nothing(make: Any) -> bool:
    """Say whether something can be called without arguments."""
    if not callable(make):
        return False
    try:
        inspect.signature(make).bind()
    except TypeError:
        return False
    except ValueError:  # something built in that does not say what it takes
        return True
    return True


def _is_real(number: Any) -> TypeGuard[float]:
    return isinstance(number, Real) and not isinstance(number, bool)
