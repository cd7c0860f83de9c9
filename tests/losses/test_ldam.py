import numpy as np
import pytest
import torch

from metricopt import InvalidInputError
from metricopt.losses import LDAM
from tests.losses.batches import NUM_NEGATIVES, NUM_POSITIVES, batch, mean_by_hand, training_labels


def margins_by_hand(max_margin, column):
    """Of a negative and of a positive."""
    margins = np.array([NUM_NEGATIVES[column], NUM_POSITIVES[column]]) ** -0.25
    return max_margin * margins / margins.max()


def by_hand(max_margin, weights, scores, labels):
    """The paper's softmax over logits (0, z), the margin taken off the true class's."""

    def of_one(score, label, column):
        label = int(label)
        logits = np.array([0.0, score])
        logits[label] -= margins_by_hand(max_margin, column)[label]
        return -weights[column][label] * np.log(np.exp(logits[label]) / np.exp(logits).sum())

    return mean_by_hand(of_one, scores, labels)


@pytest.mark.parametrize("max_margin", [0.5, 3.0])
@pytest.mark.parametrize("progress", [0.0, 0.79])
def test_it_is_the_formula(max_margin, progress):
    scores, labels = batch()
    loss = LDAM(max_margin).prepare(training_labels())
    loss.progress = progress
    expected = by_hand(max_margin, np.ones((2, 2)), scores, labels)
    assert loss(scores, labels).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("defer", "progress"), [(0.8, 0.8), (0.8, 0.95), (0, 0.0), (0.25, 0.5)])
@pytest.mark.parametrize("weighting", ["effective_number", "inverse_frequency"])
def test_the_weights_come_late(defer, progress, weighting):
    scores, labels = batch()
    loss = LDAM(defer=defer, weighting=weighting, decay=0.99).prepare(training_labels())
    loss.progress = progress
    counts = np.array([NUM_NEGATIVES, NUM_POSITIVES], float).T
    weights = 1 / (counts if weighting == "inverse_frequency" else (1 - 0.99**counts) / (1 - 0.99))
    weights /= ((weights * counts).sum(axis=1) / counts.sum(axis=1))[:, np.newaxis]
    assert loss(scores, labels).item() == pytest.approx(by_hand(0.5, weights, scores, labels), rel=1e-12)


def test_the_rarer_class_has_the_widest_margin():
    loss = LDAM(max_margin=2).prepare(training_labels())
    for label, column, margin in [(1, 0, 2), (0, 1, 2), (0, 0, 2 * (12 / 300) ** 0.25), (1, 1, 2 * (30 / 90) ** 0.25)]:
        labels = torch.full((1, 2), torch.nan, dtype=torch.float64)
        labels[0, column] = label
        scores = torch.full((1, 2), (2 * label - 1) * margin, dtype=torch.float64)
        assert loss(scores, labels).item() == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"max_margin": 0}, "max_margin must be a finite number above 0, got 0"),
        ({"defer": 1.2}, r"defer must be in \[0, 1\], got 1.2"),
        ({"weighting": "none"}, "weighting must be one of"),
        ({"decay": 1.0}, r"decay must be in \(0, 1\), got 1.0"),
        ({"max_margin": 1, "defer": 0, "weighting": "inverse_frequency", "decay": 0.5}, None),
    ],
)
def test_arguments(arguments, said):
    if said is None:
        LDAM(**arguments)
        return
    with pytest.raises(InvalidInputError, match=said):
        LDAM(**arguments)
