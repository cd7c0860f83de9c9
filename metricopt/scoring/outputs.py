"""What models return, as scores: logits, alone or in an output with other things, and two logits for two classes.

This file decides which outputs are taken. What is said of others is decided in :mod:`metricopt.scoring.misfits`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

NUM_OF_TWO_CLASSES = 2


def logits_of(output: Any) -> Any:
    """Return the logits of an output that holds them under this name, as those of transformers do; others as they are.

    Examples
    --------
    >>> import torch
    >>> logits_of({"logits": torch.zeros(1, 1), "hidden": None})
    tensor([[0.]])
    """
    if isinstance(output, Tensor):
        return output
    found = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    return found if isinstance(found, Tensor) else output


def one_score_each(columns: Tensor, num_labels: int | None) -> Tensor:
    """Return logits (B, 2) of the two classes of one label as the difference (B, 1), by which a softmax orders them.

    Examples
    --------
    >>> import torch
    >>> one_score_each(torch.tensor([[1.0, 3.0]]), 1)
    tensor([[2.]])
    """
    if num_labels != 1 or columns.ndim != 2 or columns.shape[1] != NUM_OF_TWO_CLASSES:
        return columns
    return columns[:, 1:] - columns[:, :1]
