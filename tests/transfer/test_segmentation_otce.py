"""Pixels as samples: which are drawn, and that the score is OTCE's on them."""

import numpy as np
import pytest

from metricopt import InvalidInputError
from metricopt.transfer import otce, segmentation_otce
from metricopt.transfer.segmentation_otce import near_boundary

pytestmark = pytest.mark.filterwarnings("ignore::metricopt.transfer.TransferWarning")


def scenes(seed, images=2, size=12, width=3):
    """Discs of class 1 on class 0, with noisy features that show them."""
    random = np.random.default_rng(seed)
    row, column = np.mgrid[:size, :size]
    centres = random.uniform(3, size - 4, size=(images, 2))
    distance = np.hypot(row - centres[:, 0, None, None], column - centres[:, 1, None, None])
    labels = (distance < 3).astype(int)
    return random.normal(size=(images, width, size, size)) + 2 * labels[:, None], labels


def test_all_pixels_are_plain_otce():
    (features, labels), (others, target) = scenes(0), scenes(1)
    flat = [np.moveaxis(maps, 1, -1).reshape(-1, 3) for maps in (features, others)]
    score = segmentation_otce(features, labels, others, target)
    expected = otce(flat[0], labels.ravel(), flat[1], target.ravel())
    assert float(score) == float(expected)
    assert score.class_counts == expected.class_counts
    assert {name: score.details[name] for name in expected.details} == expected.details


def test_ignored_pixels_are_no_samples():
    (features, labels), (others, target) = scenes(0), scenes(1)
    void = target.copy()
    void[:, :, -2:] = 255
    score = segmentation_otce(features, labels, others, void)
    assert score.num_samples == void.size - 2 * 12 * 2
    cut = segmentation_otce(features, labels, others[..., :-2], target[..., :-2])
    assert float(score) == float(cut)
    assert segmentation_otce(features, labels, others, void, ignore_label=None).class_counts[255] == 48


@pytest.mark.parametrize("width", [1, 2])
def test_boundaries_are_where_another_class_is_near(width):
    _, labels = scenes(2)
    counted = np.ones(labels.shape, dtype=bool)
    counted[:, :3] = False
    expected = np.zeros_like(counted)
    for image, row, column in zip(*np.nonzero(counted), strict=True):
        window = (image, slice(max(row - width, 0), row + width + 1), slice(max(column - width, 0), column + width + 1))
        expected[image, row, column] = (labels[window][counted[window]] != labels[image, row, column]).any()
    np.testing.assert_array_equal(near_boundary(labels, counted, width), expected)
    assert 0 < expected.sum() < counted.sum()


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.0), (0.3, 0.3), (0.5, 0.5)])
def test_boundary_pixels_are_drawn_by_their_share(share, expected):
    (features, labels), (others, target) = scenes(0, 8), scenes(1, 8)
    score = segmentation_otce(features, labels, others, target, boundary_fraction=share, max_pixels=100)
    assert score.num_samples == 100
    assert score.details["boundary_fraction"] == pytest.approx(expected, abs=0.011)


def test_all_boundary_pixels_come_before_others():
    (features, labels), (others, target) = scenes(0), scenes(1)
    there = near_boundary(target, target >= 0).sum()
    score = segmentation_otce(features, labels, others, target, boundary_fraction=1, max_pixels=int(there) + 20)
    assert score.details["boundary_fraction"] == pytest.approx(there / (there + 20))


def test_balanced_draws_of_each_class_alike():
    (features, labels), (others, target) = scenes(0, 8), scenes(1, 8)
    assert target.mean() < 0.25
    score = segmentation_otce(features, labels, others, target, max_pixels=120, balanced=True)
    assert score.class_counts == {0: 60, 1: 60}
    assert score.details["boundary_fraction"] == pytest.approx(0.5, abs=0.02)
    assert score < 0


def test_the_seed_decides_the_draw():
    (features, labels), (others, target) = scenes(0, 8), scenes(1, 8)
    first, again, other = (
        segmentation_otce(features, labels, others, target, max_pixels=80, seed=seed) for seed in (0, 0, 1)
    )
    assert float(first) == float(again) != float(other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"target_labels": np.zeros((2, 6, 6))},
            r"target_labels must be of shape \(2, 12, 12\), one label for each pixel of target_features",
        ),
        ({"source_labels": np.zeros((1, 12, 12))}, "one label for each pixel of source_features"),
        ({"target_labels": np.zeros((2, 12, 12))}, "target_labels must be of at least 2 classes"),
        ({"target_labels": np.full((2, 12, 12), 255)}, "target_labels must be of at least 2 classes"),
        ({"source_labels": np.full((2, 12, 12), 255)}, "source_labels must be of at least 1 classes"),
        ({"target_labels": np.full((2, 12, 12), np.nan)}, "target_labels must be finite"),
        ({"target_features": np.ones((2, 3, 12, 12))}, "target_features must be different"),
        ({"source_features": np.ones((24, 3))}, "source_features must be an array of 4 axes"),
        ({"boundary_fraction": 1.5}, "boundary_fraction must be in"),
        ({"boundary_width": 0}, "boundary_width must be an integer >= 1"),
        ({"max_pixels": 0}, "max_pixels must be an integer >= 2"),
    ],
)
def test_what_is_rejected(change, message):
    (features, labels), (others, target) = scenes(0), scenes(1)
    given = {
        "source_features": features,
        "source_labels": labels,
        "target_features": others,
        "target_labels": target,
    }
    with pytest.raises(InvalidInputError, match=message):
        segmentation_otce(**given | change)
