"""A small federation, quick to train, for the tests of this folder."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from metricopt.federated import Server, Site

NAMES = ("north", "south", "west")


def rows_of(seed, num_rows=160, shift=0.0, num_labels=1):
    """Inputs of two features, and labels of which a fifth is positive."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num_rows, 2, generator=generator)
    noise = torch.randn(num_rows, num_labels, generator=generator)
    y = (x[:, :1] + 0.3 * noise > 0.85 + shift).float()
    y[:4], y[4:8] = 1.0, 0.0
    return x, (y[:, 0] if num_labels == 1 else y)


def loader_of(x, y, batch_size=32):
    return DataLoader(TensorDataset(x, y), batch_size=batch_size, shuffle=True)


def new_network():
    """An MLP with a batch norm, the same whenever it is made."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))


def new_linear():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return nn.Linear(2, 1)


def sites_of(model=new_network, names=NAMES, **options):
    return [Site(name, model, loader_of(*rows_of(seed)), **options) for seed, name in enumerate(names)]


def server_of(model=new_network, objective="FPOR", **options):
    given = {"rounds": 4, "local_epochs": 1, "warmup_rounds": 2, **options}
    if objective in ("FPOR", "FROP"):
        given.setdefault("alpha", 0.7)
    return Server(model(), objective, **given)
