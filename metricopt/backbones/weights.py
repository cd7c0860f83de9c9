"""Weight files: how they are found, read without unpickling code, and put into the network that they belong to.

This file decides where a file is looked for and which weights fit. Nothing is ever downloaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metricopt._torchvision import import_torchvision
from metricopt._validation import InvalidInputError, reject

_SUFFIXES = (".pt", ".pth", ".safetensors")
_SHOWN = 5


def cached_imagenet_file(name: str) -> Path:
    """Return the file of a network's ImageNet weights in torchvision's cache.

    They are the first weights that torchvision published, IMAGENET1K_V1. For others, pass the path of a file.

    Raises
    ------
    InvalidInputError
        If the file is not there. The message names the file, where it must be, and where it can be had.
    """
    published = import_torchvision().models.get_model_weights(name).IMAGENET1K_V1
    path = Path(torch.hub.get_dir()) / "checkpoints" / published.url.rsplit("/", 1)[1]
    if not path.is_file():
        remedy = f"nothing is downloaded silently: fetch {published.url} and put it there, or pass weights=<its path>"
        reject("weights", f"cached as {path} to be 'imagenet'", "no such file", remedy)
    return path


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Return the state dict that a file holds.

    Parameters
    ----------
    path : str or Path
        A ``.safetensors`` file, or a ``.pt`` or ``.pth`` file with a state dict, alone or as the entry ``"state_dict"``
        or ``"model"`` of a checkpoint. Only tensors and plain containers are unpickled.

    Returns
    -------
    dict of str to Tensor
        The weights by name.

    Raises
    ------
    InvalidInputError
        If there is no such file, or it holds anything else.
    """
    path = Path(path)
    if not path.is_file():
        reject("weights", "None, 'imagenet' or the path of a file", repr(str(path)), "no such file: check the path")
    if path.suffix not in _SUFFIXES:
        reject("weights", f"a file of type {', '.join(_SUFFIXES)}", str(path), "save the model's state_dict() as one")
    remedy = "save the model's state_dict() with torch.save or safetensors"
    try:
        state = _read(path)
    except Exception as error:  # whatever the two readers raise on damaged files and on pickled objects
        reason = str(error).splitlines()[0] if str(error) else ""
        fault = f"weights must be a state dict, got {path}: {type(error).__name__}: {reason}; {remedy}"
        raise InvalidInputError(fault) from error
    for entry in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(entry), Mapping):
            state = state[entry]
    if not (isinstance(state, Mapping) and state and all(isinstance(value, Tensor) for value in state.values())):
        reject("weights", "a state dict", f"something else in {path}", remedy)
    # What DistributedDataParallel puts in front.
    return {name.removeprefix("module."): value for name, value in state.items()}


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def with_backbone_names(state: Mapping[str, Tensor], head: str) -> dict[str, Tensor]:
    """Return weights under the names of a backbone, whether they had those or torchvision's.

    Parameters
    ----------
    state : dict of str to Tensor
        The weights by name.
    head : str
        The name of the last linear layer in torchvision's network.
    """
    named = {}
    for name, value in state.items():
        if name.startswith("AuxLogits."):
            continue
        # The published DenseNet files are older than torchvision's names.
        name = re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name)
        if name.startswith(f"{head}."):
            name = "head." + name.removeprefix(f"{head}.")
        named[name if name.startswith(("head.", "body.")) else f"body.{name}"] = value
    return named


def put_weights(model: nn.Module, state: Mapping[str, Tensor], name: str, source: str) -> None:
    """Load a state dict into a network, or name everything that does not fit.

    Parameters
    ----------
    model : Module
        The network.
    state : dict of str to Tensor
        The weights under the names of the network. The counters of batches can be missing, as in old files.
    name, source : str
        The names of the network and of the weights, for the message.

    Raises
    ------
    InvalidInputError
        If a tensor is missing, unknown or of another shape, which means that the weights belong to another network.
    """
    own = model.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unknown = [key for key in state if key not in own]
    shapes = [
        f"{key} {tuple(state[key].shape)} for {tuple(value.shape)}"
        for key, value in own.items()
        if key in state and state[key].shape != value.shape
    ]
    groups = (("missing", missing), ("unknown", unknown), ("of another shape", shapes))
    faults = [f"{len(keys)} {what}: {_some(keys)}" for what, keys in groups if keys]
    if faults:
        remedy = "load them into the network that they were saved from"
        reject("weights", f"those of {name}", f"{source} with {'; '.join(faults)}", remedy)
    model.load_state_dict(dict(state), strict=False)


def _some(keys: list[str]) -> str:
    rest = len(keys) - _SHOWN
    return ", ".join(keys[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
