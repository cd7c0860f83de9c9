"""How often training reaches the optimum of programs with several bounds, some in subgroups: random 2-D mixtures.

This file decides what is trained and reported; problems, programs and the sweep that judges are in
:mod:`benchmarks.studies.program_problems`. What is finished is never run again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import typer
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.reporting.files import RUNS
from benchmarks.running import runner
from benchmarks.studies.program_problems import SITE, best_by_sweep, draw_problem, programs_for
from benchmarks.studies.study import Processes, Quick, console, finish

NEEDS: tuple[str, ...] = ()
NUM_PROBLEMS = 9
"""So many problems are asked for several bounds over all rows."""
NUM_WITH_SITES = 8
"""So many of them are asked for bounds in every site, too."""
BATCH_SIZE = 256


@dataclass(frozen=True)
class Trained:
    """A training: one program on one problem."""

    seed: int
    program: str

    @property
    def key(self) -> str:
        """The problem and what is asked of it."""
        return f"problem {self.seed}: {programs_for(self.seed)[self.program]}"

    @property
    def title(self) -> str:
        return f"{self.program}, problem {self.seed}"

    def run(self) -> list[dict[str, Any]]:
        """Train with default settings, and return what was reached beside the optimum."""
        torch.set_num_threads(1)
        problem, program = draw_problem(self.seed), programs_for(self.seed)[self.program]
        optimum = best_by_sweep(problem, program)
        data = TensorDataset(torch.from_numpy(problem.features), torch.from_numpy(problem.labels))
        torch.manual_seed(0)
        began = time.perf_counter()
        result = metricopt.fit(
            torch.nn.Linear(2, 1),
            DataLoader(data, batch_size=BATCH_SIZE, shuffle=True),
            program,
            val_fraction=0,
            subgroups={SITE: problem.sites},
            progress=False,
        )
        seconds = time.perf_counter() - began
        is_feasible = result.status is metricopt.Status.FEASIBLE
        assert result.baseline_train is not None, "a training has a candidate zero"
        reached = result.train.value if is_feasible else 0.0
        warm = result.baseline_train.value if all(bound.met for bound in result.baseline_train.bounds) else 0.0
        return [
            {
                "problem": self.seed,
                "program": self.program,
                "asked": str(program),
                "sites": int(problem.sites.max()) + 1,
                "optimum": optimum,
                "status": result.status.value,
                "reached": reached,
                "says_feasible_but_misses": is_feasible and not all(bound.met for bound in result.train.bounds),
                "cross_entropy": warm,
                "gap": _gap(optimum, reached),
                "cross_entropy_gap": _gap(optimum, warm),
                "stage": result.selected_stage,
                "seconds": round(seconds, 2),
            }
        ]


def _gap(optimum: float, reached: float) -> float:
    """Return how far below the optimum of the sweep a value is; 0 where nothing is feasible."""
    return 0.0 if np.isnan(optimum) else max(optimum - reached, 0.0)


def main(quick: Quick = False, processes: Processes = 2) -> None:
    """Train for programs with several bounds and subgroups on 2-D mixtures, and compare with the global optimum."""
    seeds = range(3 if quick else NUM_PROBLEMS)
    cells = [
        Trained(seed, name)
        for seed in seeds
        for name, program in programs_for(seed).items()
        if seed < NUM_WITH_SITES or not program.columns
    ]
    file = RUNS / "programs.jsonl"
    failed = runner.run("programs", cells, file, processes, console)
    if failed:
        console.print(f"{len(failed)} trainings failed", style="red")
        raise typer.Exit(1)
    rows = [{name: value for name, value in row.items() if name != "cell"} for row in runner.rows_of(cells, file)]
    frame = pd.DataFrame(rows)
    possible = frame[frame["optimum"].notna()]
    kind = possible["program"].str.extract(r"(\d bounds)")[0].fillna("bounds in every site")
    tables = {
        "Gaps": _gaps(possible.groupby("program")),
        "Gaps, by what is bounded": _gaps(possible.groupby(kind.rename("bounds"))),
    }
    finish(
        "programs",
        "Random 2-D mixtures with several bounds: gap to the global optimum of linear models",
        rows,
        tables,
        quick,
    )


def _gaps(groups: Any) -> pd.DataFrame:
    """Return how near to the optimum the trainings of each group end."""
    found: pd.DataFrame = groups.agg(
        problems=("gap", "size"),
        at_optimum=("gap", lambda gap: int((gap < 1e-9).sum())),
        within_003=("gap", lambda gap: int((gap < 0.003).sum())),
        mean_gap=("gap", lambda gap: f"{gap.mean():.5f}"),
        largest_gap=("gap", "max"),
        feasible_but_missed=("says_feasible_but_misses", "sum"),
        cross_entropy_at_optimum=("cross_entropy_gap", lambda gap: int((gap < 1e-9).sum())),
        cross_entropy_mean_gap=("cross_entropy_gap", "mean"),
        seconds=("seconds", "mean"),
    )
    return found
