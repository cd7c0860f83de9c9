"""NCE against independent values and the entropy of scikit-learn's measures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from metricopt.transfer import TransferWarning, nce
from tests.transfer.vectors import CASES

pytestmark = pytest.mark.filterwarnings("ignore::metricopt.transfer.TransferWarning")

pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=2, max_size=60).filter(
    lambda rows: len({label for _, label in rows}) > 1
)


def entropy(labels):
    share = np.bincount(labels) / len(labels)
    return -sum(p * np.log(p) for p in share if p > 0)


def test_independent_values():
    case = CASES["leep_nce"]
    score = nce(np.argmax(case["P"], axis=1), case["y"])
    assert score == pytest.approx(case["nce_argmax_tllib"], rel=1e-9)
    assert score == pytest.approx(case["nce_argmax_logme"], rel=1e-9)


@pytest.mark.slow
@given(pairs)
@settings(max_examples=100, deadline=None)
def test_it_is_mutual_information_less_entropy(rows):
    source, labels = np.array(rows).T
    score = nce(source, labels)
    assert score == pytest.approx(mutual_info_score(source, labels) - entropy(labels), abs=1e-12)
    assert -entropy(labels) - 1e-12 <= score <= 0


@given(pairs, st.permutations(range(5)), st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=60, deadline=None)
def test_names_order_and_duplicates_do_not_matter(rows, names, random, balanced):
    source, labels = np.array(rows).T
    score = pytest.approx(nce(source, labels, balanced=balanced), abs=1e-12)
    assert nce(np.array(names)[source], labels, balanced=balanced) == score
    order = random.sample(range(len(rows)), len(rows))
    assert nce(source[order], labels[order], balanced=balanced) == score
    assert nce(np.tile(source, 3), np.tile(labels, 3), balanced=balanced) == score


def test_a_source_that_tells_the_label_scores_0():
    labels = np.arange(60) % 3
    assert nce(labels * 10, labels) == 0
    assert nce(np.zeros(60), labels) == pytest.approx(-np.log(3))


def test_balanced_is_plain_on_repeated_rare_samples():
    source, labels = np.arange(110) % 3, np.arange(110) < 10
    repeats = np.where(labels, 10, 1)
    assert nce(source, labels, balanced=True) == pytest.approx(nce(source.repeat(repeats), labels.repeat(repeats)))


def test_as_many_source_classes_as_positives_are_doubted():
    labels = np.arange(200) < 12
    with pytest.warns(TransferWarning, match="12 source classes for 12 samples of the rarest class"):
        nce(np.arange(200) % 12, labels)
    assert nce(np.arange(200) % 11, labels).caveats == ()
