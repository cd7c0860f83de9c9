"""Peers for subgroups: fairlearn's ThresholdOptimizer and ExponentiatedGradient, and OxonFair's thresholds.

Each gets the nearest to a program that it can be asked for. OxonFair takes bounds as they are. fairlearn knows parity
between subgroups and no bounds: of several settings, the one with the least total shortfall of the bounds on the rows
given is kept, then the best value. Both are used as they are published.

References
----------
M. Hardt, E. Price, N. Srebro (2016). Equality of opportunity in supervised learning. NeurIPS.
A. Agarwal, A. Beygelzimer, M. Dudík, J. Langford, H. Wallach (2018). A reductions approach to fair classification.
ICML.
E. Delaney, Z. Fu, S. Wachter, B. Mittelstadt, C. Russell (2024). OxonFair: a flexible toolkit for algorithmic fairness.
NeurIPS.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

Alarms = Callable[[NDArray[np.float64], NDArray[np.str_]], NDArray[np.int64]]
"""Maps scores or features of some rows, and their subgroups, to alarms."""

Judge = Callable[[NDArray[np.int64]], tuple[float, float]]
"""Maps alarms on known rows to (minus the total shortfall, the value): the larger, the better."""

TOLERANCES = (None, 0.05, 0.2)
OBJECTIVES = ("balanced_accuracy_score", "accuracy_score")
PRICES = (1.0, 3.0, 9.0)
"""How much a missed positive costs beside a false alarm, of which ExponentiatedGradient is told one."""

NUM_ITERATIONS = 15


class _Scores(ClassifierMixin, BaseEstimator):
    """A classifier whose only feature is the probability."""

    def fit(self, X: NDArray[np.float64], y: NDArray[np.int64]) -> _Scores:
        """Learn nothing."""
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the feature."""
        return np.column_stack([1 - X[:, 0], X[:, 0]])


@dataclass(frozen=True)
class FairRows:
    """Rows that choose: probabilities or features, labels and subgroups."""

    values: NDArray[np.float64]
    labels: NDArray[np.int64]
    subgroup: NDArray[np.str_]


def threshold_optimizer(rows: FairRows, parity: str, judge: Judge, seed: int) -> Alarms:
    """Return the alarms of fairlearn's ThresholdOptimizer on probabilities, shape (n,)."""
    from fairlearn.postprocessing import ThresholdOptimizer

    def fitted(objective: str, tolerance: float | None) -> Alarms:
        found = ThresholdOptimizer(
            estimator=_Scores().fit(rows.values, rows.labels),
            constraints=parity,
            objective=objective,
            tol=tolerance,
            prefit=True,
            predict_method="predict_proba",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.fit(rows.values[:, np.newaxis], rows.labels, sensitive_features=rows.subgroup)
        return lambda values, subgroup: np.asarray(
            found.predict(values[:, np.newaxis], sensitive_features=subgroup, random_state=seed), np.int64
        )

    return _best((fitted(each, tolerance) for each in OBJECTIVES for tolerance in TOLERANCES), rows, judge)


def exponentiated_gradient(train: FairRows, held_out: FairRows, parity: str, judge: Judge, seed: int) -> Alarms:
    """Return the alarms of fairlearn's ExponentiatedGradient over logistic regression; a held-out part chooses."""
    from fairlearn.reductions import ErrorRate, ExponentiatedGradient, FalsePositiveRateParity, TruePositiveRateParity

    moment = {
        "true_positive_rate_parity": TruePositiveRateParity,
        "false_positive_rate_parity": FalsePositiveRateParity,
    }

    def fitted(price: float) -> Alarms:
        found = ExponentiatedGradient(
            LogisticRegression(max_iter=200),
            moment[parity](difference_bound=0.05),
            objective=ErrorRate(costs={"fp": 1.0 / (1 + price), "fn": price / (1 + price)}),
            max_iter=NUM_ITERATIONS,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.fit(train.values, train.labels, sensitive_features=train.subgroup)
        return lambda values, subgroup: np.asarray(found.predict(values, random_state=seed), np.int64)

    return _best(map(fitted, PRICES), held_out, judge)


def oxonfair_thresholds(rows: FairRows, bounds: Iterable[tuple[str, str, float]]) -> Alarms:
    """Return the alarms of OxonFair's thresholds for the most recall.

    Parameters
    ----------
    rows : FairRows
        Probabilities, shape (n,).
    bounds : iterable of (str, str, float)
        The name of a metric of OxonFair, ``"overall"``, ``"min"`` or ``"max"`` of the subgroups, and the number.
    """
    from oxonfair import DataDict, FairPredictor, group_metrics

    def data(values: NDArray[np.float64], labels: NDArray[np.int64], subgroup: NDArray[np.str_]) -> dict[str, object]:
        return dict(DataDict(labels, np.column_stack([1 - values, values]), subgroup))

    metrics = [
        (getattr(group_metrics, name) if of == "overall" else getattr(getattr(group_metrics, name), of), number)
        for name, of, number in bounds
    ]
    found = FairPredictor(None, data(rows.values, rows.labels, rows.subgroup))
    found.fit(group_metrics.recall, *metrics[0], additional_constraints=metrics[1:])

    def alarms(values: NDArray[np.float64], subgroup: NDArray[np.str_]) -> NDArray[np.int64]:
        return np.asarray(found.predict(data(values, np.zeros(len(values), np.int64), subgroup)), np.int64)

    return alarms


def _best(candidates: Iterable[Alarms], rows: FairRows, judge: Judge) -> Alarms:
    keyed = [(judge(each(rows.values, rows.subgroup)), each) for each in candidates]
    return max(keyed, key=lambda pair: pair[0])[1]
