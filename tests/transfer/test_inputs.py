"""What no score accepts, and its nearest neighbour that all accept."""

from functools import partial

import numpy as np
import pytest
import torch

from metricopt import InvalidInputError
from metricopt.transfer import h_score, leep, log_me, n_leep, nce, otce
from metricopt.transfer.inputs import Classes, narrowed
from tests.transfer.vectors import blobs

FEATURES, LABELS = blobs(1, 120)


def otce_of_target(features, labels, **options):
    source, classes = blobs(2, 50, width=np.shape(features)[1] if np.ndim(features) == 2 else 4)
    return otce(source, classes, features, labels, **options)


ON_FEATURES = [h_score, partial(h_score, shrinkage=True), log_me, n_leep, otce_of_target]


@pytest.mark.parametrize("score", ON_FEATURES)
@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (FEATURES, LABELS[1:], r"labels must be one a sample of \w+, shape \(120,\), got shape \(119,\)"),
        (FEATURES[1:], LABELS, r"labels must be one a sample of \w+, shape \(119,\), got shape \(120,\)"),
        (np.where(np.arange(480).reshape(120, 4) == 7, np.nan, FEATURES), LABELS, "features must be finite"),
        (np.where(np.arange(480).reshape(120, 4) == 7, np.inf, FEATURES), LABELS, "features must be finite"),
        (FEATURES, np.where(LABELS == 0, np.nan, LABELS), "labels must be finite"),
        (FEATURES, LABELS + 0.5, "labels must be whole numbers or names, one a class, got"),
        (FEATURES, np.zeros(120), r"labels must be of at least 2 classes, got class \[0\] alone"),
        (np.ones((120, 4)), LABELS, "features must be different for some samples"),
        (FEATURES[:1], LABELS[:1], "features must be different for some samples"),
        (FEATURES[:, :0], LABELS, "features must be different for some samples"),
        (FEATURES[:, 0], LABELS, "features must be an array of 2 axes, samples first"),
        ("features", LABELS, "features must be an array of real numbers"),
    ],
)
def test_what_is_rejected(score, features, labels, message):
    if score is otce_of_target and features is FEATURES[:, :0]:
        pytest.skip("no source as wide")
    with pytest.raises(InvalidInputError, match=message):
        score(features, labels)


@pytest.mark.parametrize("score", ON_FEATURES)
@pytest.mark.parametrize(
    "given",
    [
        lambda: (FEATURES, LABELS),
        lambda: (FEATURES.tolist(), LABELS.tolist()),
        lambda: (torch.tensor(FEATURES, requires_grad=True), torch.tensor(LABELS)),
        lambda: (np.asfortranarray(FEATURES), LABELS.astype(np.float32)),
    ],
)
def test_what_is_accepted(score, given):
    assert score(*given()) == pytest.approx(score(FEATURES, LABELS), rel=1e-12)


@pytest.mark.parametrize("score", ON_FEATURES)
def test_half_precision_is_computed_in_float64(score):
    half = FEATURES.astype(np.float16)
    assert float(score(half, LABELS)) == float(score(half.astype(np.float64), LABELS))
    in_bfloat = torch.tensor(FEATURES).bfloat16()
    assert float(score(in_bfloat, LABELS)) == float(score(in_bfloat.double(), LABELS))


@pytest.mark.parametrize("score", ON_FEATURES)
def test_inputs_are_left_alone(score):
    features, labels = FEATURES.copy(), LABELS.copy()
    score(features, labels, balanced=True)
    np.testing.assert_array_equal(features, FEATURES)
    np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize("score", ON_FEATURES)
def test_classes_may_be_any_whole_numbers(score):
    named = np.array([7, -3, 100])[LABELS]
    assert score(FEATURES, named) == pytest.approx(score(FEATURES, LABELS), rel=1e-9)
    assert set(score(FEATURES, named).class_counts) == {7, -3, 100}


NAMES = np.array(["oedema", "effusion", "none"])[LABELS]


@pytest.mark.parametrize("score", ON_FEATURES)
@pytest.mark.parametrize(
    "named",
    [NAMES, NAMES.tolist(), NAMES.astype(object), NAMES[:, np.newaxis], LABELS[:, np.newaxis], LABELS.astype(str)],
    ids=["names", "list", "objects", "column of names", "column of numbers", "digits"],
)
def test_classes_may_have_names_or_stand_in_a_column(score, named):
    assert score(FEATURES, named) == pytest.approx(score(FEATURES, LABELS), rel=1e-9)
    counts = score(FEATURES, named).class_counts
    assert sorted(counts.values()) == sorted(np.bincount(LABELS))
    assert set(counts) in ({0, 1, 2}, set("012"), {"oedema", "effusion", "none"})


@pytest.mark.parametrize("score", ON_FEATURES)
@pytest.mark.parametrize("missing", [None, np.nan, ""])
def test_a_name_that_is_missing(score, missing):
    names = NAMES.astype(object)
    names[[3, 7]] = missing
    with pytest.raises(InvalidInputError, match="labels must be a class for every sample, got .* at row 3; leave such"):
        score(FEATURES, names)


def test_one_column_of_labels_is_no_real_valued_target():
    """A target of real values, or of numbers that hardly repeat, is one."""
    target = FEATURES[:, :1] + 0.1 * LABELS[:, np.newaxis]
    for classes in (LABELS, LABELS > 0):
        assert log_me(FEATURES, classes[:, np.newaxis].astype(np.float32)) == log_me(FEATURES, classes)
    for values in (target, np.round(1e4 * target)):
        assert list(log_me(FEATURES, values).details) == ["target 0"]


def test_source_labels_may_have_names():
    assert nce(NAMES, LABELS % 2) == nce(LABELS, np.array(["a", "b"])[LABELS % 2]) == nce(LABELS, LABELS % 2)


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        ([[0.5, 0.4], [0.5, 0.5]], "rows that sum to 1, got a sum of 0.9"),
        ([[2.0, -1.0], [0.5, 0.5]], ">= 0, got -1; pass logits through a softmax"),
        ([[np.nan, 1.0], [0.5, 0.5]], "finite"),
        ([0.5, 0.5], r"of shape \(n, source classes\), got shape \(2,\)"),
        (np.ones((2, 0)), r"of shape \(n, source classes\)"),
    ],
)
def test_what_are_no_probabilities(probabilities, message):
    with pytest.raises(InvalidInputError, match=f"source_probabilities must be {message}"):
        leep(probabilities, [0, 1])


@pytest.mark.parametrize("score", [leep, lambda probabilities, labels: nce(probabilities[:, 0] > 0.5, labels)])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.arange(39) % 2, "one a sample of source_"),
        (np.zeros(40), "at least 2 classes"),
        (np.where(np.arange(40) == 0, np.nan, np.arange(40) % 2), "finite"),
    ],
)
def test_labels_that_fit_no_source(score, labels, message):
    probabilities = np.full((40, 2), 0.5)
    with pytest.raises(InvalidInputError, match=message):
        score(probabilities, labels)
    assert score(probabilities, np.arange(40) % 2) == pytest.approx(-np.log(2))


def test_source_labels_that_are_none():
    with pytest.raises(InvalidInputError, match="source_labels must be one a sample"):
        nce(np.full((40, 2), 0.5), np.arange(40) % 2)
    with pytest.raises(InvalidInputError, match=r"source_labels must be one a sample of the target, shape \(1,\)"):
        nce(3, [0, 1])
    with pytest.raises(InvalidInputError, match="source_labels must be finite"):
        nce(np.full(40, np.nan), np.arange(40) % 2)


def test_probabilities_in_half_precision_are_scaled():
    logits = np.random.default_rng(0).normal(size=(200, 1000))
    exact = torch.softmax(torch.tensor(logits), dim=1)
    labels = np.arange(200) % 2
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        assert leep(exact.to(dtype), labels) == pytest.approx(leep(exact, labels), rel=1e-3)


def test_balanced_shares_make_classes_equal():
    classes = Classes(np.array([0, 1]), np.array([0, 0, 0, 1]))
    np.testing.assert_allclose(classes.weights(True), [1 / 6, 1 / 6, 1 / 6, 1 / 2])
    np.testing.assert_allclose(classes.weights(False), [1 / 4] * 4)
    kept = classes.take(np.array([3]))
    assert (kept.names.tolist(), kept.index.tolist(), kept.counts) == ([1], [0], {1: 1})


@pytest.mark.parametrize("shape", [(5, 12), (12, 5), (6, 6)])
def test_narrowed_features_keep_inner_products(shape):
    features = np.random.default_rng(0).normal(size=shape)
    narrow = narrowed(features)
    assert narrow.shape == (shape[0], min(shape))
    np.testing.assert_allclose(narrow @ narrow.T, features @ features.T, atol=1e-12)
