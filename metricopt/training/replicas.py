r"""Several models of one architecture, trained side by side as one model with more outputs.

The solvers treat labels as a dimension: each has its own threshold, multiplier and missing values. So R copies of a
model that are trained on different rows are one model with R outputs a label, and a row that a copy must not see is a
missing label of that output. Output :math:`r L + l` belongs to copy r and label l.

This file decides how the copies are made, called and made into one model. Which rows a copy sees is in
:mod:`metricopt.evidence.folds`; the frames in which their scores are averaged in :mod:`metricopt.evidence.frames`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from metricopt import _arrays
from metricopt._validation import reject
from metricopt.evidence.frames import Frames
from metricopt.scoring.ensemble import Ensemble, Replicas


def fresh_models(model: nn.Module | Callable[[], nn.Module], number: int, seed: int) -> list[nn.Module]:
    """Return models that have not seen a row: made by the callable, or copies of a module with new weights.

    Parameters
    ----------
    model : Module or callable ``() -> Module``
    number : int
    seed : int
        Model r starts from the weights that are drawn at ``seed + r``.

    Raises
    ------
    InvalidInputError
        If a module cannot be started afresh, or the callable returns something else than a new module.
    """
    models = []
    for replica in range(number):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed((seed + replica) % 2**63)
            models.append(_started_afresh(model) if isinstance(model, nn.Module) else _made_by(model))
    if len(set(map(id, models))) < number:
        rule, remedy = "a callable that makes a new Module each time", "build the network in it: lambda: MyModel()"
        reject("model", rule, "one that returns the same Module twice", remedy)
    return models


def trains_whole(model: nn.Module) -> bool:
    """Say whether no weight of a model is frozen."""
    return all(weight.requires_grad for weight in model.parameters())


def can_start_afresh(model: nn.Module) -> bool:
    """Say whether every layer with weights or running statistics of its own knows how to draw them anew."""
    return all(hasattr(layer, "reset_parameters") for layer in model.modules() if _has_own_state(layer))


def stacked(models: Sequence[nn.Module], num_labels: int | None = None) -> nn.Module:
    """Return the models side by side; linear layers as one linear layer with more outputs, which is faster."""
    layers = [model for model in models if type(model) is nn.Linear and num_labels in (None, model.out_features)]
    if len(layers) < len(models) or not all(map(trains_whole, layers)):
        return Replicas(models, num_labels)
    first = layers[0]
    together = nn.Linear(first.in_features, len(layers) * first.out_features, bias=first.bias is not None)
    together = together.to(first.weight)
    with torch.no_grad():
        together.weight.copy_(torch.cat([layer.weight for layer in layers]))
        if first.bias is not None:
            together.bias.copy_(torch.cat([layer.bias for layer in layers]))
    return together


def average_of(together: nn.Module, frames: Frames) -> nn.Module:
    """Return one module that gives the mean of the models' scores in their frames.

    Linear layers become one linear layer; other models become an :class:`Ensemble`.

    Parameters
    ----------
    together : Module
        What :func:`stacked` returned.
    frames : Frames
    """
    if isinstance(together, Replicas):
        return Ensemble(together, frames)
    assert isinstance(together, nn.Linear)
    num_models, num_labels = frames.centre.shape
    lives = np.isfinite(frames.centre)  # (R, L)
    scale = np.where(lives, 1 / np.where(lives, frames.spread, 1), 0) / lives.sum(axis=0)
    weight = together.weight.detach().double().unflatten(0, (num_models, num_labels))  # (R * L, d) -> (R, L, d)
    bias = weight.new_zeros(num_models, num_labels)
    if together.bias is not None:
        bias = together.bias.detach().double().unflatten(0, (num_models, num_labels))
    scales = torch.from_numpy(scale).to(weight)
    centre = torch.from_numpy(np.nan_to_num(frames.centre)).to(weight)
    average = nn.Linear(together.in_features, num_labels).to(together.weight)
    with torch.no_grad():
        average.weight.copy_((scales.unsqueeze(-1) * weight.nan_to_num()).sum(dim=0))
        average.bias.copy_((scales * (bias.nan_to_num() - centre)).sum(dim=0))
    return average


def without_diverged(scores: Tensor, labels: Tensor, num_replicas: int) -> tuple[Tensor, Tensor]:
    """Return scores and labels of a batch in which a replica with a score that is not finite counts nowhere.

    Its scores become 0, without a gradient, and its labels missing, so that it ends alone.

    Parameters
    ----------
    scores, labels : Tensor, shape (B, R * L)
    num_replicas : int
        R.
    """
    by_replica = scores.detach().unflatten(1, (num_replicas, -1))  # (B, R * L) -> (B, R, L)
    lives = by_replica.isfinite().all(dim=2).all(dim=0)
    if _arrays.is_on_host(scores) and (lives.all() or not lives.any()):
        return scores, labels
    lives = lives | ~lives.any()
    columns = lives.repeat_interleave(by_replica.shape[2])
    return torch.where(columns, scores, 0.0), labels.masked_fill(~columns, torch.nan)


def _has_own_state(layer: nn.Module) -> bool:
    return bool(list(layer.parameters(recurse=False)) or list(layer.buffers(recurse=False)))


def _started_afresh(model: nn.Module) -> nn.Module:
    if not can_start_afresh(model):
        own = (layer for layer in model.modules() if _has_own_state(layer))
        stuck = next(layer for layer in own if not hasattr(layer, "reset_parameters"))
        remedy = "pass a callable that makes it, e.g. folds=5 with model=lambda: MyModel(), or folds=None"
        reject("model", "one that can be started afresh for folds", type(stuck).__name__, remedy)
    fresh = copy.deepcopy(model)
    for layer in fresh.modules():
        if _has_own_state(layer):
            layer.reset_parameters()  # type: ignore[operator]
    return fresh


def _made_by(make: Callable[[], nn.Module]) -> nn.Module:
    made = make()
    if not isinstance(made, nn.Module):
        reject("model", "a Module or a callable that returns one", type(made).__name__, "return the network")
    if any(map(is_lazy, made.parameters())):
        remedy = "call it on one batch before you return it, or give the sizes of its layers"
        reject("model", "one whose weights exist", "lazy layers", remedy)
    return made
