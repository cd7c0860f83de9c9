import numpy as np
import pytest
from matplotlib.figure import Figure

from metricopt import InvalidInputError
from metricopt.plots import plot_history
from tests.plots.pictures import records


def line_of(ax, label):
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return line


def test_shows_the_records():
    history = records()
    metric, bounded, multiplier, agreement = plot_history(history, title="a title")
    shown = [ax.get_ylabel() for ax in (metric, bounded, multiplier, agreement)]
    assert shown == ["recall", "precision", "multiplier", "slack\nagreement"]
    values = np.array([record["value"] if record["feasible"] else np.nan for record in history])
    np.testing.assert_array_equal(line_of(metric, "epoch").get_ydata(), values)
    np.testing.assert_array_equal(
        line_of(bounded, "epoch, bound missed").get_ydata(), [record["bounded_value"] for record in history]
    )
    assert set(line_of(bounded, "bound on precision").get_ydata()) == {0.88}
    np.testing.assert_array_equal(multiplier.lines[0].get_ydata(), [record["multiplier"] for record in history])
    assert (
        np.isnan(agreement.lines[0].get_ydata()[:20]).all() and not np.isnan(agreement.lines[0].get_ydata()[20:]).any()
    )
    assert metric.figure.get_suptitle() == "a title"


def test_the_best_counts_epochs_that_meet_the_bound():
    history = records()
    history[3]["value"], history[3]["feasible"] = 0.99, False
    ax = plot_history(history)[0]
    best = line_of(ax, "best so far").get_ydata()
    held = [record["value"] for record in history if record["feasible"]]
    assert best[-1] == max(held) < 0.99
    before = [record["value"] for record in history[:20] if record["feasible"]]
    assert set(line_of(ax, "best of the warm-up").get_ydata()) == {max(before)}


def test_stages_are_named_and_every_other_one_is_shaded():
    axes = plot_history(records())
    assert [text.get_text() for text in axes[0].texts] == ["warm-up", "hinge", "polish"]
    for ax in axes:
        (patch,) = ax.patches
        assert (patch.get_x(), patch.get_x() + patch.get_width()) == (20.5, 45.5)


def test_epochs_whose_weights_were_chosen_are_marked_in_every_panel():
    def marks(chosen):
        history = [{**record, "chosen": record["epoch"] in chosen} for record in records()]
        return [
            {line.get_label(): [] for line in ax.lines}
            | {
                label: [line.get_xdata()[0] for line in ax.lines if line.get_label() == label]
                for label in ("chosen weights", "chosen weights (their average)")
            }
            for ax in plot_history(history)
        ]

    for panel in marks([31]):
        assert panel["chosen weights"] == [31] and not panel["chosen weights (their average)"]
    for panel in marks([31, 60]):
        assert panel["chosen weights (their average)"] == [31, 60] and not panel["chosen weights"]


def test_nothing_without_a_panel():
    empty = {"bounded_metric": None, "bounded_value": None, "bound": None, "multiplier": None, "agreement": None}
    (ax,) = plot_history([{**record, **empty, "feasible": True} for record in records()])
    assert ax.get_ylabel() == "recall" and ax.get_xlabel() == "epoch"
    assert [line.get_label() for line in ax.lines if not line.get_label().startswith("_")] == [
        "epoch",
        "best so far",
        "best of the warm-up",
    ]


def test_one_label_at_a_time_into_a_given_figure():
    both = [record for pair in zip(records(label="a"), records(label="b", seed=1), strict=True) for record in pair]
    figure = Figure()
    axes = plot_history(both, label="b", figure=figure)
    assert all(ax.figure is figure for ax in axes)
    wanted = [record["multiplier"] for record in both if record["label"] == "b"]
    np.testing.assert_array_equal(axes[2].lines[0].get_ydata(), wanted)
    with pytest.raises(InvalidInputError, match="label must be one of 'a', 'b', got 'c'"):
        plot_history(both, label="c")
    with pytest.raises(InvalidInputError, match="history must be of at least one epoch, got none"):
        plot_history([])
