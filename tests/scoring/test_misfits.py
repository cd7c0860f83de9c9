"""What a model cannot take, and what are no logits: the message names the cause, and the nearest neighbour works."""

import numpy as np
import pytest
import torch
from torch import nn

from metricopt import InvalidInputError
from metricopt.scoring.ensemble import Replicas
from metricopt.scoring.forward import forward, score_loader
from metricopt.scoring.inputs import score_inputs
from metricopt.scoring.misfits import check_logits

X = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def mlp(num_labels=1):
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, num_labels))


def convolutional():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 1))


class OfAge(nn.Module):
    """Takes whole numbers and others."""

    def __init__(self):
        super().__init__()
        self.of_site, self.rest = nn.Embedding(4, 3), nn.Linear(3, 1)

    def forward(self, site, x):
        return self.rest(self.of_site(site) + x)


class Squeezes(nn.Module):
    """Returns what is left of a batch of one when all dimensions of 1 are gone."""

    def __init__(self, num_labels=1):
        super().__init__()
        self.layer = nn.Linear(3, num_labels)

    def forward(self, x):
        return self.layer(x).squeeze()


@pytest.mark.parametrize("precision", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("make", [mlp, convolutional, lambda: Replicas([mlp(), mlp()])])
def test_floating_point_inputs_are_taken_in_the_precision_of_the_weights(make, precision):
    x = (IMAGES if make is convolutional else X).to(precision)
    model = make()
    assert torch.equal(forward(model, x), forward(model, x.float()))
    model.double()
    assert torch.equal(forward(model, x), forward(model, x.double()))


def test_parts_of_inputs_are_converted_each_by_itself():
    model, site = OfAge(), torch.tensor([0, 3, 1, 1, 2])
    for x in ((site, X.double()), {"site": site, "x": X.double()}):
        assert torch.equal(forward(model, x), forward(model, (site, X)))


def test_weights_of_several_precisions_take_their_inputs_as_they_are():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(3, 1).double(), nn.Linear(3, 1)

        def forward(self, x):
            return self.first(x).float() + self.second(x.float())

    model = Mixed()
    assert torch.equal(forward(model, X.double()), model(X.double()))


@pytest.mark.parametrize("kind", [torch.int64, torch.uint8, torch.bool])
@pytest.mark.parametrize("make", [mlp, convolutional])
def test_whole_numbers_where_others_are_wanted(make, kind):
    x = (IMAGES if make is convolutional else X).abs().to(kind)
    with pytest.raises(
        InvalidInputError, match=rf"features must be of the weights' kind torch.float32, got {kind} in x; convert"
    ):
        forward(make(), x)
    forward(make(), x.float())


@pytest.mark.parametrize(
    ("make", "x", "message"),
    [
        (mlp, X[:, :2], r"features must be 3 columns, as the first layer \(Linear\) takes, got 2 in shape \(5, 2\)"),
        (
            mlp,
            X.repeat(1, 2).long(),
            r"must be 3 columns, .*, got 6 in shape \(5, 6\); pass the columns of the training",
        ),
        (lambda: Replicas([mlp(), mlp()]), X[:, :2], r"must be 3 columns, as the first layer \(Linear\) takes, got 2"),
        (lambda: nn.Sequential(nn.BatchNorm1d(3), mlp()), X[:, :1], r"3 columns, .* \(BatchNorm1d\) takes, got 1"),
        (
            convolutional,
            IMAGES[:, :1],
            r"3 channels, as the first layer \(Conv2d\) takes, got 1 in shape \(2, 1, 8, 8\)",
        ),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 1)), IMAGES[:, :2], "192 columns, .*, got 8 in shape"),
    ],
)
def test_inputs_of_another_width(make, x, message):
    with pytest.raises(InvalidInputError, match=message):
        forward(make(), x)


def test_other_errors_of_a_model_are_its_own():
    for x in (IMAGES[..., :7], IMAGES[:, :, :2]):  # fewer pixels than the last layer or the first needs
        with pytest.raises(RuntimeError) as raised:
            forward(convolutional(), x)
        assert not isinstance(raised.value, InvalidInputError)


@pytest.mark.parametrize("num_labels", [1, 2])
def test_a_batch_of_one_that_is_squeezed_away(num_labels):
    model = Squeezes(num_labels)
    together = forward(model, X)
    assert together.shape == (5, num_labels)
    torch.testing.assert_close(forward(model, X[:1]), together[:1])


@pytest.mark.parametrize("logits", [lambda: mlp(2), lambda: Squeezes(2)])
def test_two_logits_for_one_label(logits):
    model = logits()
    scores, _ = score_loader(model, [(X, torch.ones(5))], torch.device("cpu"))
    both = forward(model, X).detach()
    np.testing.assert_array_equal(scores, both[:, 1:] - both[:, :1])
    with pytest.raises(InvalidInputError, match="got logits .*; return one logit for each label"):
        score_loader(mlp(3), [(X, torch.ones(5))], torch.device("cpu"))


@pytest.mark.parametrize(
    ("end", "name"),
    [
        (torch.sigmoid, "sigmoid"),
        (lambda z: z.sigmoid()[:, 0], "sigmoid"),
        (lambda z: z.sigmoid().squeeze(1), "sigmoid"),
        (lambda z: z.sigmoid().clamp(1e-6, 1 - 1e-6).double(), "sigmoid"),
        (nn.functional.hardsigmoid, "sigmoid"),
        (lambda z: z[:, :1].softmax(1), "softmax"),
        (lambda z: z.softmax(1)[:, 1], "softmax"),
        (lambda z: z.log_softmax(1)[:, 1:], "log-softmax"),
    ],
)
def test_the_output_of_a_last_activation_is_no_logit(end, name):
    z = nn.Linear(3, 2)(X)
    with pytest.raises(InvalidInputError, match=f"model must be one that returns logits, got the output of a {name};"):
        check_logits(end(z))
    for logits in (z, z[:, 1] - z[:, 0], z.log_softmax(1)[:, 1] - z.log_softmax(1)[:, 0], 3 * z.sigmoid(), z.tanh()):
        check_logits(logits)
    check_logits(end(z).detach())


def test_a_last_activation_of_models_side_by_side():
    with pytest.raises(InvalidInputError, match="got the output of a sigmoid"):
        check_logits(Replicas([nn.Sequential(nn.Linear(3, 1), nn.Sigmoid()) for _ in range(3)])(X))
    check_logits(Replicas([mlp(), mlp()])(X))


def test_a_table_of_pandas_or_of_texts():
    pandas = pytest.importorskip("pandas")
    model = mlp()
    table = pandas.DataFrame(X.numpy().astype(float), columns=list("abc"))
    np.testing.assert_array_equal(score_inputs(table, model), score_inputs(X, model))
    for texts in (table.assign(a="no"), np.array([["1", "2", "3"]])):
        with pytest.raises(InvalidInputError, match="features must be numbers, got an array of .*; encode texts"):
            score_inputs(texts, model)
