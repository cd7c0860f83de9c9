"""Several bounds at once, also in subgroups: how often all hold on new rows by the evidence rule, and by certificates.

Scores of three sites are drawn from known distributions (:mod:`benchmarks.data.score_families`), the positives of one
site a little lower and of another a little higher. So what thresholds are worth on new rows is known exactly. The rule
chooses on all rows. A certificate halves them: one half chooses, the other certifies. This file decides programs and
what is counted; models are trained in :mod:`benchmarks.studies.evidence`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import metricopt
from benchmarks.data.score_families import FAMILIES, Component, Family, Population
from benchmarks.packages import MAPIE
from benchmarks.studies.study import Processes, Quick, finish, run_all
from metricopt.evidence.program_certification import certify_program
from metricopt.evidence.rows import LabelRows, Rows
from metricopt.evidence.subgroups import read_subgroups
from metricopt.problem.program import Program
from metricopt.problem.ratios import Counts

NEEDS: tuple[str, ...] = (MAPIE,)
CONFIDENCE = 0.9
PREVALENCE = 0.2
SHIFTS = {"north": -0.3, "south": 0.0, "west": 0.3}
POSITIVES = (100, 300, 1_000)
NUM_DRAWS = 50

PROGRAMS = {
    "two bounds": Program("recall", ["precision >= 0.7", "false_positive_rate <= 0.05"]),
    "three bounds": Program(
        "recall", ["precision >= 0.7", "false_positive_rate <= 0.05", "negative_predictive_value >= 0.85"]
    ),
    "bounds in 3 subgroups": Program(
        "recall", ["precision >= 0.7", "recall >= 0.35 in every site", "false_positive_rate <= 0.08 in every site"]
    ),
}
BEST, RULE, OWN, CERTIFIED = "best cut", "rule .9", "rule .9, a threshold per site", "certified .9"


@dataclass(frozen=True)
class Sites:
    """Three sites of equal size whose scores have known distributions."""

    family: Family

    @property
    def populations(self) -> dict[str, Population]:
        """The population of each site."""

        def moved(components: tuple[Component, ...], by: float) -> tuple[Component, ...]:
            return tuple(replace(each, mean=each.mean + by) for each in components)

        return {
            name: Population(replace(self.family, positives=moved(self.family.positives, by)), PREVALENCE)
            for name, by in SHIFTS.items()
        }

    def draw(self, random: np.random.Generator, num_rows: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return scores, labels and sites."""
        numbers = random.multinomial(num_rows, [1 / len(SHIFTS)] * len(SHIFTS))
        parts = [each.draw(random, number) for each, number in zip(self.populations.values(), numbers, strict=True)]
        scores, labels = (np.concatenate([getattr(part, name) for part in parts]) for name in ("scores", "labels"))
        mixed = random.permutation(num_rows)
        return scores[mixed], labels[mixed], np.repeat(list(SHIFTS), numbers)[mixed]

    def counts(self, thresholds: dict[str, NDArray[Any]]) -> dict[str | None, Counts]:
        """Return the exact counts on new rows, a fraction each, of every site and of all (None)."""
        found: dict[str | None, Counts] = {}
        for name, population in self.populations.items():
            recall, wrong = population.rates(np.asarray(thresholds[name], dtype=float))
            part = PREVALENCE / len(SHIFTS), (1 - PREVALENCE) / len(SHIFTS)
            found[name] = Counts(part[0] * recall, part[1] * wrong, part[0] * (1 - recall), part[1] * (1 - wrong))
        found[None] = Counts(*(sum(each) for each in zip(*(_cells(own) for own in found.values()), strict=True)))
        return found


def _cells(counts: Counts) -> tuple[Any, ...]:
    return counts.true_positives, counts.false_positives, counts.false_negatives, counts.true_negatives


def worth(program: Program, counts: dict[str | None, Counts]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the value on new rows, and whether all bounds hold there, at each of some thresholds."""
    value = np.asarray(program.value(counts[None]))
    met = np.ones(value.shape, bool)
    for bound in program.bounds:
        for name in [None] if bound.within is None else list(SHIFTS):
            met &= bound.holds(np.asarray(bound.metric(counts[name])))
    return value, met


def oracle_of(program: Program, sites: Sites) -> float:
    """Return the best value of any shared threshold at which all bounds hold."""
    grid = np.linspace(-4, 8, 4001)
    value, met = worth(program, sites.counts(dict.fromkeys(SHIFTS, grid)))
    return float(value[met].max()) if met.any() else float("nan")


def thresholds_by(rule: str, program: Program, drawn: tuple[NDArray[Any], ...]) -> dict[str, float] | None:
    """Return the thresholds of the sites that a rule chooses; None where it claims nothing."""
    scores, labels, sites = drawn
    if rule == CERTIFIED:
        half = len(scores) // 2
        choose, certify = (tuple(part[own] for part in drawn) for own in (slice(half), slice(half, None)))
        choice = metricopt.choose_threshold(choose[0], choose[1], program, confidence=CONFIDENCE, subgroups=choose[2])
        assert choice.empirical is not None
        tuned = float((choice if choice.supported else choice.empirical).threshold)
        certificate = certify_program(program, _rows(program, *certify), _rows(program, *choose), tuned, CONFIDENCE)
        return dict.fromkeys(SHIFTS, certificate.threshold) if certificate.is_certified else None
    asked = replace(program, threshold_per="site") if rule == OWN else program
    confidence = None if rule == BEST else CONFIDENCE
    choice = metricopt.choose_threshold(scores, labels, asked, confidence=confidence, subgroups={"site": sites})
    if not choice.feasible:
        return None
    own = choice.program.thresholds
    return dict.fromkeys(SHIFTS, float(choice.threshold)) if own is None else dict(own)


def _rows(program: Program, *drawn: NDArray[Any]) -> LabelRows:
    scores, labels, sites = drawn
    columns = read_subgroups({"site": sites}, program.columns, len(labels), strict=False)
    (rows,) = Rows.unweighted(scores, labels, columns).of_labels()
    return rows


def simulate(name: str, family: Family, num_positives: int, num_draws: int) -> list[dict[str, Any]]:
    """Draw rows anew each time and choose by every rule; return a row for each rule."""
    random = np.random.default_rng([list(PROGRAMS).index(name), FAMILIES.index(family), num_positives])
    program, sites = PROGRAMS[name], Sites(family)
    rules = (BEST, RULE, CERTIFIED) if "site" not in program.columns else (BEST, RULE, OWN, CERTIFIED)
    found: dict[str, list[tuple[float, bool]]] = {rule: [] for rule in rules}
    for _ in range(num_draws):
        drawn = sites.draw(random, round(num_positives / PREVALENCE))
        for rule in rules:
            thresholds = thresholds_by(rule, program, drawn)
            if thresholds is not None:
                value, met = worth(program, sites.counts({each: np.array([t]) for each, t in thresholds.items()}))
                found[rule].append((float(value[0]), bool(met[0])))
    rows = []
    for rule, claimed in found.items():
        head = {"program": name, "family": family.name, "positives": num_positives, "rule": rule}
        kept = [value for value, met in claimed if met]
        rows.append(
            {
                **head,
                "draws": num_draws,
                "claimed": len(claimed),
                "met": len(kept),
                "oracle": round(oracle_of(program, sites), 4),
                "value_where_met": round(float(np.mean(kept)), 4) if kept else None,
                "delivered": round(sum(kept) / num_draws, 4),
            }
        )
    return rows


def measured(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows with what is quoted of them."""
    frame = pd.DataFrame(rows)
    frame["claimed in"] = frame["claimed"] / frame["draws"]
    frame["all met given claimed"] = frame["met"] / frame["claimed"].where(frame["claimed"] > 0)
    frame["not missed"] = 1 - (frame["claimed"] - frame["met"]) / frame["draws"]
    frame["given up"] = frame["oracle"] - frame["value_where_met"].astype(float)
    frame["delivered / oracle"] = frame["delivered"] / frame["oracle"]
    return frame


QUOTED = ["claimed in", "all met given claimed", "not missed", "given up", "delivered / oracle"]


def conclusions(frame: pd.DataFrame) -> list[str]:
    """Return what the rows say."""
    said = []
    for rule, own in frame.groupby("rule", sort=False):
        claimed, met, draws = (own[name].sum() for name in ("claimed", "met", "draws"))
        said.append(
            f"{rule}: claimed in {claimed / draws:.2f} of {draws} draws, all bounds met in {met / max(claimed, 1):.3f} "
            f"of these; all met or nothing claimed in {own['not missed'].mean():.3f} of the draws, in the worst of "
            f"{len(own)} cells {own['not missed'].min():.2f}; delivered {own['delivered / oracle'].mean():.2f} of what "
            "the best shared threshold gives."
        )
    return said


def jobs(quick: bool) -> Iterator[Any]:
    """Yield what is to be run, the longest first; each job returns rows."""
    for positives, name, family in product(POSITIVES[::-1], PROGRAMS, FAMILIES[:-1]):
        if not quick or (positives == POSITIVES[0] and family is FAMILIES[0]):
            yield partial(simulate, name, family, positives, 5 if quick else NUM_DRAWS)


def main(quick: Quick = False, processes: Processes = 2) -> None:
    """Draw scores of three sites, choose for several bounds by every rule, and count how often all hold on new rows."""
    rows = [row for part in run_all(list(jobs(quick)), processes) for row in part]
    frame = measured(rows)
    tables = {
        heading: frame.groupby(keys, sort=False)[QUOTED].mean()
        for heading, keys in {
            "By program and rule (means over families and sizes)": ["program", "rule"],
            "By rule and number of positives": ["rule", "positives"],
            "All cells": ["program", "rule", "family", "positives"],
        }.items()
    }
    title = "Several bounds at once: do all hold on new rows, and what is given up"
    finish("evidence_programs", title, rows, tables, quick, conclusions(frame))
