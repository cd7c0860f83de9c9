import numpy as np
import pytest
import torch

from metricopt import InvalidInputError
from metricopt.losses import LogitAdjustment, cross_entropy
from tests.losses.batches import NUM_NEGATIVES, NUM_POSITIVES, batch, mean_by_hand, training_labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_it_is_the_formula(temperature):
    """The paper's softmax over logits (0, z), each with the log prior of its class added."""
    scores, labels = batch()

    def of_one(score, label, column):
        counts = np.array([NUM_NEGATIVES[column], NUM_POSITIVES[column]])
        logits = np.array([0.0, score]) + temperature * np.log(counts / counts.sum())
        return -np.log(np.exp(logits[int(label)]) / np.exp(logits).sum())

    loss = LogitAdjustment(temperature).prepare(training_labels())
    assert loss(scores, labels).item() == pytest.approx(mean_by_hand(of_one, scores, labels), rel=1e-12)


def test_at_balanced_classes_it_is_cross_entropy():
    scores, labels = batch()
    loss = LogitAdjustment(3.0).prepare(torch.tensor([[1, 0], [0, 1]]))
    torch.testing.assert_close(loss(scores, labels), cross_entropy(scores, labels))


def test_the_best_constant_score_is_that_of_balanced_classes():
    labels = torch.from_numpy(training_labels())
    score = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    LogitAdjustment().prepare(labels)(score.expand_as(labels), labels).backward()
    assert score.grad.abs().max() < 1e-7


@pytest.mark.parametrize("temperature", [0, -1.0, float("inf")])
def test_arguments(temperature):
    with pytest.raises(InvalidInputError, match="temperature must be a finite number above 0, got"):
        LogitAdjustment(temperature)
    LogitAdjustment(0.1)
