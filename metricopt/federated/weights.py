"""The weights of a model as named NumPy arrays, as they travel and as sites and server store them.

This file decides how weights become arrays and how two models are compared. It leaves which weights travel to
:mod:`metricopt.federated.aggregation`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

Arrays: TypeAlias = "dict[str, np.ndarray]"


def weights_of(model: nn.Module) -> Arrays:
    """Return copies of all weights and buffers that a model stores, on the host; bfloat16 becomes float32."""
    found = {}
    for name, value in model.state_dict().items():
        known = value.detach().float() if value.dtype == torch.bfloat16 else value.detach()
        found[name] = known.to("cpu", copy=True).numpy()
    return found


def put_weights(model: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Put arrays in the place of the weights of their names; the other weights stay."""
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    model.load_state_dict({**model.state_dict(), **tensors})


def shapes_of(arrays: Mapping[str, np.ndarray]) -> dict[str, list[int]]:
    """Return the shape of each array, by name, as JSON holds it."""
    return {name: list(np.shape(array)) for name, array in arrays.items()}


def difference_of_models(own: Mapping[str, list[int]], other: Mapping[str, list[int]]) -> str:
    """Return in words how two models differ in their weights; empty if they do not.

    Examples
    --------
    >>> difference_of_models({"0.weight": [1, 8]}, {"0.weight": [1, 9]})
    '0.weight has shape [1, 8] here and [1, 9] there'
    """
    for name in [*own, *other]:
        if name not in other:
            return f"{name} is here and not there"
        if name not in own:
            return f"{name} is there and not here"
        if list(own[name]) != list(other[name]):
            return f"{name} has shape {list(own[name])} here and {list(other[name])} there"
    return ""


def mean_of(weights: Iterable[Mapping[str, np.ndarray]], parts: Iterable[float]) -> Arrays:
    """Return the weighted mean of weights by name, in their own precision; of whole numbers the largest.

    Parameters
    ----------
    weights : iterable of dict of str to ndarray
    parts : iterable of float
        What each counts; their sum may be any positive number.
    """
    each, counted = list(weights), np.asarray(list(parts), np.float64)
    counted = counted / counted.sum()
    found = {}
    for name, first in each[0].items():
        stack = np.stack([np.asarray(one[name]) for one in each])
        if np.issubdtype(first.dtype, np.floating):
            found[name] = np.asarray(np.tensordot(counted, stack.astype(np.float64), axes=1)).astype(first.dtype)
        else:
            found[name] = stack.max(axis=0)
    return found


def batch_norm_names(model: nn.Module) -> list[str]:
    """Return the names of the weights and statistics of a model's batch and instance norms."""
    inside = [name for name, module in model.named_modules() if isinstance(module, _NormBase)]
    return [name for name in model.state_dict() if name.rpartition(".")[0] in inside]
