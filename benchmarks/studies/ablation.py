"""What ties slacks to scores, and how: {exact terms, anchor, both} x {penalty, Lagrangian, augmented, profiled}.

Linear models on real sets, from the same cross-entropy warm-up, along the same paths, with the same steps, exact
threshold and selection, on the training part of every split; the other part is looked at once. This file decides the
protocol; data come from :mod:`benchmarks.data`, solvers from :mod:`metricopt.solvers`.
"""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.data import load, packages_of
from benchmarks.studies.study import Processes, Quick, finish, run_all
from metricopt.data import stratified_split
from metricopt.problem.objectives import FPOR, FROP, CountObjective
from metricopt.solvers import ExactPenalty, Profiled, Solver
from metricopt.solvers.array_steps import Ramps, cross_entropy
from metricopt.solvers.explicit import ANCHOR
from metricopt.solvers.lagrangian import AugmentedLagrangian, Lagrangian

DATASETS = ("page_blocks", "yeast3", "spambase", "satimage")
NEEDS = packages_of(DATASETS)
OBJECTIVES: dict[str, CountObjective] = {"FPOR .8": FPOR(0.8), "FROP .8": FROP(0.8)}
NUM_SPLITS = 10
NUM_STEPS = 2000
BATCH_SIZE = 256
OTHER_FORMS = "page_blocks"
"""The set on which the equality form and the gradient slack step are tried, too."""

Terms = Literal["exact", "anchor", "both"]
EXPLICIT: dict[str, Any] = {"penalty": ExactPenalty, "lagrangian": Lagrangian, "augmented": AugmentedLagrangian}


class ProfiledTerms(Profiled):
    """The profiled solver with an anchor: slacks minimised away under the cost of the link, of cross-entropy or both.

    Parameters
    ----------
    terms : "anchor" or "both"
    """

    def __init__(self, terms: Terms) -> None:
        self._link, self._anchor = float(terms == "both"), ANCHOR if terms == "both" else 1.0

    def _count(
        self,
        scores: np.ndarray,
        labels: np.ndarray,
        weight: np.ndarray | None,
        ramps: Ramps,
        cell: np.ndarray | None,
    ) -> tuple[np.ndarray, float, np.ndarray]:
        path, progress = self._position.path, self._position.progress
        strength, margin = path.strength(progress), path.margin(progress)
        sign = 2 * labels - 1
        u = sign * (scores - self._threshold) / self._spread
        anchor = self._anchor * strength
        if_right = self._link * strength * np.maximum(margin - u, 0) + anchor * np.logaddexp(0, -u)
        if_wrong = 1 + anchor * np.logaddexp(0, u)
        in_u = np.where(
            if_right < if_wrong, -self._link * strength * (u < margin) - anchor * expit(-u), anchor * expit(u)
        )
        errors = np.minimum(if_right, if_wrong) * path.height(progress)
        by_class = np.stack([(errors * (labels == truth)).sum(axis=0) for truth in (0, 1)])
        in_scores = in_u * path.height(progress) * sign / self._spread
        loss = float((ramps.cost * by_class).sum())
        derivatives = np.where(labels == 1, ramps.cost[1], ramps.cost[0]) * in_scores
        if ramps.anchor is None:
            return by_class, loss, derivatives
        losses, residuals = cross_entropy(scores, labels == 1)
        return by_class, loss + float((ramps.anchor * losses).sum()), derivatives + ramps.anchor * residuals


def methods(dataset: str) -> dict[tuple[str, str, str], Solver]:
    """Return new solvers by (solver, terms, variant)."""
    chosen: dict[tuple[str, str, str], Solver] = {}
    for terms in cast("tuple[Terms, ...]", ("exact", "anchor", "both")):
        profiled = Profiled() if terms == "exact" else ProfiledTerms(terms)
        chosen["profiled", terms, "inequality"] = profiled
        for name, kind in EXPLICIT.items():
            chosen[name, terms, "inequality"] = kind(terms, links="inequality")
    if dataset == OTHER_FORMS:
        for name, kind in EXPLICIT.items():
            chosen[name, "exact", "equality"] = kind(links="equality")
            for links in ("equality", "inequality"):
                chosen[name, "exact", f"{links}, gradient slacks"] = kind(links=links, slack_step="gradient")
    return chosen


def run_one(dataset: str, split: int) -> list[dict[str, Any]]:
    """Train every method for every objective on one split, 60 % for training."""
    torch.set_num_threads(1)
    data = load(dataset)
    train, test = stratified_split(data.labels, (0.6, 0.4), split)
    features = torch.from_numpy(data.features).float()
    mean, spread = features[train].mean(dim=0), features[train].std(dim=0) + 1e-12
    features, labels = (features - mean) / spread, torch.from_numpy(data.labels).float()
    loader = DataLoader(TensorDataset(features[train], labels[train]), batch_size=BATCH_SIZE, shuffle=True)
    records = []
    for asked, objective in OBJECTIVES.items():
        for (solver, terms, variant), instance in methods(dataset).items():
            torch.manual_seed(0)
            began = time.perf_counter()
            result = metricopt.fit(
                torch.nn.Linear(features.shape[1], 1),
                loader,
                objective,
                solver=instance,
                epochs=math.ceil(NUM_STEPS / len(loader)),
                val_fraction=0,
                seed=split,
                progress=False,
            )
            seconds = time.perf_counter() - began
            on_test = result.evaluate((features[test], labels[test]))
            slack = None if result.slack is None else result.slack[0]
            bound, reached = result.train.bound, result.train.bounded_value
            assert bound is not None and reached is not None, "the objectives of this study have a bound"
            warm = result.baseline_train
            assert warm is not None, "a training has a candidate zero"
            records.append(
                {
                    "dataset": dataset,
                    "split": split,
                    "objective": asked,
                    "solver": solver,
                    "terms": terms,
                    "variant": variant,
                    "value": result.train.value if result.train.met else 0.0,
                    "bounded_value": reached,
                    "violation": max(0.0, bound - reached),
                    "baseline_value": warm.value if warm.met else 0.0,
                    "test_value": on_test.value,
                    "test_bounded_value": on_test.bounded_value,
                    "status": str(result.status),
                    "stage": result.selected_stage,
                    "agreement": None if slack is None else slack.agreement,
                    "metric_gap": None if slack is None else abs(slack.value - slack.model_value),
                    "worst_violation": None if slack is None else slack.worst_violation,
                    "epochs": len(result.history),
                    "seconds": round(seconds, 2),
                }
            )
    return records


def tables(rows: list[dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """Return the tables of the report by heading."""
    frame = pd.DataFrame(rows)
    shared = frame[frame["variant"] == "inequality"]
    by_set = shared.pivot_table(index=["objective", "solver", "terms"], columns="dataset", values="value")
    keys = ["dataset", "objective", "split"]
    default = shared[(shared["solver"] == "profiled") & (shared["terms"] == "exact")].set_index(keys)["value"]
    others = frame[frame["dataset"] == OTHER_FORMS]
    return {
        "Metric reached on the training data (mean over splits, 0 where the bound is missed)": by_set.round(4),
        "All sets": _summary(shared, ["objective", "solver", "terms"], default),
        f"Forms of the links and of the slack step, on {OTHER_FORMS}, exact terms": _summary(
            others[others["terms"] == "exact"], ["objective", "solver", "variant"], default
        ),
    }


def _summary(frame: pd.DataFrame, by: list[str], default: pd.Series) -> pd.DataFrame:
    """Return means over sets and splits, and the paired difference to the default solver with its 95 % interval."""
    keys = ["dataset", "objective", "split"]
    frame = frame.assign(
        difference=frame["value"].to_numpy() - default.loc[list(map(tuple, frame[keys].to_numpy()))].to_numpy()
    )
    groups = frame.groupby(by)
    half = 1.96 * groups["difference"].std() / np.sqrt(groups["difference"].count())
    table = groups.agg(
        metric=("value", "mean"),
        cross_entropy=("baseline_value", "mean"),
        bound_met=("violation", lambda violation: f"{(violation == 0).mean():.0%}"),
        violation=("violation", "mean"),
        agreement=("agreement", "mean"),
        metric_gap=("metric_gap", "mean"),
        slack_gap=("status", lambda status: f"{(status == 'slack_gap').mean():.0%}"),
        test_metric=("test_value", "mean"),
        test_bounded=("test_bounded_value", "mean"),
        seconds=("seconds", "mean"),
    )
    mean = groups["difference"].mean()
    table.insert(1, "minus_default", [f"{m:+.4f} ± {h:.4f}" for m, h in zip(mean, half, strict=True)])
    return table


def conclusions(rows: list[dict[str, Any]]) -> list[str]:
    """Say what follows from the rows, in sentences whose figures are theirs."""
    frame = pd.DataFrame(rows)
    shared, others = frame[frame["variant"] == "inequality"], frame[frame["dataset"] == OTHER_FORMS]
    means = shared.groupby(["objective", "solver", "terms"])["value"].mean().unstack("terms")
    shared_exact = shared[shared["terms"] == "exact"]
    cross_entropy = shared_exact.groupby(["objective", "solver"])["baseline_value"].mean() - means["exact"]
    both, alone = means["both"] - means["exact"], means["anchor"] - means["exact"]
    to_profiled = means["exact"].unstack("solver")
    to_profiled = to_profiled.drop(columns="profiled").sub(to_profiled["profiled"], axis=0)
    forms = others[others["terms"] == "exact"].groupby(["objective", "solver", "variant"])["value"].mean()
    forms = forms.unstack("variant").dropna()
    exact = shared[(shared["terms"] == "exact") & shared["agreement"].notna()]
    gaps, gap_shares = exact.groupby("solver")["metric_gap"].mean(), exact["status"].eq("slack_gap")
    on_test = shared.groupby("objective")["test_bounded_value"].mean()
    seconds = shared[shared["terms"] == "exact"].groupby("solver")["seconds"].mean()
    of_form = forms["equality"] - forms["inequality"]
    of_step = forms["inequality, gradient slacks"] - forms["inequality"]
    return [
        f"Ties: against exact links alone, links with an anchor change the metric by {_range(both)}, the anchor alone "
        f"by {_range(alone)}; cross-entropy is off by {_range(cross_entropy)}. Default: exact terms.",
        "Solvers, exact terms, against the profiled one: "
        + _listed({name: _range(to_profiled[name]) for name in to_profiled})
        + ". Seconds: "
        + _listed({name: f"{value:.1f}" for name, value in seconds.items()})
        + ". Default: profiled.",
        f"Forms, on {OTHER_FORMS}: equality instead of inequality changes the metric by {_range(of_form)}, a gradient "
        f"step on the slacks instead of the exact one by {_range(of_step)}. Default: inequality, exact step.",
        f"Slacks: {gap_shares.mean():.0%} of the explicit-slack runs with exact terms end with status slack_gap; on "
        f"average the metric by slacks is off by {_listed({name: f'{gap:.3f}' for name, gap in gaps.items()})}. The "
        "metrics in the tables are the models' own.",
        f"The bound holds on the training data in {(shared['violation'] == 0).mean():.0%} of the runs, with little to "
        f"spare; on test data it is on average {_listed({name: f'{value:.3f}' for name, value in on_test.items()})}.",
    ]


def _range(values: pd.Series | pd.DataFrame) -> str:
    numbers = values.to_numpy()
    return f"{numbers.min():+.3f} to {numbers.max():+.3f}"


def _listed(by_name: dict[Any, str]) -> str:
    return ", ".join(f"{value} ({name})" for name, value in by_name.items())


def main(quick: Quick = False, processes: Processes = 2) -> None:
    """Train with every solver and every kind of link: metric reached, bound, agreement of slacks and model, seconds."""
    datasets = ("yeast3",) if quick else DATASETS
    jobs = [partial(run_one, dataset, split) for split in range(1 if quick else NUM_SPLITS) for dataset in datasets]
    rows = [row for part in run_all(jobs, processes) for row in part]
    title = "What ties slacks to scores: links, anchors, multipliers and penalties on linear models"
    # One split and one set lack the variants that the conclusions speak of.
    finish("ablation", title, rows, tables(rows), quick, () if quick else conclusions(rows))
