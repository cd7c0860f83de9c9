"""N-LEEP against independent values, and what it cannot be asked."""

import numpy as np
import pytest

from metricopt import InvalidInputError
from metricopt.transfer import TransferWarning, n_leep
from tests.transfer.vectors import CASES, CLASS_CASES, blobs, features_and_labels

pytestmark = pytest.mark.filterwarnings("ignore::metricopt.transfer.TransferWarning")


@pytest.mark.parametrize("case", CLASS_CASES)
@pytest.mark.parametrize(("energy", "name"), [(0.8, "nleep_pca80_gmm5C_rs123"), (1, "nleep_nopca_gmm5C_rs123")])
def test_independent_values(case, energy, name):
    score = n_leep(*features_and_labels(case), energy=energy, seed=123)
    assert score == pytest.approx(CASES[case][name], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("unit", [1e-6, 1e-2, 1e4, 1e6])
def test_the_unit_of_the_features_hardly_matters(unit):
    features, labels = blobs(0, 150)
    assert n_leep(unit * features, labels) == pytest.approx(n_leep(features, labels), rel=1e-4)


@pytest.mark.parametrize("balanced", [False, True])
def test_translations_and_names_change_nothing(balanced):
    features, labels = blobs(1, 150)
    score = n_leep(features, labels, balanced=balanced)
    assert score < 0
    assert n_leep(features + 100, 2 - labels, balanced=balanced) == pytest.approx(score, rel=1e-6)


@pytest.mark.parametrize("num_features", [1, 4])
def test_separable_classes_score_more(num_features):
    near, labels = blobs(2, 150, num_features, distance=0.5)
    far = near + 20 * labels[:, None]
    score = n_leep(far, labels)
    assert score > n_leep(near, labels)
    assert score > -0.05
    assert score.details["components"] == 15


def test_components_with_single_samples_are_doubted():
    features, labels = features_and_labels("N_lt_D")
    with pytest.warns(TransferWarning, match="30 samples for 15 components in 11 dimensions"):
        assert n_leep(features, labels, seed=123) == 0


def test_a_mixture_of_duplicates_is_fitted():
    features, labels = blobs(3, 60)
    assert -1.2 < n_leep(np.repeat(features[:12], 5, axis=0), np.repeat(labels[:12], 5)) <= 0


def test_too_few_samples_for_the_components():
    features, labels = blobs(0, 29)
    with pytest.raises(InvalidInputError, match="at least 30 samples, one a component, got 29; lower components_per"):
        n_leep(features, labels, components_per_class=10)
    features, labels = blobs(0, 30)
    assert n_leep(features, labels, components_per_class=10) <= 0


@pytest.mark.parametrize(
    ("options", "message"),
    [({"energy": 0}, "energy must be in"), ({"energy": 80}, "energy must"), ({"components_per_class": 0}, ">= 1")],
)
def test_options_out_of_range(options, message):
    with pytest.raises(InvalidInputError, match=message):
        n_leep(*blobs(0), **options)
