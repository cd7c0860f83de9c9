"""Which network and which cut suit a target, told without training: one score a file."""

from metricopt.transfer.h_score import h_score
from metricopt.transfer.leep import leep
from metricopt.transfer.log_me import log_me
from metricopt.transfer.n_leep import n_leep
from metricopt.transfer.nce import nce
from metricopt.transfer.otce import OTCECoefficients, fit_otce, otce
from metricopt.transfer.otce_tuning import tune_by_otce
from metricopt.transfer.score import Score, TransferWarning
from metricopt.transfer.segmentation_otce import segmentation_otce

__all__ = [
    "OTCECoefficients",
    "Score",
    "TransferWarning",
    "fit_otce",
    "h_score",
    "leep",
    "log_me",
    "n_leep",
    "nce",
    "otce",
    "segmentation_otce",
    "tune_by_otce",
]
