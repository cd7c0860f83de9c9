import numpy as np
import pytest

from benchmarks.running import resampling
from benchmarks.running.resampling import METHODS, resample
from metricopt._validation import InvalidInputError


def blobs(num_positives=20, num_negatives=200, seed=0):
    random = np.random.default_rng(seed)
    labels = np.repeat([1.0, 0.0], [num_positives, num_negatives])
    return random.normal(size=(len(labels), 3)) + labels[:, None], labels


def rows_in(some, of):
    """For each row of a table, whether it is a row of another one."""
    return (some[:, None, :] == of[None]).all(axis=2).any(axis=1)


@pytest.mark.parametrize("ratio", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("name", ["over", "under", "smote"])
def test_the_ratio_is_met_exactly(name, ratio):
    features, labels = blobs()
    new_features, new_labels = resample(name, features, labels, 0, ratio=ratio)
    wanted = (20, 20 / ratio) if name == "under" else (200 * ratio, 200)
    assert ((new_labels == 1).sum(), (new_labels == 0).sum()) == wanted
    assert new_features.shape == (len(new_labels), 3) and new_features.dtype == np.float64
    for truth in (1, 0):
        is_old = rows_in(new_features[new_labels == truth], features[labels == truth])
        synthetic = 200 * ratio - 20 if name == "smote" and truth == 1 else 0
        assert (~is_old).sum() == synthetic


def test_classes_are_balanced_by_default():
    for name in ("over", "under", "smote"):
        _, labels = resample(name, *blobs(), 0)
        assert labels.mean() == 0.5


def test_smote_draws_between_positives():
    features, labels = blobs()
    new_features, new_labels = resample("smote", features, labels, 0)
    positives = features[labels == 1]
    for row in new_features[len(labels) :][:30]:
        offsets = positives - row
        distances = np.linalg.norm(offsets, axis=1)
        through = distances[:, None] + distances[None] - np.linalg.norm(positives[:, None] - positives[None], axis=2)
        np.fill_diagonal(through, np.inf)
        assert through.min() < 1e-9  # on the line between two of them
    assert new_labels[len(labels) :].all()


def test_tomek_links_lose_their_majority_row():
    """A link is a pair of both classes that are each other's nearest neighbours."""
    features, labels = blobs(40, 120)
    distances = np.linalg.norm(features[:, None] - features[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1)
    linked = (nearest[nearest] == np.arange(len(labels))) & (labels != labels[nearest])
    kept = ~(linked & (labels == 0))
    new_features, new_labels = resample("tomek", features, labels, 0)
    assert not kept.all() and new_labels.sum() == 40
    np.testing.assert_array_equal(new_features, features[kept])
    np.testing.assert_array_equal(new_labels, labels[kept])


def test_tomek_removes_negatives_even_where_they_are_fewer():
    features, labels = blobs(120, 40)
    _, new_labels = resample("tomek", features, labels, 0)
    assert new_labels.sum() == 120 and len(new_labels) < 160


@pytest.mark.parametrize("name", METHODS)
def test_the_seed_sets_the_draw(name):
    features, labels = blobs()
    first, again, other = (resample(name, features, labels, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert np.array_equal(first[0], other[0]) == (name == "tomek")
    np.testing.assert_array_equal(features, blobs()[0])


def test_data_with_as_many_positives_stay_as_they_are():
    features, labels = blobs(60, 100)
    for name in ("over", "under", "smote"):
        same = resample(name, features, labels, 0, ratio=0.6)
        assert same[0] is features and same[1] is labels
        assert len(resample(name, features, labels, 0, ratio=0.7)[1]) != 160


@pytest.mark.parametrize("num_positives", [2, 3, 6])
def test_smote_makes_do_with_few_positives(num_positives):
    features, labels = blobs(num_positives)
    assert resample("smote", features, labels, 0)[1].sum() == 200


def test_smote_takes_as_many_neighbours_as_asked_for():
    features, labels = blobs()
    few, many = (resample("smote", features, labels, 0, k_neighbors=number)[0] for number in (1, 10))
    assert not np.array_equal(few, many)
    five, by_default = resample("smote", features, labels, 0, k_neighbors=5), resample("smote", features, labels, 0)
    np.testing.assert_array_equal(five[0], by_default[0])


@pytest.mark.parametrize(
    ("name", "labels", "setting", "message"),
    [
        ("smot", None, {}, "name must be one of .* did you mean 'smote'?"),
        ("over", None, {"k_neighbors": 3}, "setting must be one of 'ratio', got 'k_neighbors'"),
        ("tomek", None, {"ratio": 0.5}, "setting must be one of "),
        ("over", None, {"ratio": 0.0}, r"ratio must be in \(0, 1\], got 0.0"),
        ("over", np.zeros(220), {}, "labels must be 0 or 1, with both classes, got 0 positives and 220 negatives"),
        ("over", np.r_[np.nan, blobs()[1][1:]], {}, "got 19 positives and 200 negatives in 220 rows"),
        ("smote", np.r_[1.0, np.zeros(219)], {}, "labels must be with 2 positives at least for SMOTE, got 1"),
    ],
)
def test_faults(name, labels, setting, message):
    features, own_labels = blobs()
    with pytest.raises(InvalidInputError, match=message):
        resample(name, features, own_labels if labels is None else labels, 0, **setting)


def test_one_positive_can_be_copied():
    labels = np.r_[1.0, np.zeros(219)]
    assert resample("over", blobs()[0], labels, 0)[1].sum() == 219


def test_missing(monkeypatch):
    assert resampling.missing() == []
    monkeypatch.setattr(resampling, "find_spec", lambda name: None)
    assert resampling.missing() == ["imbalanced-learn"]
