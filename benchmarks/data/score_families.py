"""Scores of two classes from mixtures of Gaussians, so that what a threshold is worth on new rows is known exactly.

This file decides the distributions, with repeated rows of one patient and weights that follow the scores. It leaves
what is studied on them to the studies.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.stats import norm

SHARED = 0.8
"""The fraction of the variance of a component that all rows of a patient have in common."""


@dataclass(frozen=True)
class Component:
    """One Gaussian of a mixture, with the fraction of its class that comes from it."""

    fraction: float
    mean: float
    deviation: float


@dataclass(frozen=True)
class Family:
    """Scores of negatives and positives.

    Parameters
    ----------
    name : str
    negatives, positives : tuple of Component
    """

    name: str
    negatives: tuple[Component, ...]
    positives: tuple[Component, ...]


FAMILIES = (
    Family("two Gaussians", (Component(1.0, 0.0, 1.0),), (Component(1.0, 2.0, 1.0),)),
    Family("unequal variances", (Component(1.0, 0.0, 1.0),), (Component(1.0, 1.5, 2.0),)),
    Family(
        "mixtures",
        (Component(0.95, 0.0, 1.0), Component(0.05, 2.5, 0.5)),
        (Component(0.3, 0.0, 1.0), Component(0.7, 3.5, 1.0)),
    ),
    Family(
        "negatives on top",
        (Component(0.996, 0.0, 1.0), Component(0.004, 6.0, 0.3)),
        (Component(1.0, 2.5, 1.0),),
    ),
    Family("noise", (Component(1.0, 0.0, 1.0),), (Component(1.0, 0.0, 1.0),)),
)


@dataclass(frozen=True)
class Population:
    """A family at a prevalence, with as many rows a patient, whose weights may differ.

    Parameters
    ----------
    family : Family
    prevalence : float
        The fraction of the patients that are positive.
    rows_per_patient : int
        The rows of a patient have one label, and :data:`SHARED` of the variance in common.
    uneven_weights : bool
        Whether rows weigh a gamma variate of mean 1 and variance 1/2, whatever their score.
    weight_slope : float
        How the logarithm of a weight rises with the score, in deviations of its component.
    """

    family: Family
    prevalence: float = 0.05
    rows_per_patient: int = 1
    uneven_weights: bool = False
    weight_slope: float = 0.0

    def draw(self, random: np.random.Generator, num_patients: int) -> Rows:
        """Return the rows of some patients."""
        is_positive = random.random(num_patients) < self.prevalence
        mean, deviation = np.empty((2, num_patients))
        for members, components in ((is_positive, self.family.positives), (~is_positive, self.family.negatives)):
            drawn = random.choice(len(components), members.sum(), p=[each.fraction for each in components])
            mean[members] = np.array([each.mean for each in components])[drawn]
            deviation[members] = np.array([each.deviation for each in components])[drawn]
        own = random.standard_normal((num_patients, self.rows_per_patient))
        if self.rows_per_patient > 1:
            common = random.standard_normal((num_patients, 1))
            own = np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * own
        scores = mean[:, np.newaxis] + deviation[:, np.newaxis] * own
        weight = None
        if self.uneven_weights or self.weight_slope:
            weight = np.exp(self.weight_slope * own)
            if self.uneven_weights:
                weight = weight * random.gamma(2.0, 0.5, own.shape)
            weight = weight.ravel()
        labels = np.repeat(is_positive.astype(np.float64), self.rows_per_patient)
        patients = np.repeat(np.arange(num_patients), self.rows_per_patient)
        return Rows(scores.ravel(), labels, patients if self.rows_per_patient > 1 else None, weight)

    def rates(self, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the weighted recall and false-positive rate of thresholds on new rows."""
        return self._above(self.family.positives, thresholds), self._above(self.family.negatives, thresholds)

    def _above(self, components: tuple[Component, ...], thresholds: np.ndarray) -> np.ndarray:
        """Return the weight above thresholds; the mean of exp(k z) where z >= t is exp(k^2 / 2) norm.sf(t - k)."""
        above = np.zeros(len(thresholds))
        for each in components:
            above += each.fraction * norm.sf((thresholds - each.mean) / each.deviation - self.weight_slope)
        return above


@dataclass(frozen=True)
class Rows:
    """Rows that were drawn; patients and weights where they matter."""

    scores: np.ndarray
    labels: np.ndarray
    patients: np.ndarray | None = field(default=None)
    weight: np.ndarray | None = field(default=None)
