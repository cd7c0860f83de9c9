"""Competing objectives as plain torch losses, relaxations and reweightings, one a file."""

from metricopt.losses.base import CountingLoss, Loss
from metricopt.losses.cross_entropy import cross_entropy

__all__ = ["CountingLoss", "Loss", "cross_entropy"]
