"""Cuts and sources are ranked from one pass of the data, by features that truncated networks would have."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from metricopt import InvalidInputError
from metricopt.backbones import CBRDesign, Normalisation, build_cbr, load_backbone, truncate
from metricopt.transfer import FEATURE_SCORES, rank_cuts, rank_sources
from metricopt.transfer.leep import leep
from metricopt.transfer.log_me import log_me
from metricopt.transfer.nce import nce
from metricopt.transfer.score import TransferWarning


def data(number=60, batch_size=17, seed=0):
    random = torch.Generator().manual_seed(seed)
    x, y = torch.randn(number, 3, 24, 24, generator=random), torch.arange(number) % 2
    x[y == 1] *= 1.5
    return x, y, DataLoader(TensorDataset(x, y), batch_size=batch_size)


def network(seed=0, widths=(4, 6)):
    return build_cbr(CBRDesign(3, widths), num_outputs=3, seed=seed)


def embedded(model, x):
    with torch.no_grad():
        return model.eval().embed(x).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0"])
def test_features_are_those_of_truncated_networks(name):
    seen = []
    model = load_backbone(name)
    x, y = torch.randn(6, 3, 32, 32), torch.tensor([0, 1] * 3)
    points = [model.points[0], model.points[3], model.points[-1]]
    rank_cuts(
        model, [(x[:4], y[:4]), (x[4:], y[4:])], points=points, scores={"keep": lambda f, _: seen.append(f) or 0.0}
    )
    for point, features in zip(points, seen, strict=True):
        np.testing.assert_allclose(features, embedded(truncate(model, point), x), atol=1e-5, rtol=1e-4)


def test_one_pass_for_all_cuts_and_nothing_left_behind():
    model = network()
    calls = []
    model.body.block1.register_forward_hook(
        lambda module, _, output: calls.append((module.training, output.device.type))
    )
    x, y, loader = data()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    ranking = rank_cuts(model, loader, scores=["h_score", "log_me"])
    assert [mode for mode, device in calls if device == "cpu"] == [False] * len(loader)
    assert model.training and all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert [each.name for each in ranking.candidates] == ["block1", "block2"]
    assert [each.parameters for each in ranking.candidates] == [4 * 28 + 8 + 5, 4 * 28 + 8 + 6 * 37 + 12 + 7]
    assert ranking.class_counts == {0: 30, 1: 30} and ranking.num_positives == 30
    for each in ranking.candidates:
        expected = log_me(embedded(truncate(model, each.name), x), y)
        assert each.scores["log_me"] == pytest.approx(expected, abs=1e-5)
        assert each.seconds["log_me"] > 0 and each.caveats == {"h_score": (), "log_me": ()}
    assert ranking.feature_seconds > 0


def test_all_scores_by_default():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TransferWarning)
        ranking = rank_cuts(network(), data()[2])
    assert ranking.score_names == list(FEATURE_SCORES)
    assert all(math.isfinite(value) for each in ranking.candidates for value in each.scores.values())


def test_the_cut_that_tells_the_classes_is_found():
    """Only the second channel tells the classes; the first block passes it on, the second does not read it."""
    model = network()
    with torch.no_grad():
        model.body.block1.conv.weight[::2, 1] = 0
        model.body.block2.conv.weight[:, 1::2] = 0
    x, y, _ = data(200)
    x[:, (0, 2)] = torch.randn(200, 2, 24, 24, generator=torch.Generator().manual_seed(1))
    ranking = rank_cuts(model, [(x, y)], scores=["log_me", "h_score_shrunk"])
    assert ranking.best().name == ranking.best("log_me").name == "block1"


def test_missing_labels_count_nowhere():
    x, y, _ = data()
    missing = y.float()
    missing[10:20] = math.nan
    whole = rank_cuts(network(), [(x, missing[:, None])], scores=["log_me"])
    kept = torch.cat([torch.arange(10), torch.arange(20, 60)])
    part = rank_cuts(network(), [(x[kept], y[kept])], scores=["log_me"])
    assert whole.class_counts == {0: 25, 1: 25}
    for one, other in zip(whole.candidates, part.candidates, strict=True):
        assert one.scores["log_me"] == pytest.approx(other.scores["log_me"], abs=1e-6)


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_classes_may_be_names(kind):
    _, _, loader = data()
    names = np.array(["sick", "well"], dtype=object)
    named = [(images, kind([names[int(each)] for each in classes])) for images, classes in loader]
    ranking, expected = (rank_cuts(network(), each, scores=["log_me"]) for each in (named, loader))
    assert [each.scores for each in ranking.candidates] == [each.scores for each in expected.candidates]
    assert ranking.class_counts == {str(names[int(key)]): value for key, value in expected.class_counts.items()}
    images, classes = named[0]
    unknown = [(images, kind([None, "", *classes[2:]])), *named[1:]]
    known = [(images[2:], classes[2:]), *named[1:]]
    with_unknown, without = (rank_cuts(network(), each, scores=["log_me"]) for each in (unknown, known))
    assert with_unknown.class_counts == without.class_counts


def test_caveats_are_told_once_a_score():
    x, y, _ = data(10)
    with pytest.warns(TransferWarning) as caught:
        ranking = rank_cuts(network(widths=(4, 12)), [(x, y)], scores=["h_score", "log_me"])
    told = [str(each.message) for each in caught]
    assert len(told) == 2
    assert told[0].startswith("h_score, for 2 of 2 candidates, such as block1: ") and "fewer than 10 samples" in told[0]
    assert "10 samples in 12 dimensions" in ranking.candidates[1].caveats["h_score"][0]
    assert "h_score: 10 samples in 12 dimensions" in ranking.to_frame()["caveats"][1]


def test_a_dead_cut_is_nan_and_said():
    model = network()
    with torch.no_grad():
        model.body.block2.norm.weight.zero_()
    with pytest.warns(TransferWarning, match="log_me, for 1 of 2 candidates, such as block2: features must be"):
        ranking = rank_cuts(model, data()[2], scores=["log_me"])
    assert math.isnan(ranking.candidates[1].scores["log_me"]) and ranking.best().name == "block1"
    with pytest.raises(InvalidInputError, match="scores must be ones that can be computed, got NaN from log_me"):
        rank_cuts(model, data()[2], scores=["log_me"], points=["block2"])


def test_sources_side_by_side():
    x, y, loader = data()
    sources = {"first": network(0), "second": network(1, (4, 8))}
    ranking = rank_sources(sources, loader, scores=["log_me", "leep", "nce"])
    for each in ranking.candidates:
        model = sources[each.name].eval()
        with torch.no_grad():
            probabilities = model(x).double().softmax(dim=1)
        assert each.scores["log_me"] == pytest.approx(log_me(embedded(model, x), y), abs=1e-5)
        assert each.scores["leep"] == pytest.approx(leep(probabilities, y), abs=1e-6)
        assert each.scores["nce"] == pytest.approx(nce(probabilities.argmax(dim=1), y), abs=1e-9)
    assert [each.width for each in ranking.candidates] == [6, 8] and ranking.what == "source"


def test_a_single_output_is_two_classes():
    x, y, loader = data()
    model = truncate(network())
    (each,) = rank_sources({"mine": model}, loader, scores=["leep"]).candidates
    with torch.no_grad():
        positive = model.eval()(x).double().sigmoid()
    assert each.scores["leep"] == pytest.approx(leep(torch.cat([1 - positive, positive], dim=1), y), abs=1e-6)


def test_each_source_gets_images_as_it_wants_them():
    x, _, loader = data()
    given, wanted = Normalisation((0.2,) * 3, (0.5,) * 3), Normalisation((0.4, 0.5, 0.6), (0.1, 0.2, 0.3))
    model = network()
    model.normalisation = wanted
    seen = {}
    for normalisation in (given, wanted, None):
        keep = {"keep": lambda features, _, key=normalisation: seen.update({key: features}) or 0.0}
        rank_sources({"mine": model}, loader, scores=keep, normalisation=normalisation)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in wanted)
    np.testing.assert_allclose(seen[given], embedded(model, (x * 0.5 + 0.2 - mean) / std), atol=1e-4)
    np.testing.assert_array_equal(seen[wanted], seen[None])
    np.testing.assert_allclose(seen[None], embedded(model, x), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"points": ["block3"]}, "points must be one of 'block1', 'block2', got 'block3'; did you mean 'block"),
        ({"points": []}, r"points must be a list of different names of layers, got \[\]"),
        ({"points": ["block1", "block1"]}, "points must be a list of different names of layers"),
        ({"scores": ["logme"]}, "scores must be one of .*, got 'logme'; did you mean 'log_me'"),
        ({"scores": ["leep"]}, "scores must be one of 'h_score', 'h_score_shrunk', 'log_me', 'n_leep', got 'leep'"),
        ({"scores": "log_me"}, "scores must be different names, or functions by name, got 'log_me'"),
        ({"scores": []}, "scores must be different names, or functions by name"),
        ({"scores": ["log_me", "log_me"]}, "scores must be different names, or functions by name"),
        ({"scores": {"mine": 3}}, "scores must be different names, or functions by name"),
    ],
)
def test_bad_arguments(arguments, fault):
    with pytest.raises(InvalidInputError, match=fault):
        rank_cuts(network(), data()[2], **arguments)
    assert rank_cuts(network(), data()[2], points=["block2"], scores=["log_me"]).best().name == "block2"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda x, y: (x, y * 0), r"labels must be of at least 2 classes, got class \[0\] alone"),
        (lambda x, y: (x, y * 0.5), "labels must be whole numbers or names, one a class"),
        (
            lambda x, y: (x, torch.stack([y, y], dim=1)),
            r"must be one class for each sample, got shape \(60, 2\)",
        ),
        (lambda x, y: (x, y * math.nan), "loader must be one with labelled samples, got none"),
        (
            lambda x, y: (x * math.inf, y),
            "model must be one whose features are finite, got NaN or infinity",
        ),
        (lambda x, y: (x, y, y), r"loader must be one that yields \(x, y\), got 3 items"),
    ],
)
def test_bad_data(change, fault):
    x, y, _ = data()
    with pytest.raises(InvalidInputError, match=fault):
        rank_cuts(network(), [change(x, y)], scores=["log_me"])
    with pytest.raises(InvalidInputError, match="loader must be one with labelled samples"):
        rank_cuts(network(), [], scores=["log_me"])
    assert rank_cuts(network(), [(x, y)], scores=["log_me"]).num_positives == 30


def test_bad_sources():
    loader = data()[2]
    for models in ({}, [network()]):
        with pytest.raises(InvalidInputError, match="models must be a dict of names to networks"):
            rank_sources(models, loader)
    with pytest.raises(InvalidInputError, match="model must be a Backbone or torchvision's"):
        rank_sources({"linear": nn.Linear(2, 2)}, loader)
    assert rank_sources({"mine": network()}, loader, scores=["log_me"]).best().name == "mine"
