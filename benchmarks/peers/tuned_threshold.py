r"""scikit-learn's ``TunedThresholdClassifierCV`` on logistic regression, gradient boosting and random forests.

Called as its users do: on all data that are not for testing (training and validation rows together), with its own
5-fold cross-validation, its 100 thresholds, its refit on all rows, and a scorer for the objective, averaged over the
folds. Among two settings of each classifier its own ``best_score_`` chooses. Average precision needs no threshold:
there the same folds choose the setting by average precision, and scikit-learn refits it.

For an objective without a bound the scorer is its metric; with one it is

.. math:: \text{value where the bound holds, else } -|\text{how far it is missed}| < 0

(:func:`goodness`), so that a threshold that misses the bound ranks below every one that does not.

References
----------
F. Pedregosa et al. (2011). Scikit-learn: machine learning in Python. JMLR. ``TunedThresholdClassifierCV`` is there
since version 1.5.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers.scores import PeerScores
from metricopt._validation import reject
from metricopt.problem.metrics import confusion_counts
from metricopt.problem.objectives import CountObjective, Objective

NUM_FOLDS = 5
LOGISTIC_SETTINGS: tuple[dict[str, Any], ...] = ({"C": 0.1}, {"C": 10.0})
BOOSTING_SETTINGS: tuple[dict[str, Any], ...] = ({"max_leaf_nodes": 8}, {"max_leaf_nodes": 31})
FOREST_SETTINGS: tuple[dict[str, Any], ...] = ({"min_samples_leaf": 1}, {"min_samples_leaf": 5})


def missing() -> list[str]:
    """Return the packages that this peer wants and that are not installed."""
    try:
        from sklearn.model_selection import TunedThresholdClassifierCV  # noqa: F401 - only to see whether it is there
    except ImportError:
        return ["scikit-learn>=1.5"]
    return []


def make_logistic_regression(seed: int, **setting: Any) -> Any:
    """Return a logistic regression that is not trained yet."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=5000, random_state=seed, **setting)


def make_gradient_boosting(seed: int, **setting: Any) -> Any:
    """Return a histogram gradient boosting classifier that is not trained yet."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(random_state=seed, **setting)


def make_random_forest(seed: int, **setting: Any) -> Any:
    """Return a random forest that is not trained yet."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(random_state=seed, **setting)


def logistic_regression(
    objective: Objective,
    train_features: np.ndarray,
    train_labels: np.ndarray,
    validation_features: np.ndarray,
    validation_labels: np.ndarray,
    test_features: np.ndarray,
    seed: int,
) -> PeerScores:
    """Train logistic regression; tune its threshold.

    Parameters
    ----------
    objective : Objective
        With one bound, if any.
    train_features, validation_features, test_features : ndarray, shape (n, d), float
        Standardised.
    train_labels, validation_labels : ndarray, shape (n,), float
        0 or 1.
    seed : int
        Of the folds and of the classifier.

    Returns
    -------
    PeerScores
        Probabilities.

    Raises
    ------
    InvalidInputError
        If there are fewer than 2 positives or negatives, so that no fold can be left out.
    """
    known = train_features, train_labels, validation_features, validation_labels
    return _best_of(make_logistic_regression, LOGISTIC_SETTINGS, objective, *known, test_features, seed)


def gradient_boosting(
    objective: Objective,
    train_features: np.ndarray,
    train_labels: np.ndarray,
    validation_features: np.ndarray,
    validation_labels: np.ndarray,
    test_features: np.ndarray,
    seed: int,
) -> PeerScores:
    """Train histogram gradient boosting; tune its threshold. See :func:`logistic_regression`."""
    known = train_features, train_labels, validation_features, validation_labels
    return _best_of(make_gradient_boosting, BOOSTING_SETTINGS, objective, *known, test_features, seed)


def random_forest(
    objective: Objective,
    train_features: np.ndarray,
    train_labels: np.ndarray,
    validation_features: np.ndarray,
    validation_labels: np.ndarray,
    test_features: np.ndarray,
    seed: int,
) -> PeerScores:
    """Train a random forest; tune its threshold. See :func:`logistic_regression`."""
    known = train_features, train_labels, validation_features, validation_labels
    return _best_of(make_random_forest, FOREST_SETTINGS, objective, *known, test_features, seed)


def goodness(labels: np.ndarray, predictions: np.ndarray, objective: CountObjective) -> float:
    """Return what a threshold is worth, for :func:`sklearn.metrics.make_scorer`.

    Parameters
    ----------
    labels, predictions : ndarray, shape (n,)
        0 or 1.
    objective : CountObjective
        With one bound, if any.

    Returns
    -------
    float
        The metric, from 0 to 1; where the bound is missed, by how much, negated. An undefined metric counts as 0.
    """
    counts = confusion_counts(np.asarray(predictions, dtype=np.float64), np.asarray(labels, dtype=np.float64), 0.5)
    if objective.bounded is None or objective.feasible(counts):
        return float(np.nan_to_num(objective.value(counts)))
    bounded = float(objective.bounded(counts))
    if np.isnan(bounded):
        bounded = 0.0 if objective.bound_direction == "min" else 1.0
    return -abs(bounded - float(np.asarray(objective.bound)))


def _best_of(
    make: Callable[..., Any],
    settings: tuple[dict[str, Any], ...],
    objective: Objective,
    train_features: np.ndarray,
    train_labels: np.ndarray,
    validation_features: np.ndarray,
    validation_labels: np.ndarray,
    test_features: np.ndarray,
    seed: int,
) -> PeerScores:
    from sklearn.model_selection import StratifiedKFold

    began = time.perf_counter()
    features = np.concatenate([train_features, validation_features])
    labels = np.concatenate([train_labels, validation_labels])
    rarer = int(min((labels == 0).sum(), (labels == 1).sum()))
    if rarer < 2:
        reject("labels", "of 2 positives and 2 negatives at least", f"{rarer} of one class", "add samples of it")
    folds = StratifiedKFold(min(NUM_FOLDS, rarer), shuffle=True, random_state=seed)
    fit = _fit_for_threshold if isinstance(objective, CountObjective) else _fit_for_ranking
    fitted = [fit(make(seed, **setting), objective, features, labels, folds) for setting in settings]
    best = int(np.argmax([score for _, score, _ in fitted]))
    model, _, threshold = fitted[best]
    return PeerScores(
        train=model.predict_proba(train_features)[:, 1],
        validation=model.predict_proba(validation_features)[:, 1],
        test=model.predict_proba(test_features)[:, 1],
        threshold=threshold,
        setting=" ".join(f"{name}={value:g}" for name, value in settings[best].items()),
        seconds=time.perf_counter() - began,
    )


def _fit_for_threshold(
    classifier: Any, objective: Any, features: np.ndarray, labels: np.ndarray, folds: Any
) -> tuple[Any, float, float | None]:
    """Return the model, its cross-validated score and its threshold."""
    from sklearn.metrics import make_scorer
    from sklearn.model_selection import TunedThresholdClassifierCV

    scoring = make_scorer(goodness, objective=objective)
    tuned = TunedThresholdClassifierCV(classifier, scoring=scoring, cv=folds).fit(features, labels)
    return tuned, float(tuned.best_score_), float(tuned.best_threshold_)


def _fit_for_ranking(
    classifier: Any, objective: Any, features: np.ndarray, labels: np.ndarray, folds: Any
) -> tuple[Any, float, float | None]:
    from sklearn.model_selection import cross_val_score

    score = cross_val_score(classifier, features, labels, scoring="average_precision", cv=folds).mean()
    return classifier.fit(features, labels), float(score), None
