"""The options of a training on a table, checked before any data are read."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from metricopt._validation import check_choice, reject
from metricopt.problem.objectives import Objective
from metricopt.problem.prevalence import read_prevalence
from metricopt.problem.registry import get_objective
from metricopt.training.table_models import AUTO, NAMED, TABLE_MODELS


@dataclass(frozen=True)
class Options:
    """The options of a training on a table. Fractions are of all rows; ``val_fraction`` takes the place of folds."""

    objective: str = "FPOR"
    alpha: float | None = None
    beta: float | None = None
    prevalence: float | None = None
    model: str = AUTO
    epochs: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    folds: int | str | None = "auto"
    confidence: float | str | None = "auto"
    val_fraction: float | None = None
    test_fraction: float = 0.2
    seed: int = 0
    device: str = "cpu"
    days: tuple[str, ...] = ()

    @property
    def has_rivals(self) -> bool:
        """Whether it is a torch model that has a name, which cross-entropy stands beside."""
        return self.model in TABLE_MODELS


def check_options(options: Options, num_processes: int = 1) -> Objective:
    """Reject options that cannot work, before any data are read; return the objective."""
    objective = get_objective(options.objective, alpha=options.alpha, beta=options.beta)
    read_prevalence(options.prevalence)
    check_choice("model", options.model, [*NAMED, AUTO])
    if not 0 < options.test_fraction < 1:
        reject("test_fraction", "in (0, 1)", options.test_fraction, "give e.g. 0.2")
    if options.val_fraction is not None and not 0 <= options.val_fraction < 1 - options.test_fraction:
        rule = f"in [0, {1 - options.test_fraction:g}), because {options.test_fraction:g} of the rows are for the test"
        reject("val_fraction", rule, options.val_fraction, "give e.g. 0.2")
    if not options.has_rivals:
        _check_folds(options, num_processes)
    try:
        torch.empty(0, device=options.device)
    except (RuntimeError, AssertionError):
        reject("device", "one that torch can use here", repr(options.device), "give e.g. cpu")
    return objective


def _check_folds(options: Options, num_processes: int) -> None:
    """Reject what rules out folds, which boosting and the choice among models need."""
    where = None
    if options.val_fraction is not None or options.folds is None:
        where = "without folds"
    elif num_processes > 1:
        where = "in a launch of several processes"
    if where is not None:
        reject("model", f"linear or mlp {where}", options.model, "add --model mlp")
