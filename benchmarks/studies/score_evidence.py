"""Whether thresholds on given scores keep their bound on new rows as often as they say, and what that costs.

Scores are drawn from known distributions (:mod:`benchmarks.data.score_families`), so what a bound reaches is exact.
This file decides the cases; what is judged is :mod:`metricopt.evidence`. What the whole way from training keeps is
measured by :mod:`benchmarks.studies.evidence`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch

from benchmarks.data.score_families import FAMILIES, Family, Population
from benchmarks.studies.kept_bounds import RULES, asked_of, conclusions, tables, worth
from benchmarks.studies.study import Processes, Quick, finish, run_all
from metricopt.evidence.choosing import support_of
from metricopt.evidence.rows import LabelRows, Rows
from metricopt.evidence.rule import Rule
from metricopt.problem.cuts import Cuts
from metricopt.problem.objectives import FPOR, FROP, CountObjective, RecallAtAlarmRate, RecallAtFPR
from metricopt.problem.ratios import Counts

NEEDS: tuple[str, ...] = ()

NUM_DRAWS = 100
NUM_FOLDS = 5
POSITIVES = (25, 50, 100, 300)
BOUNDS = (0.1, 0.3, 0.8, 0.95)


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
                thresholds[objective, name].append(threshold_by(rule, own, cuts, read.samples.dtype))
    share = case.prevalence or population.prevalence
    return [
        {
            "case": case.name,
            "family": family.name,
            "positives": num_positives,
            "asked": asked_of(objective),
            "rule": rule,
        }
        | _worth(objective, population, share, np.array(found))
        for (objective, rule), found in thresholds.items()
    ]


def threshold_by(rule: Rule | None, rows: LabelRows, cuts: Cuts, dtype: torch.dtype) -> float:
    """Return the threshold that a rule chooses, NaN where it claims nothing."""
    if rule is None:
        return cuts.threshold(cuts.best(), dtype)
    support = support_of(rows, cuts, rule)
    best = support.best()
    return support.cuts.threshold(best, dtype) if support.supported(np.array([best]))[0] else np.nan


def _worth(objective: CountObjective, population: Population, prevalence: float, found: np.ndarray) -> dict[str, Any]:
    """Count what thresholds are worth on new rows; NaN is a threshold that claims nothing."""
    raised = ~np.isnan(found)
    counts = counts_of(population, prevalence, found[raised])
    return worth(objective, raised, counts, oracle_of(objective, population, prevalence))


def oracle_of(objective: CountObjective, population: Population, prevalence: float) -> float:
    """Return the best value that any threshold on the scores has within the bound."""
    counts = counts_of(population, prevalence, np.linspace(-6, 10, 16_001))
    return float(np.max(np.where(objective.feasible(counts), objective.value(counts), 0.0)))


def counts_of(population: Population, prevalence: float, thresholds: np.ndarray) -> Counts:
    """Return the counts of thresholds on new rows, per row."""
    recall, wrong = population.rates(thresholds)
    of_positives, of_negatives = prevalence * recall, (1 - prevalence) * wrong
    return Counts(of_positives, of_negatives, prevalence - of_positives, 1 - prevalence - of_negatives)


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


def main(quick: Quick = False, processes: Processes = 2) -> None:
    """Draw scores, choose thresholds by every rule, and count how often the bound holds on new rows."""
    rows = [row for part in run_all(list(jobs(quick)), processes) for row in part]
    title = "Thresholds with confidence on given scores: does the bound hold on new rows, and what is given up"
    finish("score_evidence", title, rows, tables(rows), quick, conclusions(rows))
