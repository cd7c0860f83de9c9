import numpy as np
import pytest

from metricopt.data import CHEXPERT_LABELS
from metricopt.data.chexpert.anatomy import Chest
from metricopt.data.chexpert.findings import (
    FAINTEST,
    HEART_GROWTH,
    MEDIASTINUM_GROWTH,
    MISSED,
    OVERCALLED,
    SIGNS,
    UNCERTAIN_SHOWN,
    draw_chest,
    draw_strengths,
)

NOTHING = dict.fromkeys(CHEXPERT_LABELS, 0.0)


def drawn(seed=0, lateral=False, shape=(48, 56), **strengths):
    return draw_chest(*shape, {**NOTHING, **strengths}, np.random.RandomState(seed), lateral=lateral)


@pytest.mark.parametrize("lateral", [False, True])
@pytest.mark.parametrize("shape", [(16, 16), (48, 40), (64, 78)])
def test_a_chest_is_gray_and_reproducible(shape, lateral):
    image = drawn(shape=shape, lateral=lateral)
    assert image.shape == shape and image.dtype == np.uint8 and 10 < image.std() < 100
    np.testing.assert_array_equal(image, drawn(shape=shape, lateral=lateral))
    assert (image != drawn(1, shape=shape, lateral=lateral)).mean() > 0.5


def test_lungs_are_darker_than_heart_and_belly():
    image = np.mean([drawn(seed, shape=(100, 100)) for seed in range(20)], axis=0)
    lungs = [image[35:60, 22:34].mean(), image[35:55, 68:80].mean()]
    assert max(lungs) < 0.75 * min(image[65:72, 50:62].mean(), image[85:95, 30:70].mean(), image[20:60, 47:53].mean())
    assert image[:5, :5].mean() < min(lungs)  # air around the shoulders


def change_by(name, strength, lateral, seed):
    """By how much a sign changes the drawing of one chest, before film and noise."""
    growths = {
        "Cardiomegaly": {"heart": 1 + HEART_GROWTH * strength},
        "Enlarged Cardiomediastinum": {"mediastinum": 1 + MEDIASTINUM_GROWTH * strength},
    }
    healthy = ill = Chest(48, 48, np.random.RandomState(seed), lateral=lateral)
    before = healthy.image.copy()
    if name in growths:
        ill = Chest(48, 48, np.random.RandomState(seed), lateral=lateral, **growths[name])
    else:
        SIGNS[name](ill, strength)
    return np.abs(ill.image - before)


@pytest.mark.parametrize("lateral", [False, True])
@pytest.mark.parametrize("name", CHEXPERT_LABELS[1:])
def test_every_sign_shows_and_more_when_stronger(name, lateral):
    faint, strong = (
        np.array([change_by(name, strength, lateral, seed) for seed in range(12)]) for strength in (0.3, 1.0)
    )
    assert strong.max(axis=(1, 2)).mean() > 0.08  # of a scale from air to bone
    assert strong.sum() > 1.2 * faint.sum() > 0


def test_no_finding_has_no_sign():
    np.testing.assert_array_equal(drawn(**{"No Finding": 1.0}), drawn())


def test_strengths_follow_the_labels():
    raw = np.repeat(np.float32([1, -1, 0, np.nan]), 20_000)
    strengths = draw_strengths(raw, np.random.RandomState(0)).reshape(4, -1)
    shown = (strengths > 0).mean(axis=1)
    np.testing.assert_allclose(shown, [1 - MISSED, UNCERTAIN_SHOWN, OVERCALLED, OVERCALLED], atol=0.015)
    seen = [row[row > 0] for row in strengths]
    assert seen[0].min() >= FAINTEST and all(row.max() <= 1 for row in seen)
    assert seen[0].mean() > seen[1].mean() > seen[2].mean()
