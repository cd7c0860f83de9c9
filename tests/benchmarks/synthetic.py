"""Rows as the runner writes them, made up: what differs between methods is known."""

import numpy as np
import pandas as pd

OBJECTIVES = {  # metric, bounded metric, bound
    "FPOR .8": ("recall", "precision", 0.8),
    "FROP .8": ("precision", "recall", 0.8),
    "F1": ("f_beta", "", np.nan),
    "AP": ("average_precision", "", np.nan),
}
FAMILIES = {
    "cross-entropy": "loss",
    "profiled": "direct",
    "class weights": "loss",
    "logit adjustment": "loss",
    "sigmoid relaxation": "loss",
    "tight sigmoid bounds": "loss",
    "hinge bounds": "loss",
    "SMOTE": "resampling",
    "random under-sampling": "resampling",
    "LibAUC APLoss": "peer",
}
NUM_POSITIVES, NUM_NEGATIVES = 500, 4500
DATASETS = ("hypothyroid", "page_blocks", "satimage", "yeast3", "abalone", "breast cancer", "Pleural Other")


def on_test_rows(metric, value, bounded, reached, bound):
    """The counts that come nearest to a value and what is bounded, and both of them recomputed from the counts."""
    recall, precision = {"recall": (value, reached), "precision": (reached, value)}.get(metric, (value, value))
    true = round(np.clip(recall, 0, 1) * NUM_POSITIVES)
    false = min(round(true * (1 / np.clip(precision, 1e-3, 1) - 1)), NUM_NEGATIVES)
    found = {"recall": true / NUM_POSITIVES, "precision": true / (true + false) if true + false else np.nan}
    return {
        "test_tp": true,
        "test_fp": false,
        "test_fn": NUM_POSITIVES - true,
        "test_tn": NUM_NEGATIVES - false,
        "test_value": found.get(metric, value),
        "test_bounded": found.get(bounded, np.nan),
        "test_met": bool(found[bounded] >= bound) if bounded else "",
    }


def rows(
    ahead=0.05,
    *,
    models=("linear", "mlp"),
    objectives=tuple(OBJECTIVES),
    datasets=DATASETS,
    num_splits=10,
    methods=tuple(FAMILIES),
    noise=0.02,
    seed=0,
):
    """One row a run; "profiled" is ahead by so much, "class weights" deploys thresholds that miss every bound."""
    random = np.random.default_rng(seed)
    made = []
    for model in models:
        for objective in objectives:
            metric, bounded, bound = OBJECTIVES[objective]
            for dataset in datasets:
                level = random.uniform(0.3, 0.7)
                for split in range(num_splits):
                    of_split = level + random.normal(0, 0.03)
                    for method in methods:
                        curve = of_split + ahead * (method == "profiled") + random.normal(0, noise)
                        on_test = bound + random.normal(0.01, 0.03)
                        value = curve + random.normal(0, 0.02)
                        if method == "class weights":
                            on_test, value = bound - random.uniform(0.1, 0.3), 0.99
                        made.append(
                            {
                                "dataset": dataset,
                                "split": split,
                                "model": model,
                                "objective": objective,
                                "metric": metric,
                                "bounded": bounded,
                                "bound": bound,
                                "method": method,
                                "family": FAMILIES[method],
                                **on_test_rows(metric, value, bounded, on_test, bound),
                                "test_curve_value": curve,
                                "seconds": random.uniform(1, 5),
                                "python": "3.12.3",
                                "torch": "2.13.0",
                            }
                        )
    return pd.DataFrame(made)
