"""Folds for any scorer, against plain loops over folds, rows and models."""

import threading

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from metricopt import InvalidInputError
from metricopt.evidence.cross_fit import cross_fit
from metricopt.evidence.folds import make_folds
from metricopt.evidence.frames import Frames


def table(num_rows=240, num_labels=1, seed=0):
    random = np.random.default_rng(seed)
    labels = (random.random((num_rows, num_labels)) < 0.25).astype(float)
    features = random.normal(size=(num_rows, 3)) + labels[:, :1]
    return features, labels[:, 0] if num_labels == 1 else labels


def logistic(features, labels):
    """What trains logistic regression on given rows, and returns its log-odds."""
    return lambda rows: LogisticRegression().fit(features[rows], labels[rows]).decision_function


def test_each_row_is_scored_by_the_model_that_has_not_seen_it():
    features, labels = table()
    folds = make_folds(4, labels, seed=1)
    fitted = cross_fit(logistic(features, labels), features, labels, folds)
    new = np.random.default_rng(5).normal(size=(7, 3))
    of_new = np.zeros(7)
    for fold in range(4):
        held_out = folds == fold
        model = LogisticRegression().fit(features[~held_out], labels[~held_out])
        own = np.sort(model.decision_function(features[~held_out]))
        num_negatives = int((labels[~held_out] == 0).sum())
        centre, spread = own[num_negatives - 1 : num_negatives + 1].mean(), own.std()
        expected = (model.decision_function(features[held_out]) - centre) / spread
        assert fitted.out_of_fold[held_out] == pytest.approx(expected)
        of_new += (model.decision_function(new) - centre) / spread / 4
    assert fitted.scores(new) == pytest.approx(of_new)
    assert fitted.out_of_fold.shape == labels.shape and len(fitted.scorers) == 4


def test_labels_in_columns_and_missing_ones():
    features, labels = table(num_labels=2)
    labels[::7, 1] = np.nan
    folds = make_folds(3, labels)

    def train(rows):
        centre = features[rows].mean()
        return lambda known: np.column_stack([known[:, 0] - centre, 5 * known[:, 1]])

    fitted = cross_fit(train, features, labels, folds)
    scores = np.stack([train(np.flatnonzero(folds != fold))(features) for fold in range(3)], axis=1)
    trains = folds[:, None] != np.arange(3)
    frames = Frames.of(scores, labels, trains)
    assert fitted.out_of_fold == pytest.approx(frames.out_of_fold(scores, trains))
    assert fitted.scores(features[:5]) == pytest.approx(frames.average(scores[:5]))
    assert fitted.out_of_fold.shape == (240, 2)
    column = cross_fit(lambda rows: lambda known: known[:, 0], features, labels[:, :1], folds)
    flat = cross_fit(lambda rows: lambda known: known[:, 0], features, labels[:, 0], folds)
    assert np.array_equal(column.out_of_fold[:, 0], flat.out_of_fold)
    assert np.array_equal(column.scores(features)[:, 0], flat.scores(features))


def test_a_weight_of_two_is_a_row_twice_in_the_frames():
    features, labels = table(60)
    folds, weight = make_folds(3, labels), np.random.default_rng(2).integers(1, 3, 60)
    again = np.repeat(np.arange(60), weight)
    first = np.unique(again, return_index=True)[1]

    def train(rows):
        return lambda known: known[:, 0]

    weighted = cross_fit(train, features, labels, folds, sample_weight=weight.astype(float))
    repeated = cross_fit(train, features[again], labels[again], folds[again])
    assert weighted.out_of_fold == pytest.approx(repeated.out_of_fold[first])


@pytest.mark.parametrize(
    ("scorer", "message"),
    [
        (
            lambda known: np.zeros((len(known), 2)),
            r"the scorer of fold 0 must be one that gives scores of shape \(m,\)",
        ),
        (lambda known: np.where(np.arange(len(known)) < 3, np.nan, 1.0), "finite scores, got 3 others"),
    ],
)
def test_scorers_that_give_something_else_are_named(scorer, message):
    features, labels = table()
    with pytest.raises(InvalidInputError, match=message):
        cross_fit(lambda rows: scorer, features, labels, make_folds(2, labels))


def test_folds_of_other_rows_are_rejected_before_anything_trains():
    features, labels = table()

    def train(rows):
        raise AssertionError("trained")

    with pytest.raises(InvalidInputError, match=r"folds must be one number a row \(240\), got 239 values"):
        cross_fit(train, features, labels, make_folds(2, labels)[1:])


def test_folds_are_trained_where_joblib_is_told_to():
    features, labels = table()
    folds = make_folds(4, labels)
    alone, threads = cross_fit(logistic(features, labels), features, labels, folds), set()

    def train(rows):
        threads.add(threading.get_ident())
        return logistic(features, labels)(rows)

    with joblib.parallel_config("threading", n_jobs=2):
        together = cross_fit(train, features, labels, folds)
    np.testing.assert_array_equal(together.out_of_fold, alone.out_of_fold)
    assert threading.get_ident() not in threads and len(threads) >= 1
