r"""MAPIE's ``BinaryClassificationController``: a threshold whose bound holds on new data with a stated confidence.

Called as its documentation does, on the validation scores of a model that is trained already: it tests each of a few
thresholds (Learn then Test), corrected for their number by Holm's method, and among those that pass takes the one of
best recall (for a bound on precision) or of best precision (for one on recall). With

.. math:: P\bigl(\text{precision}(t) \ge \alpha\bigr) \ge 1 - \delta

over the draw of the validation data, as long as the thresholds were fixed without them. So they are quantiles of the
*training* scores: :data:`NUM_THRESHOLDS` shares of alarms from all samples down to about :data:`FEWEST_ALARMS` of them,
evenly spaced on a logarithmic scale, because rare positives need thresholds where alarms are few. More thresholds cost
more in the correction than they give.

There may honestly be no such threshold; then there is no alarm. One thing is not as it is: a threshold above all
validation scores has no precision, its p-value is NaN in MAPIE 1.6, and Holm's method as MAPIE has it stops at a NaN
before it tests anything. Here such a threshold fails its test, and the others are tested.

References
----------
A. N. Angelopoulos, S. Bates, E. J. Candès, M. I. Jordan, L. Lei (2021). Learn then Test: calibrating predictive
algorithms to achieve risk control. T. Cordier, V. Blot, L. Lacombe, T. Morzadec, A. Capitaine, N. Brunel (2023).
Flexible and systematic uncertainty estimation with conformal prediction via the MAPIE library. COPA.
"""

from __future__ import annotations

import time
import warnings
from importlib.util import find_spec

import numpy as np

from benchmarks.peers.scores import PeerScores
from benchmarks.peers.tuned_threshold import make_gradient_boosting
from metricopt._validation import check_finite, check_labels, reject
from metricopt.problem.objectives import FPOR, FROP, Objective

NUM_THRESHOLDS = 20
FEWEST_ALARMS = 10


def missing() -> list[str]:
    """Return the packages that this peer wants and that are not installed."""
    return [] if find_spec("mapie") else ["mapie"]


def certified_threshold(
    objective: Objective,
    train_scores: np.ndarray,
    validation_scores: np.ndarray,
    validation_labels: np.ndarray,
    confidence: float = 0.9,
) -> float:
    """Return a threshold that keeps the bound on new data with the given confidence.

    Parameters
    ----------
    objective : FPOR or FROP
        With one bound.
    train_scores : ndarray, shape (m,), float
        Fix the thresholds to test; their labels are of no use here.
    validation_scores : ndarray, shape (n,), float
        Of the same model, of any scale; not of data that it was trained on.
    validation_labels : ndarray, shape (n,), float
        0, 1 or NaN (missing, left out).
    confidence : float, in (0, 1)

    Returns
    -------
    float
        Scores at or above it are alarms; infinity where no threshold can be certified.

    Raises
    ------
    InvalidInputError
        If the objective is of another kind, scores are not finite or labels not 0, 1 or NaN.
    """
    if not isinstance(objective, (FPOR, FROP)) or isinstance(objective.bound, tuple):
        reject("objective", "FPOR or FROP with one bound", repr(objective), "MAPIE bounds precision or recall alone")
    check_labels(validation_labels)
    present = ~np.isnan(validation_labels)
    scores, labels = validation_scores[present].astype(np.float64), validation_labels[present].astype(int)
    thresholds = _thresholds(train_scores.astype(np.float64))
    for name, values in (("train_scores", thresholds), ("validation_scores", scores)):
        check_finite(name, values)
    if not labels.any():
        return np.inf

    from mapie.risk_control import BinaryClassificationController, FWERBonferroniHolm

    class Holm(FWERBonferroniHolm):
        def run(self, p_values: np.ndarray, delta: float) -> np.ndarray:
            rejected: np.ndarray = super().run(np.nan_to_num(p_values, nan=1.0), delta)
            return rejected

    controller = BinaryClassificationController(
        predict_function=lambda known: np.column_stack([-known, known]),
        risk="precision" if isinstance(objective, FPOR) else "recall",
        target_level=float(np.asarray(objective.bound)),
        confidence_level=confidence,
        list_predict_params=thresholds,
        fwer_method=Holm(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that no threshold passed, or each: what is returned says so
        controller.calibrate(scores, labels)
    best = controller.best_predict_param
    return np.inf if best is None else float(best)


def gradient_boosting(
    objective: Objective,
    train_features: np.ndarray,
    train_labels: np.ndarray,
    validation_features: np.ndarray,
    validation_labels: np.ndarray,
    test_features: np.ndarray,
    seed: int,
) -> PeerScores:
    """Train histogram gradient boosting as it is on the training rows; the validation rows certify its threshold.

    They choose nothing else, so that the confidence is not nominal. The arguments are those of
    :func:`benchmarks.peers.tuned_threshold.logistic_regression`.

    Raises
    ------
    InvalidInputError
        If :func:`certified_threshold` does.
    """
    began = time.perf_counter()
    model = make_gradient_boosting(seed).fit(train_features, train_labels)
    train, validation, test = map(model.decision_function, (train_features, validation_features, test_features))
    threshold = certified_threshold(objective, train, validation, validation_labels)
    return PeerScores(train, validation, test, threshold, setting="", seconds=time.perf_counter() - began)


def _thresholds(train_scores: np.ndarray) -> np.ndarray:
    """Return the thresholds to test, ascending, each once."""
    shares = np.geomspace(1.0, min(1.0, FEWEST_ALARMS / len(train_scores)), NUM_THRESHOLDS)
    # A score of the data each, so that a share of 1 flags all of them.
    return np.unique(np.quantile(train_scores, 1 - shares, method="lower"))
