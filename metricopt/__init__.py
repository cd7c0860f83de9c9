"""Train imbalanced classifiers on the metric that their users answer for."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from metricopt._validation import InvalidInputError
from metricopt.evidence.choice import ThresholdChoice
from metricopt.evidence.evaluation import evaluate
from metricopt.evidence.thresholds import choose_threshold
from metricopt.problem.bounds import MetricBound
from metricopt.problem.metrics import (
    alarm_rate,
    average_precision,
    confusion_counts,
    f_beta,
    false_positive_rate,
    measure,
    precision,
    precision_recall_curve,
    recall,
    specificity,
)
from metricopt.problem.objectives import FPOR, FROP, OAP, OFBS, RecallAtAlarmRate, RecallAtFPR
from metricopt.problem.program import Program
from metricopt.problem.registry import register_objective
from metricopt.results.from_scores import from_scores
from metricopt.results.result import FitResult, load
from metricopt.results.status import Status
from metricopt.tradeoff import Tradeoff, tradeoff
from metricopt.training.fit import fit
from metricopt.training.loss import DirectMetricLoss

if TYPE_CHECKING:
    from metricopt.cli.run_folder import load_run
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
    "MetricBound",
    "ObjectiveScorer",
    "Program",
    "RecallAtAlarmRate",
    "RecallAtFPR",
    "Status",
    "ThresholdChoice",
    "Tradeoff",
    "alarm_rate",
    "average_precision",
    "choose_threshold",
    "confusion_counts",
    "evaluate",
    "f_beta",
    "false_positive_rate",
    "fit",
    "from_scores",
    "load",
    "load_run",
    "measure",
    "precision",
    "precision_recall_curve",
    "recall",
    "register_objective",
    "specificity",
    "tradeoff",
]


# What wants packages that take long to import is imported when it is used.
_LATER = {
    "DirectMetricClassifier": "metricopt.estimator",
    "ObjectiveScorer": "metricopt.estimator",
    "load_run": "metricopt.cli.run_folder",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
