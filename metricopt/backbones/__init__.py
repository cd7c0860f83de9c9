"""Networks for images: how they are loaded, cut, frozen and counted. torchvision is imported when it is first used."""

from metricopt.backbones.backbone import Backbone, Normalisation
from metricopt.backbones.cbr import CBR_DESIGNS, CBRDesign, build_cbr
from metricopt.backbones.counting import MacCount, count_macs, count_parameters
from metricopt.backbones.cut_search import Cut, CutSearch, search_cut
from metricopt.backbones.families import as_backbone
from metricopt.backbones.freezing import freeze
from metricopt.backbones.gabor import gabor_filters, with_gabor_filters
from metricopt.backbones.latency import cpu_latencies, cpu_latency
from metricopt.backbones.layer_groups import parameter_groups
from metricopt.backbones.loading import BACKBONES, load_backbone
from metricopt.backbones.mean_var import redraw_mean_var
from metricopt.backbones.transfusion import transfuse
from metricopt.backbones.truncation import cut_points, truncate

__all__ = [
    "BACKBONES",
    "CBR_DESIGNS",
    "Backbone",
    "CBRDesign",
    "Cut",
    "CutSearch",
    "MacCount",
    "Normalisation",
    "as_backbone",
    "build_cbr",
    "count_macs",
    "count_parameters",
    "cpu_latencies",
    "cpu_latency",
    "cut_points",
    "freeze",
    "gabor_filters",
    "load_backbone",
    "parameter_groups",
    "redraw_mean_var",
    "search_cut",
    "transfuse",
    "truncate",
    "with_gabor_filters",
]
