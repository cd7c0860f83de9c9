"""From inputs to scores: how a model is called on a batch, and on a whole data set.

This file decides what shapes of inputs and logits are accepted. What is said of inputs that a model cannot take is
decided in :mod:`metricopt.scoring.misfits`, what the scores are used for elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metricopt._validation import InvalidInputError, reject
from metricopt.data.loader_labels import as_label_columns
from metricopt.data.loaders import split_batch
from metricopt.data.sparse_rows import SparseRows
from metricopt.scoring.misfits import ONE_LOGIT_EACH, converted, explain_misfit, tensors_of
from metricopt.scoring.modes import evaluating
from metricopt.scoring.outputs import logits_of, one_score_each


def device_of(model: nn.Module) -> torch.device:
    """Return where the weights of a model lie; the CPU for a model without weights."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def to_device(x: Any, device: torch.device) -> Any:
    """Return the tensors of ``x`` (a tensor, tuple, list or dict of such) on ``device``."""
    return converted(x, lambda value: value.to(device, non_blocking=True))


def forward(model: nn.Module, x: Any, num_labels: int | None = None) -> Tensor:
    """Return the scores of a batch as (B, L), in float32 or better.

    Parameters
    ----------
    model : Module
        It maps a batch to logits (B,), (B, 1) or (B, L), or to an output with such ``logits``. For one label it may
        return those of two classes, (B, 2).
    x : Tensor, tuple or dict
        A tuple is passed as positional arguments, a dict as keyword arguments. Floating-point inputs are converted to
        the precision of the weights.
    num_labels : int, optional
        L. For one label, two logits become their difference.

    Raises
    ------
    InvalidInputError
        If the output is no tensor of such a shape, or the first layer cannot take the inputs.
    """
    x = in_precision_of(model, x)
    try:
        logits = logits_of(_call(model, x))
    except RuntimeError as error:
        explain_misfit(error, model, x, partial(_call, model))
        raise
    rows_given = num_rows(x)
    if not isinstance(logits, Tensor):
        reject(
            "model", "one that returns a tensor of logits", type(logits).__name__, "wrap it so that it returns logits"
        )
    if rows_given == 1 and logits.ndim < 2:  # a model that squeezes away all dimensions of 1
        logits = logits.reshape(1, -1)
    if logits.ndim not in (1, 2) or (rows_given is not None and len(logits) != rows_given):
        rows = "B" if rows_given is None else rows_given
        reject(
            "model",
            f"one that returns logits of shape ({rows},), ({rows}, 1) or ({rows}, labels)",
            f"shape {tuple(logits.shape)}",
            "return one logit a sample and label",
        )
    columns = one_score_each(logits if logits.ndim == 2 else logits[:, None], num_labels)
    return columns if columns.dtype in (torch.float32, torch.float64) else columns.float()


def _call(model: nn.Module, x: Any) -> Any:
    if isinstance(x, Mapping):
        return model(**x)
    return model(*x) if isinstance(x, (tuple, list)) else model(x)


def in_precision_of(model: nn.Module, x: Any) -> Any:
    """Return ``x`` with its floating-point tensors in the precision of the weights, if all weights are in one."""
    inputs = {value.dtype for _, value in tensors_of(x) if value.is_floating_point()}
    wanted = next((weight.dtype for weight in model.parameters() if weight.is_floating_point()), None)
    if wanted is None or inputs <= {wanted}:
        return x
    if any(weight.dtype != wanted for weight in model.parameters() if weight.is_floating_point()):
        return x
    return converted(x, lambda value: value.to(wanted) if value.is_floating_point() else value)


def check_scores(scores: Tensor, x: Any, batch: int) -> None:
    """Reject NaN or infinite scores of a batch, and say whether its features are to blame."""
    if scores.isfinite().all():
        return
    check_features(x, batch)
    reject("logits", "finite", f"NaN or infinity in batch {batch}", "check the model's weights and layers")


def check_features(x: Any, batch: int) -> None:
    """Reject inputs of a batch that are NaN or infinite."""
    values = [(name, value.coalesce().values() if value.is_sparse else value) for name, value in tensors_of(x)]
    bad = [name for name, value in values if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        reject("features", "finite", f"NaN or infinity in {bad[0]} of batch {batch}", "impute or clean them first")


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
            wanted = labels.shape[1] if num_labels is None else num_labels
            scores = forward(model, x, wanted if num_replicas == 1 else None)
            if must_be_finite:
                check_scores(scores, x, number)
            if scores.shape != (len(labels), wanted) or labels.shape[1] != wanted:
                logits, known = ((*shape[:1], shape[1] // num_replicas) for shape in (scores.shape, labels.shape))
                rule = f"of one shape, with {wanted // num_replicas} label(s)"
                got = f"logits {logits} for labels {known}"
                reject("model and labels", rule, got, ONE_LOGIT_EACH)
            all_scores.append(scores.cpu().numpy())
            all_labels.append(labels)
    if not all_scores:
        raise InvalidInputError("loader must be non-empty, got no batch; check its data set, batch_size and drop_last")
    return np.concatenate(all_scores), np.concatenate(all_labels)


def num_rows(x: Any) -> int | None:
    """Return how many samples a tensor, sparse rows, or a tuple or dict of tensors, hold; None if that is not told."""
    if isinstance(x, SparseRows):
        return len(x)
    tensors = tensors_of(x)
    return len(tensors[0][1]) if tensors and tensors[0][1].ndim else None
