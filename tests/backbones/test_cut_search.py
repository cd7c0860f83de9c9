"""The search tries ends of blocks, then what lies around the best of them, and says what it found."""

import math
from collections import OrderedDict

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from metricopt import InvalidInputError
from metricopt.backbones import Backbone, count_macs, count_parameters, cut_points, load_backbone, search_cut, truncate
from tests.held_out import fit


def small_network(*sizes):
    """A stem and layers of tiny convolutions, named as a ResNet's."""
    layers = [nn.Sequential(*[nn.Conv2d(2, 2, 1) for _ in range(size)]) for size in sizes]
    names = {f"layer{number}": layer for number, layer in enumerate(layers, 1)}
    blocks = {name: [f"{name}.{unit}" for unit in range(len(layer))] for name, layer in names.items()}
    body = nn.Sequential(OrderedDict([("conv1", nn.Conv2d(3, 2, 1)), ("maxpool", nn.MaxPool2d(2)), *names.items()]))
    return Backbone(body, nn.Linear(2, 1), {"stem": ["maxpool"], **blocks})


@pytest.fixture(scope="module")
def network():
    return small_network(3, 4, 6, 3)  # as many as a ResNet-50 has


def worth(best):
    """A metric that falls with the distance to one cut."""

    def evaluate(model):
        return 0.9 - 0.01 * abs(len(model.points) - best)

    return evaluate


@pytest.mark.parametrize(
    ("best", "fine"),
    [
        (12, [*(f"layer3.{k}" for k in range(5)), "layer4.0", "layer4.1"]),
        (1, ["layer1.0", "layer1.1"]),
        (17, ["layer4.0", "layer4.1"]),
        (6, ["layer1.0", "layer1.1", "layer2.0", "layer2.1", "layer2.2"]),
    ],
)
def test_two_stages(best, fine, network):
    search = search_cut(network, worth(best), input_size=32)
    ends = ["maxpool", "layer1.2", "layer2.3", "layer3.5", "layer4.2"]
    assert [each.cut for each in search.cuts if each.stage == "coarse"] == ends
    assert [each.cut for each in search.cuts if each.stage == "fine"] == fine
    assert search.best.cut == cut_points(network)[best - 1]
    assert search.best.metric == 0.9


def test_every_cut_gets_a_network_of_its_own(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    seen = []

    def evaluate(model):
        seen.append(model)
        with torch.no_grad():
            for weight in model.parameters():
                weight.zero_()
        return -len(seen)

    search = search_cut(network, evaluate, num_outputs=3, input_size=64)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    for each, model in zip(search.cuts, seen, strict=True):
        assert model.points[-1] == each.cut and model.head.out_features == 3
        assert (each.parameters, each.macs) == (count_parameters(model), count_macs(model, 64).paper)
    assert len(set(map(id, seen))) == len(seen)


def test_of_equals_the_smallest(network):
    assert search_cut(network, lambda model: 0.5, input_size=32).best.cut == "maxpool"


def test_nan_is_never_the_best(network):
    def evaluate(model):
        return math.nan if len(model.points) > 1 else -1.0

    search = search_cut(network, evaluate, input_size=32)
    assert search.best.cut == "maxpool" and math.isnan(search.cuts[1].metric)
    with pytest.raises(InvalidInputError, match="evaluate must be one that returns a metric, got NaN for all blocks"):
        search_cut(network, lambda model: math.nan, input_size=32)


def test_many_cuts_are_tried_evenly_spread():
    model = small_network(6, 12, 24, 17)

    def evaluate(network):
        return len(network.points)

    search = search_cut(model, evaluate, max_fine=4, input_size=32)
    fine = [each.cut for each in search.cuts if each.stage == "fine"]
    assert fine == [f"layer4.{k}" for k in (0, 5, 10, 15)]
    assert not [each for each in search_cut(model, evaluate, max_fine=0, input_size=32).cuts if each.stage == "fine"]


def test_table(network):
    frame = search_cut(network, worth(12), input_size=32, metric_name="average precision").to_frame()
    assert list(frame) == ["stage", "cut", "parameters", "macs", "average precision", "seconds", "best"]
    points = cut_points(network)
    assert list(frame["cut"]) == sorted(frame["cut"], key=points.index)
    assert list(frame.loc[frame["best"], "cut"]) == ["layer3.3"]
    assert frame["parameters"].is_monotonic_increasing and len(frame) == 12


def test_picture(network, tmp_path):
    search = search_cut(network, worth(12), input_size=32, metric_name="average precision")
    ax = search.plot(title="a title")
    coarse, fine = (
        next(line for line in ax.lines if line.get_label() == f"{stage} search") for stage in ("coarse", "fine")
    )
    for stage, line in (("coarse", coarse), ("fine", fine)):
        own = [each for each in search.cuts if each.stage == stage]
        assert sorted(line.get_xdata()) == sorted(each.parameters for each in own)
        assert sorted(line.get_ydata()) == sorted(each.metric for each in own)
    assert coarse.get_marker() != fine.get_marker()
    best = search.best
    ring = next(line for line in ax.lines if line.get_label().startswith("best: layer3.3, 0.900"))
    assert (*ring.get_xdata(), *ring.get_ydata()) == (best.parameters, best.metric)
    assert {text.get_text() for text in ax.texts} == {each.cut for each in search.cuts}
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("parameters", "average precision", "a title")
    own = Figure().subplots()
    assert search.plot(ax=own) is own
    ax.figure.savefig(tmp_path / "cuts.png")
    assert (tmp_path / "cuts.png").read_bytes().startswith(b"\x89PNG")


def test_progress_is_told(network, capsys):
    search_cut(network, worth(1), input_size=32, progress=True, metric_name="recall")
    said = capsys.readouterr().err
    assert "coarse search, 2 of 5: layer1.2, 29 parameters" in " ".join(said.split())
    assert "recall 0.9000" in said and "best so far: maxpool" in said and "fine search, 1 of 2" in said
    search_cut(network, worth(1), input_size=32)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("returned", [None, "high", [1, 2]])
def test_something_that_is_no_number(returned, network):
    with pytest.raises(InvalidInputError, match="evaluate must be one that returns a number, got .* for maxpool"):
        search_cut(network, lambda model: returned, input_size=32)
    assert search_cut(network, lambda model: torch.tensor(0.5), input_size=32).best.metric == 0.5


def test_bad_max_fine(network):
    with pytest.raises(InvalidInputError, match="max_fine must be an integer >= 0, got -1"):
        search_cut(network, worth(1), max_fine=-1)


def test_with_a_training_of_fit():
    y = (torch.arange(40) % 8 < 2).float()
    torch.manual_seed(0)
    x = torch.randn(40, 3, 16, 16) + 2 * y[:, None, None, None]
    loader, val_loader = (DataLoader(TensorDataset(x[part::2], y[part::2]), batch_size=10) for part in (0, 1))

    def evaluate(model):
        result = fit(model, loader, "OAP", val_loader=val_loader, epochs=2, warmup_epochs=1, progress=False)
        return result.validation.average_precision

    search = search_cut(truncate(load_backbone("resnet18"), "layer1"), evaluate, input_size=16)
    assert [each.cut for each in search.cuts] == ["maxpool", "layer1.1", "layer1.0"]
    assert all(0 < each.metric <= 1 for each in search.cuts)
