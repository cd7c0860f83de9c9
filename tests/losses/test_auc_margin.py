import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from metricopt.losses import AUCMarginLoss


@pytest.mark.parametrize("margin", [0.5, 1.0])
def test_value_is_the_sum_over_pairs(margin):
    rng = np.random.default_rng(8)
    scores, labels = rng.normal(size=40), (rng.random(40) < 0.3).astype(float)
    pairs = [max(0.0, margin - (i - j)) ** 2 for i in scores[labels == 1] for j in scores[labels == 0]]
    value = AUCMarginLoss(margin)(torch.from_numpy(scores), torch.from_numpy(labels))
    assert value.item() == pytest.approx(np.mean(pairs), rel=1e-12)


def test_it_is_never_below_the_share_of_pairs_out_of_order():
    rng = np.random.default_rng(9)
    scores, labels = rng.normal(size=200), (rng.random(200) < 0.2).astype(float)
    value = AUCMarginLoss()(torch.from_numpy(scores), torch.from_numpy(labels)).item()
    assert value >= 1 - roc_auc_score(labels, scores)


def test_a_shift_changes_nothing_and_a_margin_between_all_costs_nothing():
    scores, labels = torch.tensor([2.0, 1.5, 0.5, -4.0]), torch.tensor([1.0, 1.0, 0.0, 0.0])
    assert AUCMarginLoss(1.0)(scores, labels) == AUCMarginLoss(1.0)(scores + 8, labels) == 0
    assert AUCMarginLoss(1.5)(scores, labels) > 0


@pytest.mark.parametrize("truth", [0.0, 1.0])
def test_no_pairs_give_a_differentiable_zero(truth):
    scores = torch.ones(3, requires_grad=True)
    value = AUCMarginLoss()(scores, torch.full((3,), truth))
    value.backward()
    assert value.item() == 0 and (scores.grad == 0).all()
