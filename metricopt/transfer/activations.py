"""What the layers of any network put out: found by name, one batch after the other, nothing kept.

This file decides which layers there are and what becomes of feature maps. It leaves what is made of activations to
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
    """Return feature maps (B, C, h, w) as (B, h, w, C): every position a sample of its own; (B, C) as it is."""
    return output.clone() if output.ndim == 2 else output.permute(0, 2, 3, 1).clone()


def spatial_mean(output: Tensor) -> Tensor:
    """Return feature maps (B, C, h, w) as their means (B, C), in float32 or better; (B, C) as it is."""
    precise = output if output.dtype in (torch.float32, torch.float64) else output.float()
    return precise.clone() if output.ndim == 2 else precise.mean(dim=(2, 3))


def find_layer(model: nn.Module, name: str, argument: str = "layers") -> nn.Module:
    """Return a module by its name in ``model.named_modules()``; of a backbone, also by that of a block or cut point.

    Raises
    ------
    InvalidInputError
        If there is none; the message names ``argument`` and lists what there is.
    """
    named = {known: module for known, module in model.named_modules() if known}
    if isinstance(model, Backbone):
        # Blocks last: DenseNets and EfficientNets name some after modules.
        named |= {point: model.body.get_submodule(point) for point in model.points}
        named |= {block: model.body.get_submodule(points[-1]) for block, points in model.blocks.items()}
    check_choice(argument, name, named)
    return named[name]


class LayerOutputs:
    """A context in which a model, in evaluation mode, is called to see what some of its layers put out.

    Parameters
    ----------
    model : Module
        Called with a batch as :func:`metricopt.fit` does it: a tuple as positional arguments, a dict as keywords.
    layers : sequence of str
        Names of layers whose output is a tensor (B, C) or (B, C, h, w), each called once when the model is.
    reduction : callable ``(Tensor) -> Tensor``
        What becomes of an output, at once: later layers may write into it. :func:`positions` or :func:`spatial_mean`.
    argument : str
        What the layers are called in messages.

    Raises
    ------
    InvalidInputError
        On layers that do not exist, or are named twice; when called, on layers whose output is something else.
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
        """Return what the layers put out on a batch, reduced, by name; and the output of the model."""
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
            reject(self._argument, "layers that the model uses", unused, "leave them out")
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
