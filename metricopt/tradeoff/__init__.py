"""The best value at each of several bounds: trainings along a list of bounds, beside cross-entropy."""

from metricopt.tradeoff.frontier import Tradeoff
from metricopt.tradeoff.training import tradeoff

__all__ = ["Tradeoff", "tradeoff"]
