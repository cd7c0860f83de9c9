"""Bounds in every subgroup of real tables: how often all hold on new rows, and what is delivered, beside the peers.

Each split trains on 60 % of the rows. Logistic regression and boosting are cross-fitted on five folds, once; every
method that chooses thresholds gets the same out-of-fold probabilities, and is judged by the mean of the five models on
the rest. The bounds were fixed before any method ran: precision at what logistic regression reaches at a recall of .6,
rounded down, and floors that bind in some subgroup.

- *claimed*: whether the method says that its thresholds serve. The evidence rule alone may say that rows do not support
  the bounds; all others are used whatever they reach.
- *met*: all bounds hold on the test rows, in every subgroup. *Delivered*: the recall where so, else 0.
- *net*: the recall less, for each bound that is missed, the miss as a fraction of the number asked. Without a claim
  both are 0.

This file decides sets, programs and what is counted. The peers are those of :mod:`benchmarks.peers.fairness`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import metricopt
from benchmarks.data.subgroups import GROUPED, GroupedData
from benchmarks.packages import FAIRLEARN, LABELS, OXONFAIR, SURVIVAL
from benchmarks.peers.fairness import Alarms, FairRows, exponentiated_gradient, oxonfair_thresholds, threshold_optimizer
from benchmarks.reporting.files import RUNS
from benchmarks.studies.study import Processes, Quick, finish, run_all
from metricopt.evidence.cross_fit import CrossFit, Scorer, cross_fit
from metricopt.evidence.folds import make_folds
from metricopt.problem.program import Program
from metricopt.problem.ratios import Counts

NEEDS: tuple[str, ...] = (LABELS, SURVIVAL, FAIRLEARN, OXONFAIR)
NUM_SPLITS = 10
FOLDS = 5
OURS = "per subgroup, with evidence, boosting"

PRECISION = {"edema": 0.6, "effusion": 0.55, "nih_effusion": 0.15, "support": 0.3, "light_chains": 0.2}
"""What logistic regression reaches at a recall of .6, rounded down to .05."""


def programs_for(name: str) -> dict[str, Program]:
    """Return what is asked of a data set."""
    return {
        "precision, recall in every subgroup": Program(
            "recall", [f"precision >= {PRECISION[name]}", "recall >= 0.4 in every subgroup"]
        ),
        "false alarms in every subgroup": Program("recall", ["false_positive_rate <= 0.1 in every subgroup"]),
    }


PARITY = dict(zip(programs_for("edema"), ("true_positive_rate_parity", "false_positive_rate_parity"), strict=True))


@dataclass(frozen=True)
class Outcome:
    """What alarms reach on some rows."""

    value: float
    missed: tuple[float, ...]

    @classmethod
    def of(cls, program: Program, alarms: NDArray[Any], labels: NDArray[Any], subgroup: NDArray[np.str_]) -> Outcome:
        """Count alarms over all rows and in every subgroup."""
        missed = []
        for bound in program.bounds:
            parts = [alarms == alarms] if bound.within is None else [subgroup == each for each in np.unique(subgroup)]
            for part in parts:
                reached = bound.metric(counts_of(alarms[part], labels[part]))
                missed.append(min(float(bound.shortfall(np.asarray(reached)) / np.asarray(bound.bound)), 1.0))
        return cls(float(program.value(counts_of(alarms, labels))), tuple(missed))

    @property
    def key(self) -> tuple[float, float]:
        """The better, the larger: the least total shortfall first."""
        return -round(sum(self.missed), 9), self.value

    def told(self, is_claimed: bool) -> dict[str, Any]:
        """Return the entries of a row."""
        met = not any(self.missed)
        return {
            "claimed": int(is_claimed),
            "met": int(met) if is_claimed else None,
            "delivered": self.value * met * is_claimed,
            "net": (self.value - sum(self.missed)) * is_claimed,
            "shortfall": sum(self.missed) if is_claimed else None,
        }


def counts_of(alarms: NDArray[Any], labels: NDArray[Any]) -> Counts:
    """Count alarms on some rows."""
    found = [float(((alarms == alarm) & (labels == truth)).sum()) for alarm, truth in ((1, 1), (1, 0), (0, 1), (0, 0))]
    return Counts(*(np.float64(each) for each in found))


@dataclass(frozen=True)
class Split:
    """The rows that choose and the rows that judge."""

    program: Program
    parity: str
    seed: int
    features: tuple[NDArray[np.float64], NDArray[np.float64]]
    labels: tuple[NDArray[np.int64], NDArray[np.int64]]
    subgroup: tuple[NDArray[np.str_], NDArray[np.str_]]
    folds: NDArray[np.intp]

    def judge(self, alarms: NDArray[Any], new: bool = False, rows: slice | NDArray[Any] = slice(None)) -> Outcome:
        """Judge alarms on rows that choose, or on new ones."""
        return Outcome.of(self.program, alarms, self.labels[new][rows], self.subgroup[new][rows])


Model = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Out-of-fold probabilities of the rows that choose, and probabilities of the new ones."""


def fit_folds(
    features: NDArray[np.float64], labels: NDArray[Any], folds: NDArray[np.intp], make: Callable[[], Any]
) -> CrossFit:
    """Fit a classifier on the folds, whose scores are logits."""

    def train(rows: NDArray[np.intp]) -> Scorer:
        fitted = make().fit(features[rows], labels[rows])
        return lambda features: np.clip(fitted.predict_proba(features)[:, 1], 1e-6, 1 - 1e-6)

    def logits(rows: NDArray[np.intp]) -> Scorer:
        scorer = train(rows)
        return lambda features: np.log(scorer(features) / (1 - scorer(features)))

    return cross_fit(logits, features, labels.astype(float), folds)


def cross_fitted(split: Split, make: Callable[[], Any]) -> Model:
    """Return the probabilities of a classifier that is fitted on the folds."""
    fitted = fit_folds(split.features[0], split.labels[0], split.folds, make)
    return _sigmoid(fitted.out_of_fold), _sigmoid(fitted.scores(split.features[1]))


def _sigmoid(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-scores))


def ours(split: Split, model: Model, per_subgroup: bool, confidence: float | None) -> dict[str, Any]:
    """Choose thresholds by the program itself."""
    program = split.program
    if per_subgroup:
        program = Program(program.maximised, program.bounds, threshold_per="subgroup")
    result = metricopt.from_scores(
        model[0],
        split.labels[0],
        program,
        confidence=confidence,
        folds=split.folds,
        subgroups={"subgroup": split.subgroup[0]},
    )
    alarms = result.predict(model[1], subgroups={"subgroup": split.subgroup[1]} if per_subgroup else None)
    is_claimed = confidence is None or result.status is metricopt.Status.FEASIBLE
    return split.judge(alarms, new=True).told(is_claimed)


def peer(split: Split, alarms: Alarms, new: NDArray[np.float64]) -> dict[str, Any]:
    """Judge a peer, which claims whatever it has."""
    return split.judge(alarms(new, split.subgroup[1]), new=True).told(True)


def optimizer(split: Split, model: Model) -> dict[str, Any]:
    """Choose by fairlearn's ThresholdOptimizer."""
    rows = FairRows(model[0], split.labels[0], split.subgroup[0])
    alarms = threshold_optimizer(rows, split.parity, lambda alarms: split.judge(alarms).key, split.seed)
    return peer(split, alarms, model[1])


def oxonfair(split: Split, model: Model) -> dict[str, Any]:
    """Choose by OxonFair."""
    names = {"precision": "precision", "recall": "recall", "false_positive_rate": "false_pos_rate"}
    bounds = [
        (
            names[bound.metric.name],
            "overall" if bound.within is None else bound.direction,
            float(np.asarray(bound.bound)),
        )
        for bound in split.program.bounds
    ]
    return peer(split, oxonfair_thresholds(FairRows(model[0], split.labels[0], split.subgroup[0]), bounds), model[1])


def _scaled_halves(split: Split) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return scaled features, and which of the rows that choose are held out: one fold."""
    held_out = split.folds == 0
    scaler = StandardScaler().fit(split.features[0][~held_out])
    return scaler.transform(split.features[0]), scaler.transform(split.features[1]), held_out


def gradient(split: Split) -> dict[str, Any]:
    """Train by fairlearn's ExponentiatedGradient; one fold chooses the price."""
    known, new, held_out = _scaled_halves(split)
    train, choose = (
        FairRows(known[rows], split.labels[0][rows], split.subgroup[0][rows]) for rows in (~held_out, held_out)
    )
    alarms = exponentiated_gradient(
        train, choose, split.parity, lambda alarms: split.judge(alarms, rows=held_out).key, split.seed
    )
    return peer(split, alarms, new)


def weights_by_hand(split: Split) -> dict[str, Any]:
    """Weigh the positives of each subgroup, as one does by hand: first all together, then one after the other."""
    known, new, held_out = _scaled_halves(split)
    names = np.unique(split.subgroup[0])
    number = np.searchsorted(names, split.subgroup[0])

    def tried(weights: NDArray[np.float64]) -> tuple[tuple[float, float], Any]:
        weight = np.where(split.labels[0] == 1, weights[number], 1.0)[~held_out]
        fitted = LogisticRegression(max_iter=200).fit(known[~held_out], split.labels[0][~held_out], weight)
        return split.judge(fitted.predict(known[held_out]), rows=held_out).key, fitted

    best_weights = np.ones(len(names))
    best_key, best = tried(best_weights)
    trials = [np.full(len(names), factor) for factor in (0.5, 2.0, 3.0, 5.0, 8.0, 12.0)]
    for trial in trials:
        key, fitted = tried(trial)
        if key > best_key:
            best_weights, best_key, best = trial, key, fitted
    for place in range(len(names)):
        for factor in (0.6, 1.7):
            trial = best_weights.copy()
            trial[place] *= factor
            key, fitted = tried(trial)
            if key > best_key:
                best_weights, best_key, best = trial, key, fitted
    return split.judge(best.predict(new), new=True).told(True)


def methods(split: Split, logistic: Model, boosting: Model) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return every method by name."""
    found: dict[str, Callable[[], dict[str, Any]]] = {}
    for name, model in (("logistic", logistic), ("boosting", boosting)):
        for rule, confidence in (("with evidence", 0.9), ("best cuts", None)):
            for thresholds, own in (("one threshold", False), ("per subgroup", True)):
                found[f"{thresholds}, {rule}, {name}"] = partial(ours, split, model, own, confidence)
        found[f"ThresholdOptimizer, {name}"] = partial(optimizer, split, model)
    found["OxonFair, boosting"] = partial(oxonfair, split, boosting)
    found["ExponentiatedGradient, logistic"] = partial(gradient, split)
    found["weights by hand, logistic"] = partial(weights_by_hand, split)
    return found


def run_split(name: str, seed: int) -> list[dict[str, Any]]:
    """Run all methods on one split of a data set, unless that was done before."""
    kept = RUNS / "programs_tables" / f"{name}_{seed}.json"
    if kept.exists():
        rows: list[dict[str, Any]] = json.loads(kept.read_text(encoding="utf-8"))
        return rows
    with threadpool_limits(1):
        rows = _run_split(name, seed, GROUPED[name]())
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(rows), encoding="utf-8")
    return rows


def _run_split(name: str, seed: int, grouped: GroupedData) -> list[dict[str, Any]]:
    rows, models = [], None
    for asked, split in splits_of(name, seed, grouped):
        models = models or tuple(cross_fitted(split, make) for make in MODELS.values())
        for method, run in methods(split, *models).items():
            began = time.process_time()
            told = run()
            seconds = round(time.process_time() - began, 2)
            rows.append({"dataset": name, "split": seed, "asked": asked, "method": method, **told, "seconds": seconds})
    return rows


def splits_of(name: str, seed: int, grouped: GroupedData) -> Iterator[tuple[str, Split]]:
    """Yield what is asked, and the same rows for each program."""
    labels, subgroup = grouped.data.labels.astype(np.int64), grouped.subgroup
    strata = np.char.add(subgroup, labels.astype(str))
    chosen, new = train_test_split(np.arange(len(labels)), train_size=0.6, stratify=strata, random_state=seed)
    folds = make_folds(FOLDS, labels[chosen].astype(float), seed=seed)
    features, truth, of_row = ((values[chosen], values[new]) for values in (grouped.data.features, labels, subgroup))
    for asked, program in programs_for(name).items():
        yield asked, Split(program, PARITY[asked], seed, features, truth, of_row, folds)


def _logistic() -> Any:
    from sklearn.pipeline import make_pipeline

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))


def _boosting() -> Any:
    return HistGradientBoostingClassifier(max_iter=60, learning_rate=0.1, max_leaf_nodes=15, random_state=0)


MODELS = {"logistic": _logistic, "boosting": _boosting}


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Return of each method the mean over sets and splits, and the fraction of all its claims that were met."""
    quoted = ["claimed", "delivered", "net", "shortfall", "seconds"]
    of_method = frame.groupby("method", sort=False)
    found = of_method[quoted].mean()
    found.insert(1, "claims", of_method["claimed"].sum())
    found.insert(2, "met given claimed", of_method["met"].mean())  # it is missing where nothing was claimed
    return found


def paired(frame: pd.DataFrame) -> pd.DataFrame:
    """Return how much more :data:`OURS` delivers than each other method, with a 95 % interval over data sets."""
    from scipy.stats import t

    wide = frame.pivot_table(index=["dataset", "split"], columns="method", values=["delivered", "net"], sort=False)
    lines = {}
    for method in frame["method"].unique():
        if method != OURS:
            line = {}
            for value in ("delivered", "net"):
                by_set = (wide[value][OURS] - wide[value][method]).groupby("dataset").mean()
                half = t.ppf(0.975, len(by_set) - 1) * by_set.std() / np.sqrt(len(by_set))
                line[value] = f"{by_set.mean():+.3f} +- {half:.3f}"
            lines[method] = line
    return pd.DataFrame.from_dict(lines, orient="index")


def main(quick: Quick = False, processes: Processes = 2, splits: int = NUM_SPLITS) -> None:
    """Ask for bounds in every subgroup of real tables, and count how often all hold on new rows, beside the peers."""
    names = ["light_chains"] if quick else list(GROUPED)
    jobs = [partial(run_split, name, seed) for seed in range(1 if quick else splits) for name in names]
    frame = pd.DataFrame([row for part in run_all(jobs, processes) for row in part])
    title = "Bounds in every subgroup of real tables"
    finish("programs_tables", title, frame.to_dict("records"), tables_of(frame), quick)


def tables_of(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return what is quoted, by heading."""
    tables = {}
    for asked, own in frame.groupby("asked", sort=False):
        tables[f"{asked}: means over {own['dataset'].nunique()} data sets, {own['split'].nunique()} splits"] = summary(
            own
        )
        tables[f"{asked}: {OURS} less each other method"] = paired(own)
    per_set = frame.pivot_table(
        index=["asked", "method"], columns="dataset", values="delivered", aggfunc="mean", sort=False
    )
    return tables | {"Delivered, by data set": per_set}
