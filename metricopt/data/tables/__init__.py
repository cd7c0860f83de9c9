"""Tables: reading them, their label, and the preprocessing that turns their columns into numbers.

pandas and pyarrow are imported inside the functions, so that ``import metricopt`` stays light.
"""

from metricopt.data.tables.columns import CategoricalColumn, NumericColumn
from metricopt.data.tables.findings import Findings, TableWarning
from metricopt.data.tables.labelled import Table, make_table
from metricopt.data.tables.left_out import MAX_CATEGORIES
from metricopt.data.tables.preprocessing import TablePreprocessor
from metricopt.data.tables.reading import read_pieces, read_table

__all__ = [
    "MAX_CATEGORIES",
    "CategoricalColumn",
    "Findings",
    "NumericColumn",
    "Table",
    "TablePreprocessor",
    "TableWarning",
    "make_table",
    "read_pieces",
    "read_table",
]
