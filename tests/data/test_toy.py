"""The toy problem must stay the published one: its optimum is what the solvers are judged by."""

import hashlib

import numpy as np
import pytest

from metricopt.data import rath_hughes_toy

# First and last rows of both classes, sum of the radii, and SHA-256 of all values in millionths.
ROWS = [
    [-0.9892469844017235, 2.6504409914793516],
    [-1.191115571851929, -1.7837777461560744],
    [0.43528489012089855, 0.263644742878439],
    [-1.972221917852951, -0.7512947728617931],
]
RADII = 690.034254673354
DIGEST = "fc4d86fe700ae77029efb39906783cbecf4d50685adae1fc9f7a2d06f2ae6027"


def test_is_the_published_problem():
    features, labels = rath_hughes_toy()
    assert features.shape == (570, 2) and features.dtype == np.float64
    assert labels.tolist() == [1.0] * 120 + [0.0] * 450
    assert features[[0, 119, 120, 569]] == pytest.approx(np.array(ROWS), abs=1e-12)
    assert np.hypot(*features.T).sum() == pytest.approx(RADII, abs=1e-9)
    digest = hashlib.sha256(np.round(features * 1e6).astype("<i8").tobytes()).hexdigest()
    assert digest == DIGEST


def test_is_standardised_with_the_population_deviation():
    features, _ = rath_hughes_toy()
    assert features.mean(axis=0) == pytest.approx([0, 0], abs=1e-12)
    assert features.std(axis=0, ddof=0) == pytest.approx([1, 1], abs=1e-12)


def test_leaves_the_global_random_state_alone():
    before = np.random.get_state()[1].copy()
    rath_hughes_toy()
    assert (np.random.get_state()[1] == before).all()
