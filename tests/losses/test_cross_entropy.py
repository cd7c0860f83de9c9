import numpy as np
import pytest
import torch

from metricopt import InvalidInputError
from metricopt.losses import WeightedCrossEntropy, cross_entropy
from tests.losses.batches import NUM_NEGATIVES, NUM_POSITIVES, batch, mean_by_hand, training_labels


def weights_by_hand(weighting, decay, column):
    """Of a negative and of a positive: one over the (effective) number, then mean 1 over all samples."""
    counts = np.array([NUM_NEGATIVES[column], NUM_POSITIVES[column]], float)
    numbers = counts if weighting == "inverse_frequency" else (1 - decay**counts) / (1 - decay)
    weights = 1 / numbers
    return weights / (np.repeat(weights, counts.astype(int)).mean())


@pytest.mark.parametrize(
    ("weighting", "decay"), [("inverse_frequency", 0.999), ("effective_number", 0.999), ("effective_number", 0.9)]
)
def test_it_is_the_formula(weighting, decay):
    scores, labels = batch()
    loss = WeightedCrossEntropy(weighting, decay).prepare(training_labels())

    def of_one(score, label, column):
        probability = 1 / (1 + np.exp(-score))
        weight = weights_by_hand(weighting, decay, column)[int(label)]
        return -weight * np.log(probability if label else 1 - probability)

    assert loss(scores, labels).item() == pytest.approx(mean_by_hand(of_one, scores, labels), rel=1e-12)


@pytest.mark.parametrize("weighting", ["inverse_frequency", "effective_number"])
def test_the_mean_weight_over_the_training_samples_is_one(weighting):
    """So at score 0 the loss of the whole training set is that of plain cross-entropy."""
    labels = torch.from_numpy(training_labels())
    loss = WeightedCrossEntropy(weighting, 0.99).prepare(labels)
    assert loss(torch.zeros_like(labels), labels).item() == pytest.approx(np.log(2), rel=1e-6)


def test_the_effective_number_lies_between_no_weights_and_the_inverse_frequency():
    scores, labels = batch()

    def at(*arguments):
        return WeightedCrossEntropy(*arguments).prepare(training_labels())(scores, labels).item()

    assert at("effective_number", 1 - 1e-12) == pytest.approx(at("inverse_frequency"), rel=1e-6)
    assert at("effective_number", 1e-9) == pytest.approx(cross_entropy(scores, labels).item(), rel=1e-6)
    assert at("effective_number", 0.99) != pytest.approx(at("inverse_frequency"), rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"weighting": "inverse"}, "weighting must be one of .*, got 'inverse'; did you mean 'inverse_frequency'"),
        ({"weighting": "effective_number", "decay": 1}, r"decay must be in \(0, 1\), got 1; give for example 0.999"),
        ({"weighting": "effective_number", "decay": 0}, r"decay must be in \(0, 1\), got 0;"),
        ({"weighting": "effective_number", "decay": 0.5}, None),
    ],
)
def test_arguments(arguments, said):
    if said is None:
        WeightedCrossEntropy(**arguments)
        return
    with pytest.raises(InvalidInputError, match=said):
        WeightedCrossEntropy(**arguments)


@pytest.mark.parametrize("num_rows", [0, 3])
def test_without_a_label_the_loss_is_zero(num_rows):
    scores = torch.zeros(num_rows, 2, requires_grad=True)
    loss = cross_entropy(scores, torch.full((num_rows, 2), torch.nan))
    loss.backward()
    assert loss.item() == 0 and not scores.grad.any()
