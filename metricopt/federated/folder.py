"""The folder of a federation on one machine: the server's checkpoint and log, or the state of a site.

This file decides names, and that a file is there as a whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from metricopt.federated.message import Message

# Inside of a folder that is FLARE's, what is kept lies in this one.
KEPT = "metricopt"
SERVER = "server"
MODEL = "model"
WORKSPACE = "flare"
TAKEN = (SERVER, MODEL, WORKSPACE)
"""The folders beside those of the sites, in the folder of a federation on one machine."""
LOG = "log.txt"
# With these words the log ends where neither the server nor a site gave a run up.
ENDED_BY_FLARE = "FLARE ended the run"
_STATE = "state.safetensors"


def write_state(folder: Path, state: Message) -> None:
    """Write the state of the server or of a site in place of the last one."""
    path = folder / _STATE
    aside = path.with_name(f"{path.name}.aside")
    with aside.open("wb") as file:
        file.write(state.to_bytes())
        os.fsync(file.fileno())  # else a power failure could leave the name without the content
    os.replace(aside, path)


def has_state(folder: Path) -> bool:
    """Return whether there is a state to go on from."""
    return (folder / _STATE).is_file()


def read_state(folder: Path) -> Message:
    """Return the state that :func:`write_state` wrote last."""
    return Message.from_bytes((folder / _STATE).read_bytes())


def clear(folder: Path) -> None:
    """Remove the state and the log of an earlier run."""
    for name in (_STATE, LOG):
        (folder / name).unlink(missing_ok=True)


def add_to_log(folder: Path, lines: Sequence[str]) -> None:
    """Write lines at the end of the log."""
    with (folder / LOG).open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def last_of_log(folder: Path) -> str:
    """Return the last line of the log; empty where there is none."""
    path = folder / LOG
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return lines[-1] if lines else ""
