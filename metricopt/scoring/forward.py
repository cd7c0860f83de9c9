"""From inputs to scores: how a model is called on a batch, and on a whole data set.

This file decides what shapes of inputs and logits are accepted. What the scores are used for is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metricopt._validation import InvalidInputError, reject
from metricopt.data.loaders import as_label_columns, split_batch
from metricopt.scoring.modes import evaluating


def device_of(model: nn.Module) -> torch.device:
    """Return where the weights of a model lie; the CPU for a model without weights."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def to_device(x: Any, device: torch.device) -> Any:
    """Return the tensors of ``x`` (a tensor, tuple, list or dict of such) on ``device``."""
    if isinstance(x, Tensor):
        return x.to(device, non_blocking=True)
    if isinstance(x, Mapping):
        return {name: to_device(value, device) for name, value in x.items()}
    if isinstance(x, (tuple, list)):
        return tuple(to_device(value, device) for value in x)
    return x


def forward(model: nn.Module, x: Any) -> Tensor:
    """Return the scores of a batch as (B, L), in float32 or better.

    Parameters
    ----------
    model : Module
        It maps a batch to logits (B,), (B, 1) or (B, L).
    x : Tensor, tuple or dict
        A tuple is passed as positional arguments, a dict as keyword arguments.

    Raises
    ------
    InvalidInputError
        If the output is no tensor of such a shape.
    """
    if isinstance(x, Mapping):
        logits = model(**x)
    elif isinstance(x, (tuple, list)):
        logits = model(*x)
    else:
        logits = model(x)
    rows_given = num_rows(x)
    if not isinstance(logits, Tensor):
        reject(
            "model", "one that returns a tensor of logits", type(logits).__name__, "wrap it so that it returns logits"
        )
    if logits.ndim not in (1, 2) or (rows_given is not None and len(logits) != rows_given):
        rows = "B" if rows_given is None else rows_given
        reject(
            "model",
            f"one that returns logits of shape ({rows},), ({rows}, 1) or ({rows}, labels)",
            f"shape {tuple(logits.shape)}",
            "return one logit a sample and label",
        )
    columns = logits if logits.ndim == 2 else logits[:, None]
    return columns if columns.dtype in (torch.float32, torch.float64) else columns.float()


def check_scores(scores: Tensor, x: Any, batch: int) -> None:
    """Reject NaN or infinite scores of a batch, and say whether its features are to blame."""
    if scores.isfinite().all():
        return
    bad = [name for name, value in _tensors(x) if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        reject("features", "finite", f"NaN or infinity in {bad[0]} of batch {batch}", "impute or clean them first")
    reject("logits", "finite", f"NaN or infinity in batch {batch}", "check the model's weights and layers")


@torch.no_grad()
def score_loader(
    model: nn.Module,
    batches: Iterable[Any],
    device: torch.device,
    num_labels: int | None = None,
    *,
    num_replicas: int = 1,
    must_be_finite: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and labels of all samples, ``ndarray (n, L)`` each, in the order that they come.

    The model is in evaluation mode while it scores.

    Parameters
    ----------
    model : Module
    batches : iterable of (x, y)
    device : torch.device
    num_labels : int, optional
        How many columns the model must return. The default is the number of columns of y.
    num_replicas : int
        How many models of one architecture stand side by side in ``model``; errors speak of one of them.
    must_be_finite : bool
        Whether scores that are NaN or infinite are rejected.

    Raises
    ------
    InvalidInputError
        If a batch is no pair, a score is not finite, or scores and labels differ in shape.
    """
    all_scores, all_labels = [], []
    with evaluating(model):
        for number, batch in enumerate(batches):
            x, y = split_batch(batch)
            x, labels = to_device(x, device), as_label_columns(y)
            scores = forward(model, x)
            if must_be_finite:
                check_scores(scores, x, number)
            wanted = labels.shape[1] if num_labels is None else num_labels
            if scores.shape != (len(labels), wanted) or labels.shape[1] != wanted:
                logits, known = ((*shape[:1], shape[1] // num_replicas) for shape in (scores.shape, labels.shape))
                rule = f"of one shape, with {wanted // num_replicas} label(s)"
                got = f"logits {logits} for labels {known}"
                reject("model and labels", rule, got, "return one logit for each label")
            all_scores.append(scores.cpu().numpy())
            all_labels.append(labels)
    if not all_scores:
        raise InvalidInputError("loader must be non-empty, got no batch; check its data set, batch_size and drop_last")
    return np.concatenate(all_scores), np.concatenate(all_labels)


def _tensors(x: Any, name: str = "x") -> list[tuple[str, Tensor]]:
    if isinstance(x, Tensor):
        return [(name, x)]
    items = x.items() if isinstance(x, Mapping) else enumerate(x) if isinstance(x, (tuple, list)) else ()
    return [found for key, value in items for found in _tensors(value, f"{name}[{key!r}]")]


def num_rows(x: Any) -> int | None:
    """Return how many samples a tensor, or a tuple or dict of tensors, holds; None if that cannot be told."""
    tensors = _tensors(x)
    return len(tensors[0][1]) if tensors and tensors[0][1].ndim else None
