"""Checkpoints on disk: one training state a file, written whole or not at all, read without unpickling.

This file decides how a state (nested dicts, lists, tuples, numbers, tensors, arrays) becomes a safetensors file, which
files are kept, and what happens with damaged ones. What a state holds comes from the training loop.
"""

from __future__ import annotations

import json
import os
import time
import warnings
import zlib
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from metricopt._validation import InvalidInputError, reject
from metricopt.evidence.choice import ThresholdChoice
from metricopt.problem.ratios import Counts
from metricopt.training.state import Candidate, State

FORMAT = 4
KEPT = 2
SECONDS_BETWEEN_EPOCHS = 1.0
"""Epochs that are shorter are not all worth a file."""

_SUFFIX, _ASIDE = ".safetensors", ".part"
_SKELETON = "skeleton"
_RECORDS: dict[str, Any] = {kind.__name__: kind for kind in (Candidate, Counts, State, ThresholdChoice)}
_MAPPINGS: dict[str, Any] = {kind.__name__: kind for kind in (dict, OrderedDict, Counter)}
_PLAIN = {
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
}
"""What every safetensors can hold; other kinds are stored as bytes."""
_SHOWN_DIFFERENCES = 3


class Checkpoints:
    """The checkpoints of one training: ``step-<9 digits>.safetensors`` in a folder, of which the newest two are kept.

    Parameters
    ----------
    folder : str or Path
        A folder that :func:`claim_folder` accepted.
    every : int, > 0
        The number of steps between two checkpoints.
    fingerprint : dict of str to str
        The names and values that tell this training from others.
    """

    def __init__(self, folder: str | Path, every: int, fingerprint: Mapping[str, str]) -> None:
        self._folder, self._every, self._fingerprint = Path(folder), every, dict(fingerprint)
        self._written = -np.inf

    def is_due(self, step: int) -> bool:
        """Say whether a checkpoint is due after so many steps."""
        return step % self._every == 0

    def is_due_after_epoch(self) -> bool:
        """Say whether a checkpoint is due after an epoch, by the clock."""
        return time.monotonic() - self._written >= SECONDS_BETWEEN_EPOCHS

    def write(self, content: Any, step: int) -> None:
        """Write a state. When this returns, the state is on disk as a whole.

        Parameters
        ----------
        content
            The state, made of what :func:`flatten` can take apart.
        step : int
            The number of steps that are done.

        Raises
        ------
        InvalidInputError
            If ``content`` holds something that cannot be stored.
        """
        from safetensors.torch import save_file

        skeleton, tensors = flatten(content)
        text = json.dumps({"fingerprint": self._fingerprint, "content": skeleton}, separators=(",", ":"))
        tensors[_SKELETON] = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
        metadata = {"metricopt_checkpoint": str(FORMAT)}
        metadata["crc32"] = _checksum(metadata["metricopt_checkpoint"], tensors)
        path = self._folder / f"step-{step:09d}{_SUFFIX}"
        aside = path.with_name(path.name + _ASIDE)
        aside.write_bytes(b"")  # the plain error of the system where the folder cannot be written
        save_file(tensors, aside, metadata)
        with aside.open("rb+") as file:
            os.fsync(file.fileno())  # else a power failure could leave the name without the content
        os.replace(aside, path)
        self._written = time.monotonic()
        files = _files(self._folder)
        own = files.index(path) + 1
        # What lies after this step belongs to a run that was resumed from before: a damaged file, say.
        for old in (*files[: max(own - KEPT, 0)], *files[own:]):
            old.unlink()

    def read(self) -> Any:
        """Return the newest state that can be read, or None where the folder has no checkpoint.

        If a file is damaged, there is a warning, and the file before it is read.

        Raises
        ------
        InvalidInputError
            If no checkpoint can be read, or the newest one has another format or belongs to another training.
        """
        files = _files(self._folder)
        for path in reversed(files):
            try:
                saved = _read(path)
            except InvalidInputError:
                raise
            except Exception as error:  # whatever safetensors, JSON and our own reading stumble over
                warnings.warn(f"The checkpoint {path} is damaged and left out: {error}", stacklevel=5)  # fit's caller
                continue
            _check_same_training(path, saved["fingerprint"], self._fingerprint)
            return saved["content"]
        if files:
            remedy = "all there are damaged; choose another folder to start afresh"
            reject("checkpoint_dir", "a folder with a readable checkpoint", str(self._folder), remedy)
        return None


def claim_folder(folder: str | Path, *, resume: bool) -> None:
    """Make a folder for checkpoints, or see that it can be used. What a killed run left half written is removed.

    Parameters
    ----------
    folder : str or Path
        The folder; other files in it are left alone.
    resume : bool
        Whether a training that left checkpoints there is to go on.

    Raises
    ------
    InvalidInputError
        If the folder cannot be made, or holds checkpoints although ``resume`` is False.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reject("checkpoint_dir", "a folder that can be made", repr(str(folder)), f"choose another: {error}")
    if not resume and has_checkpoints(path):
        remedy = "pass resume=True to go on from there, or choose another folder"
        reject("checkpoint_dir", "a folder without checkpoints", f"{_files(path)[-1]}", remedy)
    for leftover in path.glob(f"step-*{_SUFFIX}{_ASIDE}"):
        leftover.unlink()


def has_checkpoints(folder: str | Path) -> bool:
    """Say whether a folder holds checkpoints."""
    return bool(_files(Path(folder)))


def _files(folder: Path) -> list[Path]:
    """Return the checkpoints, oldest first."""
    return sorted(folder.glob(f"step-{'[0-9]' * 9}{_SUFFIX}"))


def flatten(content: Any) -> tuple[Any, dict[str, Tensor]]:
    """Take a nested structure apart into what JSON can hold and named tensors.

    Parameters
    ----------
    content
        A structure of dicts (with any such keys), lists, tuples and the records of a training
        (:class:`~metricopt.training.state.State`) that holds None, bool, int, float, str, tensors, and arrays and
        numbers of NumPy.

    Returns
    -------
    tuple of skeleton and dict of str to Tensor
        Tensors are copies on the CPU. One that occurs several times is there once.

    Raises
    ------
    InvalidInputError
        If the structure holds anything else; the message says where.

    Examples
    --------
    >>> skeleton, tensors = flatten({"weights": (torch.ones(2), None)})
    >>> skeleton
    {'dict': [['weights', {'tuple': [{'tensor': ['/weights/0', 'float32']}, None]}]]}
    >>> tensors
    {'/weights/0': tensor([1., 1.])}
    """
    return (flat := _Flat()).take_apart(content, ""), flat.tensors


class _Flat:
    """The tensors met so far, each under one name."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[int, str] = {}

    def take_apart(self, value: Any, path: str) -> Any:
        kind = type(value)
        if value is None or kind in (bool, int, float, str):
            return value
        if kind in (list, tuple):
            items = [self.take_apart(item, f"{path}/{number}") for number, item in enumerate(value)]
            return items if kind is list else {"tuple": items}
        if kind in _MAPPINGS.values():
            return {kind.__name__: self._pairs(value, path)}
        if is_dataclass(value) and kind is _RECORDS.get(kind.__name__):
            return {"record": kind.__name__, "fields": self._pairs(vars(value), path)}
        if kind in (Tensor, nn.Parameter):
            return {"tensor": self._stored(value, value.detach(), path)}
        if kind is np.ndarray or isinstance(value, np.generic):
            try:
                tensor = torch.from_numpy(np.array(value, order="C"))
            except TypeError:  # texts, objects, dates
                _refuse(value, path)
            return {"array" if kind is np.ndarray else "number": self._stored(value, tensor, path)}
        _refuse(value, path)

    def _pairs(self, mapping: Mapping[Any, Any], path: str) -> list[Any]:
        return [
            [self.take_apart(key, f"{path}/{key}"), self.take_apart(value, f"{path}/{key}")]
            for key, value in mapping.items()
        ]

    def _stored(self, value: Any, tensor: Tensor, path: str) -> list[str]:
        """Return a tensor's name and kind, and keep a copy of it unless this very object is there already."""
        if id(value) not in self._names:
            if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
                _refuse(value, path)
            name = path or "/"
            while name in self.tensors:  # the keys 1 and "1"
                name += "'"
            plain = tensor.cpu().clone(memory_format=torch.contiguous_format)
            self.tensors[name] = plain if plain.dtype in _PLAIN else plain.unsqueeze(-1).view(torch.uint8)
            self._names[id(value)] = name
        return [self._names[id(value)], str(tensor.dtype).removeprefix("torch.")]


def _refuse(value: Any, path: str) -> NoReturn:
    kind = f"{type(value).__name__} of {value.dtype}" if hasattr(value, "dtype") else type(value).__name__
    reject(
        "what a checkpoint stores",
        "made of dense tensors, arrays, numbers, texts, lists, tuples and dicts",
        f"{kind} at {path or '/'}",
        "keep it out of the state_dict() that holds it, or leave checkpoint_dir out",
    )


def put_together(skeleton: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return the structure that :func:`flatten` took apart.

    Examples
    --------
    >>> put_together(*flatten({1: [2.5, "a", torch.tensor(3)]}))
    {1: [2.5, 'a', tensor(3)]}
    """

    def pairs(items: list[Any]) -> dict[Any, Any]:
        return {put_together(key, tensors): put_together(value, tensors) for key, value in items}

    if isinstance(skeleton, list):
        return [put_together(item, tensors) for item in skeleton]
    if not isinstance(skeleton, dict):
        return skeleton
    kind, content = next(iter(skeleton.items()))
    if kind == "tuple":
        return tuple(put_together(item, tensors) for item in content)
    if kind in _MAPPINGS:
        return _MAPPINGS[kind](pairs(content))
    if kind == "record":
        return _RECORDS[content](**pairs(skeleton["fields"]))
    name, dtype = content[0], getattr(torch, content[1])
    tensor = tensors[name] if dtype in _PLAIN else tensors[name].view(dtype).squeeze(-1)
    return tensor if kind == "tensor" else tensor.numpy() if kind == "array" else tensor.numpy()[()]


def _checksum(head: str, tensors: Mapping[str, Tensor]) -> str:
    """Return the CRC-32 of names, kinds and bytes."""
    crc = zlib.crc32(head.encode())
    for name, tensor in sorted(tensors.items()):
        crc = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), crc)
        crc = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, crc)
    return f"{crc:08x}"


def _read(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - no mapping
    if "metricopt_checkpoint" not in metadata:
        raise ValueError("it is no checkpoint of metricopt")
    if metadata.get("crc32") != _checksum(metadata["metricopt_checkpoint"], tensors):
        raise ValueError("its checksum is wrong")
    if metadata["metricopt_checkpoint"] != str(FORMAT):
        got = f"format {metadata['metricopt_checkpoint']} in {path.name}"
        reject("checkpoint_dir", f"of checkpoints of format {FORMAT}", got, "resume with the metricopt that wrote it")
    saved = json.loads(tensors.pop(_SKELETON).numpy().tobytes())
    return {"fingerprint": saved["fingerprint"], "content": put_together(saved["content"], tensors)}


def _check_same_training(path: Path, saved: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Reject a checkpoint of another training; say what differs."""
    differences = [
        f"{name} ({saved.get(name, 'none')} there, {own.get(name, 'none')} now)"
        for name in dict.fromkeys([*own, *saved])
        if saved.get(name) != own.get(name)
    ]
    if differences:
        more = len(differences) - _SHOWN_DIFFERENCES
        listed = ", ".join(differences[:_SHOWN_DIFFERENCES]) + (f" and {more} more" if more > 0 else "")
        remedy = "resume with the same arguments and data, or choose another folder"
        reject("checkpoint_dir", "of the training that is resumed", f"{path}, which differs in {listed}", remedy)
