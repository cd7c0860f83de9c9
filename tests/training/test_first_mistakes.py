"""The mistakes of a first use: each ends in a right result, or in a sentence that says what to do."""

from functools import partial

import pytest
import torch
from torch import nn

from metricopt import FPOR, DirectMetricLoss, InvalidInputError, choose_threshold
from tests.held_out import fit
from tests.training.test_fit import FEW, blobs, linear, loader_of, weights_of, with_dropout


@pytest.mark.parametrize("alpha", [90, 1.5, 0, -0.1])
def test_a_bound_must_be_a_fraction(alpha):
    x, y = blobs()
    asked = (
        lambda: fit(linear(), loader_of(x, y), "FPOR", alpha=alpha, **FEW),
        lambda: DirectMetricLoss("FPOR", y, alpha=alpha, epochs=2, steps_per_epoch=4),
        lambda: choose_threshold(x[:, 0], y, FPOR(alpha)),
    )
    for ask in asked:
        with pytest.raises(
            InvalidInputError, match=rf"min_precision must be in \(0, 1\], got {alpha}; give a fraction"
        ):
            ask()


@pytest.mark.parametrize("folds", [None, 3])
def test_a_label_has_one_logit_or_two(folds):
    x, y = blobs()
    with pytest.raises(InvalidInputError, match=r"got logits \(\d+, 3\) for labels .*return one logit for each"):
        fit(lambda: nn.Linear(2, 3), loader_of(x, y), "FPOR", alpha=0.7, **FEW, folds=folds)
    assert fit(lambda: nn.Linear(2, 2), loader_of(x, y), "FPOR", alpha=0.7, **FEW, folds=folds).scores(x).ndim == 1


@pytest.mark.parametrize("make", [linear, with_dropout])
def test_a_model_must_have_weights_to_train(make):
    x, y = blobs()
    frozen = make().requires_grad_(False)
    for model, got in ((frozen, "every weight frozen"), (lambda: frozen, "every weight"), (nn.Flatten(), "no weights")):
        with pytest.raises(InvalidInputError, match=f"model must be one with weights to train, got {got}.*unfreeze"):
            fit(model, loader_of(x[:, :1] if model is not frozen else x, y), "FPOR", alpha=0.7, **FEW)
    list(frozen.parameters())[-1].requires_grad_(True)
    fit(frozen, loader_of(x, y), "FPOR", alpha=0.7, **FEW)


@pytest.mark.parametrize("folds", ["auto", 3])
def test_a_frozen_linear_layer_is_not_trained_afresh(folds):
    x, y = blobs()
    layer = nn.Linear(2, 1).requires_grad_(False)
    weight = layer.weight.clone()
    with pytest.raises(InvalidInputError, match="every weight frozen"):
        fit(layer, loader_of(x, y), "FPOR", alpha=0.7, **FEW, folds=folds)
    layer.bias.requires_grad_(True)
    fit(layer, loader_of(x, y), "FPOR", alpha=0.7, **FEW)
    assert torch.equal(layer.weight, weight)


def test_an_optimizer_must_move_weights_of_the_model():
    x, y = blobs()
    model, other = linear(), linear()
    for weights, frozen in ((other.parameters(), False), ([model.weight], True)):
        model.weight.requires_grad_(not frozen)
        with pytest.raises(InvalidInputError, match="optimizer must be one of weights that this model trains, got one"):
            fit(model, loader_of(x, y), "FPOR", alpha=0.7, **FEW, optimizer=torch.optim.SGD(weights, lr=0.1))
    fit(model, loader_of(x, y), "FPOR", alpha=0.7, **FEW, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda weights: torch.optim.SGD(linear().parameters(), lr=0.1),
            "one of weights that this model trains, got one",
        ),
        (lambda weights: None, "a callable that returns an Optimizer, got one that returns None; return it"),
        (
            torch.optim.LBFGS,
            "one that steps by the gradient of a batch, got LBFGS, which calls for it again; take e.g.",
        ),
    ],
)
def test_a_callable_must_return_an_optimizer_that_trains_the_model(make, text):
    x, y = blobs()
    with pytest.raises(InvalidInputError, match=f"optimizer must be {text}"):
        fit(linear(), loader_of(x, y), "FPOR", alpha=0.7, **FEW, optimizer=make)
    fit(linear(), loader_of(x, y), "FPOR", alpha=0.7, **FEW, optimizer=partial(torch.optim.SGD, lr=0.1))


@pytest.mark.parametrize("folds", [None, 3])
@pytest.mark.parametrize(("last", "name"), [(nn.Sigmoid, "sigmoid"), (partial(nn.Softmax, dim=-1), "softmax")])
def test_a_model_must_not_end_in_a_sigmoid_or_softmax(last, name, folds):
    x, y = blobs()
    arguments = {"alpha": 0.7, **FEW, "folds": folds}
    with pytest.raises(InvalidInputError, match=f"model must be one that returns logits, got the output of a {name}"):
        fit(lambda: nn.Sequential(linear(), last()), loader_of(x, y), "FPOR", **arguments)
    fit(lambda: nn.Sequential(linear(), nn.Identity()), loader_of(x, y), "FPOR", **arguments)


@pytest.mark.parametrize("precision", [torch.float64, torch.float16])
def test_features_of_another_precision_train_as_those_of_the_weights(precision):
    x, y = blobs()
    x = x.half().float()
    by_precision = [
        fit(linear(), loader_of(x.to(kind), y), "FPOR", alpha=0.7, **FEW) for kind in (torch.float32, precision)
    ]
    assert weights_of(by_precision[0].model) == weights_of(by_precision[1].model)
    with pytest.raises(InvalidInputError, match="features must be of the weights' kind torch.float32, got torch.int64"):
        fit(linear(), loader_of(x.long(), y), "FPOR", alpha=0.7, **FEW)


@pytest.mark.parametrize("folds", [None, 3])
def test_features_that_are_not_of_order_1_are_told_of(folds):
    x, y = blobs()
    with pytest.warns(
        UserWarning, match="The features are not of order 1: column 1 is of size .*StandardScaler"
    ) as told:
        fit(linear(), loader_of(x * torch.tensor([1.0, 1e4]), y), "FPOR", alpha=0.7, **FEW, folds=folds)
    assert [warning.filename for warning in told] == [__file__]
    fit(linear(), loader_of(x, y), "FPOR", alpha=0.7, **FEW, folds=folds)


@pytest.mark.parametrize(("objective", "done"), [("FPOR", "raises no alarm"), ("OFBS", "flags every row")])
@pytest.mark.parametrize("folds", [None, 3])
def test_a_dead_network_is_called_one(objective, done, folds):
    class Dead(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(2, 4), nn.Linear(4, 1)
            nn.init.constant_(self.first.bias, -1e3)

        def forward(self, x):
            return self.last(self.first(x).relu())

    x, y = blobs()
    alpha = 0.7 if objective == "FPOR" else None
    result = fit(Dead, loader_of(x, y), objective, alpha=alpha, **FEW, folds=folds, confidence="auto")
    assert_constant_is_said(result, done)


def assert_constant_is_said(result, done):
    for text in (result.advice(), result.summary()):
        assert "gives every row the same score" in text and "units that have died" in text
        assert f"So the threshold {done}." in text and "give more data" not in text and "needed" not in text
