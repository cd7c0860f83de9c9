"""Tuning lowers the entropy that it minimises, OTCE confirms it, and the network can then be trained by ``fit``."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from metricopt import InvalidInputError
from metricopt.transfer import otce, tune_by_otce
from metricopt.transfer.otce_tuning import transported_entropy
from tests.held_out import fit
from tests.transfer.vectors import CASES

CASE = CASES["otce"]


def sides(dtype=torch.float64):
    return [torch.tensor(CASE[name], dtype=dtype) for name in ("xs", "ys", "xt", "yt")]


def domain(shift, seed, n=200):
    """The class shows in the first of four features; the others are noise."""
    torch.manual_seed(seed)
    labels = (torch.arange(n) % 5 == 0).float()
    inputs = torch.randn(n, 4) * torch.tensor([0.5, 1.0, 1.0, 1.0])
    inputs[:, 0] += 2 * labels
    return inputs + shift, labels


def loader(data, batch_size=100):
    return DataLoader(TensorDataset(*data), batch_size=batch_size)


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1))


def test_entropy_and_gradient_are_the_independent_ones():
    source, source_classes, target, target_classes = sides()
    expected = CASE["grad_check"]
    leaves = source.requires_grad_(), target.requires_grad_()
    entropy = transported_entropy(source, source_classes, target, target_classes, expected["reg"])
    assert entropy.item() == pytest.approx(expected["H"], rel=1e-9)
    entropy.backward()
    found = [leaf.grad[:3].numpy() for leaf in leaves]
    errors = [np.abs(gradient - expected["grad_first3"]).max() for gradient in found]
    assert min(errors) < 1e-9  # of one side; differences below are of both


def test_the_gradient_is_that_of_differences():
    source, source_classes, target, target_classes = sides()

    def entropy(source, target):
        return transported_entropy(source, source_classes, target, target_classes, 5.0, balanced=True)

    direction = torch.linspace(-1, 1, source.numel()).reshape(source.shape).double()
    other = torch.linspace(1, -1, target.numel()).reshape(target.shape).double()
    ahead, behind = (entropy(source + step * direction, target + step * other) for step in (1e-5, -1e-5))
    source.requires_grad_(), target.requires_grad_()
    entropy(source, target).backward()
    slope = (source.grad * direction).sum() + (target.grad * other).sum()
    assert slope.item() == pytest.approx((ahead - behind).item() / 2e-5, rel=1e-6)


@pytest.mark.parametrize("balanced", [False, True])
def test_it_is_otce_with_regularisation(balanced):
    given = sides()
    entropy = transported_entropy(*given, 5.0, balanced=balanced)
    with pytest.warns(metricopt.transfer.TransferWarning, match="fewer than 10"):
        score = otce(*given, regularisation=5.0, balanced=balanced)
    assert entropy.item() == pytest.approx(-score, rel=1e-8)


@pytest.mark.slow
def test_tuning_makes_the_source_tell_the_target_and_fit_takes_over():
    source, target = domain(0.0, 0), domain(0.3, 1)
    model = network()
    head = model[1].weight.detach().clone()

    def score():
        with torch.no_grad():
            return otce(model[0](source[0]), source[1], model[0](target[0]), target[1], balanced=True)

    before = score()
    entropies = tune_by_otce(model, loader(source), loader(target), embed=model[0], epochs=10, learning_rate=0.03)
    assert len(entropies) == 10
    assert entropies[-1] < entropies[0] - 0.05
    assert score() > before + 0.1
    torch.testing.assert_close(model[1].weight, head)
    result = fit(model, loader(target), "FPOR", alpha=0.5, epochs=3, warmup_epochs=2, progress=False)
    assert result.evaluate(target).recall > 0


def test_embed_is_the_networks_own_by_default():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(4, 3), nn.Linear(3, 1)

        def embed(self, x):
            return self.body(x)

    torch.manual_seed(0)
    model = Network().eval()
    before = model.body.weight.detach().clone()
    source, target = domain(0.0, 0), domain(0.3, 1)
    column = target[0], target[1][:, None]
    tune_by_otce(model, loader(source, 70), loader(column, 50), epochs=1)
    assert not torch.equal(model.body.weight, before)
    assert not model.training
    with pytest.raises(InvalidInputError, match="embed must be given for a network without a method embed"):
        tune_by_otce(network(), loader(source), loader(target), epochs=1)


def test_frozen_weights_stay():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
    model[0].requires_grad_(False)
    before = [weight.detach().clone() for weight in model.parameters()]
    tune_by_otce(model, loader(domain(0.0, 0)), loader(domain(0.3, 1)), embed=model, epochs=1)
    unchanged = [torch.equal(was, weight) for was, weight in zip(before, model.parameters(), strict=True)]
    assert unchanged[:3] == [True, True, False]


def test_batches_of_one_class_are_passed_over():
    inputs, _ = domain(0.0, 1)
    lonely = torch.arange(200) < 20  # all in the first batch of two
    model = network()
    entropies = tune_by_otce(model, loader(domain(0.0, 0)), loader((inputs, lonely)), embed=model[0], epochs=1)
    assert 0 < entropies[0] <= np.log(2)
    with pytest.raises(InvalidInputError, match="target must be batches of which some have two classes"):
        tune_by_otce(model, loader(domain(0.0, 0)), loader((inputs, torch.zeros(200))), embed=model[0], epochs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be an integer >= 1"),
        ({"learning_rate": 0.0}, "learning_rate must be a finite number above 0"),
        ({"regularisation": 0.0}, "regularisation must be a finite number above 0"),
    ],
)
def test_options_out_of_range(options, message):
    model = network()
    with pytest.raises(InvalidInputError, match=message):
        tune_by_otce(model, loader(domain(0.0, 0)), loader(domain(0.0, 1)), embed=model[0], **options)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(200, 2), r"target labels must be of shape \(B,\) or \(B, 1\), got shape \(100, 2\)"),
        (torch.full((200,), float("nan")), "target labels must be whole numbers"),
    ],
)
def test_labels_that_are_rejected(labels, message):
    model, (inputs, _) = network(), domain(0.0, 1)
    with pytest.raises(InvalidInputError, match=message):
        tune_by_otce(model, loader(domain(0.0, 0)), loader((inputs, labels)), embed=model[0], epochs=1)


def test_an_empty_source_is_rejected():
    model = network()
    with pytest.raises(InvalidInputError, match="source must be a loader with batches"):
        tune_by_otce(model, [], loader(domain(0.0, 1)), embed=model[0], epochs=1)
