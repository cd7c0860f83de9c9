"""Where samples come from: one source a file. Heavy packages (pandas, scikit-learn) are imported when first used."""

from metricopt.data.balanced import BalancedBatchSampler
from metricopt.data.hypothyroid import load_hypothyroid
from metricopt.data.splits import stratified_split
from metricopt.data.tables import Table, TablePreprocessor, make_table, read_table
from metricopt.data.toy import rath_hughes_toy

__all__ = [
    "BalancedBatchSampler",
    "Table",
    "TablePreprocessor",
    "load_hypothyroid",
    "make_table",
    "rath_hughes_toy",
    "read_table",
    "stratified_split",
]
