"""Real tables with fewer than 100 positives, where every method stands on a handful of them."""

from benchmarks.data import SMALL
from benchmarks.suites.suite import Plan, Suite

SUITE = Suite(
    name="small",
    title="Tables with fewer than 100 positives",
    datasets=SMALL,
    plans=(
        Plan(
            objectives=("FPOR .8", "FROP .8", "F1", "AP"),
            methods=("profiled", "cross-entropy", "weighted", "SMOTE", "sigmoid"),
        ),
    ),
    num_splits=10,
    num_steps=800,
    batch_size=256,
)
