"""Which network to start from, and where to cut it: what can be said without training every candidate."""

from metricopt.transfer.comparison import Comparison, LayerSimilarity, compare
from metricopt.transfer.representation import cca, pwcca, svcca

__all__ = ["Comparison", "LayerSimilarity", "cca", "compare", "pwcca", "svcca"]
