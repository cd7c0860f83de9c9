"""The suite on which defaults are chosen: none of its rows is in the suites that are reported."""

from benchmarks.data import DEVELOPMENT
from benchmarks.suites.suite import Plan, Suite

FOLDS = ("profiled, folds", "cross-entropy, folds", "logistic, folds", "boosting, folds")

SUITE = Suite(
    name="development",
    title="Development sets: what defaults are chosen on",
    datasets=DEVELOPMENT,
    plans=(
        Plan(("FPOR .8", "FROP .8", "F1"), FOLDS, ("linear",)),
        Plan(("FPOR .8", "FROP .8", "F1"), ("boosting, folds",), ("mlp",)),
        Plan(("FPOR .8",), ("auto",), ("mlp",)),
    ),
    num_splits=5,
    num_steps=800,
    batch_size=256,
)
