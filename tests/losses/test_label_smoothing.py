import numpy as np
import pytest
import torch

from metricopt import InvalidInputError
from metricopt.losses import LabelSmoothing, cross_entropy
from tests.losses.batches import batch, mean_by_hand


@pytest.mark.parametrize("smoothing", [0.05, 0.1, 1.0])
def test_it_is_the_formula(smoothing):
    """The paper's: (1 - e) H(y, p) + e H(uniform, p)."""
    scores, labels = batch()

    def of_one(score, label, column):
        probabilities = np.array([1, np.exp(score)]) / (1 + np.exp(score))
        return -(1 - smoothing) * np.log(probabilities[int(label)]) - smoothing * np.log(probabilities).mean()

    loss = LabelSmoothing(smoothing)(scores, labels)
    assert loss.item() == pytest.approx(mean_by_hand(of_one, scores, labels), rel=1e-12)


def test_it_agrees_with_the_softmax_of_torch():
    scores, labels = batch()
    scores, labels = scores[:, 0], labels[:, 0].nan_to_num()
    two = torch.stack([torch.zeros_like(scores), scores], dim=1)
    expected = torch.nn.functional.cross_entropy(two, labels.long(), label_smoothing=0.2)
    torch.testing.assert_close(LabelSmoothing(0.2)(scores, labels), expected)


def test_without_smoothing_it_is_cross_entropy():
    scores, labels = batch()
    torch.testing.assert_close(LabelSmoothing(0)(scores, labels), cross_entropy(scores, labels))


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, True])
def test_arguments(smoothing):
    with pytest.raises(InvalidInputError, match=r"smoothing must be in \[0, 1\], got"):
        LabelSmoothing(smoothing)
    LabelSmoothing(0.3)
