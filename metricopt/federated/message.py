"""What travels between the server and a site: named arrays and a few numbers and words, never a pickled object.

This file decides how a message is written as bytes. It leaves what a message says to
:mod:`metricopt.federated.site` and :mod:`metricopt.federated.protocol`, and how bytes travel to an engine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metricopt._validation import reject

_ABOUT = "message"
_LENGTH_BYTES = 8


@dataclass(frozen=True)
class Message:
    """A question of the server, the answer of a site, or the state of one of them.

    Attributes
    ----------
    kind : str
        What is asked: ``"join"``, ``"score"``, ``"train"``, ``"testify"`` or ``"finish"``; an answer has the kind of
        its question, a state the kind ``"state"``.
    arrays : dict of str to ndarray
    info : dict of str to what JSON holds

    Examples
    --------
    >>> sent = Message("train", {"weights.bias": np.zeros(2, np.float32)}, {"round": 3})
    >>> Message.from_bytes(sent.to_bytes()).info
    {'round': 3}
    """

    kind: str
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the message as one file of the safetensors format."""
        from safetensors.numpy import save

        # safetensors takes arrays that lie in one piece.
        arrays = {name: np.ascontiguousarray(array).reshape(np.shape(array)) for name, array in self.arrays.items()}
        return bytes(save(arrays, {_ABOUT: self._about(order=list(arrays))}))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Message:
        """Return the message that :meth:`to_bytes` wrote.

        Raises
        ------
        InvalidInputError
            If the bytes are no such message.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            found = load(raw)
            length = int.from_bytes(raw[:_LENGTH_BYTES], "little")
            about = json.loads(json.loads(raw[_LENGTH_BYTES : _LENGTH_BYTES + length])["__metadata__"][_ABOUT])
            kind, info = str(about["kind"]), dict(about["info"])
            # safetensors returns them in no order, and what follows must be the same each time.
            arrays = {name: found[name] for name in about["order"]}
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            reject("a message", "bytes that Message.to_bytes wrote", f"others ({error})", "send them unchanged")
        return cls(kind, arrays, info)

    @property
    def num_bytes(self) -> int:
        """How many bytes arrays and words take."""
        return sum(np.asarray(array).nbytes for array in self.arrays.values()) + len(self._about())

    def under(self, prefix: str) -> dict[str, np.ndarray]:
        """Return the arrays whose names begin with a prefix and a dot, by the rest of the name."""
        start = f"{prefix}."
        return {name.removeprefix(start): array for name, array in self.arrays.items() if name.startswith(start)}

    def numbered(self, prefix: str) -> list[np.ndarray]:
        """Return the arrays whose names are a prefix, a dot and 0, 1, ..., in that order."""
        found = self.under(prefix)
        return [found[str(number)] for number in range(len(found))]

    def _about(self, **more: Any) -> str:
        return json.dumps({"kind": self.kind, "info": dict(self.info), **more}, allow_nan=False)


def under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return arrays with a prefix and a dot before their names."""
    return {f"{prefix}.{name}": array for name, array in arrays.items()}
