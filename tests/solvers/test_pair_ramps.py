import numpy as np
import pytest

from metricopt._arrays import Samples
from metricopt.problem.ranking import Ranking
from metricopt.solvers.pair_ramps import RampSums, pair_weights
from tests import oracle


def ranking_of(scores, labels, weight=None):
    return Ranking.of(Samples.read(scores, labels, weight), 0)


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("is_tied", [False, True])
def test_pair_weights_are_the_derivatives_of_the_ratios_of_ranks(is_weighted, is_tied):
    random = np.random.default_rng(0)
    for _ in range(20):
        labels = np.append([1.0, 0.0], random.choice([0.0, 1.0, np.nan], 12))
        scores = random.integers(0, 4, 14).astype(float) if is_tied else random.normal(size=14)
        weight = random.uniform(0.5, 2, 14) if is_weighted else np.ones(14)
        of_negatives, of_positives = pair_weights(ranking_of(scores, labels, weight))
        positives = sorted(scores[labels == 1])
        for place, score in enumerate(positives):
            a = weight[(labels == 1) & (scores >= score)].sum()
            b = weight[(labels == labels) & (scores >= score)].sum()
            step = 1e-6
            # Another negative above adds to b alone, another positive to a and b.
            assert of_negatives[place] == pytest.approx((a / (b - step) - a / (b + step)) / (2 * step), rel=1e-5)
            assert of_positives[place] == pytest.approx(
                ((a + step) / (b + step) - (a - step) / (b - step)) / (2 * step), rel=1e-5, abs=1e-9
            )


def test_the_ratios_of_ranks_sum_to_average_precision():
    """The judge of the solver's tests is the metric itself."""
    random = np.random.default_rng(1)
    labels, weight = (random.random(30) < 0.4).astype(float), random.uniform(0.5, 2, 30)
    scores = random.integers(0, 12, 30).astype(float)
    ranking = ranking_of(scores, labels, weight)
    c, e = pair_weights(ranking)
    ratios = 1 / (1 + e / c)  # c / (c + e) = a / b
    expected = oracle.average_precision(scores.tolist(), labels.tolist(), weight.tolist())
    assert ratios @ ranking.positives.weight / ranking.positives.weight.sum() == pytest.approx(expected)
    assert ranking.average_precision() == pytest.approx(expected)


@pytest.mark.parametrize("width", [1e-9, 0.3, 2.0, 1e6])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_ramp_sums_agree_with_all_pairs(width, offset):
    random = np.random.default_rng(2)
    stored = np.sort(np.concatenate([random.normal(size=40), [0.5, 0.5, 0.5]])) + offset
    weightings = random.uniform(0, 2, (3, 43))
    at = np.concatenate([random.normal(size=50), [-1e8, 1e8]]) + offset
    at = np.concatenate([at, stored[:5]])
    rise = np.clip(0.5 + (at[:, None] - stored) / width, 0, 1)
    inside = (np.abs(at[:, None] - stored) < width / 2) / width
    sums, slopes = RampSums.of(stored, weightings).at(at, width)
    np.testing.assert_allclose(sums, weightings @ rise.T, atol=1e-9 if width > 1e-6 else 1e-6)
    np.testing.assert_allclose(slopes, weightings @ inside.T, atol=1e-9)


def test_ramp_sums_of_one_score_and_of_none_asked():
    sums = RampSums.of(np.array([2.0], np.float32), np.ones((1, 1)))
    assert [sums.at(np.array([at]), 1.0)[0].item() for at in (1.0, 2.0, 2.25, 3.0)] == [0.0, 0.5, 0.75, 1.0]
    assert sums.at(np.empty(0), 1.0)[0].shape == (1, 0)
    assert sums.total.tolist() == [1.0] and sums.place(np.array([1.0, 2.0, 3.0])).tolist() == [0, 0, 1]


def test_stored_float32_scores_find_their_own_place():
    scores = np.sort(np.random.default_rng(3).normal(1e3, 1, 1000).astype(np.float32))
    places = RampSums.of(scores, np.ones((1, 1000))).place(scores.astype(np.float64))
    np.testing.assert_array_equal(places, np.searchsorted(scores, scores))
