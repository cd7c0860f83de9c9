r"""Several bounds as further outputs of one training: a linear model with a column of weights for each bound and label.

Outputs of a linear layer share no weight, and every output has a threshold and a multiplier of its own. So the models
for B bounds are one layer with B outputs a label, which begin with the same weights and see the same batches; output
:math:`b L + l` belongs to bound b and label l. What it costs is little more than one training. Only whether the warm-up
does better than the objective is decided for all bounds together.

This file decides when that is done, and takes the result apart. It is done with folds and the default optimizer: with a
schedule or a clipped gradient of the caller's own, an output would not be trained as it is alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler, TensorDataset

from metricopt._arrays import to_numpy
from metricopt._validation import InvalidInputError
from metricopt.data.loader_labels import as_label_columns
from metricopt.data.loaders import with_labels
from metricopt.evidence.folds import make_folds
from metricopt.problem.objectives import Objective
from metricopt.problem.prevalence import prevalence_of_labels
from metricopt.results.history import History
from metricopt.results.result import FitResult, result_from_scores
from metricopt.results.scores import DataScores
from metricopt.results.status import Status
from metricopt.training.fit import fit
from metricopt.training.holdout import MAX_CELLS, choose_holdout
from metricopt.training.preparation import names_of_labels
from metricopt.training.replicas import stacked, trains_whole
from metricopt.training.request import Request


@dataclass(frozen=True)
class BoundsTogether:
    """A training with a bound for each group of outputs.

    Attributes
    ----------
    loader : DataLoader
        The caller's rows, with every label once for each bound.
    objectives : tuple of Objective
        One for each bound.
    label_names : tuple of str
        The names of the caller's labels.
    options : dict
        The arguments of :func:`~metricopt.fit`, of which those that speak of labels do so once for each bound.
    """

    loader: DataLoader[Any]
    objectives: tuple[Objective, ...]
    label_names: tuple[str, ...]
    options: dict[str, Any]

    def train(self, make_model: Callable[[], nn.Module], *, progress: bool | None) -> list[FitResult]:
        """Return the result for each bound."""
        number, num_labels = len(self.objectives), len(self.label_names)
        bounds = tuple(objective.bound for objective in self.objectives for _ in range(num_labels))
        result = fit(
            lambda: stacked([make_model()] * number, num_labels),
            self.loader,
            self.objectives[0].with_bound(bounds),  # type: ignore[arg-type]
            progress=progress,
            **self.options,
        )
        return [self._part(result, position) for position in range(number)]

    def _part(self, result: FitResult, position: int) -> FitResult:
        """Return what a training says of the bound at a position."""
        num_labels = len(self.label_names)
        columns = slice(position * num_labels, (position + 1) * num_labels)
        names = dict(zip(result.label_names[columns], self.label_names, strict=True))
        objective = self.objectives[position]
        rest = ("baseline_name", "selected_stage", "solver", "seconds", "versions", "confidence", "holdout")
        return result_from_scores(
            _outputs_of(result.model, columns),
            objective,
            {data: _columns_of(part, columns) for data, part in result.data_scores.items()},
            label_names=self.label_names,
            diverged=Status.DIVERGED in result.statuses[columns],
            prevalence=result.prevalence[columns] if isinstance(result.prevalence, tuple) else result.prevalence,
            history=History(
                {**record, "label": names[record["label"]]} for record in result.history if record["label"] in names
            ),
            **{name: getattr(result, name) for name in rest},
        )


def bounds_together(
    make_model: Callable[[], nn.Module],
    request: Request,
    objectives: Sequence[Objective],
    options: dict[str, Any],
) -> BoundsTogether | None:
    """Return the training for all bounds at once; None where each must be trained by itself.

    Parameters
    ----------
    make_model : callable ``() -> Module``
    request : Request
        What one of the trainings asks for.
    objectives : sequence of Objective
        The same objective, with one bound each.
    options : dict
        The same arguments of :func:`~metricopt.fit` as they were given.
    """
    folds, own = choose_holdout(request).folds, _own_rows(request)
    has_own_steps = any(each is not None for each in (request.optimizer, request.scheduler, request.gradient_clip))
    is_default = options.get("solver", "profiled") == "profiled" and not has_own_steps
    if not isinstance(folds, int) or own is None or not is_default:
        return None
    loader, labels = own
    number, num_labels = len(objectives), labels.shape[1]
    if number * folds * labels.size > MAX_CELLS or not _is_linear(make_model, num_labels):
        return None
    try:
        dealt = make_folds(folds, labels, groups=request.groups, seed=request.seed)
    except InvalidInputError:  # too few rows of a class: one training for each bound holds out a part, or says so
        return None
    names = names_of_labels(request.label_names, num_labels)
    prevalence = prevalence_of_labels(request.prevalence, num_labels)
    weight = request.sample_weight
    if weight is not None and np.shape(weight) not in (labels.shape, labels.shape[:1]):
        return None  # one training says what is wrong with it
    if weight is not None and np.ndim(weight) == 2:
        weight = np.tile(to_numpy("sample_weight", weight), number)
    given = {
        **options,
        "folds": dealt,
        "label_names": [f"{name} at {objective.bound}" for objective in objectives for name in names],
        "prevalence": prevalence * number if isinstance(request.prevalence, tuple) else request.prevalence,
        "sample_weight": weight,
    }
    repeated = DataLoader(
        with_labels(loader.dataset, np.tile(labels, number)),
        batch_size=loader.batch_size,
        shuffle=isinstance(loader.sampler, RandomSampler),
        drop_last=loader.drop_last,
        collate_fn=loader.collate_fn,
    )
    return BoundsTogether(repeated, tuple(objectives), names, given)


def _own_rows(request: Request) -> tuple[DataLoader[Any], np.ndarray] | None:
    """Return the loader and its labels, shape (n, L), if it draws all rows of data in memory, each once."""
    loader = request.loader
    if type(loader.dataset) is not TensorDataset or type(loader.sampler) not in (RandomSampler, SequentialSampler):
        return None
    return loader, as_label_columns(loader.dataset.tensors[-1])


def _is_linear(make_model: Callable[[], nn.Module], num_labels: int) -> bool:
    with torch.random.fork_rng(devices=[]):
        made = make_model()
    return type(made) is nn.Linear and trains_whole(made) and made.out_features == num_labels


def _outputs_of(model: Any, columns: slice) -> nn.Linear:
    """Return the linear layer of some of the outputs of one."""
    assert isinstance(model, nn.Linear)
    own = nn.Linear(model.in_features, columns.stop - columns.start).to(model.weight)
    with torch.no_grad():
        own.weight.copy_(model.weight[columns])
        own.bias.copy_(model.bias[columns])
    return own


def _columns_of(part: DataScores, columns: slice) -> DataScores:
    names = ("scores", "labels", "baseline_scores", "baseline_labels", "sample_weight")
    arrays = {name: getattr(part, name) for name in names}
    own: dict[str, Any] = {name: None if array is None else array[:, columns] for name, array in arrays.items()}
    return replace(part, **own)
