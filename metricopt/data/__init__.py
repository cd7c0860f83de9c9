"""The sources of samples, one in each file. pandas and scikit-learn are imported when they are first used."""

from metricopt.data.balanced import BalancedBatchSampler
from metricopt.data.chexpert import (
    CHEXPERT_LABELS,
    COMMON_POLICY,
    CheXpertImages,
    CheXpertTable,
    ImageCheck,
    ResizedCache,
    apply_policy,
    check_images,
    read_chexpert_plus_table,
    read_chexpert_table,
    read_mimic_cxr_table,
    read_nih_table,
    soft_targets,
    write_synthetic_chexpert,
)
from metricopt.data.splits import stratified_split
from metricopt.data.tables import (
    Findings,
    Table,
    TablePreprocessor,
    TableWarning,
    make_table,
    read_pieces,
    read_table,
)
from metricopt.data.thyroid import load_hypothyroid, load_thyroid
from metricopt.data.toy import rath_hughes_toy

__all__ = [
    "CHEXPERT_LABELS",
    "COMMON_POLICY",
    "BalancedBatchSampler",
    "CheXpertImages",
    "CheXpertTable",
    "Findings",
    "ImageCheck",
    "ResizedCache",
    "Table",
    "TablePreprocessor",
    "TableWarning",
    "apply_policy",
    "check_images",
    "load_hypothyroid",
    "load_thyroid",
    "make_table",
    "rath_hughes_toy",
    "read_chexpert_plus_table",
    "read_chexpert_table",
    "read_mimic_cxr_table",
    "read_nih_table",
    "read_pieces",
    "read_table",
    "soft_targets",
    "stratified_split",
    "write_synthetic_chexpert",
]
