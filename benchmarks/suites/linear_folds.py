"""Linear models alone, trained on folds, on twice as many splits of the main tables: what direct training gains."""

from benchmarks.data import TABLES
from benchmarks.suites.suite import Plan, Suite

SUITE = Suite(
    name="linear_folds",
    title="Linear models on folds: direct optimization beside cross-entropy, on 20 splits",
    datasets=TABLES,
    plans=(
        Plan(
            ("FPOR .8", "FROP .8", "F1"),
            ("profiled, folds", "cross-entropy, folds", "logistic, folds", "logistic + tuned threshold"),
            ("linear",),
        ),
    ),
    num_splits=20,
    num_steps=800,
    batch_size=256,
)
"""The first 10 splits are those of the suite ``tables``."""
