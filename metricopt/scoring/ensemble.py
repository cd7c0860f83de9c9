"""Several models as one: side by side in a batch, and their mean score.

This file decides how models of one architecture are called together. How they are trained is decided in
:mod:`metricopt.training.replicas`; the frames in which their scores are averaged in :mod:`metricopt.evidence.frames`.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from metricopt.evidence.frames import Frames
from metricopt.scoring.modes import left_in_evaluation, train_as_left
from metricopt.scoring.outputs import logits_of, one_score_each


class Replicas(nn.Module):
    """Models of one architecture side by side: a batch goes through all of them at once.

    A chain of linear layers takes one product of matrices for each layer, which is faster than what torch makes of any
    other network. Where torch cannot call all at once (recurrent layers, branches that depend on values), one model
    follows the other.

    Parameters
    ----------
    models : sequence of Module
        Of one architecture, each with its own weights. Their outputs are those that
        :func:`metricopt.scoring.forward.forward` takes.
    num_labels : int, optional
        L. For one label, two logits of a model become their difference.
    """

    def __init__(self, models: Sequence[nn.Module], num_labels: int | None = None) -> None:
        super().__init__()
        self._num_labels = num_labels
        weights, buffers = stack_module_state(list(models))
        self._names, self._buffer_names = list(weights), list(buffers)
        self.weights = nn.ParameterList(
            nn.Parameter(weight.detach(), requires_grad=weight.requires_grad) for weight in weights.values()
        )
        for number, buffer in enumerate(buffers.values()):
            self.register_buffer(f"buffer_{number}", buffer)
        # Not a submodule: what is trained are the stacked weights. In a list, where torch does not look.
        self._template = [copy.deepcopy(models[0])]
        self._left = left_in_evaluation(self._template[0])
        self.number = len(models)
        self._goes_at_once: dict[bool, bool] = {}
        self._layers = _plain_layers(models)

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """Return the scores of all models, shape (B, R * L)."""
        template, (weights, buffers) = self.template, self._stacked()
        if self._layers is not None and not named and _is_table(inputs):
            return self._through_layers(inputs[0], self._layers, weights, buffers)
        train_as_left(template, self._left, self.training)

        def one(weights: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
            outputs: Tensor = logits_of(functional_call(template, (weights, buffers), inputs, named))
            return one_score_each(outputs if outputs.ndim == 2 else outputs.unsqueeze(-1), self._num_labels)

        at_once = vmap(one, randomness="different")
        if self.training not in self._goes_at_once:
            self._goes_at_once[self.training] = _works(at_once, weights, buffers)
        if self._goes_at_once[self.training]:
            scores = at_once(weights, buffers)  # (R, B, L)
        else:
            scores = torch.stack([one(*(_of(r, each) for each in (weights, buffers))) for r in range(self.number)])
        return scores.transpose(0, 1).flatten(1)

    def _through_layers(
        self, x: Tensor, layers: Sequence[tuple[str, nn.Module]], weights: dict[str, Tensor], buffers: dict[str, Tensor]
    ) -> Tensor:
        """Return what :meth:`forward` does for a chain of linear layers, by one product of matrices for each."""
        for prefix, layer in layers:
            if isinstance(layer, nn.Linear):
                weight, bias = weights[f"{prefix}weight"], weights.get(f"{prefix}bias")  # (R, out, in), (R, out)
                if x.ndim == 2:  # the same rows for all models: (B, in) -> (R, B, out)
                    x = (x @ weight.flatten(0, 1).T).unflatten(1, weight.shape[:2]).transpose(0, 1)
                    x = x if bias is None else x + bias.unsqueeze(1)
                elif bias is None:
                    x = torch.bmm(x, weight.transpose(1, 2))
                else:
                    x = torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))
            else:
                own = {key: buffers[prefix + key][0] for key, _ in layer.named_buffers()}
                x = functional_call(layer, own, (x,))
        scores = one_score_each(x.flatten(0, 1), self._num_labels).unflatten(0, x.shape[:2])  # (R, B, L)
        return scores.transpose(0, 1).flatten(1)

    @property
    def template(self) -> nn.Module:
        """One of the models, with other weights."""
        return self._template[0]

    def _stacked(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        buffers = [getattr(self, f"buffer_{number}") for number in range(len(self._buffer_names))]
        weights = dict(zip(self._names, self.weights, strict=True))
        return weights, dict(zip(self._buffer_names, buffers, strict=True))


_BY_ELEMENT = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.ELU, nn.LeakyReLU, nn.Softplus, nn.Identity)


def _plain_layers(models: Sequence[nn.Module]) -> list[tuple[str, nn.Module]] | None:
    """Return the layers of a chain of linear ones, as :func:`_flattened` gives them; None for any other architecture.

    Between them lie functions of single elements. Before the first there may be a fixed scaling (``is_fixed``), the
    same in all models.
    """
    layers = list(_flattened("", models[0]))
    places = [place for place, (_, layer) in enumerate(layers) if type(layer) is nn.Linear]
    if not places or _has_hooks(models[0]):
        return None
    for place, (prefix, layer) in enumerate(layers):
        is_front = place < places[0] and getattr(layer, "is_fixed", False) and _is_alike(prefix, models)
        if not (is_front or type(layer) is nn.Linear or type(layer) in _BY_ELEMENT):
            return None
    return layers


def _flattened(prefix: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers of sequences within sequences, each with what its weights' names begin with."""
    if type(module) is not nn.Sequential:
        yield prefix, module
        return
    for own, child in module.named_children():
        yield from _flattened(f"{prefix}{own}.", child)


def _is_alike(prefix: str, models: Sequence[nn.Module]) -> bool:
    """Say whether a submodule has the same buffers in all models, and no weights."""
    parts = [model.get_submodule(prefix.removesuffix(".")) for model in models]
    own = [part.state_dict() for part in parts]
    has_weights = any(True for _ in parts[0].parameters())
    return not has_weights and all(
        values.keys() == own[0].keys() and all(torch.equal(values[key], own[0][key]) for key in values)
        for values in own[1:]
    )


def _has_hooks(model: nn.Module) -> bool:
    return any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def _is_table(inputs: tuple[Any, ...]) -> bool:
    return len(inputs) == 1 and isinstance(inputs[0], Tensor) and inputs[0].ndim == 2 and inputs[0].is_floating_point()


def _works(at_once: Callable[..., Tensor], weights: dict[str, Tensor], buffers: dict[str, Tensor]) -> bool:
    """Say whether all models can be called at once, there and back; leaves buffers and random numbers alone."""
    with torch.random.fork_rng(), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # torch warns where it falls back to one model after the other
        copies = {name: buffer.clone() for name, buffer in buffers.items()}
        try:
            scores = at_once(weights, copies)
            trained = [weight for weight in weights.values() if weight.requires_grad]
            if scores.requires_grad:
                torch.autograd.grad(scores.sum(), trained, allow_unused=True)
        except (RuntimeError, UserWarning):  # or a fault of the models themselves, which then show it by themselves
            return False
    return True


def _of(number: int, stacked: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: values[number] for name, values in stacked.items()}


class Ensemble(nn.Module):
    """The mean of several models' scores, each in its own frame: one model to those who call it.

    Parameters
    ----------
    replicas : Replicas
    frames : Frames
        The frame of each model, by label.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, replicas: Replicas, frames: Frames) -> None:
        super().__init__()
        self.replicas = replicas
        weight = next(replicas.parameters())
        for name, values in (("centre", frames.centre), ("spread", frames.spread)):
            self.register_buffer(name, torch.as_tensor(values, dtype=weight.dtype, device=weight.device))

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """Return the mean score, shape (B, L)."""
        scores = self.replicas(*inputs, **named).unflatten(1, self.centre.shape)  # (B, R * L) -> (B, R, L)
        mean: Tensor = ((scores - self.centre) / self.spread).nanmean(dim=1)
        return mean

    @classmethod
    def like(cls, model: nn.Module, shape: tuple[int, ...]) -> Ensemble:
        """Return an ensemble of copies of a model, whose weights and frames are still to be read.

        Parameters
        ----------
        model : Module
        shape : (R, L)
            Number of models, and of labels.
        """
        return cls(Replicas([model] * shape[0], shape[1]), Frames(np.zeros(shape), np.ones(shape)))

    @property
    def shape(self) -> tuple[int, ...]:
        """(R, L)."""
        return tuple(self.centre.shape)
