"""What a loss is in this package: it takes the logits and labels of a batch and returns a scalar.

This file decides shapes, missing labels and precision for all losses, and how a loss learns the class counts and how
far training has come. It leaves every formula to the files beside it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from metricopt._validation import reject


class Loss(nn.Module, ABC):
    """A loss of logits that treats every label by itself and leaves missing labels out.

    In your own loop, where ``labels`` are those of the whole training set, it is used like this::

        loss = LogitAdjustment().prepare(labels)
        for step, (x, y) in enumerate(batches):
            loss.progress = step / num_steps
            loss(model(x), y).backward()

    With ``fit(..., solver=loss)`` the loop of :func:`metricopt.fit` does the same.

    Attributes
    ----------
    progress : float, in [0, 1]
        The fraction of the training that is over. Only losses with a schedule read it.

    Notes
    -----
    Everything that a user can set is a public attribute, and the representation shows it: a resumed training compares
    the representations and must find the same one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.progress = 0.0

    def extra_repr(self) -> str:
        own = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return ", ".join(f"{name}={value!r}" for name, value in own.items() if name not in ("training", "progress"))

    def prepare(self, labels: Any) -> Loss:
        """Learn what the loss must know of the training set. Most losses need nothing; their class says if they do.

        Parameters
        ----------
        labels : array or Tensor, shape (n,) or (n, L)
            The labels of all training samples: 0, 1 or NaN (missing).

        Returns
        -------
        Loss
            The loss itself.
        """
        return self

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch.

        Parameters
        ----------
        scores : Tensor, shape (B,) or (B, L), float
            Logits. Half precision is widened to float32 first.
        labels : Tensor, of the same shape
            0, 1 or NaN (missing).

        Returns
        -------
        Tensor, scalar
            The loss, differentiable in the scores. Where no label is present it is 0, and still differentiable.
        """
        if scores.shape != labels.shape or scores.ndim not in (1, 2):
            shapes = f"{tuple(scores.shape)} and {tuple(labels.shape)}"
            reject("scores and labels", "both of shape (B,) or (B, L)", shapes, "reshape one of them")
        if scores.dtype in (torch.float16, torch.bfloat16):
            scores = scores.float()
        scores, labels = (
            values if values.ndim == 2 else values.unsqueeze(1)  # (B,) -> (B, 1)
            for values in (scores, labels.to(scores.dtype))
        )
        present = ~labels.isnan()
        # What is missing enters the sums as 0, not as a product with 0, which may be NaN.
        scores, labels = (values.where(present, torch.zeros_like(values)) for values in (scores, labels))
        if not present.any():
            return scores.sum()
        return self.of_columns(scores, labels, present.to(scores.dtype))

    @abstractmethod
    def of_columns(self, scores: Tensor, labels: Tensor, present: Tensor) -> Tensor:
        """Return the loss of a batch with at least one label.

        Parameters
        ----------
        scores, labels, present : Tensor, shape (B, L), float32 or float64
            ``present`` is 1 where there is a label. Elsewhere all three are 0.
        """


class CountingLoss(Loss):
    """A loss that depends on how many positives and negatives the training set has.

    Attributes
    ----------
    num_positives, num_negatives : Tensor, shape (L,), float32
        The counts of the training set, or None before :meth:`prepare`.
    """

    num_positives: Tensor | None
    num_negatives: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("num_positives", None)
        self.register_buffer("num_negatives", None)

    def prepare(self, labels: Any) -> CountingLoss:
        """Count the positives and the negatives of every label.

        Parameters
        ----------
        labels : array or Tensor, shape (n,) or (n, L)
            The labels of all training samples: 0, 1 or NaN (missing).

        Returns
        -------
        CountingLoss
            The loss itself.

        Raises
        ------
        InvalidInputError
            If a label is neither 0, 1 nor NaN.
        """
        columns = torch.as_tensor(labels).detach()
        columns = columns.reshape(len(columns), -1)
        if not ((columns == 0) | (columns == 1) | columns.isnan()).all():
            found = columns[~((columns == 0) | (columns == 1) | columns.isnan())].unique()[:5].tolist()
            reject("labels", "0, 1 or NaN (missing)", found, "map the classes to 0 and 1 first")
        self.num_positives, self.num_negatives = ((columns == truth).sum(dim=0).float() for truth in (1, 0))
        return self

    def counts(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return the positives and negatives of the training set, of shape (L,) each.

        They have the dtype and device of ``scores``, of shape (B, L). A class without samples counts as one sample, so
        that nothing is divided by 0.

        Raises
        ------
        InvalidInputError
            If :meth:`prepare` was not called, or was called with another number of labels.
        """
        if self.num_positives is None or self.num_negatives is None:
            reject(type(self).__name__, "prepared with the training labels", "no counts", "call prepare(labels) first")
        prepared, given = len(self.num_positives), scores.shape[1]
        if prepared != given:
            rule = f"of shape (B, {prepared}), for the {prepared} labels of prepare(labels)"
            reject("scores", rule, f"shape (B, {given})", "call prepare(labels) with the labels of this model")
        return self.num_positives.to(scores).clamp(min=1), self.num_negatives.to(scores).clamp(min=1)


def mean_over(losses: Tensor, present: Tensor) -> Tensor:
    """Return the mean of ``losses``, of shape (B, L), over the labels that are present."""
    return (losses * present).sum() / present.sum()
