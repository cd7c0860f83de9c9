import numpy as np
import pytest
import torch

from metricopt.losses import AnyLoss


@pytest.mark.parametrize(("beta", "amplification"), [(1.0, 73.0), (2.0, 10.0)])
def test_value_is_the_published_formula(beta, amplification):
    rng = np.random.default_rng(7)
    scores, labels = rng.normal(size=40), (rng.random(40) < 0.3).astype(float)
    probabilities = 1 / (1 + np.exp(-scores))
    amplified = 1 / (1 + np.exp(-amplification * (probabilities - 0.5)))
    numerator = (1 + beta**2) * (labels * amplified).sum()
    expected = 1 - numerator / (beta**2 * labels.sum() + amplified.sum())
    value = AnyLoss(beta, amplification)(torch.from_numpy(scores), torch.from_numpy(labels))
    assert value.item() == pytest.approx(expected, rel=1e-12)


def test_no_positives_give_1_without_gradient():
    scores = torch.tensor([0.01, -20.0], requires_grad=True)
    value = AnyLoss()(scores, torch.zeros(2))
    value.backward()
    assert value.item() == 1 and (scores.grad == 0).all()
