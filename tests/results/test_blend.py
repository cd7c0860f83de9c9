"""The mean of a network and of classifiers: its scores, its evidence, and what is written of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logit
from sklearn.ensemble import HistGradientBoostingClassifier

from metricopt import FPOR, InvalidInputError, load
from metricopt.estimator.blending import blended
from metricopt.estimator.candidates import LabelledRows, Settings
from metricopt.estimator.classifiers import train_classifier
from metricopt.estimator.modules import train_module
from metricopt.estimator.training import best_of, with_blend
from metricopt.evidence.folds import make_folds
from metricopt.evidence.probabilities import Calibration
from metricopt.evidence.thresholds import choose_threshold
from metricopt.results.choice_of_models import best_on_folds
from metricopt.results.status import Status

RANDOM = np.random.default_rng(0)
Y = (RANDOM.random(400) < 0.3).astype(float)
X = RANDOM.normal(size=(400, 3)) + Y[:, np.newaxis]
FOLDS = make_folds(3, Y, seed=0)
OBJECTIVE = FPOR(0.5)


@pytest.fixture(scope="module")
def parts():
    settings = Settings(folds=FOLDS, epochs=6, batch_size=100, rest={"progress": False})
    rows = LabelledRows(X, Y)
    trees = HistGradientBoostingClassifier(max_iter=10, random_state=0)
    return {
        "mlp": train_module("mlp", rows, OBJECTIVE, settings, name="mlp"),
        "boosting": train_classifier(trees, rows, OBJECTIVE, settings, name="boosting"),
    }


@pytest.fixture(scope="module")
def mean(parts):
    return blended(*parts.values(), OBJECTIVE)


def log_odds(part, scores):
    """What Platt scaling on the out-of-fold scores makes of others."""
    own = part.selection_scores
    return logit(Calibration.of(own.scores[:, 0], own.labels[:, 0])(np.asarray(scores, np.float64).ravel()))


def test_scores_are_the_mean_of_the_log_odds(parts, mean):
    new = np.random.default_rng(1).normal(size=(50, 3))
    expected = np.mean([log_odds(part, part.scores(new)) for part in parts.values()], axis=0)
    np.testing.assert_allclose(mean.scores(new), expected, rtol=1e-6, atol=1e-9)


def test_rows_that_neither_has_seen_choose_the_threshold(parts, mean):
    expected = np.mean([log_odds(part, part.selection_scores.scores) for part in parts.values()], axis=0)
    held_out = mean.selection_scores
    np.testing.assert_allclose(held_out.scores[:, 0], expected, rtol=1e-6, atol=1e-9)
    choice = choose_threshold(held_out.scores[:, 0], Y, OBJECTIVE, confidence=0.9, folds=FOLDS)
    assert mean.threshold == choice.threshold and mean.confidence == 0.9 and mean.holdout == parts["mlp"].holdout
    assert 0 < mean.predict(X).sum() < len(X)


def test_a_row_that_one_of_them_cannot_score_says_nothing(parts):
    part = parts["mlp"].data_scores["validation"]
    labels = part.labels.copy()
    labels[FOLDS == 1] = np.nan
    data = {**parts["mlp"].data_scores, "validation": replace(part, labels=labels)}
    known = blended(replace(parts["mlp"], data_scores=data), parts["boosting"], OBJECTIVE).selection_scores
    assert np.isnan(known.labels[FOLDS == 1]).all() and np.isfinite(known.labels[FOLDS != 1]).all()
    assert np.isfinite(known.scores).all()


def test_the_mean_is_one_candidate_more(parts):
    best = best_of(with_blend(parts, OBJECTIVE), OBJECTIVE)
    assert [tried.name for tried in best.candidates] == ["mlp", "boosting", "mlp + boosting"]
    alone = {"mlp": parts["mlp"]}
    diverged = {**parts, "mlp": replace(parts["mlp"], statuses=(Status.DIVERGED,))}
    assert with_blend(alone, OBJECTIVE) == alone and list(with_blend(diverged, OBJECTIVE)) == ["mlp", "boosting"]


def test_it_comes_back_from_a_folder(mean, tmp_path):
    folder = mean.save(tmp_path / "x")
    back = load(folder)
    np.testing.assert_array_equal(back.scores(X), mean.scores(X))
    assert back.summary() == mean.summary() and str(back.model) == str(mean.model)
    assert str(mean.model) == "Ensemble and 3 x HistGradientBoostingClassifier, averaged"
    saved = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**saved, "blend": [[1.0]]}))
    with pytest.raises(InvalidInputError, match="path must be a folder with a readable result"):
        load(folder)


def test_it_says_that_it_cannot_be_exported(mean):
    with pytest.raises(InvalidInputError, match="must be one with a torch model to export, got Ensemble and 3 x Hist"):
        mean.export("x.onnx")


def test_models_of_other_scales_testify_on_that_of_the_winner(parts):
    part = parts["boosting"].data_scores["validation"]
    stretched = replace(part, scores=1000 * part.scores - 7)
    data = {**parts["boosting"].data_scores, "validation": stretched}
    other = replace(parts["boosting"], data_scores=data)
    (number, plain), (_, scaled) = (
        best_on_folds(OBJECTIVE, [parts["mlp"], trees]) for trees in (parts["boosting"], other)
    )
    slope, shift = (1000, -7) if number else (1, 0)
    expected = slope * plain.selection_scores.scores + shift
    np.testing.assert_allclose(scaled.selection_scores.scores, expected, rtol=1e-3, atol=1e-3 * slope)
