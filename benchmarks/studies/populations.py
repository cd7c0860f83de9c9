"""Populations of scores of which it is known exactly what a threshold is worth on new data.

This file decides how scores and labels are drawn and what they are worth; studies decide what is asked of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from metricopt.problem.ratios import Counts


@dataclass(frozen=True)
class Population:
    """Scores of two classes; ``prevalence`` is the fraction of positives among what is drawn.

    ``"normal"``: negatives N(0, 1), positives N(2.5, 1). ``"flat"``: the same precision, just below ``precision``, at
    every threshold above 1, which the fraction ``top`` of the positives reaches. That is the hardest case for a
    certificate, for each of its tests may err.
    """

    kind: str
    prevalence: float
    deployed: float | None = None
    precision: float = 0.8
    top: float = 0.6

    @property
    def meant(self) -> float:
        """The prevalence that the bound is meant at."""
        return self.prevalence if self.deployed is None else self.deployed

    @property
    def false_top(self) -> float:
        """The fraction of the negatives that score above 1 in the flat population."""
        odds = self.meant / (1 - self.meant) * (1 - self.precision) / self.precision
        return 1.0001 * self.top * odds

    def draw(self, random: np.random.Generator, num_samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and labels, each of shape (num_samples,)."""
        labels = (random.random(num_samples) < self.prevalence).astype(np.float64)
        if self.kind == "normal":
            return random.normal(size=num_samples) + 2.5 * labels, labels
        above = random.random(num_samples) < np.where(labels == 1, self.top, self.false_top)
        return random.random(num_samples) + above, labels

    def rates(self, threshold: float) -> tuple[float, float]:
        """Return recall and false-positive rate of a threshold on new data."""
        if self.kind == "normal":
            return float(norm.sf(threshold - 2.5)), float(norm.sf(threshold))
        above = float(np.clip(2 - threshold, 0, 1))
        below = float(np.clip(1 - threshold, 0, 1))
        recall, wrong = (top * above + (1 - top) * below for top in (self.top, self.false_top))
        return recall, wrong

    def worth(self, threshold: float) -> Counts:
        """Return the counts of a threshold on new data, per sample."""
        recall, wrong = self.rates(threshold)
        positives, negatives = self.meant, 1 - self.meant
        return Counts(positives * recall, negatives * wrong, positives * (1 - recall), negatives * (1 - wrong))
