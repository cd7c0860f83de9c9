"""What a training of a network costs beside its steps: copies of the weights, and passes over the data."""

import weakref

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader, Dataset

import metricopt

SHAPE = (37, 11)
"""Of a layer that is like no other tensor."""


class Rows(Dataset):
    """Rows that count how often they are read; the labels are known, unless they must be read as well."""

    def __init__(self, num_rows=200, knows_labels=True):
        draw = torch.Generator().manual_seed(0)
        self.y = (torch.arange(num_rows) % 5 == 0).float()
        self.x = torch.randn(num_rows, SHAPE[1], generator=draw) + self.y[:, None]
        self.reads = 0
        if knows_labels:
            self.labels = self.y

    def __len__(self):
        return len(self.y)

    def __getitem__(self, row):
        self.reads += 1
        return self.x[row], self.y[row]


class Copies(TorchDispatchMode):
    """Counts the copies of a tensor of :data:`SHAPE` that are alive, the most at any time."""

    def __init__(self):
        super().__init__()
        self.made, self.most = [], 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if function.name() in ("aten::_to_copy", "aten::clone"):
            self.made += [weakref.ref(each) for each in tree_leaves(made) if getattr(each, "shape", None) == SHAPE]
            self.most = max(self.most, sum(each() is not None for each in self.made))
        return made


@pytest.mark.parametrize("epochs", [3, 8])
def test_at_most_three_copies_of_the_weights_are_alive(epochs):
    network = nn.Sequential(nn.Linear(SHAPE[1], SHAPE[0]), nn.ReLU(), nn.Linear(SHAPE[0], 1))
    loader = DataLoader(Rows(), batch_size=50, shuffle=True)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)  # which keeps none of its own
    with Copies() as copies:
        metricopt.fit(network, loader, "FPOR", alpha=0.3, epochs=epochs, optimizer=optimizer, progress=False)
    the_model = 1
    assert 2 <= the_model + copies.most <= 3


@pytest.mark.parametrize(("knows_labels", "most"), [(True, 3.5), (False, 4.0)])
def test_at_most_four_passes_over_the_data_beside_training(knows_labels, most):
    rows, steps = Rows(knows_labels=knows_labels), []
    network = nn.Sequential(nn.Linear(SHAPE[1], 4), nn.ReLU(), nn.Linear(4, 1))
    network.register_forward_hook(lambda module, inputs, _: steps.append(module.training * len(inputs[0])))
    loader = DataLoader(rows, batch_size=50, shuffle=True)
    metricopt.fit(network, loader, "FPOR", alpha=0.3, epochs=3, progress=False)
    assert sum(steps) == 3 * 160
    assert 1 < (rows.reads - sum(steps)) / len(rows) <= most


def test_features_that_are_read_with_the_labels_are_checked_there():
    rows = Rows(knows_labels=False)
    rows.x[190, 3] = torch.nan
    with pytest.raises(
        metricopt.InvalidInputError, match=r"features must be finite, got NaN or infinity in x of batch 3"
    ):
        metricopt.fit(
            nn.Sequential(nn.Linear(SHAPE[1], 4), nn.ReLU(), nn.Linear(4, 1)), DataLoader(rows, batch_size=50), "OFBS"
        )
