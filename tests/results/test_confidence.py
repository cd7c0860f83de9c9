"""Results whose threshold is chosen with a confidence: statuses, words, and thresholds that break no bound."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from metricopt import InvalidInputError, Status
from tests.held_out import fit


def table(num_rows, seed=0, prevalence=0.08):
    random = np.random.default_rng(seed)
    y = (random.random(num_rows) < prevalence).astype(np.float32)
    x = random.normal(size=(num_rows, 3)).astype(np.float32)
    x[:, 0] += 2.5 * y
    return torch.from_numpy(x), torch.from_numpy(y)


def fitted(num_rows=1500, objective="FPOR", alpha=0.6, confidence=0.9, model=None, **given):
    x, y = table(num_rows)
    loader = DataLoader(TensorDataset(x, y), batch_size=256, shuffle=True)
    given = {"folds": 5, "epochs": 20, "progress": False, "confidence": confidence} | given
    return fit(nn.Linear(3, 1) if model is None else model, loader, objective, alpha=alpha, **given)


@pytest.fixture(scope="module")
def supported():
    return fitted()


@pytest.fixture(scope="module")
def unsupported():
    return fitted(alpha=0.97)


def test_feasible_is_said_of_new_data(supported):
    assert supported.status is Status.FEASIBLE and supported.confidence == 0.9
    limit = float(supported.choice.limit[0])
    assert limit >= 0.6
    assert f"On new data like these, precision is at least {limit:.3f} with confidence 0.9." in supported.summary()
    assert "Judged by 5 folds: every row trains" in supported.summary()
    assert supported.empirical_threshold <= supported.threshold


def test_unsupported_raises_no_alarm_and_says_what_is_missing(unsupported):
    assert unsupported.status is Status.UNSUPPORTED
    assert unsupported.threshold == np.inf
    x, _ = table(5000, seed=1)
    assert unsupported.predict(x).sum() == 0
    text = unsupported.advice()
    assert "alarms stand behind the best cut; about" in text and "So the threshold raises no alarm." in text
    assert f"result.empirical_threshold, {unsupported.empirical_threshold:.6g}" in text
    assert np.isfinite(unsupported.empirical_threshold)
    assert "The best bound that these data support with confidence 0.9 is" in text


def test_a_bound_on_recall_that_is_not_supported_flags_every_row():
    result = fitted(150, "FROP", 0.95)
    assert result.status is Status.UNSUPPORTED and result.threshold == -np.inf
    assert result.predict(table(50, seed=1)[0]).all()
    assert "So the threshold flags every row." in result.advice()


def test_the_bound_that_can_be_had_is_supported_as_it_is_printed(unsupported):
    words = "these data support with confidence 0.9 is "
    printed = float(unsupported.advice().split(words)[1].split(". ")[0])
    assert unsupported.with_bound(printed).status is Status.FEASIBLE
    assert unsupported.with_bound(printed + 0.001).status is Status.UNSUPPORTED


def test_infeasible_names_the_bound_that_can_be_had():
    result = fitted(alpha=0.999, prevalence=0.001)
    assert result.status is Status.INFEASIBLE and result.threshold == np.inf
    assert "not even on the data that chose it" in result.advice() and "Best achievable precision" in result.advice()


@pytest.mark.slow
def test_it_is_saved_and_loaded_as_it_was(supported, unsupported, tmp_path, undrawn):
    for name, result in (("supported", supported), ("unsupported", unsupported)):
        folder = result.save(tmp_path / name)
        json.loads((folder / "result.json").read_text(), parse_constant=pytest.fail)  # no NaN, no Infinity
        again = metricopt.load(folder, nn.Linear(3, 1))
        assert again.threshold == result.threshold and again.status is result.status
        assert again.summary() == result.summary() and again.holdout == result.holdout
        assert again.empirical_threshold == result.empirical_threshold
        result.report(tmp_path / f"{name}.html")


@pytest.mark.slow
def test_an_ensemble_is_saved_as_one_model(tmp_path):
    def make():
        return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))

    result, x = fitted(model=make), table(40, seed=2)[0]
    again = metricopt.load(result.save(tmp_path / "ensemble"), make())
    assert np.array_equal(again.scores(x), result.scores(x))
    with pytest.raises(InvalidInputError, match="model must be of the architecture that was saved, got Linear"):
        metricopt.load(tmp_path / "ensemble", nn.Linear(3, 1))
    assert len(again.data_scores["validation"].folds) == 1500 and again.validation.data == "out-of-fold"


def test_another_bound_keeps_the_confidence(supported):
    stricter = supported.with_bound(0.97)
    assert stricter.status is Status.UNSUPPORTED and stricter.confidence == 0.9
    assert stricter.holdout == supported.holdout
    rarer = supported.at_prevalence(0.01)
    assert rarer.confidence == 0.9 and rarer.threshold > supported.threshold


def test_groups_testify_as_one():
    rows = np.repeat(np.arange(500), 4)
    x, y = table(500)
    loader = DataLoader(TensorDataset(x[rows], y[rows]), batch_size=256, shuffle=True)
    given = {"alpha": 0.6, "folds": 5, "epochs": 10, "confidence": 0.9, "progress": False}
    with pytest.warns(UserWarning, match="In loader each positive row is there 4 times or more and each negative row"):
        alone = fit(nn.Linear(3, 1), loader, "FPOR", **given)
    grouped = fit(nn.Linear(3, 1), loader, "FPOR", **given, groups=rows)
    cut = alone.threshold
    assert grouped.threshold > cut or grouped.status is Status.UNSUPPORTED


def test_the_training_rows_support_no_bound():
    with pytest.raises(InvalidInputError, match="confidence must be left out where the training rows choose"):
        fitted(folds=None, val_fraction=0)
    assert fitted(folds=None, val_fraction=0, confidence="auto").confidence is None
    assert fitted(folds=None, val_fraction=0.3, confidence="auto").confidence == 0.9


@pytest.mark.parametrize("confidence", [0, 1, 1.5, "high", True])
def test_bad_confidence(confidence):
    with pytest.raises(InvalidInputError, match=r'confidence must be "auto", None or a number in \(0, 1\)'):
        fitted(confidence=confidence)


def test_history_marks_the_epochs_whose_weights_are_returned(supported):
    ends = list({record["stage"]: record["epoch"] for record in supported.history}.values())
    chosen = [record["epoch"] for record in supported.history if record["chosen"]]
    assert supported.selected_stage == f"average of {len(ends) - 1} paths" and chosen == ends[1:]
    alone = fitted(folds=None, val_fraction=0, confidence=None, epochs=8)
    (chosen,) = [record for record in alone.history if record["chosen"]]
    assert chosen["stage"] == alone.selected_stage and chosen["threshold"] == alone.threshold
