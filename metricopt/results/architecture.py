"""Which layers a network consists of, in plain words, so that a saved one can be built again without its code.

This file decides which networks can be described: chains of linear layers, functions of single elements, and the
scaling of the models that have a name. For any other network the caller of :func:`metricopt.load` gives a module.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from metricopt.scoring.standardize import Standardize

_WITHOUT_SIZES: dict[str, type[nn.Module]] = {"ReLU": nn.ReLU, "Tanh": nn.Tanh}
_PRECISIONS = {"float32": torch.float32, "float64": torch.float64}


def describe(model: nn.Module) -> dict[str, Any] | None:
    """Return a network in words and numbers that JSON can hold; None for one that is more than a plain chain.

    Examples
    --------
    >>> describe(nn.Linear(3, 1))
    {'dtype': 'float32', 'layers': ['Linear', 3, 1, True]}
    """
    layers = _layers_of(model)
    dtypes = {str(weight.dtype).removeprefix("torch.") for weight in model.state_dict().values()}
    if layers is None or len(dtypes) != 1 or not dtypes <= _PRECISIONS.keys():
        return None
    return {"dtype": dtypes.pop(), "layers": layers}


def build(described: dict[str, Any]) -> nn.Module:
    """Return a new network from what :func:`describe` returned.

    Examples
    --------
    >>> build({"dtype": "float32", "layers": ["Linear", 3, 1, True]})
    Linear(in_features=3, out_features=1, bias=True)
    """
    return _made_of(described["layers"]).to(_PRECISIONS[described["dtype"]])


def _layers_of(module: nn.Module) -> list[Any] | None:
    kind = type(module)
    if isinstance(module, nn.Sequential) and kind is nn.Sequential:
        inner = [_layers_of(child) for child in module]
        is_numbered = [name for name, _ in module.named_children()] == list(map(str, range(len(inner))))
        return ["Sequential", *inner] if is_numbered and None not in inner else None
    if isinstance(module, nn.Linear) and kind is nn.Linear:
        return ["Linear", module.in_features, module.out_features, module.bias is not None]
    if isinstance(module, Standardize):
        return ["Standardize", len(module.mean)]
    return [kind.__name__] if kind in _WITHOUT_SIZES.values() else None


def _made_of(layers: list[Any]) -> nn.Module:
    kind, *sizes = layers
    if kind == "Sequential":
        return nn.Sequential(*map(_made_of, sizes))
    if kind == "Linear":
        num_inputs, num_outputs, has_bias = sizes
        return nn.Linear(num_inputs, num_outputs, bias=has_bias)
    return Standardize(*sizes) if kind == "Standardize" else _WITHOUT_SIZES[kind](*sizes)
