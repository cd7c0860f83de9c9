"""Several models as one: side by side in a batch, and their mean score.

This file decides how models of one architecture are called together. How they are trained is decided in
:mod:`metricopt.training.replicas`; the frames in which their scores are averaged in :mod:`metricopt.evidence.frames`.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
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

    Where torch cannot do that (recurrent layers, branches that depend on values), one model follows the other.

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

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """Return the scores of all models, shape (B, R * L)."""
        template, (weights, buffers) = self.template, self._stacked()
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

    @property
    def template(self) -> nn.Module:
        """One of the models, with other weights."""
        return self._template[0]

    def _stacked(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        buffers = [getattr(self, f"buffer_{number}") for number in range(len(self._buffer_names))]
        weights = dict(zip(self._names, self.weights, strict=True))
        return weights, dict(zip(self._buffer_names, buffers, strict=True))


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
