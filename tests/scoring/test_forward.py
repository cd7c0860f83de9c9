import pytest
import torch
from torch import nn

from metricopt._validation import InvalidInputError
from metricopt.scoring.forward import check_scores, forward, score_loader, to_device

CPU = torch.device("cpu")
X = torch.arange(8.0).reshape(4, 2)


class Returns(nn.Module):
    """Returns what a function makes of the inputs."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args, **kwargs):
        return self.function(*args, **kwargs)


@pytest.mark.parametrize(
    ("x", "function"),
    [
        (X, lambda x: x[:, 0]),
        (X, lambda x: x[:, :1]),
        ((X, X + 1), lambda a, b: (b - a)[:, 0] * a[:, 0]),
        ([X, X + 1], lambda a, b: (b - a)[:, 0] * a[:, 0]),
        ({"left": X, "right": X + 1}, lambda left, right: (right - left)[:, 0] * left[:, 0]),
    ],
)
def test_inputs_of_each_form(x, function):
    assert forward(Returns(function), x).tolist() == [[0.0], [2.0], [4.0], [6.0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_scores_have_float32_at_least(dtype):
    scores = forward(Returns(lambda x: x.to(dtype)), X)
    assert scores.dtype == (torch.float64 if dtype == torch.float64 else torch.float32) and scores.shape == (4, 2)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda x: x[:3],
            r"model must be one that returns logits of shape \(4,\), \(4, 1\) or \(4, labels\), got shape",
        ),
        (lambda x: x.sum(), r"model must be one that returns logits of shape .*, got shape \(\)"),
        (lambda x: x[:, :, None], r"got shape \(4, 2, 1\); return one logit a sample and label"),
        (lambda x: (x, x), "model must be one that returns a tensor of logits, got tuple; wrap it"),
    ],
)
def test_outputs_that_are_no_logits(function, message):
    with pytest.raises(InvalidInputError, match=message):
        forward(Returns(function), X)


def test_to_device_keeps_the_structure():
    moved = to_device({"a": X, "b": [X, "text"]}, torch.device("meta"))
    assert moved["a"].is_meta and moved["b"][0].is_meta and moved["b"][1] == "text"


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.tensor([[1.0], [torch.nan]]), "features must be finite, got NaN or infinity in x of batch 7; impute"),
        ((X, -torch.inf * torch.ones(4)), r"features must be finite, got NaN or infinity in x\[1\] of batch 7"),
        ({"age": torch.tensor([torch.inf])}, r"features must be finite, got NaN or infinity in x\['age'\] of batch 7"),
        (torch.tensor([1, 2]), "logits must be finite, got NaN or infinity in batch 7; check the model"),
    ],
)
def test_scores_that_are_not_finite_blame_the_features_or_the_model(x, message):
    with pytest.raises(InvalidInputError, match=message):
        check_scores(torch.tensor([[torch.nan]]), x, 7)
    check_scores(torch.tensor([[1.0]]), x, 7)


def test_score_loader_scores_in_evaluation_mode_and_leaves_every_mode():
    model = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 1)))
    model.train()
    model[2].eval()
    modes = [module.training for module in model.modules()]
    batches = [(X[:3], torch.tensor([1, 0, 1])), (X[3:], torch.tensor([0]))]
    scores, labels = score_loader(model, batches, CPU)
    assert [module.training for module in model.modules()] == modes
    assert labels.tolist() == [[1], [0], [1], [0]]
    expected = model.eval()(X).detach().numpy()
    assert scores == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_score_loader_leaves_every_mode_after_an_error():
    model = Returns(lambda x: x[:1])
    with pytest.raises(InvalidInputError):
        score_loader(model, [(X, X[:, 0])], CPU)
    assert model.training


def test_score_loader_wants_a_logit_for_each_label():
    model, batch = Returns(lambda x: x), (X, torch.zeros(4, 2))
    assert score_loader(model, [batch], CPU)[0].shape == (4, 2)
    with pytest.raises(InvalidInputError, match=r"with 2 label\(s\), got logits \(4, 1\) for labels \(4, 2\); return"):
        score_loader(Returns(lambda x: x[:, 0]), [batch], CPU)
    with pytest.raises(InvalidInputError, match=r"with 1 label\(s\), got logits \(4, 1\) for labels \(4, 2\)"):
        score_loader(model, [batch], CPU, num_labels=1)


def test_score_loader_wants_a_batch():
    with pytest.raises(InvalidInputError, match="loader must be non-empty, got no batch; check its data set"):
        score_loader(Returns(lambda x: x), [], CPU)


def test_score_loader_may_pass_what_is_not_finite():
    model, batches = Returns(lambda x: x / 0), [(X[:, 0] + 1, torch.zeros(4))]
    assert score_loader(model, batches, CPU, must_be_finite=False)[0].tolist() == [[torch.inf]] * 4
    with pytest.raises(InvalidInputError, match="logits must be finite, got NaN or infinity in batch 0"):
        score_loader(model, batches, CPU)
