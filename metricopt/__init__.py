"""Train imbalanced classifiers on the metric that their users answer for."""

from importlib.metadata import version

from metricopt._validation import InvalidInputError
from metricopt.loss import DirectMetricLoss
from metricopt.metrics import (
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
from metricopt.objectives import FPOR, FROP, OAP, OFBS, RecallAtAlarmRate, RecallAtFPR
from metricopt.result import FitResult
from metricopt.status import Status
from metricopt.storage import load
from metricopt.thresholds import ThresholdChoice, choose_threshold
from metricopt.tradeoff import Tradeoff, tradeoff
from metricopt.training import fit

__version__ = version("metricopt")

__all__ = [
    "FPOR",
    "FROP",
    "OAP",
    "OFBS",
    "DirectMetricLoss",
    "FitResult",
    "InvalidInputError",
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
    "specificity",
    "tradeoff",
]
