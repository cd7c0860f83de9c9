"""Inputs that a model cannot take and outputs that are no logits: what is wrong, and what to do about it.

This file decides what is said. It leaves what is accepted to :mod:`metricopt.scoring.forward`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from metricopt._validation import reject
from metricopt.scoring.ensemble import Replicas

_SIZES = {"in_features": "columns", "num_features": "columns", "in_channels": "channels"}
"""The attributes by which layers tell what they take, and what that is."""
_FINAL = {
    **{"Sigmoid": "sigmoid", "Hardsigmoid": "sigmoid", "LogSigmoid": "log-sigmoid"},
    **{"Softmax": "softmax", "LogSoftmax": "log-softmax"},
}
_PASSES_ON = {
    *("View", "UnsafeView", "Reshape", "ReshapeAlias", "Squeeze", "Unsqueeze", "Select", "Slice", "Transpose"),
    *("Permute", "T", "ToCopy", "Clone", "Alias", "Clamp", "Sub"),
}
"""How autograd calls the operations that lead from a last activation to logits of the right shape and kind."""


ONE_LOGIT_EACH = "return one logit for each label"
"""What to do about logits of another shape than the labels."""


def tensors_of(x: Any, name: str = "x") -> list[tuple[str, Tensor]]:
    """Return the tensors in a tensor, tuple, list or dict of such, by name."""
    if isinstance(x, Tensor):
        return [(name, x)]
    items = x.items() if isinstance(x, Mapping) else enumerate(x) if isinstance(x, (tuple, list)) else ()
    return [found for key, value in items for found in tensors_of(value, f"{name}[{key!r}]")]


def converted(x: Any, convert: Callable[[Tensor], Tensor]) -> Any:
    """Return ``x`` (a tensor, tuple, list or dict of such) with each tensor converted; lists become tuples."""
    if isinstance(x, Tensor):
        return convert(x)
    if isinstance(x, Mapping):
        return {name: converted(value, convert) for name, value in x.items()}
    return tuple(converted(value, convert) for value in x) if isinstance(x, (tuple, list)) else x


def explain_misfit(error: RuntimeError, model: nn.Module, x: Any, call: Callable[[Any], Any]) -> None:
    """Raise a clearer error than a model's own, if its first layer takes inputs of another width or kind.

    Parameters
    ----------
    error : RuntimeError
        What the model raised.
    model : Module
    x : Tensor, tuple or dict
        The inputs that it raised it for.
    call : callable ``x -> logits``
        Calls the model; it is called once if some inputs are whole numbers, to see whether these are to blame.

    Raises
    ------
    InvalidInputError
    """
    if isinstance(x, Tensor) and (found := _other_width(model, x)) is not None:
        wanted, got, layer = found
        remedy = "pass the columns of the training data, in the same order"
        reject("features", f"{wanted}, as the first layer ({layer}) takes", f"{got} in shape {tuple(x.shape)}", remedy)
    whole = [(name, value.dtype) for name, value in tensors_of(x) if not value.is_floating_point()]
    precision = next((weight.dtype for weight in model.parameters() if weight.is_floating_point()), None)
    if whole and precision is not None:
        try:
            with torch.no_grad():
                call(converted(x, lambda value: value.to(precision)))
        except RuntimeError:
            return
        name, kind = whole[0]
        remedy = "convert them first: x.float(), in NumPy x.astype('float32')"
        reject("features", f"of the weights' kind {precision}", f"{kind} in {name}", remedy)


def _other_width(model: nn.Module, x: Tensor) -> tuple[str, str, str] | None:
    """Return how many columns or channels the first layer takes, how many there are, and the layer's name."""
    inner = next((module.template for module in model.modules() if isinstance(module, Replicas)), model)
    for layer in inner.modules():
        name = next((name for name in _SIZES if isinstance(getattr(layer, name, None), int)), None)
        if name is None:
            continue
        wanted, axis = getattr(layer, name), -1 if name == "in_features" else 1
        if x.ndim < 2 or wanted in (x.shape[axis], math.prod(x.shape[1:])):
            return None
        return f"{wanted} {_SIZES[name]}", str(x.shape[axis]), type(layer).__name__
    return None


def check_logits(logits: Tensor) -> None:
    """Reject the outputs of a sigmoid or softmax, where autograd tells that a model ends in one.

    Parameters
    ----------
    logits : Tensor
        What a model returned with gradients recorded.

    Raises
    ------
    InvalidInputError
    """
    node, is_difference = logits.grad_fn, False
    while (operation := _name_of(node)) in _PASSES_ON and node is not None:
        is_difference = is_difference or operation == "Sub"
        node = next((before for before, _ in node.next_functions if before is not None), None)
    if is_difference and operation.startswith("Log"):  # of the logarithms of two probabilities: a logit
        return
    if (last := _FINAL.get(operation)) is not None:
        remedy = f"return what goes into the {last}: the loss applies its own, and the threshold is one on the logits"
        reject("model", "one that returns logits", f"the output of a {last}", remedy)


def _name_of(node: Any) -> str:
    return "" if node is None else str(node.name()).partition("Backward")[0]
