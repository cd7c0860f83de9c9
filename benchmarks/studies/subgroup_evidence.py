"""Why bounds in subgroups of real tables are missed after they were claimed: noise of the test rows, or a fault.

The sets, programs and splits are those of :mod:`benchmarks.studies.programs_tables`, the model is logistic regression,
and only the evidence rule chooses, on folds that are dealt out by class alone and by class and subgroup. Of each claim,
beside whether all bounds are met on the test rows:

- *expected*: the probability of that by the rows that chose alone, with as many test rows as there are: each rate is
  drawn from its posterior on the rows that chose (Jeffreys' prior), and the test rows from it (beta-binomial). It is
  below the confidence asked, because test rows are noise, too: a rate that is at its bound exactly is met on half of
  all tests, however many rows they have. *At the limits*: the same if every rate were its confidence limit.
- *one model a row*: whether they are met where each test row is scored by one of the five models, drawn at random, as
  the rows that chose were, in place of their average. A difference would be the fault of averaging in frames.
- *pooled*: the fraction of bounds in subgroups that hold on the test rows of all splits with a claim together, which
  leaves little noise, and the largest miss among them.

This file decides what is measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import betabinom, binom
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

import metricopt
from benchmarks.data.subgroups import GROUPED, GroupedData
from benchmarks.packages import LABELS, SURVIVAL
from benchmarks.reporting.files import RUNS
from benchmarks.studies.programs_tables import FOLDS, MODELS, NUM_SPLITS, counts_of, fit_folds, programs_for
from benchmarks.studies.study import Processes, Quick, finish, run_all
from metricopt.evidence.folds import make_folds
from metricopt.evidence.program_outcome import BoundOutcome
from metricopt.evidence.subgroups import read_subgroups
from metricopt.problem.bounds import MetricBound
from metricopt.problem.program import Program

NEEDS: tuple[str, ...] = (LABELS, SURVIVAL)
CONFIDENCE = 0.9
COLUMN = "subgroup"
THRESHOLDS = {"one threshold": None, "per subgroup": COLUMN}
KEYS = ["asked", "thresholds", "folds"]


def chance_of_meeting(bound: MetricBound, num_rows: float, hits: Any) -> float:
    """Return how probable it is that new rows meet a bound on a rate.

    Parameters
    ----------
    bound : MetricBound
    num_rows : float
        How many new rows decide on it.
    hits : frozen distribution
        Of the hits among these rows.

    Examples
    --------
    >>> round(chance_of_meeting(MetricBound("recall", ">=", 0.5), 4, binom(4, 0.5)), 4)
    0.6875
    """
    asked = float(np.asarray(bound.bound)) * num_rows
    if bound.direction == "min":
        return float(hits.sf(np.ceil(asked - 1e-9) - 1))
    return float(hits.cdf(np.floor(asked + 1e-9)))


def expected(bound: BoundOutcome, num_rows: float) -> float:
    """Return how probable it is that so many new rows meet a bound, by the rows that chose."""
    metric = bound.bound.metric
    hits, others = metric.numerator(bound.counts), metric.denominator(bound.counts) - metric.numerator(bound.counts)
    return chance_of_meeting(bound.bound, num_rows, betabinom(num_rows, hits + 0.5, others + 0.5))


def at_the_limit(bound: BoundOutcome, num_rows: float) -> float:
    """Return how probable it is that so many new rows meet a bound whose rate is its confidence limit."""
    return chance_of_meeting(bound.bound, num_rows, binom(num_rows, bound.limit))


def _alarms(choice: Any, scores: NDArray[np.float64], subgroup: NDArray[np.str_]) -> NDArray[np.bool_]:
    own = choice.program.thresholds or {}
    return scores >= np.array([own.get(name, float(choice.threshold)) for name in subgroup])


def judged(
    choice: Any, scores: NDArray[np.float64], labels: NDArray[Any], subgroup: NDArray[np.str_]
) -> Iterator[tuple[BoundOutcome, float, float, bool]]:
    """Yield each bound of a choice with its hits and rows among new ones, and whether it is met there."""
    alarms = _alarms(choice, scores, subgroup)
    for bound in choice.program.bounds:
        rows = slice(None) if bound.subgroup is None else subgroup == bound.subgroup
        counts, metric = counts_of(alarms[rows], labels[rows]), bound.bound.metric
        met = bool(bound.bound.holds(np.asarray(metric(counts))))
        yield bound, float(metric.numerator(counts)), float(metric.denominator(counts)), met


def run_split(name: str, seed: int) -> list[dict[str, Any]]:
    """Choose by the rule on one split of a data set, unless that was done before."""
    kept = RUNS / "subgroup_evidence" / f"{name}_{seed}.json"
    if kept.exists():
        rows: list[dict[str, Any]] = json.loads(kept.read_text(encoding="utf-8"))
        return rows
    with threadpool_limits(1):
        rows = list(_run_split(name, seed, GROUPED[name]()))
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(rows), encoding="utf-8")
    return rows


def _run_split(name: str, seed: int, grouped: GroupedData) -> Iterator[dict[str, Any]]:
    labels, subgroup = grouped.data.labels.astype(np.float64), grouped.subgroup
    strata = np.char.add(subgroup, labels.astype(int).astype(str))
    chosen, new = train_test_split(np.arange(len(labels)), train_size=0.6, stratify=strata, random_state=seed)
    columns = read_subgroups({COLUMN: subgroup[chosen]}, [COLUMN], len(chosen))
    drawn = np.random.default_rng(seed).integers(0, FOLDS, len(new))
    for folds, own in (("by class", {}), ("by class and subgroup", columns)):
        of_row = make_folds(FOLDS, labels[chosen], subgroups=own, seed=seed)
        fitted = fit_folds(grouped.data.features[chosen], labels[chosen], of_row, MODELS["logistic"])
        features = grouped.data.features[new]
        apart = np.stack([scorer(features) for scorer in fitted.scorers], axis=1)[:, :, np.newaxis]
        by_one = fitted.frames.express(apart)[np.arange(len(new)), drawn, 0]
        for (asked, program), (thresholds, per) in product(programs_for(name).items(), THRESHOLDS.items()):
            choice = metricopt.choose_threshold(
                fitted.out_of_fold,
                labels[chosen],
                Program(program.maximised, program.bounds, per),
                confidence=CONFIDENCE,
                folds=of_row,
                subgroups=columns,
            )
            told: dict[str, Any] = {"claimed": int(bool(choice.supported))}
            if choice.supported:
                found = list(judged(choice, fitted.scores(features), labels[new], subgroup[new]))
                of_one = judged(choice, by_one, labels[new], subgroup[new])
                told |= {
                    "met": int(all(met for *_, met in found)),
                    "one model a row": int(all(met for *_, met in of_one)),
                    "expected": float(np.prod([expected(own, num) for own, _, num, _ in found])),
                    "at the limits": float(np.prod([at_the_limit(own, num) for own, _, num, _ in found])),
                    "rates": [
                        (own.name, own.bound.sign, float(np.asarray(own.bound.bound)), hits, n)
                        for own, hits, n, _ in found
                    ],
                }
            yield {"dataset": name, "split": seed, "asked": asked, "thresholds": thresholds, "folds": folds, **told}


def pooled(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return of each way to choose how many bounds hold on the test rows of all splits together."""
    each = [
        {name: row[name] for name in ("dataset", *KEYS)}
        | {"bound": bound, "sign": sign, "number": number, "hits": hits, "rows": num}
        for row in rows
        for bound, sign, number, hits, num in row.get("rates") or []
    ]
    of_bound = pd.DataFrame(each).groupby(["dataset", *KEYS, "bound", "sign", "number"], sort=False).sum().reset_index()
    of_bound["miss"] = of_bound["sign"] * (of_bound["number"] - of_bound["hits"] / of_bound["rows"])
    of_bound["held"] = of_bound["miss"] <= 0
    return of_bound.groupby(KEYS, sort=False).agg(
        bounds=("held", "size"),
        held_pooled=("held", "mean"),
        largest_pooled_miss=("miss", lambda miss: max(miss.max(), 0)),
    )


def summary(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return a line for each way to choose: means over all claims, whatever the set."""
    frame = pd.DataFrame([{name: value for name, value in row.items() if name != "rates"} for row in rows])
    means = frame.groupby(KEYS, sort=False).mean(numeric_only=True).drop(columns="split")
    return means.join(pooled(rows))


def main(quick: Quick = False, processes: Processes = 2, splits: int = NUM_SPLITS) -> None:
    """Ask for bounds in subgroups of real tables by the evidence rule, and tell noise of the test rows from faults."""
    names = ["light_chains"] if quick else list(GROUPED)
    jobs = [partial(run_split, name, seed) for seed in range(1 if quick else splits) for name in names]
    rows = [row for part in run_all(jobs, processes) for row in part]
    table = summary(rows)
    title = "Bounds in subgroups of real tables: claims, and what the test rows say of them"
    tables = {
        f"{asked}: {len(names)} data sets, {len(jobs) // len(names)} splits": own.droplevel("asked")
        for asked, own in table.groupby("asked", sort=False)
    }
    flat = [{name: value for name, value in row.items() if name != "rates"} for row in rows]
    finish("subgroup_evidence", title, flat, tables, quick)
