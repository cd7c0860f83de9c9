"""What a solver is: it turns an objective into a loss on batches, and moves its own state between them.

This file decides the interface that :class:`~metricopt.training.loss.DirectMetricLoss` drives, in ``fit`` and in one's
own loop. It leaves every algorithm to the files beside it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from metricopt import _arrays
from metricopt.evidence.subgroups import SubgroupColumn
from metricopt.problem.objectives import Objective
from metricopt.solvers.agreement import SlackAgreement

Subgroups: TypeAlias = Mapping[str, SubgroupColumn]
"""The subgroup of each training sample, by the name of a column."""

WARMUP = "warm-up"
"""The name of the stage that trains with cross-entropy, before those of a solver."""


@dataclass(frozen=True)
class Stage:
    """Some epochs of a training with one loss, which have an optimizer of their own unless they go on with another's.

    Attributes
    ----------
    name : str
        The name that progress and history show.
    epochs : int, >= 1
    start : "warm" or "best"
        The weights that the stage starts from: those at the end of the warm-up, or the best found so far.
    is_direct : bool
        Whether the solver trains in this stage; if not, cross-entropy does.
    goes_on : bool
        Whether the stage goes on from where the one before it ended, with the same optimizer and scheduler.
    """

    name: str
    epochs: int
    start: Literal["warm", "best"] = "warm"
    is_direct: bool = True
    goes_on: bool = False


class Solver(ABC):
    """An algorithm that trains on an objective.

    The order of calls: :meth:`prepare` once; then for each of :meth:`stages`, :meth:`start` once, :meth:`refresh` now
    and then, and for each batch :meth:`loss` and :meth:`step`, both before the optimizer's step on that batch.
    """

    name: str
    """The name by which results speak of the solver."""
    needs_index: bool = False
    """Whether :meth:`loss` must be told which samples it sees (explicit slacks, subgroups)."""
    is_columnwise: bool = False
    """Whether :meth:`loss` takes the columns of several replicas at once, and is then the mean of their losses."""
    takes_logits: bool = True
    """Whether :meth:`loss` is one of logits, not of probabilities."""
    num_replicas: int = 1
    """How many models side by side the columns of :meth:`loss` belong to."""
    keeps_its_scale: bool = False
    """Whether :meth:`loss` is taken as it is. That of other solvers is brought to the scale of cross-entropy."""
    scales_itself: bool = False
    """Whether :meth:`loss` is multiplied by :attr:`scale` already, which costs nothing where errors are weighed."""
    scale: float = 1.0
    """The factor by which a path begins with a gradient as long as that of cross-entropy."""
    works_on_device: bool = False
    """Whether :meth:`loss` and :meth:`refresh_on_device` keep all that moves on an accelerator, where scores lie there.
    Other solvers fetch the scores of each batch."""
    subgroups: Subgroups | None = None
    """The columns that the objective names, set before :meth:`prepare`. A solver that does not know the objective,
    such as a plain loss, has no use for them."""
    warms_up: bool = True
    """Whether training begins with cross-entropy unless the user says otherwise."""

    def __repr__(self) -> str:
        """Return the name and what a user can set. A training is resumed only if this is the same."""
        return self.name

    @abstractmethod
    def prepare(self, objective: Objective, labels: np.ndarray, sample_weight: np.ndarray | None) -> None:
        """Take over the problem that is to be solved.

        Parameters
        ----------
        objective : Objective
        labels : ndarray, shape (n, L), float
            The labels of all training samples; NaN marks a missing one.
        sample_weight : ndarray, shape (n, L), float, or None
        """

    @abstractmethod
    def stages(self, epochs: int, is_linear: bool = True) -> Sequence[Stage]:
        """Divide direct training into stages.

        Parameters
        ----------
        epochs : int, >= 1
            The number of epochs of all stages together.
        is_linear : bool
            Whether a linear model is trained, not a network.
        """

    def fold_stages(self, epochs: int, is_linear: bool = True, is_wide: bool = False) -> Sequence[Stage]:
        """Divide direct training into stages where the models of several folds are trained; as :meth:`stages`.

        Stages that polish the best model so far are left out: they would begin from weights that were chosen on rows
        which testify later.

        Parameters
        ----------
        epochs, is_linear
            The same as for :meth:`stages`.
        is_wide : bool
            Whether a linear model has many columns: about as many as positives, or dozens.
        """
        return [stage for stage in self.stages(epochs, is_linear) if stage.start == "warm"]

    def start(self, stage: Stage, num_steps: int) -> None:  # noqa: B027 - many solvers have nothing to set up
        """Begin a stage of ``num_steps`` batches."""

    def refresh(  # noqa: B027 - many solvers have no threshold to refresh
        self, scores: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray | None
    ) -> None:
        """Take note of the latest scores of the training samples; all three of shape (n, L).

        Labels of samples without a score so far are missing (NaN). For a label that lacks positives or negatives here,
        what the solver learnt of it before remains.
        """

    def refresh_on_device(self, scores: Tensor, labels: Tensor, sample_weight: Tensor | None) -> None:
        """Do the same as :meth:`refresh` with tensors on an accelerator."""
        raise NotImplementedError

    @abstractmethod
    def loss(self, scores: Tensor, labels: Tensor, weight: Tensor | None = None, index: Tensor | None = None) -> Tensor:
        """Return the loss of a batch, differentiable in ``scores``.

        Parameters
        ----------
        scores, labels : Tensor, shape (B, L), float
        weight : Tensor, shape (B, L), float, optional
            The weights of the samples.
        index : Tensor, shape (B,), int64, optional
            The row of each sample among the labels of :meth:`prepare`.
        """

    def step(self) -> None:  # noqa: B027 - many solvers have no state that moves with the batches
        """Move multipliers and schedules, after the loss of a batch."""

    def multiplier(self) -> np.ndarray | None:
        """Return the multiplier of the bound, shape (L,), or of each of K bounds, (K, L); None without a bound."""
        return None

    @property
    def losses(self) -> list[nn.Module]:
        """The losses that it calls and that are modules: their weights train, and they move from device to device."""
        return []

    def slacks(self) -> np.ndarray | None:
        """Return a copy of the slacks as they are, or None if the solver has no slacks."""
        return None

    def compare(
        self,
        slack: np.ndarray | None,
        scores: np.ndarray,
        labels: np.ndarray,
        sample_weight: np.ndarray | None,
        label_names: Sequence[str],
    ) -> tuple[SlackAgreement, ...] | None:
        """Return how well slacks agree with a model, label by label, or None if the solver has no slacks.

        Parameters
        ----------
        slack : ndarray or None
            The slacks that :meth:`slacks` returned; None stands for slacks that are the model's own predictions.
        scores, labels, sample_weight : ndarray, shape (n, L)
            Those of all training samples, in the order of the labels of :meth:`prepare`.
        label_names : sequence of str
        """
        return None

    def beside(self, other: Solver) -> Solver:
        """Return another solver as it is applied to the same columns."""
        return other

    def state_dict(self) -> dict[str, Any]:
        """Return everything that moves, as tensors and numbers."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027 - the counterpart of an empty state
        """Take over what :meth:`state_dict` returned."""


def with_derivatives(scores: Tensor, loss: float | Tensor, derivatives: np.ndarray | Tensor) -> Tensor:
    """Return a loss whose derivatives in the scores are known already, so that its backward pass is a multiplication.

    Parameters
    ----------
    scores : Tensor, shape (B, L)
    loss : float or Tensor, scalar
    derivatives : ndarray or Tensor, shape (B, L)

    Returns
    -------
    Tensor, scalar
    """
    loss_of_scores: Tensor = _KnownDerivatives.apply(scores, loss, derivatives)
    return loss_of_scores


class _KnownDerivatives(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, loss: float | Tensor, derivatives: np.ndarray | Tensor) -> Tensor:
        known = derivatives if isinstance(derivatives, Tensor) else torch.from_numpy(derivatives)
        ctx.save_for_backward(known.to(scores), scores)
        return (
            loss.to(scores)
            if isinstance(loss, Tensor)
            else torch.scalar_tensor(loss, dtype=scores.dtype, device=scores.device)
        )

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        derivatives, scores = ctx.saved_tensors
        if torch.is_grad_enabled():  # once_differentiable looks at ``outer`` alone, which may be constant
            derivatives = _NotTwice.apply(derivatives, scores)
        elif _arrays.is_on_host(outer) and outer.item() == 1:
            return derivatives, None, None
        return outer * derivatives, None, None


class _NotTwice(torch.autograd.Function):
    """Derivatives of scores that cannot be differentiated again: they would be taken for constants."""

    @staticmethod
    def forward(ctx: Any, derivatives: Tensor, scores: Tensor) -> Tensor:
        return derivatives.clone()

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        raise RuntimeError(
            "The loss of an objective has first derivatives alone, and was differentiated twice: leave out penalties "
            "on gradients, or take a loss of metricopt.losses."
        )


def spread_of(scores: np.ndarray, sample_weight: np.ndarray | None = None) -> np.ndarray:
    """Return the standard deviation of the scores (n, L) by label, 1 where they are all alike up to rounding.

    A sample of weight 2 counts as two, one of weight 0 not at all; a label without any weight has spread 1.
    """
    if sample_weight is None:
        spread, size = scores.std(axis=0, dtype=np.float64), np.abs(scores).max(axis=0)
    else:
        total = sample_weight.sum(axis=0)
        fraction = np.divide(sample_weight, total, out=np.zeros(scores.shape), where=total > 0)
        from_mean = scores - (fraction * scores).sum(axis=0)
        spread, size = np.sqrt((fraction * from_mean**2).sum(axis=0)), np.abs(scores * (fraction > 0)).max(axis=0)
    return np.where(spread > 1e-6 * size, spread, 1.0)
