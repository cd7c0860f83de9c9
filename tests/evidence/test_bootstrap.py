"""The band is that of drawing the samples themselves, class by class, and counting anew."""

import numpy as np
import pytest

from metricopt import InvalidInputError
from metricopt.evidence.bootstrap import MAX_CUTS, precision_band

RANDOM = np.random.default_rng(0)
LABELS = (RANDOM.random(150) < 0.2).astype(float)
SCORES = RANDOM.normal(1.5 * LABELS).round(1)  # with ties


def spelled_out(scores, labels, num_draws=1500):
    """Draw rows, walk down the distinct scores, keep the precision where the recall is first reached."""
    random, positives = np.random.default_rng(1), scores[labels == 1]
    negatives, drawn = scores[labels == 0], []
    for _ in range(num_draws):
        own, other = random.choice(positives, len(positives)), random.choice(negatives, len(negatives))
        precision = []
        for needed in range(1, len(positives) + 1):
            cut = np.sort(own)[-needed]
            precision.append((own >= cut).sum() / ((own >= cut).sum() + (other >= cut).sum()))
        drawn.append(precision)
    return np.quantile(drawn, [0.025, 0.975], axis=0)


def test_equals_drawing_samples():
    band = precision_band(SCORES, LABELS)
    low, high = spelled_out(SCORES, LABELS)
    np.testing.assert_allclose(band.recall, np.arange(1, LABELS.sum() + 1) / LABELS.sum())
    # Both are quantiles of some 1,000 draws of few alarms, which now and then jump.
    for own, other in ((band.low, low), (band.high, high)):
        assert np.quantile(np.abs(own - other), 0.9) < 0.03
        assert np.abs(own - other).mean() < 0.015


def test_same_seed_same_band():
    first, again = (precision_band(SCORES, LABELS, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.low, again.low)
    assert (first.low != precision_band(SCORES, LABELS, seed=4).low).any()


def test_knows_only_the_order_of_the_scores_and_no_missing_labels():
    band = precision_band(SCORES, LABELS)
    moved = precision_band(np.append(np.exp(SCORES), 99.0), np.append(LABELS, np.nan))
    np.testing.assert_array_equal(band.low, moved.low)
    np.testing.assert_array_equal(band.high, moved.high)


def test_many_positives_are_cut_coarsely():
    labels = (RANDOM.random(20_000) < 0.3).astype(float)
    band = precision_band(RANDOM.normal(labels), labels)
    assert len(band.recall) == MAX_CUTS and band.recall[-1] == 1
    assert (band.low <= band.high).all() and (band.high - band.low)[200:].max() < 0.04


def test_without_negatives_all_alarms_are_right():
    band = precision_band([0.1, 0.2, 0.3], [1, 1, 1])
    assert (band.low == 1).all() and (band.high == 1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.1, 0.2], [0, 0]), "labels must be of at least one positive, got none; leave the band out"),
        (([[0.1], [0.2]], [[0], [1]]), "scores must be of shape (n,), got shape (2, 1)"),
    ],
)
def test_rejects(arguments, message):
    with pytest.raises(InvalidInputError) as error:
        precision_band(*arguments)
    assert str(error.value).startswith(message)
