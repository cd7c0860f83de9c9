"""Federations of 2, 5 and 20 sites: known optima on random mixtures, and three real institutions, one of them outside.

The mixtures say whether bounds hold for the rows themselves wherever they are claimed, and how near federated training
comes to pooled training. The institutions say what is gained at a site that took no part. Pooled training is a
federation of one site that has all rows. All methods have the same rounds, rows and threshold rule. Batches at sites
are as much smaller as there are more sites, so that a round has as many steps everywhere, but not below 16 rows.

This file decides what is compared; institutions come from :mod:`benchmarks.data.institutions`, the mixtures from
:mod:`benchmarks.studies.mixtures`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.data.institutions import load_institution
from benchmarks.studies.mixtures import best_by_sweep, draw_mixture, objectives_for
from benchmarks.studies.study import Processes, Quick, finish, run_all
from metricopt.federated import Aggregation, FedAMP, FedAvg, FedBN, FedProx, LocalOnly, Server, Site, federate

NEEDS: tuple[str, ...] = ("torchxrayvision",)
AGGREGATIONS: dict[str, Callable[[], Aggregation]] = {
    "FedAvg": FedAvg,
    "FedProx": FedProx,
    "FedBN": FedBN,
    "FedAMP": FedAMP,
    "local only": LocalOnly,
}
POOLED = "pooled"
MIXTURE_ROUNDS, INSTITUTION_ROUNDS = 30, 16
INSIDE, OUTSIDE = ("CheXpert", "NIH"), "PadChest"
PATIENTS, TEST_FRACTION = 3000, 0.25
POOLED_BATCH, SMALLEST_BATCH = 64, 16
BOUND_BY_PREVALENCE = 2.0
"""The bound on precision, in prevalences inside: twice as many alarms are to be right as by chance."""

Rows = tuple[NDArray[np.float32], NDArray[np.float32]]


def new_linear() -> nn.Module:
    """Return a linear model of two features, the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(2, 1)


def new_network() -> nn.Module:
    """Return an MLP with a batch norm for the columns of the institutions, the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(9, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 1))


def site_of(
    name: str, model: Callable[[], nn.Module], rows: Rows, seed: int, batch_size: int, min_cell: int = 1
) -> Site:
    """Return a site with some rows."""
    data = TensorDataset(*map(torch.from_numpy, rows))
    loader = DataLoader(data, batch_size=batch_size, shuffle=True)
    return Site(name, model, loader, seed=seed, min_cell=min_cell, device="cpu")


def batch_size_of(num_sites: int) -> int:
    """Return the batch size at each of some sites."""
    return max(SMALLEST_BATCH, POOLED_BATCH // num_sites)


def joined(parts: Sequence[Rows]) -> Rows:
    """Return the rows of several parts together."""
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def dealt(rows: Rows, number: int, seed: int) -> list[Rows]:
    """Return rows dealt to sites, positives and negatives equally and at random."""
    features, labels = rows
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    return [(features[order[site::number]], labels[order[site::number]]) for site in range(number)]


def run_mixture(seed: int, name: str, number: int, min_cell: int) -> dict[str, Any]:
    """Train on the rows of one mixture, dealt to sites, and compare with the optimum and with what is claimed."""
    torch.set_num_threads(1)
    mixture, objective = draw_mixture(seed), objectives_for(seed)[name]
    parts = dealt((mixture.features, mixture.labels), number, seed)
    sites = [
        site_of(f"site {at}", new_linear, part, at, batch_size_of(number), min_cell) for at, part in enumerate(parts)
    ]
    found = federate(Server(new_linear(), objective, rounds=MIXTURE_ROUNDS, confidence=None, min_sites=number), sites)
    scores = found.result.scores(torch.from_numpy(mixture.features))
    allowed = metricopt.choose_threshold(scores, mixture.labels, objective)
    reports = [site.report[0] for site in sites if site.report is not None]
    counts = metricopt.problem.ratios.Counts(
        *(
            sum(getattr(report, count) for report in reports)
            for count in ("true_positives", "false_positives", "false_negatives", "true_negatives")
        )
    )
    is_feasible = found.result.status is metricopt.Status.FEASIBLE
    return {
        "part": "mixtures",
        "seed": seed,
        "objective": name,
        "sites": number,
        "min_cell": min_cell,
        "optimum": best_by_sweep(mixture, objective, num_directions=2000),
        "value": float(allowed.value) if allowed.feasible else 0.0,
        "claimed": is_feasible,
        "claimed_but_missed": is_feasible and not bool(objective.feasible(counts)),
        "bytes": found.num_bytes,
        "rounds": found.rounds,
    }


def deal_institutions(finding: str, number: int, split: str, seed: int) -> tuple[list[Rows], list[Rows], Rows]:
    """Return the training and test rows of each site, and all rows of the institution outside.

    Equal sites have the same number of rows of both institutions. Of skewed ones each has rows of one institution, and
    the last of an institution up to four times as many as its first.
    """
    pools = {name: load_institution(name, finding, PATIENTS, part=seed) for name in INSIDE}
    if split == "equal":
        halves = [dealt(pool, number, seed) for pool in pools.values()]
        whole = [joined(parts) for parts in zip(*halves, strict=True)]
    else:
        whole = []
        for at, pool in enumerate(pools.values()):
            own = number // 2 + (at < number % 2)
            sizes = np.linspace(1, 4, own)
            pieces = dealt(pool, int(sizes.round().sum()), seed)
            ends = np.cumsum(sizes.round().astype(int))
            whole += [joined(pieces[end - int(size) : end]) for end, size in zip(ends, sizes.round(), strict=True)]
    quarters = [dealt(rows, round(1 / TEST_FRACTION), seed) for rows in whole]
    return (
        [joined(parts[1:]) for parts in quarters],
        [parts[0] for parts in quarters],
        load_institution(OUTSIDE, finding, PATIENTS, part=seed),
    )


def run_institutions(finding: str, number: int, split: str, seed: int, method: str) -> dict[str, Any]:
    """Train at the institutions inside by one method, and judge at each site and outside."""
    torch.set_num_threads(1)
    train, test, outside = deal_institutions(finding, number, split, seed)
    if method == POOLED:
        train, test = [joined(train)], [joined(test)]
    sites = [site_of(f"site {at}", new_network, rows, at, batch_size_of(len(train))) for at, rows in enumerate(train)]
    aggregation = FedAvg() if method == POOLED else AGGREGATIONS[method]()
    bound = round(BOUND_BY_PREVALENCE * float(np.mean(joined(train)[1])), 2)
    server = Server(new_network(), "FPOR", alpha=bound, aggregation=aggregation, rounds=INSTITUTION_ROUNDS)
    found = federate(server, sites)
    trained = [(site, rows) for site, rows in zip(sites, test, strict=True) if site.result is not None]
    threshold = found.result.threshold
    own = [(site.result.scores(torch.from_numpy(rows[0])), rows[1]) for site, rows in trained if site.result]
    inside = np.concatenate([scores for scores, _ in own]), np.concatenate([labels for _, labels in own])
    abroad = [
        (site.result.scores(torch.from_numpy(outside[0])), outside[1])
        for site in ([sites[0]] if found.result.model is not None else sites)
        if site.result is not None
    ]
    return {
        "part": "institutions",
        "seed": seed,
        "finding": finding,
        "sites": number,
        "split": split,
        "method": method,
        "bound": bound,
        "status": found.result.status.value,
        "internal": _allowed(*inside),
        "internal_delivered": _delivered(*inside, threshold, bound),
        "external": float(np.mean([_allowed(*each) for each in abroad])),
        "external_delivered": float(np.mean([_delivered(*each, threshold, bound) for each in abroad])),
        "met_at_sites": float(np.mean([_keeps(scores, labels, threshold, bound) for scores, labels in own])),
        "bytes": found.num_bytes,
        "rounds": found.rounds,
    }


def _allowed(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the area under precision and recall: what the scores allow, whatever the threshold."""
    return float(metricopt.average_precision(scores, labels))


def _counts(scores: np.ndarray, labels: np.ndarray, threshold: float) -> tuple[int, int]:
    alarms = scores.astype(np.float64) >= threshold
    return int((alarms & (labels == 1)).sum()), int((alarms & (labels == 0)).sum())


def _keeps(scores: np.ndarray, labels: np.ndarray, threshold: float, bound: float) -> bool:
    right, wrong = _counts(scores, labels, threshold)
    return right + wrong > 0 and right / (right + wrong) >= bound


def _delivered(scores: np.ndarray, labels: np.ndarray, threshold: float, bound: float) -> float:
    """Return the recall where the bound holds on these rows, else 0."""
    right, _ = _counts(scores, labels, threshold)
    return right / float((labels == 1).sum()) if _keeps(scores, labels, threshold, bound) else 0.0


def table_of_mixtures(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return what federations reach beside pooled training, on the same mixtures."""
    frame = pd.DataFrame(rows)
    keys = ["objective", "seed"]
    pooled = frame[frame["sites"] == 1].set_index(keys)["value"]
    frame["below_pooled"] = frame.set_index(keys).index.map(pooled).to_numpy() - frame["value"]
    frame["below_optimum"] = frame["optimum"].fillna(0.0) - frame["value"]
    return frame.groupby(["objective", "sites", "min_cell"]).agg(
        problems=("value", "size"),
        mean_value=("value", "mean"),
        below_pooled=("below_pooled", "mean"),
        below_optimum=("below_optimum", "mean"),
        claimed=("claimed", "sum"),
        claimed_but_missed=("claimed_but_missed", "sum"),
    )


def table_of_institutions(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the means of each method over findings and seeds, in thousands of bytes."""
    frame = pd.DataFrame(rows).assign(kilobytes=lambda own: own["bytes"] / 1000)
    columns = ["internal", "internal_delivered", "external", "external_delivered", "met_at_sites", "kilobytes"]
    order = [*AGGREGATIONS, POOLED]
    table = frame.groupby(["sites", "split", "method"])[columns].mean()
    table["rounds"] = frame.groupby(["sites", "split", "method"])["rounds"].first()
    return table.reindex(order, level="method")


def table_of_differences(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return by how much each method's average precision is above that of local training, on the same rows."""
    frame = pd.DataFrame(rows)
    lines = {}
    for method in (*list(AGGREGATIONS)[:-1], POOLED):
        line: dict[str, Any] = {}
        for quality in ("external", "internal"):
            wide = frame.pivot_table(index=["sites", "split", "finding", "seed"], columns="method", values=quality)
            paired = wide[method] - wide["local only"]
            skewed = paired.xs("skewed", level="split")
            line |= {
                quality: f"{paired.mean():+.3f}",
                f"{quality}, above": f"{int((paired > 0).sum())} of {len(paired)}",
                f"{quality}, skewed": f"{skewed.mean():+.3f}",
            }
        lines[method] = line
    return pd.DataFrame(lines).T


def main(quick: Quick = False, processes: Processes = 2) -> None:
    """Train federations of several sites by every rule, beside pooled training and training alone."""
    problems, seeds, numbers = (2, 2, (2, 5)) if quick else (5, 2, (2, 5, 20))
    findings = ("Effusion",)
    settings = [(1, 1), (2, 1), (5, 1), (5, 5)]
    mixtures = [
        partial(run_mixture, seed, name, number, min_cell)
        for seed in range(problems)
        for name in ("FPOR", "FROP")
        for number, min_cell in settings
    ]
    institutions = [
        partial(run_institutions, finding, number, split, seed, method)
        for finding in findings
        for seed in range(seeds)
        for number in numbers
        for split in ("equal", "skewed")
        for method in (*AGGREGATIONS, POOLED)
    ]
    rows = run_all([*mixtures, *institutions], processes)
    of_mixtures = [row for row in rows if row["part"] == "mixtures"]
    of_institutions = [row for row in rows if row["part"] == "institutions"]
    tables = {
        "Random mixtures, linear models, equal sites": table_of_mixtures(of_mixtures),
        f"{' and '.join(INSIDE)} inside, {OUTSIDE} outside: average precision, and recall delivered at a "
        f"precision of {BOUND_BY_PREVALENCE:g} prevalences": table_of_institutions(of_institutions),
        "Average precision less that of local training, on the same rows": table_of_differences(of_institutions),
    }
    finish("federated", "Federations: several sites under one bound", rows, tables, quick)
