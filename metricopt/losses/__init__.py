"""Competing objectives as plain torch losses, relaxations and reweightings, one a file."""

from metricopt.losses.any_loss import AnyLoss
from metricopt.losses.auc_margin import AUCMarginLoss
from metricopt.losses.base import CountingLoss, Loss
from metricopt.losses.bounded import BoundedLoss
from metricopt.losses.cross_entropy import cross_entropy
from metricopt.losses.hinge_bounds import HingeFBeta, HingePrecisionAtRecall, HingeRecallAtPrecision
from metricopt.losses.smooth_ap import SmoothAP
from metricopt.losses.soft_f_beta import SoftFBeta
from metricopt.losses.soft_precision_recall import SoftPrecisionAtRecall, SoftRecallAtPrecision
from metricopt.losses.tight_sigmoid import TightRecallAtPrecision

__all__ = [
    "AUCMarginLoss",
    "AnyLoss",
    "BoundedLoss",
    "CountingLoss",
    "HingeFBeta",
    "HingePrecisionAtRecall",
    "HingeRecallAtPrecision",
    "Loss",
    "SmoothAP",
    "SoftFBeta",
    "SoftPrecisionAtRecall",
    "SoftRecallAtPrecision",
    "TightRecallAtPrecision",
    "cross_entropy",
]
