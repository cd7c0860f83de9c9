"""The whole way from training to threshold, and how often the bound holds on new rows.

The first of some features separates the classes as a known distribution says (:mod:`benchmarks.data.score_families`),
the others are noise. A linear model's scores are then of a known distribution too, and what it reaches on new rows is
exact. Each draw is trained once, by :func:`metricopt.fit` with its defaults but for the number of epochs; the
thresholds for other bounds, and by other rules, are chosen on the same out-of-fold scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.data.score_families import FAMILIES, Component, Family
from benchmarks.data.score_families import Rows as Drawn
from benchmarks.studies.kept_bounds import RULES, asked_of, conclusions, tables, worth
from benchmarks.studies.score_evidence import BOUNDS, CASES, Case, oracle_of, threshold_by
from benchmarks.studies.study import Processes, Quick, finish, run_all
from metricopt.evidence.rows import Rows
from metricopt.problem.cuts import Cuts
from metricopt.problem.objectives import FPOR, FROP, CountObjective, RecallAtFPR
from metricopt.problem.ratios import Counts
from metricopt.results.result import FitResult

NEEDS: tuple[str, ...] = ()

NUM_NOISE_FEATURES = 5
TRAINED_FOR = FPOR(0.8)
NUM_EPOCHS = 20
BATCH_SIZE = 256
POSITIVES = (25, 50, 100, 300)
PLAIN, PATIENTS, WEIGHTS, _, RARE = CASES
NUM_DRAWS = {PLAIN: 100, PATIENTS: 30, WEIGHTS: 60, RARE: 60}
OBJECTIVES: tuple[CountObjective, ...] = (*(FPOR(bound) for bound in BOUNDS), FROP(0.8), RecallAtFPR(0.1))

NOISE = FAMILIES[-1]
NOISE_PREVALENCE = 0.066
NOISE_ROWS = 1_000


def simulate(case: Case, family: Family, num_positives: int, num_draws: int) -> list[dict[str, Any]]:
    """Draw rows and train anew each time; return a row for each objective and rule.

    ``num_positives`` counts patients, on average. A draw counts as raised when its threshold raises an alarm for a
    bound on precision or a rate, or spares one for a bound on recall, and as met when the bound holds on new rows.
    """
    torch.set_num_threads(1)
    random = np.random.default_rng([CASES.index(case), FAMILIES.index(family), num_positives])
    population = case.population(family)
    if family is NOISE:
        population = replace(population, prevalence=NOISE_PREVALENCE)
    prevalence = case.prevalence or population.prevalence
    found: dict[tuple[CountObjective, str], list[tuple[float, float]]] = {key: [] for key in product(OBJECTIVES, RULES)}
    for seed in range(num_draws):
        drawn = population.draw(random, round(num_positives / population.prevalence))
        result = train(drawn, random, case.prevalence, seed)
        of_model = replace(population, family=scores_of(family, result))
        part = result.selection_scores
        read = Rows.read(
            part.scores,
            part.labels,
            sample_weight=part.sample_weight,
            groups=part.groups,
            prevalence=None,
            folds=part.folds,
        )
        (own,) = read.of_labels()
        for objective in OBJECTIVES:
            cuts = Cuts.of(own.ranking, objective)
            for name, rule in RULES.items():
                recall, wrong = of_model.rates(np.array([threshold_by(rule, own, cuts, read.samples.dtype)]))
                found[objective, name].append((float(recall[0]), float(wrong[0])))
    head = {"case": case.name, "family": family.name, "positives": num_positives}
    rows = []
    for (objective, name), all_rates in found.items():
        rates = np.array(all_rates)
        raised = ~np.isnan(rates[:, 0])  # NaN is a threshold that claims nothing
        recall, wrong = (rates[raised] * [prevalence, 1 - prevalence]).T
        counts = Counts(recall, wrong, prevalence - recall, 1 - prevalence - wrong)
        said = worth(objective, raised, counts, oracle_of(objective, population, prevalence))
        rows.append({**head, "asked": asked_of(objective), "rule": name, **said})
    return rows


def train(drawn: Drawn, random: np.random.Generator, prevalence: float | None, seed: int) -> FitResult:
    """Train a linear model on the scores of a draw, among features of noise."""
    noise = random.standard_normal((len(drawn.labels), NUM_NOISE_FEATURES))
    features = torch.from_numpy(np.column_stack([drawn.scores, noise]))
    loader = DataLoader(TensorDataset(features, torch.from_numpy(drawn.labels)), batch_size=BATCH_SIZE, shuffle=True)
    return metricopt.fit(
        torch.nn.Linear(features.shape[1], 1).double(),
        loader,
        TRAINED_FOR,
        groups=None if drawn.patients is None else drawn.patients.tolist(),
        sample_weight=drawn.weight,
        prevalence=prevalence,
        epochs=NUM_EPOCHS,
        seed=seed,
        progress=False,
    )


def scores_of(family: Family, result: FitResult) -> Family:
    """Return the distribution of a trained linear model's scores on new rows."""
    model = result.model
    assert isinstance(model, torch.nn.Linear)
    weight, bias = model.weight.detach()[0].numpy(), float(model.bias.detach()[0])
    of_noise = float((weight[1:] ** 2).sum())

    def moved(components: tuple[Component, ...]) -> tuple[Component, ...]:
        return tuple(
            Component(
                each.fraction,
                float(weight[0]) * each.mean + bias,
                float(np.sqrt((weight[0] * each.deviation) ** 2 + of_noise)),
            )
            for each in components
        )

    return Family(family.name, moved(family.negatives), moved(family.positives))


def jobs(quick: bool) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Yield what is to be run, the longest first; each job returns rows."""
    if quick:
        yield partial(simulate, PLAIN, FAMILIES[0], 50, 5)
        return
    for num_positives, (case, num_draws), family in product(POSITIVES[::-1], NUM_DRAWS.items(), FAMILIES[:-1]):
        if case is PLAIN or num_positives >= 50:
            yield partial(simulate, case, family, num_positives, num_draws)
    yield partial(simulate, PLAIN, NOISE, round(NOISE_PREVALENCE * NOISE_ROWS), NUM_DRAWS[PLAIN])


def main(quick: Quick = False, processes: Processes = 2) -> None:
    """Train on drawn rows, choose thresholds by every rule, and count how often the bound holds on new rows."""
    rows = [row for part in run_all(list(jobs(quick)), processes) for row in part]
    title = "From training to threshold: does the bound hold on new rows, and what is given up"
    finish("evidence", title, rows, tables(rows), quick, conclusions(rows))
