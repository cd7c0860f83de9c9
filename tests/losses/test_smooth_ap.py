import numpy as np
import pytest
import torch

from metricopt.losses import SmoothAP
from metricopt.problem.metrics import average_precision


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_value_is_the_published_formula(temperature):
    rng = np.random.default_rng(10)
    scores, labels = rng.normal(size=30), (rng.random(30) < 0.3).astype(float)

    def above(i, side):
        with np.errstate(over="ignore"):
            return sum(1 / (1 + np.exp(-(scores[j] - scores[i]) / temperature)) for j in np.flatnonzero(side) if j != i)

    positive = labels == 1
    ratios = [
        (1 + above(i, positive)) / (1 + above(i, positive) + above(i, ~positive)) for i in np.flatnonzero(positive)
    ]
    value = SmoothAP(temperature)(torch.from_numpy(scores), torch.from_numpy(labels))
    assert value.item() == pytest.approx(1 - np.mean(ratios), rel=1e-10)


def test_low_temperatures_give_average_precision():
    rng = np.random.default_rng(11)
    scores, labels = rng.permutation(60).astype(float), (rng.random(60) < 0.3).astype(float)
    value = SmoothAP(0.01)(torch.from_numpy(scores), torch.from_numpy(labels))
    assert value.item() == pytest.approx(1 - average_precision(scores, labels), abs=1e-9)


def test_no_positives_give_a_differentiable_zero_and_no_negatives_cost_nothing():
    for truth in (0.0, 1.0):
        scores = torch.tensor([0.3, 0.2, 0.1], requires_grad=True)
        value = SmoothAP()(scores, torch.full((3,), truth))
        value.backward()
        assert value.item() == 0 and scores.grad.abs().max() < (1e-6 if truth else 1e-30)
