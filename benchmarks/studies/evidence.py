"""Whether thresholds chosen with confidence keep their bound on new rows as often as they say, and what that costs.

Scores are drawn from known distributions (:mod:`benchmarks.data.score_families`), so what a bound reaches is exact.
This file decides the cases, the rules that are compared, and what is counted; what is judged is
:mod:`metricopt.evidence`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.data.score_families import FAMILIES, Family, Population
from benchmarks.studies.study import Processes, Quick, finish, run_all
from metricopt.evidence.rows import LabelRows, Rows
from metricopt.evidence.rule import DEFAULT_CONFIDENCE, Rule
from metricopt.evidence.thresholds import support_of
from metricopt.problem.cuts import Cuts
from metricopt.problem.metrics import Counts
from metricopt.problem.objectives import FPOR, FROP, CountObjective, RecallAtAlarmRate, RecallAtFPR

NEEDS: tuple[str, ...] = ()

NUM_DRAWS = 200
NUM_FOLDS = 5
LEAST = 0.85
"""The fraction of draws in which a nominal confidence of .9 must keep the bound, or raise no alarm."""

POSITIVES = (25, 50, 100, 300)
BOUNDS = (0.1, 0.3, 0.8, 0.95)
RULES: dict[str, Rule | None] = {
    "best cut": None,
    "limit .5": Rule(0.5),
    "limit .7": Rule(0.7),
    "limit .9": Rule(0.9),
    "every fold": Rule(None, every_fold=True),
    "limit .9, every fold": Rule(0.9, every_fold=True),
}
DEFAULT = f"limit {DEFAULT_CONFIDENCE:g}".replace("0.", ".")


@dataclass(frozen=True)
class Case:
    """How the rows of a family are made and what the metrics are meant for; ``prevalence`` is that of deployment."""

    name: str
    rows_per_patient: int = 1
    uneven_weights: bool = False
    weight_slope: float = 0.0
    prevalence: float | None = None

    def population(self, family: Family) -> Population:
        """Return the population that rows are drawn from."""
        return Population(
            family,
            rows_per_patient=self.rows_per_patient,
            uneven_weights=self.uneven_weights,
            weight_slope=self.weight_slope,
        )


CASES = (
    Case("plain"),
    Case("four rows a patient", rows_per_patient=4),
    Case("weights", uneven_weights=True),
    Case("weights that follow the score", uneven_weights=True, weight_slope=0.5),
    Case("prevalence .01", prevalence=0.01),
)
OTHER_BOUNDS: tuple[CountObjective, ...] = (
    *(FROP(0.5), FROP(0.8), FROP(0.95)),
    *(RecallAtFPR(0.02), RecallAtFPR(0.1), RecallAtAlarmRate(0.02), RecallAtAlarmRate(0.1)),
)
"""What is asked of the plain case beside bounds on precision."""


def simulate(
    case: Case, family: Family, num_positives: int, objectives: tuple[CountObjective, ...], num_draws: int
) -> list[dict[str, Any]]:
    """Draw rows anew each time and choose by every rule; return a row for each objective and rule.

    ``num_positives`` counts patients, on average. A draw counts as raised when its threshold raises an alarm for a
    bound on precision or a rate, or spares one for a bound on recall, and as met when the bound holds on new rows.
    """
    torch.set_num_threads(1)
    random = np.random.default_rng([CASES.index(case), FAMILIES.index(family), num_positives])
    population = case.population(family)
    thresholds: dict[tuple[CountObjective, str], list[float]] = {
        (objective, rule): [] for objective in objectives for rule in RULES
    }
    for _ in range(num_draws):
        drawn = population.draw(random, round(num_positives / population.prevalence))
        patient = np.arange(len(drawn.labels)) if drawn.patients is None else drawn.patients
        read = Rows.read(
            drawn.scores,
            drawn.labels,
            sample_weight=drawn.weight,
            groups=drawn.patients,
            prevalence=case.prevalence,
            folds=random.permutation(patient.max() + 1)[patient] % NUM_FOLDS,
        )
        (own,) = read.of_labels()
        for objective in objectives:
            cuts = Cuts.of(own.ranking, objective)
            for name, rule in RULES.items():
                thresholds[objective, name].append(_threshold(own, cuts, rule, read.samples.dtype))
    share = case.prevalence or population.prevalence
    return [
        {"case": case.name, "family": family.name, "positives": num_positives, "asked": _asked(objective), "rule": rule}
        | _worth(objective, population, share, np.array(found))
        for (objective, rule), found in thresholds.items()
    ]


def _threshold(rows: LabelRows, cuts: Cuts, rule: Rule | None, dtype: torch.dtype) -> float:
    """Return the threshold that a rule chooses, NaN where it claims nothing."""
    if rule is None:
        return cuts.threshold(cuts.best(), dtype)
    support = support_of(rows, cuts, rule)
    best = support.best()
    return support.cuts.threshold(best, dtype) if support.supported(np.array([best]))[0] else np.nan


def _worth(objective: CountObjective, population: Population, prevalence: float, found: np.ndarray) -> dict[str, Any]:
    """Count what thresholds are worth on new rows; NaN is a threshold that claims nothing."""
    raised = ~np.isnan(found)
    counts = _counts(population, prevalence, found[raised])
    met, values = objective.feasible(counts), objective.value(counts)
    all_counts = _counts(population, prevalence, np.linspace(-6, 10, 16_001))
    oracle = float(np.max(np.where(objective.feasible(all_counts), objective.value(all_counts), 0.0)))
    return {
        "draws": len(found),
        "raised": int(raised.sum()),
        "met": int(met.sum()),
        "oracle": round(oracle, 4),
        "value_where_met": round(float(values[met].mean()), 4) if met.any() else None,
        "delivered": round(float(values[met].sum()) / len(found), 4),
    }


def _counts(population: Population, prevalence: float, thresholds: np.ndarray) -> Counts:
    """Return the counts of thresholds on new rows, per row."""
    recall, wrong = population.rates(thresholds)
    of_positives, of_negatives = prevalence * recall, (1 - prevalence) * wrong
    return Counts(of_positives, of_negatives, prevalence - of_positives, 1 - prevalence - of_negatives)


def _asked(objective: CountObjective) -> str:
    return str(objective).partition("subject to ")[2].replace("_", " ")


def jobs(quick: bool) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Yield what is to be run, the longest first; each job returns rows."""
    num_draws = 20 if quick else NUM_DRAWS
    precisions = tuple(FPOR(bound) for bound in BOUNDS)
    for num_positives, case, family in product(POSITIVES[::-1], CASES, FAMILIES):
        if quick and (num_positives != 50 or family is not FAMILIES[0]):
            continue
        yield partial(simulate, case, family, num_positives, precisions, num_draws)
        if case is CASES[0]:
            yield partial(simulate, case, family, num_positives, OTHER_BOUNDS, num_draws)


def measured(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows with what is quoted of them."""
    frame = pd.DataFrame(rows)
    frame["alarms raised"] = frame["raised"] / frame["draws"]
    frame["met given raised"] = frame["met"] / frame["raised"].where(frame["raised"] > 0)
    frame["not missed"] = 1 - (frame["raised"] - frame["met"]) / frame["draws"]
    frame["given up"] = frame["oracle"] - frame["value_where_met"].astype(float)
    frame["delivered / oracle"] = frame["delivered"] / frame["oracle"].where(frame["oracle"] > 0)
    return frame


QUOTED = ["alarms raised", "met given raised", "not missed", "given up", "delivered / oracle"]


def tables(rows: list[dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """Return the page's tables by heading."""
    frame = measured(rows)
    on_precision = frame[frame["asked"].str.startswith("precision")]
    by_rule = [
        on_precision.groupby(keys, sort=False)[QUOTED].mean().rename_axis([None] * len(keys))
        for keys in (["rule"], ["rule", "case"], ["rule", "family"], ["rule", "positives"], ["rule", "asked"])
    ]
    default = frame[frame["rule"] == DEFAULT]
    others = frame[~frame["asked"].str.startswith("precision")]
    keys = ["case", "family", "positives", "asked"]
    made = {
        "Bounds on precision, by rule (means over all cells)": by_rule[0],
        "By rule and case": by_rule[1],
        "By rule and family": by_rule[2],
        "By rule and number of positives": by_rule[3],
        "By rule and bound": by_rule[4],
        "Other bounds, plain, by rule": others.groupby(["rule", "asked"], sort=False)[QUOTED].mean(),
        f"Cells in which {DEFAULT} keeps the bound in less than {LEAST:g} of the draws": default[
            default["not missed"] < LEAST
        ].set_index(keys)[QUOTED],
        f"All cells, {DEFAULT}": default.sort_values(keys).set_index(keys)[QUOTED],
    }
    return {heading: table for heading, table in made.items() if len(table)}


def conclusions(rows: list[dict[str, Any]]) -> list[str]:
    """Return what the rows say."""
    frame = measured(rows)
    default = frame[frame["rule"] == DEFAULT]
    enough = default[default["positives"] >= 50]
    low = enough[enough["not missed"] < LEAST]
    said = [
        f"{DEFAULT}: of {len(enough)} cells with 50 positives or more, the bound is kept on new rows (or nothing is "
        f"claimed) in {LEAST:g} of the draws or more in {len(enough) - len(low)}; the least is "
        f"{enough['not missed'].min():.3f}. Met given raised, pooled over draws: "
        f"{enough['met'].sum() / enough['raised'].sum():.3f}, with something raised in "
        f"{enough['raised'].sum() / enough['draws'].sum():.3f} of the draws."
    ]
    for rule, own in frame[frame["asked"].str.startswith("precision")].groupby("rule", sort=False):
        raised, met, draws = (own[name].sum() for name in ("raised", "met", "draws"))
        oracle = (own["oracle"] * own["draws"]).sum()
        delivered = (own["delivered"] * own["draws"]).sum() / oracle
        said.append(
            f"{rule}: raised in {raised / draws:.2f} of the draws, met given raised {met / raised:.3f}, "
            f"delivered {delivered:.2f} of the oracle's recall (bounds on precision, all cells pooled)."
        )
    return said


def main(quick: Quick = False, processes: Processes = 2) -> None:
    """Draw scores, choose thresholds by every rule, and count how often the bound holds on new rows."""
    rows = [row for part in run_all(list(jobs(quick)), processes) for row in part]
    title = "Thresholds with confidence: does the bound hold on new rows, and what is given up"
    finish("evidence", title, rows, tables(rows), quick, conclusions(rows))
