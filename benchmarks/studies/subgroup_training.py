"""What training for bounds in subgroups adds to thresholds alone: linear models of real tables, split by split.

On the splits and folds of :mod:`benchmarks.studies.programs_tables`, a linear model is trained by ``fit`` for a limit
on false alarms in every subgroup, on the column of subgroups, and logistic regression as it is. Both are cross-fitted,
and the evidence rule chooses one threshold, or one for each subgroup, on their out-of-fold scores. *Allowed* is the
best recall that the test scores allow within the bounds, which no choice makes noisy; *delivered* and *net* are those
of programs_tables. The sets are the three smaller ones.

This file decides what is compared.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import t
from threadpoolctl import threadpool_limits
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.data.subgroups import GROUPED
from benchmarks.packages import LABELS, SURVIVAL
from benchmarks.reporting.files import RUNS
from benchmarks.studies.programs_tables import MODELS, NUM_SPLITS, Model, Split, cross_fitted, ours, splits_of
from benchmarks.studies.study import Processes, Quick, finish, run_all
from metricopt.results.scores import selection_scores

NEEDS: tuple[str, ...] = (LABELS, SURVIVAL)
SETS = ("nih_effusion", "support", "light_chains")
ASKED = "false alarms in every subgroup"
BATCH_SIZE = 512
TRAINED, PLAIN = "trained for the bounds", "logistic regression"
THRESHOLDS = {"one threshold": None, "per subgroup": "subgroup"}


def trained(split: Split) -> Model:
    """Return the scores of a linear model that is trained for the program on the folds."""
    mean, spread = split.features[0].mean(axis=0), split.features[0].std(axis=0)
    known, new = (torch.tensor((each - mean) / np.where(spread > 0, spread, 1)).float() for each in split.features)
    data = TensorDataset(known, torch.tensor(split.labels[0]).float())
    torch.manual_seed(split.seed)
    result = metricopt.fit(
        torch.nn.Linear(known.shape[1], 1),
        DataLoader(data, batch_size=BATCH_SIZE, shuffle=True),
        split.program,
        folds=split.folds,
        subgroups={"subgroup": split.subgroup[0]},
        seed=split.seed,
        progress=False,
    )
    return selection_scores(result.data_scores).scores[:, 0], result.scores(new)


def run_split(name: str, seed: int) -> list[dict[str, Any]]:
    """Train both models on one split of a data set, unless that was done before."""
    kept = RUNS / "subgroup_training" / f"{name}_{seed}.json"
    if kept.exists():
        rows: list[dict[str, Any]] = json.loads(kept.read_text(encoding="utf-8"))
        return rows
    with threadpool_limits(1):
        (split,) = (each for asked, each in splits_of(name, seed, GROUPED[name]()) if asked == ASKED)
        rows = []
        for model, scores in ((TRAINED, trained(split)), (PLAIN, cross_fitted(split, MODELS["logistic"]))):
            for thresholds, per in THRESHOLDS.items():
                asked = replace(split.program, threshold_per=per)
                columns = {"subgroup": split.subgroup[1]}
                allowed = metricopt.choose_threshold(scores[1], split.labels[1], asked, subgroups=columns)
                told = ours(split, scores, per is not None, 0.9)
                head = {"dataset": name, "split": seed, "model": model, "thresholds": thresholds}
                rows.append({**head, "allowed": float(allowed.value), **told})
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(rows), encoding="utf-8")
    return rows


def paired(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what training adds on each set, with a 95 % interval over splits."""
    lines = []
    for (thresholds, name), own in frame.groupby(["thresholds", "dataset"], sort=False):
        line: dict[str, Any] = {"thresholds": thresholds, "dataset": name}
        for value in ("allowed", "delivered", "net"):
            wide = own.pivot_table(index="split", columns="model", values=value)
            gain = wide[TRAINED] - wide[PLAIN]
            half = t.ppf(0.975, len(gain) - 1) * gain.std() / np.sqrt(len(gain))
            line[value] = f"{gain.mean():+.3f} +- {half:.3f}"
        lines.append(line)
    return pd.DataFrame(lines).set_index(["thresholds", "dataset"])


def main(quick: Quick = False, processes: Processes = 2, splits: int = NUM_SPLITS) -> None:
    """Train linear models for bounds in subgroups of real tables, beside thresholds on logistic regression."""
    jobs = [partial(run_split, name, seed) for seed in range(2 if quick else splits) for name in SETS]
    frame = pd.DataFrame([row for part in run_all(jobs, processes) for row in part])
    means = frame.groupby(["model", "thresholds"], sort=False)[["claimed", "met", "allowed", "delivered", "net"]].mean()
    tables = {
        f"{ASKED}: means over {len(SETS)} data sets, {frame['split'].nunique()} splits": means,
        "What training adds": paired(frame),
    }
    finish("subgroup_training", "Training for bounds in subgroups", frame.to_dict("records"), tables, quick)
