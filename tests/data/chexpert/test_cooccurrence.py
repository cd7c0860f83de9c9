import numpy as np
import pytest

from metricopt.data.chexpert.cooccurrence import (
    CHEXPERT_STATISTICS,
    WITHIN_PATIENT,
    draw_labels,
    estimate_statistics,
)

STUDIES = np.full(20_000, 2)


@pytest.fixture(scope="module")
def drawn():
    return draw_labels(STUDIES, np.random.RandomState(0), CHEXPERT_STATISTICS)


def shares(rows, value):
    return (rows == value).mean(axis=0)


def test_prevalences_are_the_real_ones(drawn):
    """Against the published counts, in per cent of 223,414 images."""
    stated = [10.02, 4.83, 12.09, 47.26, 4.11, 23.39, 6.62, 2.70, 14.94, 8.70, 38.58, 1.58, 4.05, 51.92]
    uncertain = [0.0, 5.55, 3.62, 2.51, 0.67, 5.81, 12.42, 8.40, 15.10, 1.41, 5.20, 1.19, 0.29, 0.48]
    ruled_out = [0.0, 9.69, 4.98, 2.95, 0.57, 9.28, 12.58, 1.25, 0.59, 25.22, 15.84, 0.14, 1.12, 2.75]
    for value, wanted in ((1, stated), (-1, uncertain), (0, ruled_out)):
        np.testing.assert_allclose(100 * shares(drawn, value), wanted, atol=0.9)


def test_no_finding_excludes_every_finding(drawn):
    healthy = drawn[:, 0] == 1
    assert not np.isin(drawn[healthy, 1:13], (1, -1)).any() and (drawn[healthy, 13] == 1).any()
    assert set(np.unique(drawn[:, 0][~np.isnan(drawn[:, 0])])) == {1}


def test_pairs_are_stated_together_as_often_as_the_latent_correlation_says(drawn):
    from scipy.stats import multivariate_normal, norm

    others = drawn[drawn[:, 0] != 1, 1:] == 1
    statistics = CHEXPERT_STATISTICS
    cut = norm.ppf(statistics.stated)
    for one, other in ((2, 9), (1, 4), (4, 8), (5, 6), (9, 12)):
        covariance = [[1, statistics.correlation[one, other]], [statistics.correlation[one, other], 1]]
        wanted = multivariate_normal.cdf(cut[[one, other]], cov=covariance)
        assert abs((others[:, one] & others[:, other]).mean() - wanted) < 0.006


def test_studies_of_a_patient_resemble_each_other(drawn):
    first, second = drawn[::2] == 1, drawn[1::2] == 1
    both, chance = (first & second).mean(axis=0), first.mean(axis=0) * second.mean(axis=0)
    assert (both > 1.15 * chance).all() and WITHIN_PATIENT > 0.5
    strangers = (first[1:] & second[:-1]).mean(axis=0)
    np.testing.assert_allclose(strangers, chance, atol=0.01)


def test_statistics_of_drawn_labels_are_those_they_were_drawn_from(drawn):
    class Drawn:
        raw_labels = drawn

    again = estimate_statistics(Drawn)
    np.testing.assert_allclose(again.stated, CHEXPERT_STATISTICS.stated, atol=0.01)
    np.testing.assert_allclose(again.correlation, CHEXPERT_STATISTICS.correlation, atol=0.09)
    np.testing.assert_array_equal(again.correlation, again.correlation.T)
