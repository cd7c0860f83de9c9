"""Results on disk: weights and scores as safetensors, classifiers by skops, all else as JSON, nothing pickled.

This file decides the files and their format. It reads and writes a result as its attributes by name; what these are is
decided in :mod:`metricopt.results.result`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from metricopt._validation import InvalidInputError, reject
from metricopt.evidence.certificates import certificate_from_dict
from metricopt.evidence.frames import Frames
from metricopt.evidence.reports import Report
from metricopt.evidence.saved_numbers import plain_number, with_nan, without_nan
from metricopt.evidence.subgroups import SubgroupColumn
from metricopt.problem.classes import Classes
from metricopt.problem.registry import objective_from_dict, objective_to_dict
from metricopt.processes import is_main_process
from metricopt.results.architecture import build, describe
from metricopt.results.classifier_files import read_classifiers, write_classifiers
from metricopt.results.history import History
from metricopt.results.scores import DataScores
from metricopt.results.status import Status
from metricopt.results.tried import Tried
from metricopt.scoring.blend import Blend
from metricopt.scoring.classifiers import FittedClassifiers
from metricopt.scoring.ensemble import Ensemble
from metricopt.solvers.agreement import SlackAgreement

FORMAT = 1
_WEIGHTS, _CLASSIFIERS = "model.safetensors", "classifiers.skops"
_SCORES, _RESULT = "scores.safetensors", "result.json"
_REPORTS = ("train", "validation", "baseline_train", "baseline_validation")
_SUBGROUPS = "subgroups/"
_PLAIN = ("confidence", "holdout", "selected_stage", "solver", "seconds", "versions")
"""These attributes are numbers and names, which JSON holds as they are."""


def save(folder: Path, attributes: Mapping[str, Any]) -> Path:
    """Write the attributes of a result; see :meth:`metricopt.FitResult.save`."""
    from safetensors.torch import save_model

    if not is_main_process():
        return folder
    if folder.exists() and not _may_hold_a_result(folder):
        reject("path", "a new folder or one with a result", str(folder), "choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_to_dict(attributes), indent=1, allow_nan=False)
    names, model = [_SCORES, _RESULT], attributes["model"]
    classifiers, network = _classifiers_of(model), _network_of(model)
    if classifiers is not None:
        names.insert(0, _CLASSIFIERS)
        write_classifiers(classifiers, _aside(folder, _CLASSIFIERS))
    if network is not None:
        names.insert(0, _WEIGHTS)
        save_model(network, _aside(folder, _WEIGHTS))
    _save_scores(attributes["data_scores"], _aside(folder, _SCORES))
    Path(_aside(folder, _RESULT)).write_text(text, encoding="utf-8")
    # All is written; from here on, what is not the whole new result has no result.json and is refused by load.
    for name in (_RESULT, _WEIGHTS, _CLASSIFIERS):
        (folder / name).unlink(missing_ok=True)
    for name in names:
        os.replace(_aside(folder, name), folder / name)
    return folder


def load(folder: Path, model: nn.Module | None) -> dict[str, Any]:
    """Read the attributes that :func:`save` wrote, and put the weights into the model; see :func:`metricopt.load`."""
    from safetensors.torch import load_file, load_model

    _check_there(folder, "result.json", "scores.safetensors")
    with _readable(folder):
        saved = json.loads((folder / _RESULT).read_text(encoding="utf-8"))
        if saved.get("format") != FORMAT:
            reject("path", f"a result of format {FORMAT}", saved.get("format"), "update metricopt")
        attributes = _from_dict(saved)
        data_scores = _load_scores(load_file(folder / _SCORES), saved.get("subgroups", {}))
        for data, part in data_scores.items():
            data_scores[data] = replace(part, data=attributes[data].data)
        frames, lines = saved.get("classifiers"), saved.get("blend")
        fitted = None if frames is None else _load_classifiers(folder, frames)
        if saved.get("scores_alone") or (fitted is not None and lines is None):
            if model is not None:
                what = "of scores alone" if fitted is None else "with classifiers of its own"
                reject("model", f"left out for a result {what}", type(model).__name__, "give the path alone")
            return {"model": fitted, "data_scores": data_scores, **attributes}
        _check_there(folder, "model.safetensors")
        given = type(model).__name__
        if model is None and saved.get("architecture") is not None:
            model = build(saved["architecture"])
        if model is None:
            reject("model", "given", None, "pass a module of the architecture that was saved; its weights are replaced")
        if saved.get("ensemble") is not None:
            model = Ensemble.like(model, tuple(saved["ensemble"]))
        try:
            load_model(model, folder / _WEIGHTS)
        except RuntimeError as error:
            reject("model", "of the architecture that was saved", given, f"build the same one: {error}")
        whole = model if lines is None else Blend(model, cast(FittedClassifiers, fitted), _pair_of_lines(lines))
    return {"model": whole, "data_scores": data_scores, **attributes}


def _pair_of_lines(saved: list[list[float]]) -> tuple[tuple[float, float], tuple[float, float]]:
    (first, second), (third, fourth) = saved
    return (float(first), float(second)), (float(third), float(fourth))


def _classifiers_of(model: Any) -> FittedClassifiers | None:
    """Return the classifiers of a model or of its part; None if it has none."""
    own = model.classifiers if isinstance(model, Blend) else model
    return own if isinstance(own, FittedClassifiers) else None


def _network_of(model: Any) -> nn.Module | None:
    """Return a torch model, or that of a blend; None if there is none."""
    own = model.network if isinstance(model, Blend) else model
    return own if isinstance(own, nn.Module) else None


def _one_of(network: nn.Module) -> nn.Module:
    """Return one of the networks whose scores are averaged, or the network itself."""
    return network.replicas.template if isinstance(network, Ensemble) else network


def _load_classifiers(folder: Path, saved: dict[str, Any]) -> FittedClassifiers:
    """Read fitted classifiers; ``saved`` holds the centre and the spread of each, or None for both."""
    _check_there(folder, _CLASSIFIERS)
    frames = None
    if saved["centre"] is not None:
        frames = Frames(*(np.array(saved[name], np.float64)[:, np.newaxis] for name in ("centre", "spread")))
    return read_classifiers(folder / _CLASSIFIERS, frames)


def _frames_to_dict(model: Any) -> dict[str, Any] | None:
    """Return the frames of fitted classifiers, None for a model without any."""
    classifiers = _classifiers_of(model)
    if classifiers is None:
        return None
    frames = classifiers.frames
    if frames is None:
        return {"centre": None, "spread": None}
    return {"centre": frames.centre[:, 0].tolist(), "spread": frames.spread[:, 0].tolist()}


def _check_there(folder: Path, *names: str) -> None:
    for name in names:
        if not (folder / name).is_file():
            reject("path", "a folder with a saved result", str(folder), f"{name} is missing there")


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


def _to_dict(attributes: Mapping[str, Any]) -> dict[str, Any]:
    objective, slack, certificates = (attributes[name] for name in ("objective", "slack", "certificates"))
    model, network = attributes["model"], _network_of(attributes["model"])
    classes = attributes["classes"]
    return {
        "format": FORMAT,
        "objective": objective_to_dict(objective),
        "label_names": list(attributes["label_names"]),
        "thresholds": [plain_number(threshold) for threshold in attributes["thresholds"]],
        "statuses": [status.value for status in attributes["statuses"]],
        **{name: report.to_dict() if (report := attributes[name]) else None for name in _REPORTS},
        "slack": None if slack is None else [compared.to_dict() for compared in slack],
        "prevalence": attributes["prevalence"],
        "certificates": None if certificates is None else [each.to_dict() for each in certificates],
        "classes": None if classes is None else [None if own is None else own.to_dict() for own in classes],
        "subgroups": {
            f"{data}.{name}": list(column.values)
            for data, part in attributes["data_scores"].items()
            for name, column in part.subgroups.items()
        },
        "baseline_name": attributes["baseline_name"],
        "scores_alone": model is None,
        "classifiers": _frames_to_dict(model),
        "blend": [list(line) for line in model.lines] if isinstance(model, Blend) else None,
        "candidates": [each.to_dict() for each in attributes["candidates"]],
        "architecture": None if network is None else describe(_one_of(network)),
        "ensemble": list(network.shape) if isinstance(network, Ensemble) else None,
        "history": [without_nan(record) for record in attributes["history"]],
        **{name: attributes[name] for name in _PLAIN},
    }


def _from_dict(saved: dict[str, Any]) -> dict[str, Any]:
    # Earlier versions wrote none of these.
    prevalence, certificates, classes = (saved.get(name) for name in ("prevalence", "certificates", "classes"))
    return {
        "objective": objective_from_dict(saved["objective"]),
        "label_names": tuple(saved["label_names"]),
        "thresholds": np.array([np.nan if t is None else float(t) for t in saved["thresholds"]]),
        "statuses": tuple(Status(status) for status in saved["statuses"]),
        **{key: Report.from_dict(saved[key]) if saved[key] else None for key in _REPORTS},
        "slack": None if saved["slack"] is None else tuple(SlackAgreement.from_dict(entry) for entry in saved["slack"]),
        "prevalence": tuple(prevalence) if isinstance(prevalence, list) else prevalence,
        "certificates": None if certificates is None else tuple(map(certificate_from_dict, certificates)),
        "classes": None
        if classes is None
        else tuple(None if own is None else Classes.from_dict(own) for own in classes),
        "candidates": tuple(map(Tried.from_dict, saved.get("candidates", ()))),
        "baseline_name": saved["baseline_name"],
        "history": History(with_nan(record) for record in saved["history"]),
        **{name: saved[name] for name in _PLAIN if name in saved},
    }


def _save_scores(data_scores: dict[str, DataScores], file: str) -> None:
    from safetensors.torch import save_file

    tensors = {
        f"{data}.{name}": torch.from_numpy(np.array(values, order="C"))
        for data, part in data_scores.items()
        for name, values in vars(part).items()
        if isinstance(values, np.ndarray)
    }
    for data, part in data_scores.items():
        for name, column in part.subgroups.items():
            tensors[f"{data}.{_SUBGROUPS}{name}"] = torch.from_numpy(column.of_row.astype(np.int64))
    save_file(tensors, file)


def _load_scores(tensors: dict[str, Tensor], subgroups: Mapping[str, list[str]]) -> dict[str, DataScores]:
    """Return the scores of each data set; ``subgroups`` holds the values of each column."""
    data_scores: dict[str, DataScores] = {}
    for key, values in sorted(tensors.items()):
        data, name = key.split(".", 1)
        empty = DataScores(data, np.empty(0), None, np.empty(0), None)
        # A copy: the tensors are mapped from the file, which could not be replaced on Windows while they are.
        part, array = data_scores.get(data, empty), values.numpy().copy()
        if name.startswith(_SUBGROUPS):
            column = name.removeprefix(_SUBGROUPS)
            found = SubgroupColumn(column, tuple(subgroups[f"{data}.{column}"]), array)
            data_scores[data] = replace(part, subgroups={**part.subgroups, column: found})
        else:
            data_scores[data] = replace(part, **cast(Any, {name: array}))
    return data_scores


def _aside(folder: Path, name: str) -> str:
    """Return where a file is written before it takes its place."""
    return str(folder / f"{name}.part")


def _may_hold_a_result(folder: Path) -> bool:
    """Say whether a path is a folder that is empty, holds a result, or what an interrupted save left."""
    if not folder.is_dir():
        return False
    names = {file.name.removesuffix(".part") for file in folder.iterdir()}
    return not names or bool(names & {_WEIGHTS, _CLASSIFIERS, _SCORES, _RESULT})
