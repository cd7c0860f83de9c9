import numpy as np
import pytest
import torch
from sklearn.metrics import fbeta_score

from metricopt.losses import SoftFBeta


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_value_is_the_published_formula(beta):
    rng = np.random.default_rng(1)
    scores, labels = rng.normal(size=40), (rng.random(40) < 0.3).astype(float)
    alarms = 1 / (1 + np.exp(-2.5 * (scores - 0.3)))
    tp, fp, fn = (alarms * labels).sum(), (alarms * (1 - labels)).sum(), ((1 - alarms) * labels).sum()
    expected = 1 - (1 + beta**2) * tp / ((1 + beta**2) * tp + beta**2 * fn + fp)
    value = SoftFBeta(beta, slope=2.5, offset=0.3)(torch.from_numpy(scores), torch.from_numpy(labels))
    assert value.item() == pytest.approx(expected, rel=1e-12)


def test_a_steep_slope_gives_the_metric_itself():
    rng = np.random.default_rng(2)
    scores, labels = rng.normal(size=200), (rng.random(200) < 0.3).astype(float)
    value = SoftFBeta(2.0, slope=1e6)(torch.from_numpy(scores), torch.from_numpy(labels))
    assert value.item() == pytest.approx(1 - fbeta_score(labels, scores > 0, beta=2.0), abs=1e-6)


def test_no_positives_give_1_without_gradient():
    scores = torch.tensor([1.0, -200.0], requires_grad=True)
    value = SoftFBeta()(scores, torch.zeros(2))
    value.backward()
    assert value.item() == 1 and (scores.grad == 0).all()
