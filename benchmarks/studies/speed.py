"""What a step costs against a plain cross-entropy step, and an exact threshold against a sort; one thread.

Both sides of a ratio run in turn within one process, and are measured in CPU time, so that what else the machine does
counts little. This file decides what is timed.
"""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
import typer
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.packages import TORCHVISION
from benchmarks.studies.starting import start_rows
from benchmarks.studies.study import Quick, finish
from benchmarks.studies.table_reading import table_memory, table_seconds
from metricopt._torchvision import import_torchvision
from metricopt.problem.objectives import FPOR, OAP, Objective
from metricopt.problem.program import Program
from metricopt.solvers.lagrangian import AugmentedLagrangian
from metricopt.training.table_models import TABLE_MODELS

NEEDS: tuple[str, ...] = (TORCHVISION,)


def step_ratio(
    objective: Objective, num_samples: int, *, epochs: int, repeats: int, budget: float
) -> list[dict[str, Any]]:
    """Time a profiled step against a cross-entropy step: MLP 32-64-1, batches of 256, data in memory."""
    what = f"{objective.name} / cross-entropy, {num_samples:,} samples, MLP 32-64-1, batch 256"
    loader = _rows_for_mlp(num_samples)
    return _fit_ratio(what, _make_mlp, loader, objective, epochs=epochs, repeats=repeats, budget=budget)


def subgroup_step_ratio(num_samples: int, *, epochs: int, repeats: int, budget: float) -> list[dict[str, Any]]:
    """Time a profiled step for three bounds, one of them in four subgroups, against one for FPOR."""
    loader = _rows_for_mlp(num_samples)
    sites = np.random.default_rng(0).integers(0, 4, num_samples)
    asked = ["precision >= 0.5", "false_positive_rate <= 0.1", "recall >= 0.3 in every site"]
    own = _seconds_a_step(_make_mlp, loader, Program("recall", asked), epochs, subgroups={"site": sites})
    reference = _seconds_a_step(_make_mlp, loader, FPOR(0.5), epochs)
    what = f"step: 3 bounds and 4 subgroups / FPOR, {num_samples:,} samples, MLP 32-64-1, batch 256"
    return in_turn(what, own, reference, repeats, budget)


def _rows_for_mlp(num_samples: int) -> DataLoader[Any]:
    torch.manual_seed(0)
    features = torch.randn(num_samples, 32)
    labels = (features[:, 0] + torch.randn(num_samples) > 2).float()
    return DataLoader(TensorDataset(features, labels), batch_size=256, shuffle=True)


def _make_mlp() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1))


def image_step_ratio(num_images: int, *, epochs: int, repeats: int) -> list[dict[str, Any]]:
    """Time a profiled step against a cross-entropy step: ResNet-18, images of 64 x 64 pixels, batches of 32."""
    models = import_torchvision().models
    torch.manual_seed(0)
    labels = (torch.arange(num_images) % 8 == 0).float()
    loader = DataLoader(TensorDataset(torch.randn(num_images, 3, 64, 64), labels), batch_size=32, shuffle=True)
    what = "FPOR / cross-entropy, ResNet-18 at 64 pixels, batch 32"
    make_model = partial(models.resnet18, num_classes=1)
    return _fit_ratio(what, make_model, loader, FPOR(0.8), epochs=epochs, repeats=repeats, budget=1.02)


def _fit_ratio(
    what: str,
    make_model: Callable[[], torch.nn.Module],
    loader: DataLoader[Any],
    objective: Objective,
    *,
    epochs: int,
    repeats: int,
    budget: float,
) -> list[dict[str, Any]]:
    """Time the default solver and cross-entropy."""
    own = _seconds_a_step(make_model, loader, objective, epochs)
    reference = _seconds_a_step(make_model, loader, objective, epochs, solver="cross_entropy")
    return in_turn(f"step: profiled {what}", own, reference, repeats, budget)


def _seconds_a_step(
    make_model: Callable[[], torch.nn.Module], loader: DataLoader[Any], objective: Objective, epochs: int, **given: Any
) -> Callable[[], float]:
    """Return what times a step in the training loop of ``fit``.

    Whole epochs are timed, the solver's refreshes of the threshold and the scoring after each epoch among them.
    """

    def seconds_a_step() -> float:
        moments: list[float] = []
        metricopt.fit(
            make_model(),
            loader,
            objective,
            epochs=epochs,
            warmup_epochs=0,
            val_fraction=0,
            progress=False,
            callbacks=[lambda _: moments.append(time.process_time())],
            **given,
        )
        return float(np.median(np.diff(moments))) / len(loader)

    return seconds_a_step


def threshold_ratio(num_samples: int = 1_000_000, repeats: int = 7) -> list[dict[str, Any]]:
    """Time the exact threshold of 1e6 scores, 5 % positive, against NumPy's argsort of them; also with confidence."""
    random = np.random.default_rng(0)
    labels = (random.random(num_samples) < 0.05).astype(np.float32)
    scores = (random.standard_normal(num_samples) + labels).astype(np.float32)
    objective = FPOR(0.5)
    rows = []
    for what, confidence in (("exact threshold", None), ("threshold with confidence .9", 0.9)):
        choose = partial(metricopt.choose_threshold, scores, labels, objective, confidence=confidence)
        rows += in_turn(
            f"{what} / numpy argsort, {num_samples:,} float32 scores",
            lambda choose=choose: _seconds(choose),  # type: ignore[misc]
            lambda: _seconds(lambda: np.argsort(scores)),
            repeats,
            budget=2.0,
        )
    return rows


def explicit_slack_ratio(largest: int = 1_000_000, repeats: int = 7, steps: int = 300) -> list[dict[str, Any]]:
    """Time a step of the augmented Lagrangian with many samples against one with 10,000, and count its bytes.

    A step is the loss of a batch of 256 random rows, its backward pass and the move of the multipliers; the refreshes
    of the threshold, which every solver has, are left out.
    """
    random = np.random.default_rng(0)

    def prepared(num_samples: int) -> tuple[AugmentedLagrangian, Callable[[], float]]:
        labels = (random.random((num_samples, 1)) < 0.05).astype(np.float32)
        scores = (random.standard_normal((num_samples, 1)) + labels).astype(np.float32)
        solver = AugmentedLagrangian()
        solver.prepare(FPOR(0.5), labels, None)
        solver.start(solver.stages(100)[0], 10 * steps * repeats)
        solver.refresh(scores, labels, None)
        batches = [torch.from_numpy(random.integers(0, num_samples, 256)) for _ in range(steps)]

        def seconds_a_step() -> float:
            def run() -> None:
                for index in batches:
                    own = torch.from_numpy(scores[index]).requires_grad_()
                    solver.loss(own, torch.from_numpy(labels[index]), None, index).backward()
                    solver.step()

            return _seconds(run) / steps

        return solver, seconds_a_step

    solver, of_many = prepared(largest)
    _, of_few = prepared(10_000)
    rows = in_turn(
        f"step: augmented Lagrangian, {largest:,} / 10,000 samples, batch 256", of_many, of_few, repeats, 2.0
    )
    state = solver.state_dict()
    held = state["slacks"]["slack"].nbytes + state["of_links"].nbytes + 4 * largest  # and the latest score, float32
    return [*rows, _bytes_row("bytes a sample and label: slack, multiplier, latest score", held / largest, 16.0)]


def training_cost(model: str, num_rows: int, num_features: int, budget: float) -> dict[str, Any]:
    """Measure what a whole training with the defaults of ``fit`` costs: 5 folds, all paths, one thread.

    Parameters
    ----------
    model : str
        A name in :data:`metricopt.training.table_models.TABLE_MODELS`.
    num_rows, num_features : int
        Of the table, of which a twentieth is positive.
    budget : float
        CPU seconds.
    """
    features, labels = _table(num_rows, num_features)
    loader = DataLoader(TensorDataset(features, labels), batch_size=256, shuffle=True)
    began = time.process_time()
    result = metricopt.fit(partial(TABLE_MODELS[model], num_features), loader, FPOR(0.8), progress=False)
    seconds = time.process_time() - began
    num_steps = max(record["epoch"] for record in result.history) * len(loader)
    what = f"training: {model}, {num_rows:,} x {num_features}, {num_steps:,} steps, 5 folds"
    return {"what": what, "cpu_seconds": round(seconds, 2), "budget": budget, "within_budget": seconds <= budget}


def choice_cost(num_rows: int, num_features: int, budget: float) -> dict[str, Any]:
    """Measure what a linear model, an MLP and boosting cost on the same folds, with the defaults of the classifier.

    A short training comes first, so that the imports of packages are left out.

    Parameters
    ----------
    num_rows, num_features, budget
        As for :func:`training_cost`.
    """
    features, labels = _table(num_rows, num_features)
    classifier = metricopt.DirectMetricClassifier("FPOR", alpha=0.5, model="auto", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # whether the bound is supported is not the question here
        metricopt.DirectMetricClassifier(model="auto", epochs=2).fit(features[:500].numpy(), labels[:500].numpy())
        began = time.process_time()
        classifier.fit(features.numpy(), labels.numpy())
    seconds = time.process_time() - began
    what = f"training: the best of linear, MLP and boosting, {num_rows:,} x {num_features}, 5 folds"
    return {"what": what, "cpu_seconds": round(seconds, 2), "budget": budget, "within_budget": seconds <= budget}


def tradeoff_cost(num_rows: int, num_features: int, bounds: tuple[float, ...], budget: float) -> dict[str, Any]:
    """Measure what a linear model for each of several bounds costs, with cross-entropy beside them, with the defaults.

    Parameters
    ----------
    num_rows, num_features, budget
        As for :func:`training_cost`.
    bounds : tuple of float
        On precision.
    """
    loader = DataLoader(TensorDataset(*_table(num_rows, num_features)), batch_size=256, shuffle=True)
    make_model = partial(TABLE_MODELS["linear"], num_features)
    began = time.process_time()
    metricopt.tradeoff(make_model, loader, "FPOR", alphas=bounds, num_workers=1, progress=False)
    seconds = time.process_time() - began
    what = f"training: linear, {len(bounds)} bounds of tradeoff beside cross-entropy, {num_rows:,} x {num_features}"
    return {"what": what, "cpu_seconds": round(seconds, 2), "budget": budget, "within_budget": seconds <= budget}


def imported_packages() -> list[dict[str, Any]]:
    """Count the heavy packages that ``import metricopt`` loads, in a fresh process."""
    heavy = ("sklearn", "torchvision", "matplotlib", "pandas", "cooper", "accelerate", "mapie")
    code = f"import sys, metricopt; print(sum(name in sys.modules for name in {heavy}))"
    found = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)
    what = f"packages that `import metricopt` loads of: {', '.join(heavy)}"
    return [{"what": what, "packages": found, "budget": 0.0, "within_budget": found == 0}]


def table_rows(num_rows: int, num_rows_in_pieces: int, repeats: int) -> list[dict[str, Any]]:
    """Time reading and preparing a table, and measure the memory that a longer one takes."""
    rows = table_seconds(
        num_rows, lambda what, own, other: in_turn(what, lambda: _seconds(own), lambda: _seconds(other), repeats, 2.0)
    )
    what, gigabytes = table_memory(num_rows_in_pieces)
    return [*rows, {"what": what, "gigabytes": round(gigabytes, 2), "budget": 2.0, "within_budget": gigabytes <= 2.0}]


def run(quick: bool) -> list[dict[str, Any]]:
    """Return a row a budget."""
    torch.set_num_threads(1)
    repeats = 3 if quick else 5
    return [
        *step_ratio(FPOR(0.8), 20_000, epochs=28, repeats=repeats, budget=1.25),
        *subgroup_step_ratio(20_000, epochs=28, repeats=repeats, budget=1.3),
        *step_ratio(OAP(), 100_000, epochs=12, repeats=repeats // 2, budget=2.0),
        *image_step_ratio(64 if quick else 128, epochs=4, repeats=2 if quick else 3),
        *threshold_ratio(**({"num_samples": 200_000, "repeats": 3} if quick else {})),
        *explicit_slack_ratio(**({"largest": 200_000, "repeats": 3} if quick else {})),
        training_cost("linear", 3_000, 25, budget=3.0),
        training_cost("mlp", 3_000, 25, budget=10.0),
        tradeoff_cost(3_000, 25, (0.5, 0.6, 0.7, 0.8, 0.9), budget=6.0),
        choice_cost(3_000, 25, budget=10.0),
        *([] if quick else [training_cost("linear", 100_000, 20, budget=10.0), choice_cost(100_000, 20, budget=60.0)]),
        *imported_packages(),
        *start_rows(),
        *table_rows(*((100_000, 100_000) if quick else (1_000_000, 2_000_000)), repeats=2 if quick else 3),
    ]


def _table(num_rows: int, num_features: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features and labels, of which a twentieth is positive."""
    torch.manual_seed(0)
    features = torch.randn(num_rows, num_features)
    return features, (features[:, 0] + torch.randn(num_rows) > 2.33).float()


def _seconds(call: Callable[[], Any]) -> float:
    """Return the CPU seconds of a call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def _bytes_row(what: str, num_bytes: float, budget: float) -> dict[str, Any]:
    return {"what": what, "bytes": num_bytes, "budget": budget, "within_budget": num_bytes <= budget}


def in_turn(
    what: str, measured: Callable[[], float], reference: Callable[[], float], repeats: int, budget: float
) -> list[dict[str, Any]]:
    """Time both sides in turn; the ratio is the median of the pairs'."""
    pairs = np.array([(measured(), reference()) for _ in range(repeats + 1)])[1:]  # the first warms up
    ratios = pairs[:, 0] / pairs[:, 1]
    return [
        {
            "what": what,
            "microseconds": round(float(np.median(pairs[:, 0])) * 1e6, 1),
            "reference_microseconds": round(float(np.median(pairs[:, 1])) * 1e6, 1),
            "ratio": round(float(np.median(ratios)), 3),
            "lowest_ratio": round(float(ratios.min()), 3),
            "highest_ratio": round(float(ratios.max()), 3),
            "budget": budget,
            "within_budget": bool(np.median(ratios) <= budget),
        }
    ]


def main(quick: Quick = False) -> None:
    """Time a step and an exact threshold against what they build on; one thread."""
    rows = run(quick)
    table = pd.DataFrame(rows).set_index("what")
    finish("speed", "Speed: ratios within one run, one thread", rows, {"Ratios": table}, quick)
    if not all(row["within_budget"] for row in rows):
        raise typer.Exit(1)
