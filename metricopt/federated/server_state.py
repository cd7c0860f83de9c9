"""All that moves at the server, and how it is written down as arrays and words.

This file decides what a checkpoint holds. It leaves what moves it to :mod:`metricopt.federated.protocol`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metricopt.evidence.saved_numbers import plain_number, with_nan, without_nan
from metricopt.federated.guide import Guide
from metricopt.federated.message import Message, under
from metricopt.federated.weights import Arrays

_WORDS = (
    "phase",
    "round",
    "tries",
    "warmup_rounds",
    "num_bytes",
    "seconds",
    "steps",
    "best_round",
    "num_rows",
    "silent",
    "log",
)
_BY_NAME = ("shared", "best", "warm", "train", "warm_train", "held_out")


@dataclass
class State:
    """What moves at the server.

    Attributes
    ----------
    phase : str
        The kind of the next questions, or ``"done"``.
    round : int
        The round under way, from 0; -1 before the first.
    tries : int
        How often too few sites have answered the questions under way.
    warmup_rounds : int
        How many rounds train on cross-entropy.
    num_bytes : int
    seconds : float
    steps : int
        How many steps a site took in the latest round, on average.
    best_key : list of float
        What the best round is compared by; empty before the first.
    best_round : int
        -1 before the first.
    num_rows : dict
        How many rows of each part each site has; these sites have joined.
    silent : list of str
        The sites that did not answer last.
    log, history : list of dict
    shared, best, warm : Arrays
        The weights that all sites share, now, in the best round and at the end of the warm-up.
    of_sites : dict of str to Arrays
        What each site goes on with, where they differ.
    train : dict of str to ndarray
        The histograms of the training rows in the best round, by site.
    warm_train : dict of str to ndarray
        The histograms of the training rows at the end of the warm-up, by site.
    held_out : dict of str to ndarray
        The newest histograms of the held-out rows in the best round, in the finest bins, by site.
    levels : list of ndarray
        The ends of the bins, from the coarsest.
    """

    phase: str = "join"
    round: int = -1
    tries: int = 0
    warmup_rounds: int = 0
    num_bytes: int = 0
    seconds: float = 0.0
    steps: int = 0
    best_key: list[float] = field(default_factory=list)
    best_round: int = -1
    num_rows: dict[str, dict[str, int]] = field(default_factory=dict)
    silent: list[str] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    shared: Arrays = field(default_factory=dict)
    best: Arrays = field(default_factory=dict)
    warm: Arrays = field(default_factory=dict)
    of_sites: dict[str, Arrays] = field(default_factory=dict)
    train: Arrays = field(default_factory=dict)
    warm_train: Arrays = field(default_factory=dict)
    held_out: Arrays = field(default_factory=dict)
    levels: list[np.ndarray] = field(default_factory=list)

    def note(self, site: str, what: str) -> None:
        """Write into the log what a site did or lacks; questions may be asked again, but are noted once."""
        entry = {"round": self.round, "kind": self.phase, "site": site, "what": what}
        if entry not in self.log:
            self.log.append(entry)

    def to_message(self, guide: Guide, about: str) -> Message:
        """Return the state, with that of the guide, and what it is the state of."""
        arrays, words = guide.state()
        arrays = under("guide", arrays)
        for name in _BY_NAME:
            arrays |= under(name, getattr(self, name))
        sites = list(self.of_sites)
        for number, site in enumerate(sites):
            arrays |= under(f"of_sites.{number}", self.of_sites[site])
        arrays |= {f"levels.{number}": level for number, level in enumerate(self.levels)}
        info = {name: getattr(self, name) for name in _WORDS}
        info["best_key"] = [plain_number(value) for value in self.best_key]
        info |= {"of": about, "guide": words, "sites": sites, "history": [without_nan(each) for each in self.history]}
        return Message("state", arrays, info)

    @classmethod
    def from_message(cls, message: Message, guide: Guide) -> State:
        """Return the state that :meth:`to_message` wrote down, and give the guide its own."""
        info = message.info
        guide.load_state(message.under("guide"), info["guide"])
        as_they_are: dict[str, Any] = {name: info[name] for name in _WORDS}
        as_they_are |= {name: message.under(name) for name in _BY_NAME}
        return cls(
            **as_they_are,
            best_key=[float(value) for value in info["best_key"]],
            history=[with_nan(each) for each in info["history"]],
            of_sites={site: message.under(f"of_sites.{number}") for number, site in enumerate(info["sites"])},
            levels=message.numbered("levels"),
        )
