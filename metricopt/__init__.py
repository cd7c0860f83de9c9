"""Train imbalanced classifiers on the metric that their users answer for."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from metricopt._validation import InvalidInputError
from metricopt.evidence.thresholds import ThresholdChoice, choose_threshold
from metricopt.problem.metrics import (
    alarm_rate,
    average_precision,
    confusion_counts,
    f_beta,
    false_positive_rate,
    precision,
    precision_recall_curve,
    recall,
    specificity,
)
from metricopt.problem.objectives import FPOR, FROP, OAP, OFBS, RecallAtAlarmRate, RecallAtFPR
from metricopt.problem.registry import register_objective
from metricopt.results.result import FitResult, load
from metricopt.results.status import Status
from metricopt.tradeoff import Tradeoff, tradeoff
from metricopt.training.fit import fit
from metricopt.training.loss import DirectMetricLoss

if TYPE_CHECKING:
    from metricopt.estimator import DirectMetricClassifier, ObjectiveScorer

__version__ = version("metricopt")

__all__ = [
    "FPOR",
    "FROP",
    "OAP",
    "OFBS",
    "DirectMetricClassifier",
    "DirectMetricLoss",
    "FitResult",
    "InvalidInputError",
    "ObjectiveScorer",
    "RecallAtAlarmRate",
    "RecallAtFPR",
    "Status",
    "ThresholdChoice",
    "Tradeoff",
    "alarm_rate",
    "average_precision",
    "choose_threshold",
    "confusion_counts",
    "f_beta",
    "false_positive_rate",
    "fit",
    "load",
    "precision",
    "precision_recall_curve",
    "recall",
    "register_objective",
    "specificity",
    "tradeoff",
]


def __getattr__(name: str) -> Any:
    if name in ("DirectMetricClassifier", "ObjectiveScorer"):  # scikit-learn is imported when it is used
        from metricopt import estimator

        return getattr(estimator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
