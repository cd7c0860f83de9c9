import numpy as np
from matplotlib.figure import Figure

from metricopt.evidence.reliability import Reliability
from metricopt.plots import plot_reliability

RANDOM = np.random.default_rng(0)
PROBABILITIES = RANDOM.random(500) ** 3
LABELS = (RANDOM.random(500) < PROBABILITIES).astype(float)


def words(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_points_and_words_are_those_of_the_bins():
    found = Reliability.of(PROBABILITIES, LABELS, num_bins=5)
    ax = plot_reliability(PROBABILITIES, LABELS, num_bins=5, title="a title")
    (container,) = ax.containers
    np.testing.assert_allclose(container[0].get_xdata(), found.predicted)
    np.testing.assert_allclose(container[0].get_ydata(), found.observed)
    (bars,) = container[2]
    np.testing.assert_allclose([part[:, 1] for part in bars.get_segments()], np.stack([found.low, found.high], axis=1))
    assert words(ax)[1].endswith(f"a point\n{found}") and "interval of 95 %" in words(ax)[1]
    assert ax.get_title() == "a title" and ax.get_xlim() == ax.get_ylim() == (0, 1)


def test_rare_positives_are_drawn_large_and_weights_have_no_interval():
    labels = (RANDOM.random(2000) < 0.02).astype(float)
    ax = plot_reliability(np.full(2000, 0.02), labels, sample_weight=np.full(2000, 2.0), ax=Figure().subplots())
    assert ax.get_xlim()[1] < 0.2 and "weight a point" in words(ax)[1] and "interval" not in words(ax)[1]
