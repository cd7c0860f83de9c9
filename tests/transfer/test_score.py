"""A score is a float, and remembers and tells what it stood on."""

import copy
import json
import pickle

import numpy as np
import pytest

from metricopt.transfer import Score, TransferWarning, h_score, leep, log_me, n_leep, nce, otce
from tests.transfer.vectors import blobs

ON_FEATURES = [h_score, log_me, n_leep]


def same(one, other):
    return float(one) == float(other) and vars(one) == vars(other)


def test_it_is_a_float():
    score = Score(0.5, {0: 3, 1: 1})
    assert isinstance(score, float)
    assert score + 1 == 1.5
    assert max([Score(0.1), score, Score(-1)]) is score
    assert np.array([score, Score(2)]).tolist() == [0.5, 2.0]
    assert json.dumps([score]) == "[0.5]"
    assert str(score) == "0.5"


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda score: pickle.loads(pickle.dumps(score))])
def test_copies_keep_what_it_knows(again):
    score = Score(0.5, {0: 30, 1: 12}, ["a reason"], {"shrinkage": 1.0})
    assert same(again(score), score)
    assert score.num_samples == 42
    assert score.num_positives == 12
    assert repr(score) == "Score(0.5, 42 samples, 12 of the rarest class, 1 caveats)"


def test_without_classes_there_is_nothing_to_count():
    assert (Score(0.5).num_samples, Score(0.5).num_positives, repr(Score(0.5))) == (0, 0, "Score(0.5)")


@pytest.mark.parametrize("score", ON_FEATURES)
@pytest.mark.parametrize("balanced", [False, True])
def test_scores_count_positives_and_doubt_few(score, balanced):
    features, _ = blobs(0, 100)
    enough = score(features, np.arange(100) < 10, balanced=balanced)  # warnings are errors
    assert enough.class_counts == {0: 90, 1: 10}
    assert enough.caveats == ()
    with pytest.warns(TransferWarning, match=r"class 1 has fewer than 10 samples \(at least 9\)") as caught:
        few = score(features, np.arange(100) < 9, balanced=balanced)
    assert few.num_positives == 9
    assert few.caveats == tuple(str(warning.message) for warning in caught)
    assert {warning.filename for warning in caught} == {__file__}


def test_scores_on_the_source_count_positives():
    labels = np.arange(100) < 9
    with pytest.warns(TransferWarning, match="class 1 has fewer than 10"):
        assert nce(np.arange(100) % 2, labels).num_positives == 9
    with pytest.warns(TransferWarning, match="class 1 has fewer than 10"):
        assert leep(np.full((100, 2), 0.5), labels).num_positives == 9
    features, classes = blobs(0, 100, num_classes=2)
    with pytest.warns(TransferWarning, match="class 1 has fewer than 10"):
        assert otce(features, classes, features, labels).num_positives == 9
