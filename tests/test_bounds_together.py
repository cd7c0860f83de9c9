"""Several bounds as outputs of one training: each as it is alone, and when that is not done."""

import functools
import sys

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from metricopt import FPOR, FROP, InvalidInputError, tradeoff
from metricopt.tradeoff.together import bounds_together
from metricopt.tradeoff.training import _request
from metricopt.training.fit import fit

RANDOM = np.random.default_rng(0)
LABELS = torch.from_numpy((RANDOM.random((300, 2)) < 0.3).astype(np.float32))
FEATURES = torch.from_numpy(RANDOM.normal(size=(300, 3)).astype(np.float32))
FEATURES[:, :2] += 1.5 * LABELS
WEIGHTS = RANDOM.random((300, 2)) + 0.5
NAMES = ["edema", "effusion"]


def make_linear():
    return torch.nn.Linear(3, 2)


def loader(labels=LABELS, **options):
    return DataLoader(TensorDataset(FEATURES, labels), **{"batch_size": 100, "shuffle": True, **options})


def together(objectives, make_model=make_linear, given=None, **options):
    request = _request(make_model, given or loader(), objectives[0], options)
    return bounds_together(make_model, request, objectives, options)


@pytest.fixture(scope="module")
def options():
    return {"epochs": 8, "label_names": NAMES, "sample_weight": WEIGHTS, "prevalence": (0.2, 0.4), "progress": False}


def test_each_bound_is_trained_as_it_is_alone(options):
    objectives = [FPOR(0.6), FPOR(0.4)]
    rest = {name: value for name, value in options.items() if name != "progress"}
    parts = together(objectives, **rest).train(make_linear, progress=False)
    for objective, part in zip(objectives, parts, strict=True):
        alone = fit(make_linear, loader(), objective, **options)
        assert part.objective == objective and part.label_names == ("edema", "effusion")
        assert part.prevalence == alone.prevalence and part.holdout == alone.holdout
        torch.testing.assert_close(part.model.weight, alone.model.weight, rtol=1e-3, atol=1e-4)
        for data in ("train", "validation"):
            own, other = part.data_scores[data], alone.data_scores[data]
            if data == "train":  # out-of-fold scores may come from the warm-up, which is chosen for all bounds together
                np.testing.assert_allclose(own.scores, other.scores, rtol=1e-3, atol=1e-3)
            np.testing.assert_array_equal(own.labels, other.labels)
            np.testing.assert_array_equal(own.sample_weight, other.sample_weight)
        assert [record["label"] for record in part.history] == [record["label"] for record in alone.history]
        assert {record["bound"] for record in part.history} == {objective.bound}


def test_the_model_gives_the_scores_that_the_result_keeps(options):
    part = together([FROP(0.8), FROP(0.6)], epochs=4).train(make_linear, progress=False)[1]
    with torch.no_grad():
        scores = part.model(FEATURES)
    np.testing.assert_allclose(part.data_scores["train"].scores, scores, rtol=1e-4, atol=1e-5)
    report = part.evaluate((FEATURES, LABELS))
    assert [each.precision for each in report] == pytest.approx([each.precision for each in part.train], abs=0.02)


def test_tradeoff_trains_once_for_all_bounds_and_cross_entropy_once(monkeypatch):
    asked = []

    @functools.wraps(fit)  # options are checked against its signature
    def spied(model, given, objective, **options):
        asked.append((objective, options.get("solver", "profiled")))
        return fit(model, given, objective, **options)

    for module in ("together", "training"):  # the function hides the package
        monkeypatch.setattr(sys.modules[f"metricopt.tradeoff.{module}"], "fit", spied)
    found = tradeoff(make_linear, loader(), "FPOR", alphas=[0.4, 0.6], epochs=4)
    both = (0.6, 0.6, 0.4, 0.4)
    assert asked == [(FPOR(0.6), "cross_entropy"), (FPOR(both), "profiled")]
    assert [result.objective for result in found.results] == [FPOR(0.4), FPOR(0.6)]
    assert [result.objective for result in found.cross_entropy] == [FPOR(0.4), FPOR(0.6)]
    first, second = found.cross_entropy
    assert torch.equal(first.model.weight, second.model.weight)


@pytest.mark.parametrize(
    "options",
    [
        {"folds": None},
        {"solver": "cross_entropy"},
        {"gradient_clip": 1.0},
        {"optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.1)},
        {"make_model": lambda: torch.nn.Sequential(torch.nn.Linear(3, 2))},
        {"given": loader(shuffle=False, sampler=torch.utils.data.SubsetRandomSampler(range(200)))},
        {"given": loader(torch.eye(300)[:, :2])},  # one positive a label: no folds
    ],
)
def test_what_would_train_otherwise_alone_trains_alone(options):
    assert together([FPOR(0.6), FPOR(0.4)], **options) is None


def test_what_does_not_fit_the_labels_is_told_as_for_one_training():
    with pytest.raises(InvalidInputError, match=r"prevalence must be one number or one per label \(2\), got 3 numbers"):
        together([FPOR(0.6), FPOR(0.4)], prevalence=(0.1, 0.2, 0.3))
    with pytest.raises(InvalidInputError, match=r"label_names must be one name a label \(2\)"):
        together([FPOR(0.6), FPOR(0.4)], label_names=["edema"])
    assert together([FPOR(0.6), FPOR(0.4)], sample_weight=WEIGHTS[:, :1]) is None
