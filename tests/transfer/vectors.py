"""Values of independent implementations, and the samples that property tests draw."""

import json
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from sklearn.datasets import load_iris

CASES = json.loads((Path(__file__).parent / "score_vectors.json").read_text())
CASES["iris"] |= dict(zip(("f", "y"), load_iris(return_X_y=True), strict=True))
CLASS_CASES = ["iris", "blobs_balanced", "blobs_imbalanced", "N_lt_D", "rank_deficient"]


def features_and_labels(case):
    return np.array(CASES[case]["f"]), np.array(CASES[case]["y"])


def blobs(seed, num_samples=60, width=4, num_classes=3, distance=1.5):
    """Gaussian blobs with every class at least four times, and features of unequal spread."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(num_samples) % (4 * num_classes) // 4)
    means = distance * random.normal(size=(num_classes, width))
    return (means[labels] + random.normal(size=(num_samples, width))) * np.geomspace(1, 3, width), labels


@st.composite
def samples(draw, max_width=6):
    """Features and labels with n > d, seldom well separated."""
    return blobs(
        draw(st.integers(0, 10_000)),
        draw(st.integers(24, 60)),
        draw(st.integers(1, max_width)),
        draw(st.integers(2, 4)),
        draw(st.sampled_from([0.0, 0.5, 2.0])),
    )
