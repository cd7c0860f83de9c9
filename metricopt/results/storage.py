"""Results on disk: weights and scores as safetensors, all else as JSON, nothing pickled.

This file decides the files and their format; what a result is comes from :mod:`metricopt.results.result`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from metricopt._validation import InvalidInputError, check_choice, reject
from metricopt.evidence.reports import Report, with_nan, without_nan
from metricopt.problem.objectives import REGISTRY
from metricopt.processes import is_main_process
from metricopt.results.certificate import LabelCertificate
from metricopt.results.result import FitResult
from metricopt.results.scored import History, Scored
from metricopt.results.status import Status
from metricopt.solvers.agreement import SlackAgreement

FORMAT = 1
_WEIGHTS, _SCORES, _RESULT = "model.safetensors", "scores.safetensors", "result.json"
_REPORTS = ("train", "validation", "baseline_train", "baseline_validation")


def save(result: FitResult, folder: Path) -> Path:
    """Write a result; see :meth:`metricopt.results.result.FitResult.save`."""
    from safetensors.torch import save_model

    if not is_main_process():
        return folder
    if folder.exists() and not _may_hold_a_result(folder):
        reject("path", "a new folder or one with a result", str(folder), "choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_to_dict(result), indent=1, allow_nan=False)
    save_model(result.model, _aside(folder, _WEIGHTS))
    _save_scores(result.scored, _aside(folder, _SCORES))
    Path(_aside(folder, _RESULT)).write_text(text, encoding="utf-8")
    # All is written; from here on, what is not the whole new result has no result.json and is refused by load.
    (folder / _RESULT).unlink(missing_ok=True)
    for name in (_WEIGHTS, _SCORES, _RESULT):
        os.replace(_aside(folder, name), folder / name)
    return folder


def load(path: str | Path, model: nn.Module) -> FitResult:
    """Read a result that :meth:`FitResult.save` wrote.

    Parameters
    ----------
    path : str or Path
        The folder.
    model : Module
        A model of the same architecture; its weights are replaced.

    Raises
    ------
    InvalidInputError
        If the folder holds no result, one of a later format, or weights of another architecture.
    """
    from safetensors.torch import load_file, load_model

    folder = Path(path)
    for name in ("result.json", "scores.safetensors", "model.safetensors"):
        if not (folder / name).is_file():
            reject("path", "a folder with a saved result", str(folder), f"{name} is missing there")
    with _readable(folder):
        saved = json.loads((folder / _RESULT).read_text(encoding="utf-8"))
        if saved.get("format") != FORMAT:
            reject("path", f"a result of format {FORMAT}", saved.get("format"), "update metricopt")
        result = _from_dict(saved, model, _load_scores(load_file(folder / _SCORES)))
        try:
            load_model(model, folder / _WEIGHTS)
        except RuntimeError as error:
            reject("model", "of the architecture that was saved", type(model).__name__, f"build the same one: {error}")
    return result


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Say what is wrong with a folder that cannot be read."""
    try:
        yield
    except InvalidInputError:
        raise
    except Exception as error:  # whatever JSON, safetensors and our own reading stumble over
        remedy = f"a file there is damaged or not metricopt's: {type(error).__name__}: {error}"
        reject("path", "a folder with a readable result", str(folder), remedy)


def _to_dict(result: FitResult) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "objective": {"name": result.objective.name, **asdict(cast(Any, result.objective))},
        "label_names": list(result.label_names),
        "thresholds": [None if np.isnan(t) else float(t) for t in result.thresholds],
        "statuses": [status.value for status in result.statuses],
        **{name: report.to_dict() if (report := getattr(result, name)) else None for name in _REPORTS},
        "slack": None if result.slack is None else [compared.to_dict() for compared in result.slack],
        "prevalence": result.prevalence,
        "certificates": None if result.certificates is None else [each.to_dict() for each in result.certificates],
        "baseline_name": result.baseline_name,
        "history": [without_nan(record) for record in result.history],
        "selected_stage": result.selected_stage,
        "solver": result.solver,
        "seconds": result.seconds,
        "versions": result.versions,
    }


def _from_dict(saved: dict[str, Any], model: nn.Module, scored: dict[str, Scored]) -> FitResult:
    name = saved["objective"].pop("name")
    check_choice("objective", name, REGISTRY)
    arguments = {key: tuple(v) if isinstance(v, list) else v for key, v in saved["objective"].items()}
    reports = {key: Report.from_dict(saved[key]) if saved[key] else None for key in _REPORTS}
    prevalence, certificates = saved.get("prevalence"), saved.get("certificates")  # from version 0.1 without either
    return FitResult(
        model=model,
        objective=REGISTRY[name](**arguments),
        label_names=tuple(saved["label_names"]),
        thresholds=np.array([np.nan if t is None else t for t in saved["thresholds"]]),
        statuses=tuple(Status(status) for status in saved["statuses"]),
        baseline_name=saved["baseline_name"],
        history=History(with_nan(record) for record in saved["history"]),
        selected_stage=saved["selected_stage"],
        solver=saved["solver"],
        seconds=saved["seconds"],
        versions=saved["versions"],
        scored=scored,
        slack=None if saved["slack"] is None else tuple(SlackAgreement.from_dict(entry) for entry in saved["slack"]),
        prevalence=tuple(prevalence) if isinstance(prevalence, list) else prevalence,
        certificates=None if certificates is None else tuple(map(LabelCertificate.from_dict, certificates)),
        **cast(Any, reports),
    )


def _save_scores(scored: dict[str, Scored], file: str) -> None:
    from safetensors.torch import save_file

    tensors = {
        f"{data}.{name}": torch.from_numpy(np.ascontiguousarray(values))
        for data, part in scored.items()
        for name, values in vars(part).items()
        if isinstance(values, np.ndarray)
    }
    save_file(tensors, file)


def _load_scores(tensors: dict[str, Tensor]) -> dict[str, Scored]:
    scored: dict[str, Scored] = {}
    for key, values in sorted(tensors.items()):
        data, name = key.split(".")
        empty = Scored(data, *(np.empty(0),) * 4)
        scored[data] = replace(scored.get(data, empty), **cast(Any, {name: values.numpy()}))
    return scored


def _aside(folder: Path, name: str) -> str:
    """Return where a file is written before it takes its place."""
    return str(folder / f"{name}.part")


def _may_hold_a_result(folder: Path) -> bool:
    """Say whether a path is a folder that is empty, holds a result, or what an interrupted save left."""
    if not folder.is_dir():
        return False
    names = {file.name.removesuffix(".part") for file in folder.iterdir()}
    return not names or bool(names & {_WEIGHTS, _SCORES, _RESULT})
