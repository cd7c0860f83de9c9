import pytest
from matplotlib.figure import Figure

from metricopt import FPOR, InvalidInputError, precision_recall_curve
from metricopt.plots import plot_labels
from tests.plots.pictures import report, samples


def drawing(num_labels, **options):
    names = [f"label {number}" for number in range(num_labels)]
    curves, points = {}, {}
    for number, name in enumerate(names):
        pair = samples(seed=number)
        curves[name], points[name] = {"direct": precision_recall_curve(*pair)}, {"direct": report(*pair, FPOR(0.7))}
    return curves, points, plot_labels(curves, points, **options)


@pytest.mark.parametrize("num_labels", [1, 2, 5, 14])
def test_a_plane_each_on_one_scale(num_labels):
    curves, points, axes = drawing(num_labels)
    assert len(axes) == num_labels
    assert [ax.get_title() for ax in axes] == [f"{name}\nprecision >= 0.7" for name in curves]
    assert {ax.get_xlim() for ax in axes} == {ax.get_ylim() for ax in axes} == {(0, 1.01)}
    for ax, name in zip(axes, curves, strict=True):
        (curve,) = [line for line in ax.lines if line.get_label() == "direct"]
        assert list(curve.get_xdata()) == list(curves[name]["direct"].recall)
        (point,) = [line for line in ax.lines if line.get_marker() == "o"]
        assert list(point.get_xdata()) == [points[name]["direct"].recall]
    assert sum(ax.get_visible() for ax in axes[0].figure.axes) == num_labels


def test_one_legend_for_all():
    _, _, axes = drawing(3, title="a title")
    (legend,) = axes[0].figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["direct"]
    assert axes[0].figure.get_suptitle() == "a title"


def test_a_label_left_out_into_a_given_figure():
    curves, points, _ = drawing(2)
    figure = Figure()
    axes = plot_labels({**curves, "rare": {}}, points, figure=figure)
    assert [text.get_text() for text in axes[2].texts] == ["left out"]
    assert all(ax.figure is figure for ax in axes)


def test_rejects_no_label():
    with pytest.raises(InvalidInputError, match="curves must be given for at least one label"):
        plot_labels({}, {})
