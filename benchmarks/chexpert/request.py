"""What is asked of the benchmark on images: data, network, objective and budget, the same for every method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from metricopt.backbones import Backbone, load_backbone, truncate
from metricopt.data import CheXpertImages, CheXpertTable, apply_policy, read_chexpert_table, stratified_split
from metricopt.problem.objectives import Objective
from metricopt.problem.registry import get_objective

FRACTIONS = {"train": 0.6, "validation": 0.2, "test": 0.2}


@dataclass(frozen=True)
class Request:
    """One comparison.

    Attributes
    ----------
    root : str
        The folder of CheXpert.
    labels : tuple of str
    objective : str
    alpha : tuple of float
        One a label; empty for an objective without a bound.
    backbone, cut, weights : str
        As in :func:`metricopt.backbones.load_backbone` and :func:`metricopt.backbones.truncate`; an empty cut keeps the
        whole network, empty weights are drawn at random.
    policy : str
        What uncertain findings count as; empty for the common mix. ``"self_trained"`` has a model say it for training
        rows (:mod:`benchmarks.chexpert.self_training`).
    view : str
    image_size : int
        In pixels.
    epochs, batch_size : int
    learning_rate : float
    """

    root: str
    labels: tuple[str, ...]
    objective: str
    alpha: tuple[float, ...]
    backbone: str
    cut: str
    weights: str
    policy: str
    view: str
    image_size: int
    epochs: int
    batch_size: int
    learning_rate: float

    def read_table(self) -> CheXpertTable:
        """Return the rows that are asked for."""
        return read_chexpert_table(self.root, labels=self.labels, view=self.view)

    def make_objective(self) -> Objective:
        """Return the objective, with a bound a label."""
        alpha: Any = (self.alpha if len(self.alpha) > 1 else self.alpha[0]) if self.alpha else None
        return get_objective(self.objective, alpha=alpha)

    def make_model(self, seed: int, *, is_whole: bool = False) -> Backbone:
        """Return the network before training, the same for every method."""
        whole = load_backbone(self.backbone, self.weights or None, seed=seed)
        return truncate(whole, None if is_whole else self.cut or None, len(self.labels), seed=seed)

    def split(self, table: CheXpertTable, seed: int) -> dict[str, np.ndarray]:
        """Return the rows of every part: patients stay whole, rare labels are dealt out first."""
        labels, _ = apply_policy(table, **self._policy())
        rows = stratified_split(labels, tuple(FRACTIONS.values()), seed, groups=table.patients)
        return dict(zip(FRACTIONS, rows, strict=True))

    def make_images(self, table: CheXpertTable, model: Backbone, *, augment: bool = False) -> CheXpertImages:
        """Return the images of a part, scaled as the network wants them."""
        mean, std = model.normalisation
        return CheXpertImages(
            table,
            **self._policy(),
            image_size=self.image_size,
            augment=augment,
            mean=mean,
            std=std,
            cache_dir=f"{self.root}-{self.image_size}px",
        )

    @property
    def is_self_trained(self) -> bool:
        """Whether a model says what uncertain findings count as."""
        return self.policy == "self_trained"

    def _policy(self) -> dict[str, Any]:
        return {"policy": self.policy} if self.policy else {}
