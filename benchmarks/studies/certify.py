"""Whether certified bounds hold as often as they say, what they cost, and whether metrics at a prevalence are right.

Scores are drawn from :mod:`benchmarks.studies.populations`, so what a threshold is worth on new data is known exactly.
This file decides the cases and the judges; what is judged is :mod:`metricopt.evidence.certification`,
:mod:`metricopt.problem.prevalence`, and of MAPIE the procedures of its ``BinaryClassificationController``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
import typer
from scipy.stats import binom
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.packages import MAPIE
from benchmarks.studies.populations import Population
from benchmarks.studies.study import Processes, Quick, finish, run_all
from metricopt._arrays import Samples
from metricopt.evidence.certification import certify_label, thresholds_to_test
from metricopt.evidence.evaluation import evaluate
from metricopt.evidence.p_values import p_values
from metricopt.problem.objectives import FPOR, FROP
from metricopt.problem.prevalence import weights_at
from metricopt.problem.ranking import Ranking
from metricopt.problem.ratios import Counts

NEEDS: tuple[str, ...] = (MAPIE,)
CONFIDENCE = 0.9
NUM_DRAWS = 500
PROCEDURES = ("tuned", "certified", "Holm", "MAPIE, Holm", "MAPIE, fixed_sequence")
COUNTED_TWICE = 400


@dataclass(frozen=True)
class Case:
    """What is asked of which population, with how many calibration samples."""

    population: Population
    objective: FPOR | FROP
    num_calibration: int
    num_selection: int = 1000

    @property
    def name(self) -> str:
        """The case in words."""
        deployed = self.population.deployed
        at = "" if deployed is None else f" at prevalence {deployed:g}"
        return f"{self.objective.name} {self.objective.bound:g}{at}, {self.population.kind}, n = {self.num_calibration}"


CASES = (
    *(Case(Population("normal", 0.1), FPOR(0.8), size) for size in (500, 1000, 3000)),
    *(Case(Population("normal", 0.1), FROP(0.8), size) for size in (500, 1000, 3000)),
    *(Case(Population("normal", 0.3, deployed=0.05), FPOR(0.5), size) for size in (1000, 3000, 10000)),
    Case(Population("flat", 0.3), FPOR(0.8), 2000),
    Case(Population("flat", 0.3, deployed=0.05), FPOR(0.8), 2000),
)


def coverage(case: Case, num_draws: int = NUM_DRAWS) -> list[dict[str, Any]]:
    """Draw selection and calibration data anew each time; return a row a procedure.

    ``missed`` counts the draws whose threshold misses the bound on new data: certificates that are wrong. Where a
    procedure finds no threshold, nothing is missed and recall is 0.
    """
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    deployed, objective = case.population.deployed, case.objective
    worth: dict[str, list[Counts | None]] = {name: [] for name in PROCEDURES}
    for _ in range(num_draws):
        selection, calibration = (
            case.population.draw(random, size) for size in (case.num_selection, case.num_calibration)
        )
        weight = None if deployed is None else weights_at(deployed, selection[1][:, np.newaxis])[:, 0]
        tuned = float(metricopt.choose_threshold(*selection, objective, sample_weight=weight).threshold)
        ranked = [Ranking.of(Samples.read(*data), 0) for data in (selection, calibration)]
        certificate = certify_label(objective, ranked[1], ranked[0], tuned, CONFIDENCE, prevalence=deployed)
        tested = thresholds_to_test(objective, ranked[0], tuned, deployed)
        p = p_values(objective.bounds[0], ranked[1].counts(tested), deployed)
        found = {
            "tuned": tuned,
            "certified": certificate.threshold,
            "Holm": _best(objective, tested[_holm(p)]),
        }
        if deployed is None:
            for name, procedure in (("Holm", "bonferroni_holm"), ("fixed_sequence", "fixed_sequence")):
                found[f"MAPIE, {name}"] = _by_mapie(objective, tested, procedure, *calibration)
        for name, threshold in found.items():
            worth[name].append(None if np.isnan(threshold) else case.population.worth(threshold))
    return [_row(case, name, all_worth, worth["tuned"]) for name, all_worth in worth.items() if all_worth]


def _row(case: Case, procedure: str, worth: list[Counts | None], tuned: list[Counts | None]) -> dict[str, Any]:
    """Count over all draws what the thresholds of one procedure are worth."""
    objective = case.objective
    found = [counts for counts in worth if counts is not None]
    missed = sum(not objective.feasible(counts) for counts in found)
    value = [0.0 if counts is None else float(objective.value(counts)) for counts in worth]
    both = [(one, other) for one, other in zip(worth, tuned, strict=True) if one is not None and other is not None]
    given_up = [float(objective.value(other) - objective.value(one)) for one, other in both]
    return {
        "case": case.name,
        "procedure": procedure,
        "draws": len(worth),
        "found": len(found),
        "missed": missed,
        "most_allowed": None if procedure == "tuned" else most_allowed(len(worth)),
        "mean_value": round(float(np.mean(value)), 4),
        "given_up": None if procedure == "tuned" or not given_up else round(float(np.mean(given_up)), 4),
    }


def most_allowed(num_draws: int) -> int:
    """Return how many misses a sound procedure exceeds with a probability of .001."""
    return int(binom.ppf(0.999, num_draws, 1 - CONFIDENCE))


def _holm(p: np.ndarray) -> np.ndarray:
    from mapie.risk_control import control_fwer

    return np.asarray(control_fwer(p, 1 - CONFIDENCE, "bonferroni_holm"))


def _best(objective: FPOR | FROP, certified: np.ndarray) -> float:
    """Return the certified threshold of the best recall or, for a bound on recall, of the fewest alarms."""
    if not len(certified):
        return np.nan
    return float(certified.min() if isinstance(objective, FPOR) else certified.max())


def _by_mapie(
    objective: FPOR | FROP, tested: np.ndarray, procedure: str, scores: np.ndarray, labels: np.ndarray
) -> float:
    """Call MAPIE's controller as its documentation does, on thresholds in ascending order."""
    from mapie.risk_control import BinaryClassificationController

    assert objective.bounded is not None and isinstance(objective.bound, float)
    controller = BinaryClassificationController(
        lambda known: np.column_stack([-known, known]),
        objective.bounded.name,
        objective.bound,
        CONFIDENCE,
        list_predict_params=np.sort(tested),
        fwer_method=procedure,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no threshold passed, or each, or that precision is not monotone
        controller.calibrate(scores, labels.astype(int))
    return _best(objective, np.asarray(controller.valid_predict_params, dtype=np.float64))


def fixed_sequence(num_draws: int = 10 * NUM_DRAWS) -> dict[str, Any]:
    """Return how often MAPIE's procedures certify one of two thresholds that both miss the bound, by a hair.

    Precision .7999 for the top tenth of the scores and for the rest as well: it is no matter which end of the sequence
    the test begins at, as long as the calibration data do not choose it.
    """
    random = np.random.default_rng(0)
    objective, thresholds = FPOR(0.8), np.array([0.0, 1.0])
    wrong = dict.fromkeys(("fixed_sequence", "bonferroni_holm"), 0)
    for _ in range(num_draws):
        scores = random.random(2000) + (random.random(2000) < 0.1)
        labels = (random.random(2000) < 0.7999).astype(np.float64)
        for procedure in wrong:
            wrong[procedure] += not np.isnan(_by_mapie(objective, thresholds, procedure, scores, labels))
    return {"draws": num_draws, **wrong, "allowed": round(num_draws * (1 - CONFIDENCE))}


def miscounted() -> float:
    """Return the share of all counts k of n <= 400 for which ``ceil(n * (1 - k / n))`` is not ``n - k``."""
    counts = [(n, k) for n in range(1, COUNTED_TWICE + 1) for k in range(n + 1)]
    return float(np.mean([np.ceil(n * (1 - k / n)) != n - k for n, k in counts]))


def at_prevalence(observed: float, deployed: float, num_draws: int = NUM_DRAWS) -> dict[str, Any]:
    """Weight one data set to another prevalence, and drop its positives at random until it has that prevalence.

    Also how often, over draws of data sets of 2,000 samples, the 95 % interval of the precision holds the true one.
    """
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    population, threshold = Population("normal", observed, deployed), 1.5
    objective = FPOR(0.5)

    def report(scores: np.ndarray, labels: np.ndarray, prevalence: float | None) -> Any:
        columns = labels[:, np.newaxis]
        weight = None if prevalence is None else weights_at(prevalence, columns)
        return evaluate(
            *(scores[:, np.newaxis], columns, np.array([threshold]), objective),
            label_names=("label",), data="", sample_weight=weight, prevalence=prevalence,
        )[0]  # fmt: skip

    scores, labels = population.draw(random, 100_000)
    weighted = report(scores, labels, deployed)
    positives, negatives = (np.flatnonzero(labels == truth) for truth in (1, 0))
    num_kept = round(len(negatives) * deployed / (1 - deployed))
    drawn = []
    for _ in range(num_draws):
        rows = np.concatenate([negatives, random.choice(positives, num_kept, replace=False)])
        drawn.append(report(scores[rows], labels[rows], None))
    truth = float(metricopt.problem.ratios.PRECISION(population.worth(threshold)))
    held = 0
    for _ in range(num_draws):
        low, high = report(*population.draw(random, 2000), deployed).intervals["precision"]
        held += low <= truth <= high
    row: dict[str, Any] = {"observed": observed, "deployed": deployed, "draws": num_draws}
    for metric in ("precision", "f_beta", "average_precision"):
        values = [getattr(one, metric) for one in drawn]
        row |= {metric: getattr(weighted, metric), f"{metric}_resampled": float(np.mean(values))}
        row[f"{metric}_resampled_error"] = float(np.std(values) / np.sqrt(num_draws))
        row[f"{metric}_enriched"] = getattr(report(scores, labels, None), metric)
    return {**row, "true_precision": truth, "intervals_that_hold": held / num_draws}


def training(seed: int, deployed: float = 0.02, bound: float = 0.5) -> dict[str, Any]:
    """Train on enriched data with and without the prevalence of deployment; return the recall on data of that one.

    Two features; half of the positives are far from the negatives, the others near, so that the direction which is
    best with many positives is not the one which is best with few.
    """
    torch.set_num_threads(1)
    random = np.random.default_rng(seed)

    def draw(num_samples: int, prevalence: float) -> tuple[torch.Tensor, torch.Tensor]:
        labels = (random.random(num_samples) < prevalence).astype(np.float32)
        is_near = random.random(num_samples) < 0.5
        mean = np.where(is_near[:, np.newaxis], [0.0, 1.5], [3.0, 0.0]) * labels[:, np.newaxis]
        features = (mean + random.normal(size=(num_samples, 2))).astype(np.float32)
        return torch.from_numpy(features), torch.from_numpy(labels)

    train, test = draw(20_000, 0.5), draw(200_000, deployed)
    results = {}
    for name, prevalence in (("trained_for_it", deployed), ("moved_to_it", None)):
        torch.manual_seed(seed)
        loader = DataLoader(TensorDataset(*train), batch_size=512, shuffle=True)
        results[name] = metricopt.fit(
            *(torch.nn.Linear(2, 1), loader, "FPOR"),
            alpha=bound,
            prevalence=prevalence,
            folds=None,
            confidence=None,
            seed=seed,
            progress=False,
        )
    results["as_it_was"] = results["moved_to_it"]
    results["moved_to_it"] = results["moved_to_it"].at_prevalence(deployed)
    row: dict[str, Any] = {"seed": seed, "deployed": deployed, "bound": bound}
    for name, result in results.items():
        report = result.evaluate(test, prevalence="observed")
        row |= {f"{name}_recall": report.recall, f"{name}_precision": report.precision}
    return row


def tables(rows: list[dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """Return the page's tables by heading."""
    by_study = {study: pd.DataFrame([row for row in rows if row["study"] == study]) for study in STUDIES}
    certified = by_study["coverage"].set_index(["case", "procedure"]).drop(columns="study")
    whole = ["draws", "found", "missed", "most_allowed"]
    certified[whole] = certified[whole].astype("Int64").astype(object).where(certified[whole].notna(), "")
    weighted = by_study["prevalence"]
    shown = pd.DataFrame(
        {
            metric: [
                f"{row[metric]:.4f}; {row[f'{metric}_resampled']:.4f} +/- {row[f'{metric}_resampled_error']:.4f} "
                f"({row[f'{metric}_enriched']:.3f})"
                for _, row in weighted.iterrows()
            ]
            for metric in ("precision", "f_beta", "average_precision")
        }
    )
    shown["true precision"], shown["95 % intervals that hold"] = (
        weighted["true_precision"],
        weighted["intervals_that_hold"],
    )
    shown.index = pd.Index([f"{a:g} to {b:g}" for a, b in zip(weighted["observed"], weighted["deployed"], strict=True)])
    trained = by_study["training"].drop(columns=["study", "deployed", "bound"]).set_index("seed")
    return {
        f"Bounds on new data, confidence {CONFIDENCE:g}": certified,
        "Metrics at another prevalence: weighted; by dropping positives; (as enriched)": shown,
        "Trained on 50 % positives for precision .5 at 2 %: on test data of 2 %": trained,
    }


STUDIES = ("coverage", "fixed_sequence", "prevalence", "training")


def jobs(quick: bool) -> list[Callable[[], list[dict[str, Any]]]]:
    """Return what is to be run; each job returns rows."""
    draws = 50 if quick else NUM_DRAWS
    return [
        *(partial(_rows, "coverage", coverage, case, draws) for case in (CASES[1::3] if quick else CASES)),
        partial(_rows, "fixed_sequence", fixed_sequence, 10 * draws),
        *(partial(_rows, "prevalence", at_prevalence, *pair, draws) for pair in ((0.5, 0.05), (0.3, 0.01))),
        *(partial(_rows, "training", training, seed) for seed in range(1 if quick else 5)),
    ]


def _rows(study: str, call: Callable[..., Any], *arguments: Any) -> list[dict[str, Any]]:
    made = call(*arguments)
    return [{"study": study, **row} for row in (made if isinstance(made, list) else [made])]


def conclusions(rows: list[dict[str, Any]]) -> list[str]:
    """Return what the rows say."""
    bounds = [row for row in rows if row["study"] == "coverage"]
    normal = [row for row in bounds if "normal" in row["case"]]

    def share(procedure: str, column: str, of: list[dict[str, Any]]) -> list[float]:
        return [row[column] / row["draws"] for row in of if row["procedure"] == procedure]

    tuned, certified = share("tuned", "missed", normal), share("certified", "missed", normal)
    hard = share("certified", "missed", [row for row in bounds if "flat" in row["case"]])
    (two,) = (row for row in rows if row["study"] == "fixed_sequence")
    said = [
        f"Tuned thresholds miss their bound on new data in {min(tuned):.0%} to {max(tuned):.0%} of the draws, "
        f"certified ones in {min(certified):.1%} to {max(certified):.1%}; at most {1 - CONFIDENCE:.0%} was promised. "
        f"Where every threshold misses by a hair (flat), a certificate is wrong in {min(hard):.1%} to {max(hard):.1%}.",
        f"MAPIE's `fixed_sequence` certifies a threshold that misses the bound in {two['fixed_sequence']} of "
        f"{two['draws']} draws where {two['allowed']} are allowed, because the calibration data choose the end that it "
        f"begins at; its Holm in {two['bonferroni_holm']}. Here the selection data fix the order.",
        f"MAPIE's p-values count one error too many for {miscounted():.1%} of all counts up to {COUNTED_TWICE}: sound, "
        "but larger than they need to be. Its Holm also stops at a threshold without alarms.",
    ]
    trained = [row for row in rows if row["study"] == "training"]
    recall = {name: np.mean([row[f"{name}_recall"] for row in trained]) for name in ("trained_for_it", "moved_to_it")}
    said.append(
        f"Trained for the prevalence of deployment, a linear model has recall {recall['trained_for_it']:.3f} there, "
        f"trained without and moved to it {recall['moved_to_it']:.3f} (means of {len(trained)} seeds; both thresholds "
        "were chosen by validation data, so precision is .5 only about)."
    )
    for case in dict.fromkeys(row["case"] for row in normal):
        one = {row["procedure"]: row for row in normal if row["case"] == case}
        own, holm = one["certified"], one["Holm"]
        metric = "recall" if case.startswith("FPOR") else "precision"
        given_up = "" if own["given_up"] is None else f", giving up {own['given_up']:.3f} of {metric} where it does"
        said.append(
            f"{case}: certifies in {own['found'] / own['draws']:.0%} of the draws (Holm on the same thresholds "
            f"{holm['found'] / holm['draws']:.0%}){given_up}."
        )
    return said


def is_sound(rows: list[dict[str, Any]]) -> bool:
    """Tell whether certified bounds fail no more often than chance lets a sound procedure fail."""
    certified = [row for row in rows if row["study"] == "coverage" and row["procedure"] == "certified"]
    return all(row["missed"] <= row["most_allowed"] for row in certified)


def main(quick: Quick = False, processes: Processes = 2) -> None:
    """Count how often certified bounds fail on new data, and check metrics at another prevalence by resampling."""
    rows = [row for part in run_all(jobs(quick), processes) for row in part]
    title = "Certified thresholds and metrics at another prevalence"
    finish("certify", title, rows, tables(rows), quick, conclusions(rows))
    if not is_sound(rows):
        raise typer.Exit(1)
