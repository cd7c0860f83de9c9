"""CheXpert, MIMIC-CXR-JPG and ChestX-ray14: tables, uncertain findings, images, and a folder of drawings like them."""

from metricopt.data.chexpert.checking import ImageCheck, check_images
from metricopt.data.chexpert.decoding import ResizedCache
from metricopt.data.chexpert.images import CheXpertImages
from metricopt.data.chexpert.mimic import read_mimic_cxr_table
from metricopt.data.chexpert.nih import read_nih_table
from metricopt.data.chexpert.plus import read_chexpert_plus_table
from metricopt.data.chexpert.policies import COMMON_POLICY, POLICIES, apply_policy, soft_targets
from metricopt.data.chexpert.synthetic import write_synthetic_chexpert
from metricopt.data.chexpert.table import CHEXPERT_LABELS, CheXpertTable, read_chexpert_table

__all__ = [
    "CHEXPERT_LABELS",
    "COMMON_POLICY",
    "POLICIES",
    "CheXpertImages",
    "CheXpertTable",
    "ImageCheck",
    "ResizedCache",
    "apply_policy",
    "check_images",
    "read_chexpert_plus_table",
    "read_chexpert_table",
    "read_mimic_cxr_table",
    "read_nih_table",
    "soft_targets",
    "write_synthetic_chexpert",
]
