"""The losses that others have proposed for imbalanced classes, as plain torch losses to compare with: one a file."""

from metricopt.losses.any_loss import AnyLoss
from metricopt.losses.auc_margin import AUCMarginLoss
from metricopt.losses.base import CountingLoss, Loss
from metricopt.losses.bounded import BoundedLoss
from metricopt.losses.cross_entropy import WeightedCrossEntropy, cross_entropy
from metricopt.losses.focal import FocalLoss
from metricopt.losses.hinge_bounds import HingeFBeta, HingePrecisionAtRecall, HingeRecallAtPrecision
from metricopt.losses.label_smoothing import LabelSmoothing
from metricopt.losses.ldam import LDAM
from metricopt.losses.logit_adjustment import LogitAdjustment
from metricopt.losses.smooth_ap import SmoothAP
from metricopt.losses.soft_f_beta import SoftFBeta
from metricopt.losses.soft_precision_recall import SoftPrecisionAtRecall, SoftRecallAtPrecision
from metricopt.losses.tight_sigmoid import TightRecallAtPrecision

__all__ = [
    "LDAM",
    "AUCMarginLoss",
    "AnyLoss",
    "BoundedLoss",
    "CountingLoss",
    "FocalLoss",
    "HingeFBeta",
    "HingePrecisionAtRecall",
    "HingeRecallAtPrecision",
    "LabelSmoothing",
    "LogitAdjustment",
    "Loss",
    "SmoothAP",
    "SoftFBeta",
    "SoftPrecisionAtRecall",
    "SoftRecallAtPrecision",
    "TightRecallAtPrecision",
    "WeightedCrossEntropy",
    "cross_entropy",
]
