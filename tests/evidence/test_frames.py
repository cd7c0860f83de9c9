"""Scores of several models on one scale, against plain loops over rows and models."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricopt.evidence.frames import Frames


def problem(seed, num_rows=60, num_models=4, num_labels=2):
    random = np.random.default_rng(seed)
    scores = random.normal(size=(num_rows, num_models, num_labels)) * random.uniform(0.1, 9, (num_models, num_labels))
    labels = (random.random((num_rows, num_labels)) < 0.3).astype(float)
    labels[random.random(labels.shape) < 0.1] = np.nan
    trains = random.integers(0, num_models, num_rows)[:, None] != np.arange(num_models)
    return scores, labels, trains


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_frames_by_hand(seed):
    scores, labels, trains = problem(seed)
    frames = Frames.of(scores, labels, trains)
    for model in range(4):
        for label in range(2):
            counted = trains[:, model] & ~np.isnan(labels[:, label])
            own, num_positives = np.sort(scores[counted, model, label]), int((labels[counted, label] == 1).sum())
            cut = len(own) - num_positives  # so many lie below the centre
            low, high = own[max(cut - 1, 0)], own[min(cut, len(own) - 1)]
            assert frames.centre[model, label] == pytest.approx((low + high) / 2)
            assert frames.spread[model, label] == pytest.approx(own.std())


def test_each_row_is_scored_by_the_models_that_did_not_train_on_it():
    scores, labels, trains = problem(0)
    trains[0] = True
    trains[1] = [False, False, True, True]
    frames = Frames.of(scores, labels, trains)
    found = frames.out_of_fold(scores, trains)
    expressed = (scores - frames.centre) / frames.spread
    assert np.isnan(found[0]).all()
    assert found[1] == pytest.approx(expressed[1, :2].mean(axis=0))
    for row in range(2, len(scores)):
        assert found[row] == pytest.approx(expressed[row, ~trains[row]].mean(axis=0))
    assert frames.average(scores) == pytest.approx(expressed.mean(axis=1))


def test_a_weight_of_two_is_a_row_twice():
    scores, labels, trains = problem(1)
    weight = np.random.default_rng(0).integers(0, 3, labels.shape).astype(float)
    weight[:, 1] = weight[:, 0]
    rows = np.repeat(np.arange(len(scores)), weight[:, 0].astype(int))
    weighted, repeated = Frames.of(scores, labels, trains, weight), Frames.of(scores[rows], labels[rows], trains[rows])
    assert weighted.centre == pytest.approx(repeated.centre)
    assert weighted.spread == pytest.approx(repeated.spread)


def test_a_model_without_finite_scores_is_left_out():
    scores, labels, trains = problem(2)
    scores[3, 1, :] = np.nan
    frames = Frames.of(scores, labels, trains)
    trained_by_one = trains[:, 1] if trains[3, 1] else None
    assert trained_by_one is None or np.isnan(frames.centre[1]).all()
    alone = Frames.of(scores[:, [0, 2, 3]], labels, trains[:, [0, 2, 3]])
    if trained_by_one is not None:
        assert frames.average(scores) == pytest.approx(alone.average(scores[:, [0, 2, 3]]))
        held_out = ~trains[:, 1]
        assert np.isnan(frames.out_of_fold(scores, trains)[held_out]).all()


def test_constant_scores_have_spread_one():
    frames = Frames.of(np.full((4, 1, 1), 3.0), np.array([[0.0], [1.0], [0.0], [1.0]]), np.ones((4, 1), bool))
    assert (frames.centre.item(), frames.spread.item()) == (3.0, 1.0)
