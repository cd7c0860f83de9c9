"""Models side by side give what each gives by itself, also where torch cannot call them at once."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from metricopt import InvalidInputError, fit
from metricopt.scoring.ensemble import Replicas

X = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).float()


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.out = nn.LSTM(2, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, x):
        return self.out(self.layer(x.view(len(x), 3, 2))[0][:, -1])


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.out = nn.BatchNorm1d(6), nn.Linear(6, 1)

    def forward(self, x):
        scores = self.out(self.norm(x))
        return scores if scores.sum() > 0 else 2 * scores


def plain():
    return nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1))


@pytest.mark.parametrize(("make", "at_once"), [(plain, True), (Recurrent, False), (Branching, False)])
def test_scores_weights_and_buffers_are_those_of_each_model_alone(make, at_once):
    torch.manual_seed(0)
    models = [make() for _ in range(3)]
    together = Replicas(models)
    before = torch.get_rng_state()
    scores = together(X)
    assert torch.equal(torch.get_rng_state(), before)
    assert together._goes_at_once == {True: at_once}
    alone = torch.cat([model(X) for model in models], dim=1)
    torch.testing.assert_close(scores, alone, rtol=1e-5, atol=1e-6)
    scores.square().sum().backward()
    alone.square().sum().backward()
    for stacked, *own in zip(together.weights, *(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(stacked.grad, torch.stack([each.grad for each in own]), rtol=1e-4, atol=1e-5)
    for stacked, *own in zip(together.buffers(), *(model.buffers() for model in models), strict=True):
        torch.testing.assert_close(stacked, torch.stack(own))


def test_a_recurrent_network_is_trained_on_folds():
    loader = DataLoader(TensorDataset(X, Y), batch_size=16, shuffle=True)
    result = fit(Recurrent, loader, "OAP", epochs=2, progress=False)
    assert result.holdout.startswith("5 folds") and result.scores(X).shape == (32,)


def test_lazy_layers_are_rejected():
    loader = DataLoader(TensorDataset(X, Y), batch_size=16)
    with pytest.raises(InvalidInputError, match="model must be one whose weights exist, got lazy layers; call it on"):
        fit(lambda: nn.LazyLinear(1), loader, "OAP", epochs=2)


class Front(nn.Module):
    """A fixed scaling."""

    is_fixed = True

    def __init__(self, scale=2.0):
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, x):
        return x / self.scale


def chain(front=None, bias=True):
    layers = [nn.Linear(3, 4, bias=bias), nn.ReLU(), nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 2)]
    return nn.Sequential(*([] if front is None else [front]), *layers)


@pytest.mark.parametrize("make", [chain, lambda: chain(Front()), lambda: chain(bias=False), lambda: nn.Linear(3, 2)])
def test_chains_of_linear_layers_give_what_each_model_gives(make):
    torch.manual_seed(0)
    models, x = [make().double() for _ in range(3)], torch.randn(5, 3, dtype=torch.float64)
    replicas = Replicas(models)
    assert replicas._layers is not None
    expected = torch.cat([model(x) for model in models], dim=1)
    torch.testing.assert_close(replicas(x), expected)
    replicas(x).square().sum().backward()
    expected.square().sum().backward()
    own = dict(zip(replicas._names, replicas.weights, strict=True))
    for number, model in enumerate(models):
        for name, weight in model.named_parameters():
            torch.testing.assert_close(own[name].grad[number], weight.grad)


@pytest.mark.parametrize(
    "models",
    [
        [chain(Front(2.0)), chain(Front(3.0))],  # scaled differently
        [nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)) for _ in range(2)],
        [nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False)) for _ in range(2)],
        [nn.Sequential(nn.Linear(3, 4), Front()) for _ in range(2)],  # not before the first layer
    ],
)
def test_other_architectures_are_called_whole(models):
    replicas, x = Replicas(models).eval(), torch.randn(5, 3)
    assert replicas._layers is None
    torch.testing.assert_close(replicas(x), torch.cat([model.eval()(x) for model in models], dim=1))
