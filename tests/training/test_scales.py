"""A warning where features are far from order 1, and none elsewhere."""

import warnings

import pytest
import torch
from torch import nn

from metricopt.scoring.ensemble import Replicas
from metricopt.training.scales import FeatureScales

TABLE = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
RARE = (torch.arange(200) < 1).float()[:, None]


def linear():
    return nn.Linear(3, 1)


def said(model, *batches):
    """The warnings about features."""
    scales = FeatureScales(model)
    for x in batches:
        scales.see(x)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scales.warn()
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("make", [linear, lambda: nn.Sequential(linear(), nn.ReLU()), lambda: Replicas([linear()] * 2)])
@pytest.mark.parametrize(
    ("table", "what"),
    [
        (TABLE * torch.tensor([1.0, 5e3, 1.0]), "column 1 is of size 2.5e+03"),
        (TABLE + torch.tensor([0.0, 0.0, 1e4]), "column 2 is of size 1e+04"),
        (TABLE * 1e-4, "is of size"),
        ((TABLE * 1e3).long(), "is of size"),
    ],
)
def test_features_that_are_not_of_order_1(make, table, what):
    for batches in ([table], table.split(30)):
        (text,) = said(make(), *batches)
        assert text.startswith("The features are not of order 1: column ") and "StandardScaler" in text
        assert what in text


@pytest.mark.parametrize(
    ("make", "x"),
    [
        (linear, TABLE),
        (linear, TABLE * torch.tensor([80.0, 1.0, 0.2])),
        (linear, torch.cat([TABLE[:, :2], RARE], dim=1)),  # an indicator of few rows
        (linear, torch.cat([TABLE, torch.full((1, 3), 1e30), torch.full((1, 3), torch.nan)])),  # an outlier
        (linear, TABLE * torch.tensor([1.0, 1e-5, 1.0])),
        (linear, torch.zeros(4, 3)),
        (linear, (1e5 * TABLE, TABLE)),
        (lambda: nn.Sequential(nn.BatchNorm1d(3), linear()), 1e5 * TABLE),
        (lambda: nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(2, 1)), 1e5 * TABLE[:, None]),
        (lambda: nn.Sequential(nn.Embedding(999, 3), nn.Flatten(), nn.Linear(9, 1)), torch.full((4, 3), 998)),
    ],
)
def test_features_of_which_nothing_is_said(make, x):
    assert said(make(), x) == []
