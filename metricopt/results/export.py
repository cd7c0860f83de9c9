"""A result as one ONNX file for other runtimes: inputs in, scores and decisions out, the thresholds inside.

This file decides the form of that file and checks it against torch. What a model takes is decided in
:mod:`metricopt.scoring.forward` and :mod:`metricopt.scoring.inputs`.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metricopt._validation import reject
from metricopt.evidence.saved_numbers import plain_number
from metricopt.problem.objectives import Objective
from metricopt.processes import is_main_process
from metricopt.results.status import Status
from metricopt.scoring.forward import device_of, forward, in_precision_of, to_device
from metricopt.scoring.inputs import inputs_of
from metricopt.scoring.modes import evaluating
from metricopt.scoring.outputs import logits_of, one_score_each

OUTPUTS = ("scores", "decisions")
TOLERANCE = 1e-5
"""By how much scores may differ from torch's, relative to those above 1."""

_CHECKED_ROWS = 64
# Of torch 2.13 and its exporter about themselves; nothing that a user could do.
_KNOWN_WARNINGS = (
    (FutureWarning, r".*LeafSpec.* is deprecated"),
    (UserWarning, r"# The axis name: batch will not be used, since it shares the same shape constraints"),
)


def export(
    path: Path,
    model: nn.Module,
    thresholds: np.ndarray,
    example: Any,
    *,
    objective: Objective,
    label_names: Sequence[str],
    statuses: Sequence[Status],
    alarm_rule: str,
    versions: Mapping[str, str],
) -> Path:
    """Write a model and its thresholds; see :meth:`metricopt.FitResult.export`."""
    _check_packages()
    if path.is_dir():
        reject("path", "a file", f"the folder {path}", "name a file in it, e.g. model.onnx")
    if not is_main_process():
        return path
    names, inputs = _named_tensors(_first_batch(model, example), model)
    with evaluating(model), torch.no_grad():
        module = _WithThresholds(model, names, thresholds, _scores(model, names, inputs, len(thresholds))).eval()
        program = _trace(module, inputs)
        _describe(
            program.model,
            objective=objective.name,
            asked=str(objective),
            label_names=json.dumps(list(label_names)),
            thresholds=json.dumps([plain_number(threshold) for threshold in thresholds]),
            statuses=json.dumps([status.value for status in statuses]),
            rule=alarm_rule,
            versions=json.dumps(dict(versions)),
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{path.name}.part")
        try:
            program.save(aside, external_data=False)
            for rows in (slice(None), slice(1)):
                _check_same(aside, module, [value[rows] for value in inputs])
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)
    return path


class _WithThresholds(nn.Module):
    """A model with its thresholds.

    A threshold lies between scores, in float64. Rounded up to the precision of the scores it parts them in the same way
    and asks no runtime for arithmetic in float64. A label without a threshold never raises an alarm: infinity says so
    to runtimes that compare with NaN in their own ways.
    """

    threshold: Tensor

    def __init__(self, model: nn.Module, names: tuple[str, ...] | None, thresholds: np.ndarray, scores: Tensor) -> None:
        super().__init__()
        self.model, self.names = model, names
        wanted = torch.from_numpy(np.where(np.isnan(thresholds), np.inf, thresholds))
        rounded = wanted.to(scores.dtype)
        above = torch.nextafter(rounded, torch.full_like(rounded, torch.inf))
        rounded_up = torch.where(rounded.double() < wanted, above, rounded).to(scores.device)
        self.register_buffer("threshold", rounded_up, persistent=False)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        output = self.model(*inputs) if self.names is None else self.model(**dict(zip(self.names, inputs, strict=True)))
        logits = one_score_each(logits_of(output), len(self.threshold))
        # Also of a model that squeezes away all dimensions of 1: with one row, that of the rows.
        scores = logits.reshape(-1, len(self.threshold)).to(self.threshold.dtype)
        decisions = (scores >= self.threshold).long()
        return (scores[:, 0], decisions[:, 0]) if len(self.threshold) == 1 else (scores, decisions)


def _check_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        text = f"export needs onnx, onnxscript and onnxruntime ({error}); run pip install 'metricopt[onnx]'"
        raise ImportError(text) from error


def _first_batch(model: nn.Module, example: Any) -> Any:
    """Return inputs to follow through the model: the user's, or what a first linear layer tells."""
    if example is not None:
        batch = next(iter(inputs_of(example, model)), None)
        if batch is None:
            reject("example", "non-empty", "no sample", "pass at least one")
        return batch
    first = model
    while isinstance(first, nn.Sequential) and len(first):
        first = first[0]
    if not isinstance(first, nn.Linear):
        remedy = "pass inputs as to result.scores(), e.g. a few rows of the training data or the loader"
        reject("example", f"given for a {type(model).__name__}, which does not tell its inputs", None, remedy)
    return torch.linspace(-2, 2, 4 * first.in_features, dtype=first.weight.dtype).view(4, -1)


def _named_tensors(batch: Any, model: nn.Module) -> tuple[tuple[str, ...] | None, list[Tensor]]:
    """Return the names by which a model takes its inputs (None: by position), and at least two rows of the inputs."""
    names = tuple(batch) if isinstance(batch, Mapping) else None
    values = list(batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, tuple) else [batch])
    if not (values and all(isinstance(value, Tensor) and value.ndim for value in values)):
        rule = "a tensor, or a tuple or dict of tensors, with a row a sample"
        reject("example", rule, f"a {type(batch).__name__} without rows", "pass a batch of inputs")
    lengths = {len(value) for value in values}
    if len(lengths) > 1 or 0 in lengths:
        reject("example", "inputs of the same number of rows, at least one", sorted(lengths), "pass a batch of inputs")
    # The exporter takes a first dimension of 1 for a constant.
    rows = [torch.cat([value, value]) if len(value) == 1 else value[:_CHECKED_ROWS] for value in values]
    device = device_of(model)
    return names, list(in_precision_of(model, [to_device(value, device) for value in rows]))


def _scores(model: nn.Module, names: tuple[str, ...] | None, inputs: list[Tensor], num_labels: int) -> Tensor:
    """Return the scores as :meth:`FitResult.scores` has them, or say what is wrong with model or inputs."""
    try:
        x = tuple(inputs) if names is None else dict(zip(names, inputs, strict=True))
        return forward(model, x, num_labels)
    except (IndexError, RuntimeError, TypeError) as error:
        got = f"shapes {', '.join(str(tuple(value.shape)) for value in inputs)}"
        reject("example", "inputs that the model takes, without labels", got, f"the model says: {error}")


def _trace(module: _WithThresholds, inputs: list[Tensor]) -> Any:
    """Return the exporter's program, for any number of rows."""
    unnamed = ["x"] if len(inputs) == 1 else [f"x{number}" for number in range(len(inputs))]
    with warnings.catch_warnings():
        for category, text in _KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", text, category)
        try:
            return torch.onnx.export(
                module,
                tuple(value[:2] for value in inputs),
                input_names=module.names or unnamed,
                output_names=OUTPUTS,
                dynamic_shapes=(tuple({0: "batch"} for _ in inputs),),
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            cause = str(error.__cause__ or error).strip().partition("\n")[0]
            remedy = f"avoid branches on values and fixed numbers of rows in forward; the exporter says: {cause}"
            reject("model", "one that torch.onnx can export", type(module.model).__name__, remedy)


def _describe(model: Any, **properties: str) -> None:
    """Say in the file what it holds, and nothing else: the exporter notes source code and the paths of its files."""
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
    model.metadata_props.update(properties)


def _check_same(file: Path, module: _WithThresholds, inputs: list[Tensor]) -> None:
    """Reject a file that does not compute what torch computes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    feed = {slot.name: value.cpu().numpy() for slot, value in zip(session.get_inputs(), inputs, strict=True)}
    try:
        scores, _ = session.run(OUTPUTS, feed)
    except Exception as error:  # whatever onnxruntime raises
        got = f"{str(error).partition(chr(10))[0]} with {len(inputs[0])} row(s)"
        reject("model", "one that onnxruntime runs with any number of rows", got, "keep the rows' dimension in forward")
    expected = module(*inputs)[0].cpu().numpy()
    if scores.shape != expected.shape or not np.allclose(scores, expected, rtol=TOLERANCE, atol=TOLERANCE):
        got = f"scores {scores[:3].tolist()} for {expected[:3].tolist()}"
        remedy = "check that its output depends on the inputs alone in evaluation mode"
        reject("model", f"one whose scores onnxruntime repeats to {TOLERANCE:g}", got, remedy)
