import numpy as np
import pytest
from matplotlib.figure import Figure

from metricopt import InvalidInputError, confusion_counts
from metricopt.plots import plot_scores

RANDOM = np.random.default_rng(0)
LABELS = (RANDOM.random(500) < 0.05).astype(float)
SCORES = RANDOM.normal(2 * LABELS)


def bars(ax):
    """Counts and edges of negatives and positives."""
    return [patch.get_data()[:2] for patch in ax.patches if hasattr(patch, "get_data")]


def words(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_bars_count_the_samples_and_none_holds_the_threshold():
    ax = plot_scores(SCORES, LABELS, 1.3)
    assert ax.get_yscale() == "log" and ax.get_ylim()[0] < 1
    for (counts, edges), label in zip(bars(ax), (0, 1), strict=True):
        assert counts.sum() == (label == LABELS).sum()
        assert np.abs(edges - 1.3).min() < 1e-12
        assert counts[edges[:-1] >= 1.3 - 1e-9].sum() == ((label == LABELS) & (SCORES >= 1.3)).sum()


def test_words_are_the_counts():
    counts = confusion_counts(SCORES, LABELS, 1.3)
    ax = plot_scores(SCORES, LABELS, 1.3, title="a title")
    assert words(ax)[0] == f"{counts.negatives:g} negatives: {counts.false_positives:g} false alarms"
    assert words(ax)[1] == (
        f"{counts.positives:g} positives: {counts.true_positives:g} found, {counts.false_negatives:g} missed"
    )
    assert ax.get_title() == "a title"


@pytest.mark.parametrize(
    ("threshold", "margin"),
    [(0.6, "margin 0.4 to 0.8"), (0.8, "margin 0.4 to 0.8"), (0.1, "margin 0.1 to 0.2"), (5.0, "margin 0.9 to 5")],
)
def test_margin_is_without_scores(threshold, margin):
    assert words(plot_scores([0.9, 0.8, 0.4, 0.2], [1, 0, 1, 0], threshold))[-1].endswith(margin)


def test_weights_missing_labels_and_no_threshold():
    labels = np.where(np.arange(500) < 100, np.nan, LABELS)
    weight = RANDOM.random(500)
    ax = plot_scores(SCORES, labels, np.nan, sample_weight=weight, ax=Figure().subplots())
    for (counts, _), label in zip(bars(ax), (0, 1), strict=True):
        assert counts.sum() == pytest.approx(weight[labels == label].sum())
    assert len(words(ax)) == 2 and not ax.lines and ax.get_ylabel() == "weight of samples"


@pytest.mark.parametrize(
    ("threshold", "says", "alarms"),
    [(np.inf, "threshold inf: no row is flagged", 0), (-np.inf, "threshold -inf: every row is flagged", 2)],
)
def test_an_infinite_threshold_is_said_and_not_drawn(threshold, says, alarms):
    ax = plot_scores([0.9, 0.8, 0.4, 0.2], [1, 0, 1, 0], threshold)
    assert words(ax)[-1] == says and words(ax)[1].startswith(f"2 positives: {alarms} found")
    assert not ax.lines and [counts.sum() for counts, _ in bars(ax)] == [2, 2]


def test_one_score_and_one_class():
    ax = plot_scores([0.5, 0.5], [1, 1], 0.5)
    assert [counts.sum() for counts, _ in bars(ax)] == [0, 2]


def test_rejects():
    with pytest.raises(InvalidInputError, match=r"scores must be of shape \(n,\), got shape \(1, 1\)"):
        plot_scores([[0.5]], [[1]], 0.5)
    with pytest.raises(InvalidInputError, match="labels must be of at least one sample, got none"):
        plot_scores([0.5], [np.nan], 0.5)
