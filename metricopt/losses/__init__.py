"""Competing objectives as plain torch losses, relaxations and reweightings, one a file."""

from metricopt.losses.base import CountingLoss, Loss
from metricopt.losses.cross_entropy import WeightedCrossEntropy, cross_entropy
from metricopt.losses.focal import FocalLoss
from metricopt.losses.label_smoothing import LabelSmoothing
from metricopt.losses.ldam import LDAM
from metricopt.losses.logit_adjustment import LogitAdjustment

__all__ = [
    "LDAM",
    "CountingLoss",
    "FocalLoss",
    "LabelSmoothing",
    "LogitAdjustment",
    "Loss",
    "WeightedCrossEntropy",
    "cross_entropy",
]
