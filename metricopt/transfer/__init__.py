"""Scores that say which network to start from and where to cut it, without training every candidate."""

from metricopt.transfer.comparison import Comparison, LayerSimilarity, compare
from metricopt.transfer.fusion import FusedSources, fuse
from metricopt.transfer.h_score import h_score
from metricopt.transfer.leep import leep
from metricopt.transfer.log_me import log_me
from metricopt.transfer.n_leep import n_leep
from metricopt.transfer.nce import nce
from metricopt.transfer.otce import OTCECoefficients, fit_otce, otce
from metricopt.transfer.otce_tuning import tune_by_otce
from metricopt.transfer.ranking import Candidate, TransferRanking
from metricopt.transfer.representation import cca, pwcca, svcca
from metricopt.transfer.score import Score, TransferWarning
from metricopt.transfer.segmentation_otce import segmentation_otce
from metricopt.transfer.selection import FEATURE_SCORES, SOURCE_SCORES, rank_cuts, rank_sources

__all__ = [
    "FEATURE_SCORES",
    "SOURCE_SCORES",
    "Candidate",
    "Comparison",
    "FusedSources",
    "LayerSimilarity",
    "OTCECoefficients",
    "Score",
    "TransferRanking",
    "TransferWarning",
    "cca",
    "compare",
    "fit_otce",
    "fuse",
    "h_score",
    "leep",
    "log_me",
    "n_leep",
    "nce",
    "otce",
    "pwcca",
    "rank_cuts",
    "rank_sources",
    "segmentation_otce",
    "svcca",
    "tune_by_otce",
]
