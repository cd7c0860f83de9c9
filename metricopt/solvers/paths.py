"""The paths that a training takes one after the other: from wide ramps, where every sample pulls, to the exact count.

One path can end in a poor local optimum, so several run from the warm start, and shorter ones from the best model
found; the training loop keeps the best by the exact metric. This file decides the paths and the epochs of each; what a
ramp is comes from :mod:`metricopt.solvers.reformulation`, and what drives it from the solvers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from metricopt._validation import check_choice
from metricopt.solvers.base import Solver, Stage
from metricopt.solvers.reformulation import tie_margin

MIN_EPOCHS_A_STAGE = 4
"""Fewer epochs are too few for a path to narrow its ramps: short trainings run fewer paths."""


@dataclass(frozen=True)
class Path:
    """How one path narrows its ramps; steepness and cap change geometrically.

    Attributes
    ----------
    surrogate : "hinge" or "ramp"
        :func:`~metricopt.solvers.reformulation.hinge_to_ramp` or
        :func:`~metricopt.solvers.reformulation.eliminated_penalty`.
    steepness, cap : (first, last)
    multiplier : float
        The multiplier at the start: a large one asks for the bound first and for the objective later.
    start : "warm" or "best"
    relative_epochs : int
        The number of epochs of this path, relative to those of the other paths.
    anchor : float
        The weight of cross-entropy to the labels, per positive, that is kept beside the ramps: of the raw scores in the
        profiled solver, of the distances to the threshold in those with explicit slacks.
    growth : float
        The power of the progress with which the ramps gain weight beside the anchor: 0 has them weigh 1 throughout.
    """

    surrogate: Literal["hinge", "ramp"]
    steepness: tuple[float, float]
    multiplier: float = 1.0
    cap: tuple[float, float] = (20.0, 1.0)
    start: Literal["warm", "best"] = "warm"
    relative_epochs: int = 4
    anchor: float = 0.0
    growth: float = 0.0

    def slope(self, progress: float) -> float:
        """Return the steepness at a progress from 0 to 1."""
        return _interpolate(self.steepness, progress)

    def height(self, progress: float) -> float:
        """Return the height of the ramps in errors: that of a path of ramps is always 1."""
        return _interpolate(self.cap, progress) if self.surrogate == "hinge" else 1.0

    def strength(self, progress: float) -> float:
        """Return what a broken link costs per unit, relative to an error: the slope of ramps of height 1."""
        return self.slope(progress) / self.height(progress)

    def weight(self, progress: float) -> float:
        """Return what the ramps weigh in the loss."""
        return progress**self.growth

    def margin(self, progress: float) -> float:
        """Return by how much a sample must be right to count as right."""
        return float(tie_margin(1.0 if self.surrogate == "ramp" else 2.0, self.slope(progress)))


# In the order in which short trainings take them. No single path is best on all linear models: a wide hinge finds far
# optima, a strict start finds bounds that the warm model misses by far, narrow ramps polish.
LINEAR_PATHS = {
    "anchored ramp": Path("ramp", (0.5, 16.0), anchor=0.1),
    "ramp": Path("ramp", (0.5, 16.0)),
    "strict hinge": Path("hinge", (1.2, 8.0), multiplier=20.0),
    "hinge": Path("hinge", (2.0, 16.0), cap=(10.0, 1.0)),
    "wide hinge": Path("hinge", (0.3, 8.0), multiplier=5.0),
    "polish": Path("ramp", (4.0, 32.0), start="best", relative_epochs=3),
    "wide polish": Path("ramp", (1.0, 16.0), start="best", relative_epochs=3),
}

# Where the models of folds are trained, the ends of all their paths are averaged, good or bad: so there are those alone
# that do well on the new rows of development data by themselves.
FOLD_PATHS = {name: LINEAR_PATHS[name] for name in ("anchored ramp", "ramp", "hinge")}

# A network learns features as long as it trains, and ramps alone teach it little: they are steep where its scores still
# lie close together, and flat where it fits the training data. So there is one long path that begins as cross-entropy
# goes on and hands over to the ramps by and by.
NETWORK_PATHS = {"guided ramp": Path("ramp", (0.5, 16.0), anchor=1.0, growth=2.0)}

# A linear model with about as many columns as positives can learn its rows by heart, as a network can, and with many
# columns cross-entropy takes long. Paths from one warm-up then end in weights that are worse on new rows than
# cross-entropy, and so is their average: there is one path that begins as cross-entropy goes on, whose ramps stay wide.
WIDE_PATHS = {"gentle ramp": Path("ramp", (0.5, 4.0), anchor=1.0, growth=2.0)}

PATHS = {**LINEAR_PATHS, **NETWORK_PATHS, **WIDE_PATHS}
"""The paths of objectives with counts at a threshold, by name."""

# For rankings, where a ramp is one of the difference of two scores: narrow ramps do best where cross-entropy has found
# the right region, wide ones, which feel all pairs, find optima that are farther away.
RANKING_PATHS = {
    "ramp": Path("ramp", (4.0, 32.0)),
    "wide ramp": Path("ramp", (0.5, 16.0)),
    "polish": Path("ramp", (2.0, 64.0), start="best", relative_epochs=3),
}


class PathSolver(Solver):
    """A solver whose stages are paths: several, or the one that its user names.

    Parameters
    ----------
    path : str, optional
        The name of the one path to take; by default there are several.

    Attributes
    ----------
    linear_paths, network_paths : mapping of str to Path
        The paths by name that a linear model takes by default, and those that a network takes.
    fold_paths : mapping of str to Path, or None
        Those that the linear models of several folds take by default; None takes those of one model.
    wide_paths : mapping of str to Path, or None
        Those that they take where they have many columns; None takes the same as for others.
    """

    linear_paths: ClassVar[Mapping[str, Path]] = LINEAR_PATHS
    fold_paths: ClassVar[Mapping[str, Path] | None] = FOLD_PATHS
    wide_paths: ClassVar[Mapping[str, Path] | None] = WIDE_PATHS
    network_paths: ClassVar[Mapping[str, Path]] = NETWORK_PATHS
    _path: str | None = None

    def __init__(self, path: str | None = None) -> None:
        if path is not None:
            check_choice("path", path, self._paths())
        self._path = path

    def __repr__(self) -> str:
        return self.name if self._path is None else f"{self.name}(path={self._path!r})"

    @property
    def path(self) -> str | None:
        """The name of the one path that its user asked for; None for several."""
        return self._path

    def stages(self, epochs: int, is_linear: bool = True) -> Sequence[Stage]:
        paths = self.linear_paths if is_linear else self.network_paths
        if self._path is not None:
            paths = {self._path: self._paths()[self._path]}
        return stages_of(epochs, paths)

    @classmethod
    def _paths(cls) -> Mapping[str, Path]:
        """Return all paths by name."""
        return {**cls.linear_paths, **cls.network_paths, **(cls.wide_paths or {})}

    def fold_stages(self, epochs: int, is_linear: bool = True, is_wide: bool = False) -> Sequence[Stage]:
        paths = self.wide_paths if is_wide and self.wide_paths is not None else self.fold_paths
        if not is_linear or self._path is not None or paths is None:
            return super().fold_stages(epochs, is_linear, is_wide)
        return stages_of(epochs, paths)


def _interpolate(ends: tuple[float, float], progress: float) -> float:
    """Interpolate geometrically: ``ends[0]`` at progress 0, ``ends[1]`` at 1."""
    first, last = ends
    return first * (last / first) ** progress


def stages_of(epochs: int, paths: Mapping[str, Path]) -> Sequence[Stage]:
    """Divide ``epochs`` (>= 1) among the paths, the first ones alone where they are few."""
    chosen = list(paths.items())[: max(1, epochs // MIN_EPOCHS_A_STAGE)]
    ends = np.cumsum([path.relative_epochs for _, path in chosen])
    lengths = np.diff(np.round(ends * epochs / ends[-1]).astype(int), prepend=0)
    return [Stage(name, int(length), path.start) for (name, path), length in zip(chosen, lengths, strict=True)]


class Position:
    """The position of a training on its path.

    Attributes
    ----------
    path : Path
    num_steps : int
        The number of steps of the whole path.
    """

    def __init__(self, name: str | None = None, num_steps: int = 1, paths: Mapping[str, Path] = PATHS) -> None:
        self._paths, self._name, self._step, self.num_steps = paths, name or next(iter(paths)), 0, num_steps

    @property
    def path(self) -> Path:
        return self._paths[self._name]

    @property
    def progress(self) -> float:
        """How far along its path training is, from 0 to 1."""
        return min(self._step / max(self.num_steps - 1, 1), 1.0)

    def advance(self) -> None:
        """Go one step on."""
        self._step += 1

    def state_dict(self) -> dict[str, Any]:
        return {"path": self._name, "step": self._step, "num_steps": self.num_steps}

    @classmethod
    def from_state(cls, state: dict[str, Any], paths: Mapping[str, Path] = PATHS) -> Position:
        """Return the position that :meth:`state_dict` wrote down."""
        position = cls(state["path"], state["num_steps"], paths)
        position._step = state["step"]
        return position
