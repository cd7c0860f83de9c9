"""The main suite: real imbalanced tables with at least 100 positives each."""

from benchmarks.data import TABLES
from benchmarks.suites.development import FOLDS
from benchmarks.suites.suite import Plan, Suite

_MAIN = ("FPOR .8", "FROP .8", "F1", "AP")
_WITH_BOUND = ("FPOR .8", "FPOR .9", "FROP .8")
_ON_FOLDS = (*_WITH_BOUND, "F1")
_FOR_ANY_MODEL = (
    "profiled",
    "cross-entropy",
    "weighted",
    "focal",
    "logit adjustment",
    "SMOTE",
)

SUITE = Suite(
    name="tables",
    title="Imbalanced tables: direct optimization beside losses, resampling and peers",
    datasets=TABLES,
    plans=(
        Plan(
            _MAIN,
            (
                *_FOR_ANY_MODEL,
                "LDAM",
                "sigmoid",
                "hinge bounds",
                "tight sigmoid",
                "AnyLoss",
                "cooper proxy",
                "SOAP",
                "MAPIE",
                "logistic + tuned threshold",
            ),
            models=("linear",),
        ),
        Plan(_MAIN, _FOR_ANY_MODEL, models=("mlp",)),
        Plan(("FPOR .8", "FROP .8", "F1"), ("sigmoid",), models=("mlp",)),
        Plan(
            ("FPOR .9", "FROP .9", "F2"),
            ("profiled", "cross-entropy", "weighted", "sigmoid", "hinge bounds"),
            models=("linear",),
        ),
        Plan(_ON_FOLDS, ("boosting + tuned threshold",), models=("mlp",)),
        Plan(("FPOR .9",), ("logistic + tuned threshold",), models=("linear",)),
        Plan(_ON_FOLDS, FOLDS, ("linear",)),
        Plan(_ON_FOLDS, ("boosting, folds", "LightGBM, folds"), ("mlp",)),
        Plan(("FPOR .8", "FROP .8"), ("profiled, folds", "cross-entropy, folds"), ("mlp",)),
        Plan(("FPOR .8",), ("forest + tuned threshold",), ("mlp",)),
        Plan(("FPOR .8", "FROP .8"), ("boosting + MAPIE threshold",), ("mlp",)),
        Plan(_ON_FOLDS, ("auto",), ("mlp",)),
    ),
    num_splits=10,
    num_steps=800,
    batch_size=256,
)
