"""Which network to start from, and where to cut it: what can be said without training every candidate."""

from metricopt.transfer.comparison import Comparison, LayerSimilarity, compare
from metricopt.transfer.fusion import FusedSources, fuse
from metricopt.transfer.ranking import Candidate, TransferRanking
from metricopt.transfer.representation import cca, pwcca, svcca
from metricopt.transfer.selection import FEATURE_SCORES, SOURCE_SCORES, rank_cuts, rank_sources

__all__ = [
    "FEATURE_SCORES",
    "SOURCE_SCORES",
    "Candidate",
    "Comparison",
    "FusedSources",
    "LayerSimilarity",
    "TransferRanking",
    "cca",
    "compare",
    "fuse",
    "pwcca",
    "rank_cuts",
    "rank_sources",
    "svcca",
]
