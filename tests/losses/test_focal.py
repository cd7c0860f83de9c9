import numpy as np
import pytest
import torch

from metricopt import InvalidInputError
from metricopt._torchvision import import_torchvision
from metricopt.losses import FocalLoss, cross_entropy
from tests.losses.batches import batch, mean_by_hand


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [None, 0.25, 1.0])
def test_it_is_the_formula(gamma, alpha):
    scores, labels = batch()

    def of_one(score, label, column):
        probability = 1 / (1 + np.exp(-score if label else score))
        weight = 1 if alpha is None else alpha if label else 1 - alpha
        return -weight * (1 - probability) ** gamma * np.log(probability)

    loss = FocalLoss(gamma, alpha)(scores, labels)
    assert loss.item() == pytest.approx(mean_by_hand(of_one, scores, labels), rel=1e-12)


@pytest.mark.parametrize("gamma", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("alpha", [None, 0.25, 0.9])
def test_it_agrees_with_torchvision(gamma, alpha):
    scores, labels = (values[:, 0].nan_to_num() for values in batch())
    theirs, ours = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    sigmoid_focal_loss = import_torchvision().ops.sigmoid_focal_loss
    expected = sigmoid_focal_loss(theirs, labels, -1 if alpha is None else alpha, gamma, reduction="mean")
    loss = FocalLoss(gamma, alpha)(ours, labels)
    torch.testing.assert_close(loss, expected)
    expected.backward()
    loss.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_without_focus_it_is_cross_entropy():
    scores, labels = batch()
    torch.testing.assert_close(FocalLoss(gamma=0)(scores, labels), cross_entropy(scores, labels))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_certain_scores_are_exact(gamma):
    """Where 1 - p and log p have no digits left in the probabilities of float32."""
    scores = torch.tensor([80.0, -80.0, 80.0, -80.0], requires_grad=True)
    labels = torch.tensor([1.0, 0.0, 0.0, 1.0])
    (4 * FocalLoss(gamma)(scores, labels)).backward()
    slope = np.exp(-80 * (1 + gamma)) * (1 + gamma)  # close to p = 1 the loss is (1 - p)**(1 + gamma)
    expected = [-slope, slope, 1, -1]
    assert scores.grad.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-37)
    assert FocalLoss(gamma)(scores, labels).item() == pytest.approx(40)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"gamma": -1}, "gamma must be a finite number >= 0, got -1; give for example 2.0"),
        ({"gamma": float("nan")}, "gamma must be a finite number >= 0, got nan"),
        ({"alpha": 1.5}, r"alpha must be in \(0, 1\], got 1.5"),
        ({"gamma": 0, "alpha": 1}, None),
    ],
)
def test_arguments(arguments, said):
    if said is None:
        FocalLoss(**arguments)
        return
    with pytest.raises(InvalidInputError, match=said):
        FocalLoss(**arguments)
