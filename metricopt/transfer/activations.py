"""The outputs of the layers of any network: layers are found by name, and outputs are returned batch by batch.

This file decides how layers are named and how feature maps are reduced. It leaves the use of the outputs to
:mod:`metricopt.transfer.comparison` and :mod:`metricopt.transfer.selection`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from metricopt._validation import check_choice, reject
from metricopt.backbones.backbone import Backbone
from metricopt.scoring.forward import device_of, to_device
from metricopt.scoring.modes import evaluating

Reduction = Callable[[Tensor], Tensor]


def positions(output: Tensor) -> Tensor:
    """Return feature maps (B, C, h, w) as (B, h, w, C), so that every position is a sample, and (B, C) as it is."""
    return output.clone() if output.ndim == 2 else output.permute(0, 2, 3, 1).clone()


def spatial_mean(output: Tensor) -> Tensor:
    """Return the means (B, C) of feature maps (B, C, h, w), in float32 or float64, and (B, C) as it is."""
    precise = output if output.dtype in (torch.float32, torch.float64) else output.float()
    return precise.clone() if output.ndim == 2 else precise.mean(dim=(2, 3))


def find_layer(model: nn.Module, name: str, argument: str = "layers") -> nn.Module:
    """Return the module of that name in ``model.named_modules()``.

    In a backbone a block or a cut point can be named as well.

    Raises
    ------
    InvalidInputError
        If no module has that name. The message names ``argument`` and lists the names.
    """
    named = {known: module for known, module in model.named_modules() if known}
    if isinstance(model, Backbone):
        # Blocks last: DenseNets and EfficientNets name some after modules.
        named |= {point: model.body.get_submodule(point) for point in model.points}
        named |= {block: model.body.get_submodule(points[-1]) for block, points in model.blocks.items()}
    check_choice(argument, name, named)
    return named[name]


class LayerOutputs:
    """A context in which a model is called in evaluation mode and the outputs of some of its layers are returned.

    Parameters
    ----------
    model : Module
        The model. As in :func:`metricopt.fit` it gets a tuple as positional and a dict as keyword arguments.
    layers : sequence of str
        The names of the layers. The output of each is a tensor (B, C) or (B, C, h, w), and the model calls each once.
    reduction : callable ``(Tensor) -> Tensor``
        :func:`positions` or :func:`spatial_mean`, which is applied to an output at once, because later layers may write
        into it.
    argument : str
        The name that messages use for the layers.

    Raises
    ------
    InvalidInputError
        If a layer does not exist, or is named twice. A call raises if a layer has another kind of output.
    """

    def __init__(self, model: nn.Module, layers: Sequence[str], reduction: Reduction, argument: str = "layers") -> None:
        if isinstance(layers, str) or not layers or len(set(layers)) < len(layers):
            reject(
                argument, "a list of different names of layers", repr(layers), "give for example ['layer1', 'layer2']"
            )
        self._model, self._argument, self._reduction = model, argument, reduction
        self._modules = {name: find_layer(model, name, argument) for name in layers}
        self._outputs: dict[str, Tensor] = {}
        self._to_undo = ExitStack()
        self._is_listening = False
        self._device = device_of(model)

    def __enter__(self) -> LayerOutputs:
        self._to_undo.callback(self._outputs.clear)
        self._to_undo.enter_context(evaluating(self._model))
        for name, module in self._modules.items():
            self._to_undo.callback(module.register_forward_hook(self._hook(name)).remove)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._to_undo.close()

    @torch.no_grad()
    def __call__(self, x: Any) -> tuple[dict[str, Tensor], Any]:
        """Return the reduced outputs of the layers on a batch, by name, and the output of the model."""
        self._outputs.clear()
        x = to_device(x, self._device)
        self._is_listening = True
        try:
            if isinstance(x, Mapping):
                final = self._model(**x)
            else:
                final = self._model(*x) if isinstance(x, (tuple, list)) else self._model(x)
        finally:
            self._is_listening = False
        unused = [name for name in self._modules if name not in self._outputs]
        if unused:
            reject(self._argument, "layers that the model calls", unused, "leave them out")
        # In the order asked for, which need not be that of the calls.
        return {name: self._outputs[name] for name in self._modules}, final

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            if not self._is_listening:  # another model that shares this layer is called
                return
            if name in self._outputs:
                remedy = "name the layer that it is part of"
                reject(self._argument, "layers that are called once in a pass", f"{name!r}, called again", remedy)
            if not (isinstance(output, Tensor) and output.ndim in (2, 4)):
                got = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
                remedy = "name another layer"
                reject(self._argument, "layers that put out (B, C) or (B, C, h, w)", f"{got} of {name!r}", remedy)
            self._outputs[name] = self._reduction(output)

        return keep
