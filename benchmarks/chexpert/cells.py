"""A cell: one method trained on one split by patients; its rows hold a label each, with what a report needs."""

from __future__ import annotations

import platform
import time
import zlib
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

import metricopt
from benchmarks.chexpert.methods import METHODS, WARMED, WARMUP_FRACTION
from benchmarks.chexpert.request import Request
from benchmarks.chexpert.self_training import drawn_labels
from benchmarks.peers import soap
from benchmarks.running.runner import Row
from metricopt.data import CheXpertImages
from metricopt.evidence.evaluation import evaluate
from metricopt.evidence.thresholds import choose_threshold
from metricopt.problem.metrics import precision_recall_curve
from metricopt.scoring.forward import score_loader

MAX_POINTS = 300
"""Of a curve in the results."""


@dataclass(frozen=True)
class ImageCell:
    """A piece of work.

    Attributes
    ----------
    request : Request
    method : str
        Name in :data:`benchmarks.chexpert.methods.METHODS`.
    seed : int
        Of the split, the initial weights and the order of the batches.
    """

    request: Request
    method: str
    seed: int

    @property
    def key(self) -> str:
        """What a finished cell is known by: all that is asked of it."""
        return f"{zlib.crc32(repr(self.request).encode()):08x}/{self.method}/{self.seed}"

    @property
    def title(self) -> str:
        """What progress calls it."""
        return f"{self.method} {self.seed}"

    def run(self) -> list[Row]:
        """Train, and judge the test part at the thresholds that the validation part chose."""
        torch.set_num_threads(1)
        request, objective = self.request, self.request.make_objective()
        table, model = request.read_table(), request.make_model(self.seed)
        rows = request.split(table, self.seed)
        parts = {
            name: request.make_images(table.take(own), model, augment=name == "train") for name, own in rows.items()
        }
        if request.is_self_trained:
            parts["train"] = parts["train"].with_targets(
                drawn_labels(request, table.take(rows["train"]), parts["train"], parts["validation"], self.seed)
            )
        sampler = self._sampler(parts["train"])
        loaders = {
            name: DataLoader(
                part,
                request.batch_size,
                shuffle=name == "train" and sampler is None,
                sampler=sampler if name == "train" else None,
            )
            for name, part in parts.items()
        }
        began = time.perf_counter()
        result = metricopt.fit(
            model,
            loaders["train"],
            objective,
            label_names=request.labels,
            val_loader=loaders["validation"],
            confidence=None,
            eval_dataset=parts["train"].without_augmentation(),
            solver=METHODS[self.method](objective, model),
            epochs=request.epochs,
            warmup_epochs=round(WARMUP_FRACTION * request.epochs) if self.method in WARMED else 0,
            learning_rate=request.learning_rate,
            seed=self.seed,
            progress=False,
        )
        seconds = time.perf_counter() - began
        scores, labels = score_loader(model, loaders["test"], torch.device("cpu"), len(request.labels))
        reports = evaluate(scores, labels, result.thresholds, objective, label_names=request.labels, data="test")
        best = choose_threshold(scores, labels, objective)
        reached = np.where(best.feasible, best.value, 0.0)
        assert result.validation is not None
        found = []
        for label, report in enumerate(reports):
            validation = result.validation.labels[label]
            found.append(
                {
                    "method": self.method,
                    "seed": self.seed,
                    "label": report.label,
                    "metric": report.metric,
                    "bounded": report.bounded_metric or "",
                    "bound": report.bound,
                    "threshold": report.threshold,
                    **{f"{name}_positives": int((parts[name].labels[:, label] == 1).sum()) for name in parts},
                    "validation_value": validation.value,
                    "validation_met": validation.met,
                    "test_value": report.value,
                    "test_bounded": report.bounded_value,
                    "test_met": report.met,
                    "test_precision": report.precision,
                    "test_recall": report.recall,
                    "test_average_precision": report.average_precision,
                    "test_curve_value": float(reached[label]),
                    **_curve(scores[:, label], labels[:, label]),
                    "status": str(result.status),
                    "stage": result.selected_stage,
                    "epochs": request.epochs,
                    "steps": request.epochs * len(loaders["train"]),
                    "seconds": round(seconds, 1),
                    "python": platform.python_version(),
                    **{package: version(package) for package in ("metricopt", "torch", "torchvision")},
                }
            )
        return found

    def _sampler(self, images: CheXpertImages) -> Sampler[int] | None:
        """Return the sampler that a method brings, which draws twice as many positives as there are."""
        if self.method != "soap":
            return None
        labels = np.nan_to_num(images.labels[:, 0])  # its sampler knows no missing ones, and its loss passes them over
        positive_fraction = min(2 * float(labels.mean()), 0.5)
        return soap.make_sampler(images, labels, self.request.batch_size, positive_fraction, self.seed)


def cells_of(request: Request, methods: tuple[str, ...], num_seeds: int) -> list[ImageCell]:
    """Return the cells of a comparison, seed by seed."""
    return [ImageCell(request, method, seed) for seed in range(num_seeds) for method in methods]


def _curve(scores: np.ndarray, labels: np.ndarray) -> Row:
    """Return points of the precision-recall curve of one label, all of them where they are few."""
    curve = precision_recall_curve(scores, labels)
    assert not isinstance(curve, list)
    points = np.unique(np.linspace(0, len(curve.recall) - 1, min(MAX_POINTS, len(curve.recall))).astype(int))
    return {"curve_recall": curve.recall[points].tolist(), "curve_precision": curve.precision[points].tolist()}
