import numpy as np
import pytest
import torch

from metricopt.losses import SoftPrecisionAtRecall, SoftRecallAtPrecision


def soft_problem():
    rng = np.random.default_rng(3)
    scores, labels = rng.normal(size=50), (rng.random(50) < 0.2).astype(float)
    labels[0] = 1
    alarms = 1 / (1 + np.exp(-2.0 * (scores - 0.1)))
    return scores, labels, (alarms * labels).sum(), (alarms * (1 - labels)).sum()


@pytest.mark.parametrize("multiplier", [0.0, 1.0, 7.5])
def test_values_are_those_of_the_lagrangians(multiplier):
    scores, labels, tp, fp = soft_problem()
    p = labels.sum()
    expected = {
        SoftRecallAtPrecision: -tp / p + multiplier * (0.9 * fp - 0.1 * tp) / p,
        SoftPrecisionAtRecall: fp / p + multiplier * (0.9 - tp / p),
    }
    for kind, value in expected.items():
        loss = kind(0.9, slope=2.0, offset=0.1).prepare(labels)
        loss.multiplier.fill_(multiplier)
        assert loss(torch.from_numpy(scores), torch.from_numpy(labels)).item() == pytest.approx(value, rel=1e-6)


def test_counts_are_relative_to_the_expected_positives():
    scores, labels, tp, fp = soft_problem()
    loss = SoftRecallAtPrecision(0.9, slope=2.0, offset=0.1).prepare(np.repeat([1.0, 0.0], [40, 60]))
    value = loss(torch.from_numpy(scores), torch.from_numpy(labels)).item()
    assert value == pytest.approx((-tp + 0.9 * fp - 0.1 * tp) / (0.4 * 50), rel=1e-6)
