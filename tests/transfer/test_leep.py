"""LEEP against independent values, and NCE where probabilities are certain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricopt.transfer import TransferWarning, leep, nce
from tests.transfer.vectors import CASES

pytestmark = pytest.mark.filterwarnings("ignore::metricopt.transfer.TransferWarning")


@st.composite
def sources(draw):
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    n, num_source, num_classes = draw(st.integers(4, 50)), draw(st.integers(1, 6)), draw(st.integers(2, 3))
    concentration = draw(st.sampled_from([0.05, 1.0, 10.0]))
    return random.dirichlet(np.full(num_source, concentration), n), random.permutation(np.arange(n) % num_classes)


def by_the_book(probabilities, labels):
    joint = np.array([probabilities[labels == name].sum(axis=0) for name in np.unique(labels)]) / len(labels)
    given_source = joint / joint.sum(axis=0)
    return np.mean([np.log(given_source[y] @ theta) for y, theta in zip(labels, probabilities, strict=True)])


def test_independent_values():
    case = CASES["leep_nce"]
    assert leep(case["P"], case["y"]) == pytest.approx(case["leep_tllib"], rel=1e-9)
    assert leep(case["P"], case["y"]) == pytest.approx(case["leep_logme"], rel=1e-9)


def test_source_classes_without_mass_are_left_out_and_said():
    case = CASES["leep_nce"]
    certain = np.eye(8)[np.argmax(case["P"], axis=1)]
    with pytest.warns(TransferWarning, match="2 of 8 source classes have no probability anywhere"):
        score = leep(certain, case["y"])
    assert score == pytest.approx(CASES["leep_onehot_empty_source_class"]["dropped"], rel=1e-9)


@given(sources())
@settings(max_examples=60, deadline=None)
def test_it_is_the_formula(drawn):
    probabilities, labels = drawn
    assert leep(probabilities, labels) == pytest.approx(by_the_book(probabilities, labels), rel=1e-9, abs=1e-12)


@given(sources(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_certain_probabilities_give_nce(drawn, balanced):
    probabilities, labels = drawn
    source = probabilities.argmax(axis=1)
    score = leep(np.eye(probabilities.shape[1])[source], labels, balanced=balanced)
    assert score == pytest.approx(nce(source, labels, balanced=balanced), abs=1e-12)


@given(sources(), st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_bound_order_duplicates_and_names(drawn, balanced, random):
    probabilities, labels = drawn
    score = leep(probabilities, labels, balanced=balanced)
    assert score <= 0
    order = random.sample(range(len(labels)), len(labels))
    same = pytest.approx(score, rel=1e-9, abs=1e-12)
    assert leep(probabilities[order], labels[order], balanced=balanced) == same
    assert leep(probabilities[:, ::-1], 5 - labels, balanced=balanced) == same
    assert leep(np.r_[probabilities, probabilities], np.r_[labels, labels], balanced=balanced) == same
    split = np.c_[probabilities[:, :1] / 2, probabilities[:, :1] / 2, probabilities[:, 1:]]
    assert leep(split, labels, balanced=balanced) == same


def test_one_source_class_leaves_the_entropy_of_the_labels():
    labels = np.arange(100) < 10
    entropy = -0.1 * np.log(0.1) - 0.9 * np.log(0.9)
    assert leep(np.ones((100, 1)), labels) == pytest.approx(-entropy)
    assert leep(np.ones((100, 1)), labels, balanced=True) == pytest.approx(-np.log(2))


def test_tiny_probabilities_do_not_overflow():
    theta = np.array([[1.0, 1e-310], [1.0, 1e-320], [0.0, 1.0], [1.0, 0.0]] * 10)
    assert -np.log(2) < leep(theta, [0, 1, 1, 0] * 10) < 0
