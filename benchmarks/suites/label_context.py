"""Rare findings of CheXpert told from age, sex, view and the other findings, without any image; one image a patient."""

from benchmarks.data import LABEL_CONTEXT
from benchmarks.suites.suite import Plan, Suite

SUITE = Suite(
    name="label_context",
    title="CheXpert's label context: rare findings from the other labels, without images",
    datasets=LABEL_CONTEXT,
    plans=(
        Plan(
            objectives=("FPOR .3", "FPOR .5"),
            methods=("profiled", "cross-entropy", "sigmoid"),
        ),
        Plan(
            objectives=("FPOR .3", "FPOR .5"),
            methods=("augmented Lagrangian", "logistic + tuned threshold"),
            models=("linear",),
        ),
        Plan(objectives=("FPOR .3", "FPOR .5"), methods=("boosting + tuned threshold",), models=("mlp",)),
    ),
    num_splits=10,
    num_steps=1600,
    batch_size=256,
)
