"""What a loss is called with, as solvers take it: a column for each label, and the rows of all processes.

This file decides which shapes and types of logits and labels are accepted.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metricopt._validation import reject
from metricopt.processes import processes_of_group
from metricopt.scoring.misfits import ONE_LOGIT_EACH
from metricopt.scoring.outputs import one_score_each


def columns_of_batch(logits: Tensor, labels: Tensor, num_labels: int) -> tuple[Tensor, Tensor]:
    """Return logits and labels as (B, L), in what the solvers compute in.

    Raises
    ------
    InvalidInputError
        If one of them is no tensor, or shapes do not fit.
    """
    for name, value in (("logits", logits), ("labels", labels)):
        if not isinstance(value, Tensor):
            reject(name, "a tensor", type(value).__name__, "pass e.g. outputs.logits")
    scores = one_score_each(logits if logits.ndim == 2 else logits.unsqueeze(-1), num_labels)  # (B,) -> (B, 1)
    truth = labels if labels.ndim == 2 else labels.unsqueeze(-1)
    if scores.ndim != 2 or scores.shape != truth.shape or scores.shape[1] != num_labels:
        rule = f"of shape (B, {num_labels})" + (" or (B,)" if num_labels == 1 else "")
        shapes = f"{tuple(logits.shape)} and {tuple(labels.shape)}"
        reject("logits and labels", rule, shapes, ONE_LOGIT_EACH)
    if scores.dtype not in (torch.float32, torch.float64):
        scores = scores.float()
    return scores, truth.to(scores.device, torch.float32)


def check_index(index: Tensor | None, num_rows: int) -> None:
    """Reject what does not name a row for each sample of a batch; which rows there are is checked elsewhere.

    Raises
    ------
    InvalidInputError
    """
    if index is None:
        return
    is_tensor = isinstance(index, Tensor)
    if not is_tensor or index.shape != (num_rows,) or index.is_floating_point() or index.dtype == torch.bool:
        got = f"a tensor of shape {tuple(index.shape)}, {index.dtype}" if is_tensor else type(index).__name__
        remedy = "pass the row of each sample, e.g. torch.as_tensor(rows)"
        reject("index", f"a tensor of {num_rows} integers, one for each sample", got, remedy)


def of_all_processes(scores: Tensor, labels: Tensor, index: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return scores, labels and index of the rows of all processes of the group."""
    processes = processes_of_group()
    if processes.number == 1:
        return scores, labels, index
    rows = torch.zeros(len(scores), dtype=torch.long) if index is None else index
    scores, labels, rows = processes.whole_batch(scores, labels, rows)
    return scores, labels, None if index is None else rows
