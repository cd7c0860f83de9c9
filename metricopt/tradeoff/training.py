"""Trainings along a list of bounds, beside cross-entropy trained as long.

This file decides in which order bounds are trained, from which model a training starts, and which model is returned for
which bound. It leaves every training to :func:`metricopt.fit`.
"""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from metricopt._validation import Faults, check_choice, check_fraction, reject
from metricopt.evidence.thresholds import selection_criterion
from metricopt.problem.objectives import Bound, Objective
from metricopt.problem.registry import get_objective
from metricopt.processes import join_launch
from metricopt.progress import Display
from metricopt.results.choice_of_models import best_on_folds
from metricopt.results.result import FitResult
from metricopt.tradeoff.frontier import Tradeoff
from metricopt.tradeoff.together import bounds_together
from metricopt.training.fit import fit
from metricopt.training.holdout import choose_holdout
from metricopt.training.random_states import RandomStates, generators_of, seeded
from metricopt.training.request import Request, read_request

CHAIN_LENGTH = 3
"""How many bounds are trained one after the other, each from the model of its neighbour. Chains run in parallel."""
_OWN = ("loader", "model", "objective", "alpha", "beta", "progress", "callbacks", "checkpoint_dir", "resume")


def tradeoff(
    model_factory: Callable[[], nn.Module],
    loader: Any,
    objective: str | Objective = "FPOR",
    *,
    alphas: Sequence[float],
    num_workers: int | None = None,
    progress: bool | None = None,
    **options: Any,
) -> Tradeoff:
    r"""Train along a list of bounds, and return the best model for each.

    .. math:: v(\alpha) = \max_{\theta, t} \; \text{objective}(f_\theta, t) \quad \text{s.t.} \quad
              \text{bounded metric} \ge \alpha \;\; (\text{or} \le \alpha)

    for each :math:`\alpha` of ``alphas``. With folds, which are the default where they are for :func:`~metricopt.fit`,
    the bounds of a linear model are outputs of one training (:mod:`metricopt.tradeoff.together`), and every bound of
    another model is trained by itself. Without, the bounds are divided into chains of up to three neighbours: a chain
    begins with its strictest bound, from a new model with the usual warm-up, and each looser bound with the model of
    its neighbour, which meets it already and needs no warm-up.

    At the end every bound gets the best of *all* models for it. On held-out rows a looser bound so never has a worse
    value. With folds, what the best model is worth is told by the choice on the other folds
    (:mod:`metricopt.evidence.candidates`), and a looser bound can come out slightly worse by chance. Cross-entropy is
    trained for as many epochs: with folds once, since it knows no bound, else in the same chains, and chosen among as
    many models.

    Parameters
    ----------
    model_factory : callable
        A function that returns a new module each time, of one architecture: ``lambda: torch.nn.Linear(20, 1)``.
    loader : DataLoader
        The training data, as for :func:`~metricopt.fit`. All trainings hold out the same rows.
    objective : str or Objective
        An objective with a bound: ``"FPOR"``, ``"FROP"``, ``"RecallAtFPR"``, ``"RecallAtAlarmRate"``, or an instance,
        whose own bound is ignored.
    alphas : sequence of float, in (0, 1]
        The bounds, each once, in any order.
    num_workers : int, >= 1
        The number of processes that train chains in parallel, each on one thread. The default is the number of cores,
        and at most the number of chains. It is one where all bounds are outputs of one training, if the device is not a
        CPU, if several processes were launched together, or if the model factory or the data cannot be sent to another
        process. Scripts need no main guard. The results do not depend on this number.
    progress : bool
        Whether to show a progress bar. The default is to show one if standard error is a terminal.
    **options
        Arguments of :func:`~metricopt.fit` for every training: ``epochs``, ``val_loader``, ``learning_rate``, ``seed``,
        ``solver``, ... ``warmup_epochs`` are those of the first training of a chain.

    Returns
    -------
    Tradeoff
        The best model for each bound, and the same for cross-entropy.

    Raises
    ------
    InvalidInputError
        If an argument is not as above, before any training starts, or if :func:`~metricopt.fit` raises.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> x = torch.linspace(-1, 1, 200)[:, None]
    >>> y = ((x[:, 0] > 0.6) ^ (torch.arange(200) % 9 == 0)).float()
    >>> loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    >>> found = tradeoff(lambda: torch.nn.Linear(1, 1), loader, "FPOR", alphas=[0.7, 0.9], epochs=8, num_workers=1)
    >>> [result.objective.bound for result in found.results]
    [0.7, 0.9]
    """
    target = _check(model_factory, objective, alphas, num_workers, options)
    bounds = sorted(float(alpha) for alpha in alphas)
    # From the strictest on: a model that meets a bound meets the looser ones.
    descending = [target.with_bound(bound) for bound in (bounds[::-1] if target.bound_direction == "min" else bounds)]
    chains = [descending[first : first + CHAIN_LENGTH] for first in range(0, len(bounds), CHAIN_LENGTH)]
    request = _request(model_factory, loader, target, options)
    processes = join_launch(request.device)
    has_folds = choose_holdout(request, processes.number).folds is not None
    together = bounds_together(model_factory, request, descending, options) if has_folds else None
    solver = options.pop("solver", "profiled")
    tasks = [] if together else [(model_factory, loader, chain, {**options, "solver": solver}) for chain in chains]
    num_direct = len(tasks)
    # With folds cross-entropy is trained once, since it knows no bound.
    tasks += [
        (model_factory, loader, chain, {**options, "solver": "cross_entropy"})
        for chain in ([descending] if has_folds else chains)
    ]
    trained = _run(tasks, 1 if together else num_workers, progress)
    direct = [result for chain in trained[:num_direct] for result in chain]
    if together is not None:
        with _from_one_state(loader, options):
            direct = together.train(model_factory, progress=progress)
    reference = [result for chain in trained[num_direct:] for result in chain]
    frontiers = (
        tuple(_best_at(target.with_bound(bound), models) for bound in bounds) for models in (direct, reference)
    )
    return Tradeoff(tuple(bounds), *frontiers)


def _request(
    model_factory: Callable[[], nn.Module], loader: Any, objective: Objective, options: dict[str, Any]
) -> Request:
    """Return what a training for one of the bounds asks for."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(fit).parameters.items()}
    return read_request(**{**defaults, **options, "model": model_factory, "loader": loader, "objective": objective})


def _check(
    model_factory: Any, objective: str | Objective, alphas: Any, num_workers: Any, options: dict[str, Any]
) -> Objective:
    """Check the arguments before any training, and return the objective with one of the bounds."""
    known = set(inspect.signature(fit).parameters) - set(_OWN)
    for name in options:
        check_choice("option", name, known)
    if isinstance(alphas, (str, dict)) or not hasattr(alphas, "__len__") or not len(alphas):
        reject("alphas", "a sequence of bounds", repr(alphas), "give e.g. [0.7, 0.8, 0.9]")
    for alpha in alphas:
        check_fraction("alphas", alpha)
    faults = Faults()
    faults.check(len(set(alphas)) == len(alphas), "alphas", "different", list(alphas), "give each bound once")
    if num_workers is not None:
        faults.check_integer("num_workers", num_workers, 1)
    serves_one_model = isinstance(options.get("optimizer"), torch.optim.Optimizer)
    rule = "a callable (parameters) -> Optimizer"
    faults.check(not serves_one_model, "optimizer", rule, "an optimizer", "wrap it in a lambda")
    faults.check_seed(options.get("seed", 0))
    rule, remedy = "a callable that returns a new Module each time", "give e.g. lambda: torch.nn.Linear(20, 1)"
    faults.check(_makes_new_models(model_factory), "model_factory", rule, repr(model_factory), remedy)
    faults.raise_if_any()
    target = objective if isinstance(objective, Objective) else get_objective(objective, alpha=float(alphas[0]))
    return target.with_bound(float(alphas[0]))


def _makes_new_models(model_factory: Any) -> bool:
    if not callable(model_factory) or isinstance(model_factory, nn.Module):
        return False
    states = RandomStates([])
    before = states.capture()
    first, second = model_factory(), model_factory()
    states.restore(before)
    return isinstance(first, nn.Module) and isinstance(second, nn.Module) and first is not second


def _run(tasks: list[tuple[Any, ...]], num_workers: int | None, progress: bool | None) -> list[list[FitResult]]:
    """Train the chains, in other processes where that is wanted and possible, and return their results in order."""
    from joblib import Parallel, cpu_count, delayed

    processes = join_launch(tasks[0][-1].get("device"))
    if processes.number > 1 and num_workers not in (None, 1):
        reject("num_workers", "left out in a launch of several processes", num_workers, "these train together already")
    is_alone = processes.number == 1 and processes.accelerator.device.type == "cpu"
    wanted = (cpu_count() if is_alone else 1) if num_workers is None else num_workers
    if min(wanted, len(tasks)) > 1:
        # loky's processes know lambdas and what a script defines, and do not run the script again.
        parallel = Parallel(n_jobs=min(wanted, len(tasks)), backend="loky", return_as="generator", max_nbytes=None)
        try:
            with Display(progress) as display:
                outcomes = parallel(delayed(_train_chain)(*task, progress=False) for task in tasks)
                watched = display.watch(outcomes, "training along bounds", len(tasks))
                return list(watched)
        except pickle.PicklingError as error:
            if num_workers is not None:
                got = f"some that cannot be pickled ({error.__cause__ or error})"
                reject("model_factory and loader", "ones that other processes can get", got, "give num_workers=1")
    return [_train_chain(*task, progress=progress) for task in tasks]


def _train_chain(
    model_factory: Callable[[], nn.Module],
    loader: Any,
    objectives: Sequence[Objective],
    options: dict[str, Any],
    *,
    progress: bool | None,
) -> list[FitResult]:
    """Train for one bound after the other: with folds each afresh, else from the model of its neighbour."""
    results: list[FitResult] = []
    with _from_one_state(loader, options):
        for objective in objectives:
            if results and _has_folds(results[-1]) and options["solver"] == "cross_entropy":
                break
            model: Any = model_factory
            if results and not _has_folds(results[-1]):
                model = model_factory()
                model.load_state_dict(results[-1].model.state_dict())
                options = {**options, "folds": None, "warmup_epochs": 0}
            results.append(fit(model, loader, objective, progress=progress, **options))
    return results


@contextmanager
def _from_one_state(loader: Any, options: dict[str, Any]) -> Iterator[None]:
    """Let every chain begin with the same random states and on one thread, in whichever process it runs."""
    states = RandomStates(generators_of(loader, options.get("val_loader"), options.get("eval_dataset")))
    threads = torch.get_num_threads()
    with seeded(int(options.get("seed", 0))):
        before = states.capture()
        try:
            torch.set_num_threads(1)
            yield
        finally:
            states.restore(before)
            torch.set_num_threads(threads)


def _best_at(objective: Objective, models: Sequence[FitResult]) -> FitResult:
    """Return the best model by an objective on the selection data, at its threshold for that objective."""
    bound = cast(Bound, objective.bound)
    # Of equals the one trained for it, then the first.
    ordered = sorted(models, key=lambda result: result.objective != objective)
    if _has_folds(models[0]):
        return best_on_folds(objective, ordered)[1]

    def rank(result: FitResult) -> tuple[float, float]:
        part = result.selection_scores
        choice = part.choose(part.model, objective, ~np.isnan(result.thresholds), result.confidence)
        return selection_criterion(choice, objective)

    best = max(ordered, key=rank)
    return best if best.objective == objective else best.with_bound(bound)


def _has_folds(result: FitResult) -> bool:
    return result.selection_scores.folds is not None
