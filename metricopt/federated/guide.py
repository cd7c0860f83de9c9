r"""How the server guides training: threshold, value, spread and multipliers from the summed histograms of all sites.

A row of weight :math:`h_b` in the middle of each bin stands for its :math:`h_b` rows. The solver itself then finds what
it needs of them: its threshold :math:`t`, value :math:`\tau` and spread :math:`\sigma`
(:mod:`metricopt.solvers.profiled`). The multiplier of each bound moves once a round, by the violation :math:`v` of the
ramps over all rows, as if sites had moved it in their S steps,

.. math:: \mu \leftarrow \bigl[\mu + \eta \min(S, S_{\max}) \, v\bigr]_0^{\mu_{\max}}.

A bound "in every site" has a multiplier for each site, which moves by the violation among its own rows.

This file decides these moves. It leaves what a site makes of them to :mod:`metricopt.federated.guidance`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from metricopt.evidence.thresholds import choose_threshold
from metricopt.federated.choosing import subgroups_of
from metricopt.federated.guidance import MOVING, Guidance, prepared
from metricopt.federated.histograms import PseudoRows
from metricopt.problem.labels import has_both_classes
from metricopt.problem.objectives import Objective
from metricopt.solvers import Solver, Stage, Surrogate
from metricopt.solvers.base import spread_of
from metricopt.solvers.profiled_ranking import ProfiledRanking
from metricopt.training.hand_over import has_begun_to_learn, scales_at_hand_over

MOST_STEPS = 20
"""The most steps of a round that move a multiplier: nothing answers it within a round, so it must not leap."""


@dataclass
class Guide:
    """The state by which the server guides training.

    Attributes
    ----------
    objective : Objective
    solver : Solver
    moving : dict of str to ndarray
        What moves in the solver: ``multiplier`` (that of all rows), ``threshold``, ``spread`` and ``value``; empty
        before the hand-over from cross-entropy.
    multipliers : dict of str to ndarray
        The multipliers by site, where a bound speaks of every site; those of other bounds are alike in all.
    scale : float
        The factor of the loss, by which its gradient begins as long as that of cross-entropy.
    path : str
        The path of the solver.
    """

    objective: Objective
    solver: Solver
    moving: dict[str, np.ndarray] = field(default_factory=dict)
    multipliers: dict[str, np.ndarray] = field(default_factory=dict)
    scale: float = 1.0
    path: str = ""
    _counts: dict[str, np.ndarray] = field(default_factory=dict)
    _edges: np.ndarray | None = None
    _num_rows: int = 0

    def see(self, counts: Mapping[str, np.ndarray], edges: np.ndarray, num_rows: int) -> None:
        """Take note of the newest histograms of the training rows (L, 2, B) by site, in bins of ends (L, B + 1)."""
        self._counts, self._edges, self._num_rows = dict(counts), edges, num_rows

    @property
    def has_begun_to_learn(self) -> bool:
        """Whether the newest scores are clearly better than the best constant."""
        rows = self._rows()
        return has_begun_to_learn(rows.scores, rows.labels, rows.weight)

    def hand_over(self, path: str) -> None:
        """Begin a path of the solver, from the weights that the newest histograms speak of."""
        self.path, self.multipliers = path, {}
        rows, ranks = self._rows(), isinstance(self.solver, ProfiledRanking)
        own, scaled = prepared(self.solver, self.objective, rows.labels, rows.weight, self._num_rows)
        if ranks:
            own.refresh(rows.scores, rows.labels, scaled)
        own.start(Stage(path, 1), 1)
        if not ranks:
            state = own.state_dict()
            self.moving = {name: state[name].numpy() for name in MOVING}
            self._find_threshold(rows)
            own.load_state_dict(self._state(0.0))
        cross_entropy = Surrogate()
        cross_entropy.prepare(self.objective, rows.labels, scaled)
        scores = rows.scores.astype(np.float32)
        (self.scale,) = scales_at_hand_over(own, cross_entropy, scores, rows.labels, scaled, knows_rows=False)

    def move(self, progress: float, num_steps: int) -> None:
        """Refresh threshold, value and spread, and move the multipliers, after a round of so many steps a site."""
        if not self.moving:  # average precision needs none of it
            return
        rows, steps = self._rows(), min(num_steps, MOST_STEPS)
        self._find_threshold(rows)
        moved = self._moved(rows, self.moving["multiplier"], progress, steps)
        of_sites = np.array([bound.within is not None for bound in self.objective.bounds], bool)
        if of_sites.any():
            for site in self._counts:
                now = self.multipliers.get(site, self.moving["multiplier"])
                own = self._moved(self._rows(site), now, progress, steps)
                mixed = np.where(
                    of_sites[:, np.newaxis], own.reshape(len(of_sites), -1), moved.reshape(len(of_sites), -1)
                )
                self.multipliers[site] = mixed.reshape(moved.shape)
        self.moving["multiplier"] = moved

    def guidance(self, site: str, progress: tuple[float, float], *, is_alone: bool) -> Guidance:
        """Return what a site is told for a round on the objective."""
        if is_alone:
            told = {name: array for name, array in self.moving.items() if name == "multiplier"}
            return Guidance(True, self.path, progress, arrays=told)
        assert self._edges is not None
        summed = np.sum(list(self._counts.values()), axis=0)
        if isinstance(self.solver, ProfiledRanking):
            arrays = {"counts": summed, "edges": self._edges}
        else:
            multiplier = self.multipliers.get(site, self.moving["multiplier"])
            arrays = {**self.moving, "multiplier": multiplier, "totals": summed.sum(axis=2)}
        return Guidance(True, self.path, progress, self.scale, self._num_rows, arrays)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return all that moves, as arrays and words."""
        arrays = {f"moving.{name}": array for name, array in self.moving.items()}
        arrays |= {f"multipliers.{site}": array for site, array in self.multipliers.items()}
        arrays |= {f"counts.{site}": array for site, array in self._counts.items()}
        if self._edges is not None:
            arrays["edges"] = self._edges
        return arrays, {"scale": self.scale, "path": self.path, "num_rows": self._num_rows}

    def load_state(self, arrays: Mapping[str, np.ndarray], words: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` returned."""

        def under(prefix: str) -> dict[str, np.ndarray]:
            return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}

        self.moving, self.multipliers, self._counts = under("moving."), under("multipliers."), under("counts.")
        self._edges, self.path = arrays.get("edges"), words["path"]
        self.scale, self._num_rows = words["scale"], words["num_rows"]

    def _rows(self, site: str | None = None) -> PseudoRows:
        assert self._edges is not None
        counts = self._counts if site is None else {site: self._counts[site]}
        return PseudoRows.of(counts, self._edges, "middle").filled()

    def _find_threshold(self, rows: PseudoRows) -> None:
        subgroups = subgroups_of(self.objective, rows.site_of)
        choice = choose_threshold(
            rows.scores, rows.labels, self.objective, sample_weight=rows.weight, subgroups=subgroups
        )
        is_judged = has_both_classes(rows.labels, rows.weight)
        found = {"threshold": choice.threshold, "value": choice.value, "spread": spread_of(rows.scores, rows.weight)}
        for name, now in found.items():
            self.moving[name] = np.where(is_judged, now, self.moving[name])

    def _state(self, progress: float) -> dict[str, Any]:
        """Return the state of the solver at a progress along its path."""
        moving = {name: torch.from_numpy(array.copy()) for name, array in self.moving.items()}
        fine = 10_000
        return {**moving, "path": self.path, "step": round(progress * fine), "num_steps": fine + 1}

    def _moved(self, rows: PseudoRows, multiplier: np.ndarray, progress: float, num_steps: int) -> np.ndarray:
        """Return multipliers after so many steps under the violation of the ramps on rows."""
        own, scaled = prepared(self.solver, self.objective, rows.labels, rows.weight, self._num_rows)
        own.load_state_dict({**self._state(progress), "multiplier": torch.from_numpy(multiplier.copy())})
        own.loss(*(torch.from_numpy(array) for array in (rows.scores, rows.labels, scaled)))
        for _ in range(num_steps):
            own.step()
        return np.asarray(own.state_dict()["multiplier"].numpy())
