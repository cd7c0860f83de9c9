"""What steps the weights: Adam at a rate by the model's size, or the optimizer that the user brings.

This file decides defaults and how an optimizer begins a stage; the loop decides when a stage begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from metricopt._validation import reject

OptimizerLike: TypeAlias = "torch.optim.Optimizer | Callable[[Any], torch.optim.Optimizer]"


class Stepping:
    """The optimizer of the stage that runs, with its scheduler; both are made anew for every stage.

    Parameters
    ----------
    make_optimizer : callable ``() -> Optimizer``
    make_scheduler : callable ``(optimizer) -> LRScheduler``, or None
    first_state : dict or None
        The state in which an optimizer that the user made begins every stage.
    gradient_clip : float or None
        The largest norm of the gradient.
    num_replicas : int
        Number of models side by side, R: the first axis of every weight is R, or a multiple of it. The gradient of each
        is clipped by itself.
    accelerator : Accelerator
        It scales gradients in mixed precision.
    """

    def __init__(
        self,
        make_optimizer: Callable[[], torch.optim.Optimizer],
        make_scheduler: Callable[[torch.optim.Optimizer], Any] | None,
        *,
        first_state: dict[str, Any] | None,
        gradient_clip: float | None,
        num_replicas: int = 1,
        accelerator: Any,
    ) -> None:
        self._make_optimizer, self._make_scheduler = make_optimizer, make_scheduler
        self._first_state, self._gradient_clip, self._num_replicas = first_state, gradient_clip, num_replicas
        self._accelerator = accelerator
        self._is_mixed = accelerator.mixed_precision != "no"
        self._optimizer: Any = None
        self._scheduler: Any = None

    def begin_stage(self) -> None:
        """Make the optimizer and the scheduler of a stage."""
        optimizer: Any = self._make_optimizer()
        if self._first_state is not None:
            optimizer.load_state_dict(deepcopy(self._first_state))
        if self._is_mixed:
            self._accelerator.free_memory()  # the optimizers of earlier stages
            optimizer = self._accelerator.prepare(optimizer)
        self._optimizer = optimizer
        self._scheduler = None if self._make_scheduler is None else self._make_scheduler(optimizer)
        if isinstance(self._scheduler, ReduceLROnPlateau) and self._scheduler.mode != "max":
            remedy = "give mode='max': it gets the metric that the objective maximises, after each epoch"
            reject("scheduler", "one that waits for a larger metric", f"mode={self._scheduler.mode!r}", remedy)

    def end_stage(self) -> None:
        """Drop the optimizer and the scheduler of a stage."""
        self._optimizer = self._scheduler = None

    def zero_grad(self) -> None:
        """Clear the gradients."""
        self._optimizer.zero_grad()

    def step(self) -> None:
        """Clip the gradient where that is wanted, and move the weights."""
        if self._gradient_clip is not None:
            if self._is_mixed:
                self._accelerator.unscale_gradients(self._optimizer)
            # The norm is that of the weights which move: gradients of others pile up from step to step.
            moving = [weight for group in self._optimizer.param_groups for weight in group["params"]]
            if self._num_replicas == 1:
                torch.nn.utils.clip_grad_norm_(moving, self._gradient_clip)
            else:
                clip_each(moving, self._num_replicas, self._gradient_clip)
        self._optimizer.step()

    def end_epoch(self, metric: float | None) -> None:
        """Let the scheduler move the learning rate; one that waits for a plateau does so by a known metric."""
        if isinstance(self._scheduler, ReduceLROnPlateau):
            if metric is not None:
                self._scheduler.step(metric)
        elif self._scheduler is not None:
            self._scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that moves, and the state that every stage begins with."""
        optimizer, scheduler, scaler = self._optimizer, self._scheduler, self._accelerator.scaler
        return {
            "first_optimizer": self._first_state,
            "optimizer": None if optimizer is None else optimizer.state_dict(),
            "scheduler": None if scheduler is None else scheduler.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any], *, has_stepped: bool) -> None:
        """Take over what :meth:`state_dict` returned; ``has_stepped`` says whether the epoch under way has steps."""
        self._first_state = state["first_optimizer"]
        if state["optimizer"] is not None:
            self.begin_stage()
            self._optimizer.load_state_dict(state["optimizer"])
            if self._scheduler is not None:
                self._scheduler.load_state_dict(state["scheduler"])
                # It did take steps, in a process that is gone; torch would warn of a scheduler without any.
                self._optimizer._opt_called = has_stepped
        if self._accelerator.scaler is not None:
            self._accelerator.scaler.load_state_dict(state["scaler"])


@torch.no_grad()
def clip_each(weights: Iterable[Tensor], num_replicas: int, largest: float) -> None:
    """Scale the gradient of each replica down to a largest norm, as ``clip_grad_norm_`` does for one model.

    Parameters
    ----------
    weights : iterable of Tensor
        Their first axis is divided among the replicas.
    num_replicas : int
    largest : float
    """
    blocks = [weight.grad.view(num_replicas, -1) for weight in weights if weight.grad is not None]
    norms = torch.stack([block.norm(dim=1) for block in blocks]).norm(dim=0)  # (weights, R) -> (R,)
    scale = (largest / (norms + 1e-6)).clamp(max=1.0)
    for block in blocks:
        block.mul_(scale.unsqueeze(1))


def optimizer_maker(
    model: nn.Module, optimizer: OptimizerLike | None, learning_rate: float | None, *, like: nn.Module | None = None
) -> Callable[[], torch.optim.Optimizer]:
    """Return what makes the optimizer of a stage: Adam, the user's factory, or the user's own optimizer as it is.

    Parameters
    ----------
    model : Module
        The model whose weights move.
    optimizer : Optimizer, callable or None
    learning_rate : float or None
        None takes the default for a model of this kind.
    like : Module, optional
        The model by whose kind and size the default is chosen, where ``model`` holds several of them.
    """
    if isinstance(optimizer, torch.optim.Optimizer):
        return lambda: optimizer
    if optimizer is not None:
        if not callable(optimizer):
            reject("optimizer", "an Optimizer or a callable (parameters) -> Optimizer", optimizer, "pass one of them")
        return lambda: _checked(optimizer(model.parameters()), model)
    rate = _default_learning_rate(model if like is None else like) if learning_rate is None else float(learning_rate)
    return lambda: torch.optim.Adam(model.parameters(), lr=rate)


def check_trainable(model: nn.Module, optimizer: OptimizerLike | None) -> None:
    """Reject a model without weights to train, and an optimizer of the weights of another.

    Parameters
    ----------
    model : Module
    optimizer : Optimizer, callable or None

    Raises
    ------
    InvalidInputError
    """
    weights = list(model.parameters())
    if not any(weight.requires_grad for weight in weights):
        got = "every weight frozen (requires_grad=False)" if weights else "no weights"
        remedy = (
            "unfreeze a layer, e.g. model.fc.requires_grad_(True); for fixed scores take metricopt.choose_threshold"
        )
        reject("model", "one with weights to train", got, remedy)
    if isinstance(optimizer, torch.optim.Optimizer):
        _checked(optimizer, model)


def _checked(optimizer: Any, model: nn.Module) -> torch.optim.Optimizer:
    """Return an optimizer that can train a model by one gradient a step; reject others."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        remedy = "return it: lambda parameters: torch.optim.SGD(parameters, lr=0.1)"
        reject("optimizer", "a callable that returns an Optimizer", f"one that returns {optimizer!r}", remedy)
    if isinstance(optimizer, torch.optim.LBFGS):
        remedy = "take e.g. Adam; in a loop of your own, DirectMetricLoss works with it"
        reject("optimizer", "one that steps by the gradient of a batch", "LBFGS, which calls for it again", remedy)
    own = {id(weight) for weight in model.parameters() if weight.requires_grad}
    if not any(id(weight) in own for group in optimizer.param_groups for weight in group["params"]):
        remedy = (
            "make it of model.parameters(), after layers were replaced or unfrozen, or of what the callable is given"
        )
        reject("optimizer", "one of weights that this model trains", "one of others", remedy)
    return optimizer


def weights_of_loss(loss: nn.Module, model: nn.Module) -> list[nn.Parameter]:
    """Return the weights that a loss trains beside those of the model."""
    of_model = {id(weight) for weight in model.parameters()}
    return [weight for weight in loss.parameters() if weight.requires_grad and id(weight) not in of_model]


def check_loss_trainable(weights: Sequence[nn.Parameter], optimizer: OptimizerLike | None, *, with_folds: bool) -> None:
    """Reject a loss with weights of its own where they would not be trained as their owner means it.

    Raises
    ------
    InvalidInputError
    """
    if weights and with_folds:
        remedy = "give folds=None to train one model"
        reject("solver", "a loss without weights of its own where models train in folds", "one with weights", remedy)
    if weights and isinstance(optimizer, torch.optim.Optimizer):
        held = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
        if not all(id(weight) in held for weight in weights):
            remedy = "make it of [*model.parameters(), *loss.parameters()]"
            reject("optimizer", "one that holds the weights of the loss", "one without them", remedy)


def check_scheduler(scheduler: Any) -> None:
    """Reject a scheduler that is made already: each stage of a training makes one for its own optimizer.

    Raises
    ------
    InvalidInputError
    """
    if isinstance(scheduler, (LRScheduler, ReduceLROnPlateau)):
        kind = type(scheduler).__name__
        remedy = f"give what makes it: lambda optimizer: {kind}(optimizer, ...)"
        reject("scheduler", "a callable (optimizer) -> LRScheduler", f"an instance of {kind}", remedy)
    if scheduler is not None and not callable(scheduler):
        reject("scheduler", "a callable (optimizer) -> LRScheduler", repr(scheduler), "give what makes one")


def is_linear(model: nn.Module) -> bool:
    """Say whether at most one layer of weights is trained: a linear model, or the head of frozen features."""
    return len(_sizes_of_trained(model)) <= 1


def num_trained(model: nn.Module) -> int:
    """Return the number of weights that are trained, in all layers, without biases."""
    return sum(_sizes_of_trained(model))


def _default_learning_rate(model: nn.Module) -> float:
    if is_linear(model):
        return 0.02
    return 0.003 if num_trained(model) <= 100_000 else 0.001


def _sizes_of_trained(model: nn.Module) -> list[int]:
    return [weights.numel() for weights in model.parameters() if weights.ndim > 1 and weights.requires_grad]
