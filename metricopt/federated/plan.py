"""The rounds of a federation: a warm-up with cross-entropy, and the paths of the solver.

A linear model that all sites share takes several paths, each from the end of the warm-up or from the best weights so
far, as in :func:`metricopt.fit`: no single one finds the best on all problems. A network takes one path, and so does a
model of which sites keep weights of their own, which do not go back.

This file decides how rounds are divided. It leaves the paths to :mod:`metricopt.solvers.paths`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metricopt.solvers import WARMUP, Solver, Stage
from metricopt.solvers.paths import MIN_EPOCHS_A_STAGE

MIN_ROUNDS_A_PATH = 6


def plan_of(solver: Solver, rounds: int, warmup_rounds: int, *, has_paths: bool, is_alone: bool = False) -> list[Stage]:
    """Return the stages of a federation, in rounds.

    Parameters
    ----------
    solver : Solver
    rounds : int, >= 1
    warmup_rounds : int, >= 0
        Below ``rounds``, unless the solver is cross-entropy.
    has_paths : bool
        Whether several paths are taken, where there are rounds for them.
    is_alone : bool
        Whether the one site of the federation moves its solver with the batches, so that paths may be shorter.

    Examples
    --------
    >>> from metricopt.solvers import Profiled
    >>> [(stage.name, stage.epochs) for stage in plan_of(Profiled(), 20, 5, has_paths=True)]
    [('warm-up', 5), ('anchored ramp', 8), ('ramp', 7)]
    >>> [(stage.name, stage.goes_on) for stage in plan_of(Profiled(), 20, 5, has_paths=False)]
    [('warm-up', False), ('guided ramp', True)]
    """
    if not solver.warms_up:
        return [Stage(WARMUP, rounds, is_direct=False)]
    direct = rounds - warmup_rounds
    if is_alone:
        paths = list(solver.stages(direct, is_linear=has_paths))
    else:
        number = max(1, direct // MIN_ROUNDS_A_PATH) if has_paths else 1
        stages: Sequence[Stage] = solver.stages(MIN_EPOCHS_A_STAGE * number, is_linear=has_paths)[:number]
        lengths = [len(part) for part in np.array_split(np.arange(direct), len(stages))]
        paths = [replace(stage, epochs=length) for stage, length in zip(stages, lengths, strict=True)]
    if not warmup_rounds:
        return paths
    if not has_paths:
        paths[0] = replace(paths[0], goes_on=True)
    return [Stage(WARMUP, warmup_rounds, is_direct=False), *paths]


def stage_at(plan: Sequence[Stage], round_number: int) -> tuple[Stage, int]:
    """Return the stage of a round, counted from 0, and how many rounds of that stage come before it."""
    for stage in plan:
        if round_number < stage.epochs:
            break
        round_number -= stage.epochs
    return stage, round_number
