import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from metricopt import InvalidInputError
from metricopt.plots import plot_frontier
from tests.plots.pictures import frontier


def line_of(ax, label):
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return line


def test_shows_the_rows():
    ax = plot_frontier(frontier(), title="a title")
    np.testing.assert_array_equal(line_of(ax, "FPOR").get_ydata(), [0.8, 0.7, 0.5])
    np.testing.assert_array_equal(line_of(ax, "cross-entropy").get_ydata(), [0.7, 0.5, np.nan])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0.7", "0.8", "0.9"]
    assert np.abs(line_of(ax, "FPOR").get_xdata() - [0.7, 0.8, 0.9]).max() < 0.002
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("bound: precision >=", "recall", "a title")


def test_a_missed_bound_is_hollow():
    ax = plot_frontier(frontier())
    (hollow,) = [line for line in ax.lines if line.get_markerfacecolor() == "white" and len(line.get_ydata())]
    assert list(hollow.get_ydata()) == [0.2]
    assert "bound missed or not supported" in [text.get_text() for text in ax.get_legend().get_texts()]
    met = plot_frontier(frontier().assign(met=True))
    assert "bound missed" not in [text.get_text() for text in met.get_legend().get_texts()]


@pytest.mark.parametrize(
    ("bound_direction", "steps", "relation"), [("min", "steps-pre", ">="), ("max", "steps-post", "<=")]
)
def test_steps_lead_to_the_looser_bounds(bound_direction, steps, relation):
    ax = plot_frontier(frontier().assign(bound_direction=bound_direction), ax=Figure().subplots())
    assert line_of(ax, "FPOR").get_drawstyle() == steps
    assert ax.get_xlabel().endswith(relation)


def test_intervals_of_two_methods_do_not_hide_each_other():
    ax = plot_frontier(frontier())
    first, second = (np.array(lines.get_segments()) for lines in ax.collections)
    np.testing.assert_allclose(first[:, :, 1], [[0.7, 0.9], [0.6, 0.8], [0.4, 0.6]])
    assert (first[:, 0, 0] != second[:, 0, 0]).all()


def test_a_single_bound_is_drawn():
    ax = plot_frontier(frontier().query("bound == 0.8"))
    assert list(line_of(ax, "FPOR").get_ydata()) == [0.7]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (frontier().drop(columns="met"), r"got no \['met'\]"),
        (frontier().iloc[:0], "got no row"),
        (pd.concat([frontier(), frontier()]), "frame must be of one row a method and bound, got several"),
    ],
)
def test_rejects(frame, message):
    with pytest.raises(InvalidInputError, match=message):
        plot_frontier(frame)
