"""Pictures show the numbers that they were given, and leave matplotlib as they found it."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from metricopt import FPOR, FROP, OAP, OFBS, RecallAtFPR, choose_threshold, precision_recall_curve
from metricopt.evidence.bootstrap import precision_band
from metricopt.evidence.evaluation import evaluate
from metricopt.plots import plot_precision_recall

RANDOM = np.random.default_rng(0)
LABELS = (RANDOM.random(300) < 0.2).astype(float)
SCORES = {"direct": RANDOM.normal(2 * LABELS), "cross-entropy": RANDOM.normal(LABELS)}


def drawing(objective, ax=None):
    curves = {name: precision_recall_curve(scores, LABELS) for name, scores in SCORES.items()}
    points = {}
    for name, scores in SCORES.items():
        threshold = choose_threshold(scores, LABELS, objective).threshold
        columns = (scores[:, None], LABELS[:, None], np.array([threshold]))
        points[name] = evaluate(*columns, objective, label_names=["sick"], data="test")[0]
    return curves, points, plot_precision_recall(curves, points, ax=ax, title="a title")


def line_of(ax, label):
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return line


def test_curves_and_points_are_the_given_ones():
    curves, points, ax = drawing(FPOR(0.8))
    for name, curve in curves.items():
        line = line_of(ax, name)
        np.testing.assert_array_equal(line.get_xdata(), curve.recall)
        np.testing.assert_array_equal(line.get_ydata(), curve.precision)
        assert line.get_drawstyle() == "steps-post"
        marks = [mark for mark in ax.lines if mark.get_color() == line.get_color() and mark is not line]
        assert [(*mark.get_xdata(), *mark.get_ydata()) for mark in marks] == [
            (points[name].recall, points[name].precision)
        ]
        written = f"recall {points[name].recall:.3f}, precision {points[name].precision:.3f}"
        assert written in [text.get_text() for text in ax.get_legend().get_texts()]
    assert ax.get_title() == "a title"


def test_area_under_the_drawn_steps_is_average_precision():
    curves, points, ax = drawing(FPOR(0.8))
    for name in curves:
        line = line_of(ax, name)
        x, y = np.append(line.get_xdata(), 0.0), line.get_ydata()
        assert np.sum(-np.diff(x) * y) == pytest.approx(points[name].average_precision, abs=1e-12)


@pytest.mark.parametrize(
    ("objective", "label", "data", "shaded"),
    [
        (FPOR(0.8), "precision >= 0.8", ([0, 1], [0.8, 0.8]), (1, 0.8)),
        (FROP(0.7), "recall >= 0.7", ([0.7, 0.7], [0, 1]), (0.7, 1)),
    ],
)
def test_bound_is_a_line_with_the_infeasible_side_shaded(objective, label, data, shaded):
    _, _, ax = drawing(objective)
    line = line_of(ax, label)
    assert (list(line.get_xdata()), list(line.get_ydata())) == data
    (patch,) = ax.patches
    assert (patch.get_x(), patch.get_y()) == (0, 0)
    assert (patch.get_width(), patch.get_height()) == pytest.approx(shaded)


def test_bound_on_another_metric_has_no_line():
    _, _, ax = drawing(RecallAtFPR(0.1))
    assert len(ax.patches) == 0
    assert len(ax.lines) == 4  # two curves, two points


@pytest.mark.parametrize(("objective", "beta"), [(OFBS(0.5), 0.5), (OFBS(1), 1), (OFBS(2), 2), (OAP(), 1)])
def test_lines_of_equal_f_beta(objective, beta):
    _, _, ax = drawing(objective)
    assert len(ax.patches) == 0
    iso = ax.lines[4:]
    assert len(iso) == 4
    for line, level in zip(iso, (0.2, 0.4, 0.6, 0.8), strict=True):
        recall, precision = line.get_data()
        assert precision[0] >= 1 and recall[-1] == 1  # from edge to edge of the plane
        f_beta = (1 + beta**2) * precision * recall / (beta**2 * precision + recall)
        np.testing.assert_allclose(f_beta, level)


def test_told_apart_without_colour():
    curves, _, ax = drawing(FPOR(0.8))
    assert len({line_of(ax, name).get_linestyle() for name in curves}) == len(curves)
    points = [line for line in ax.lines if line.get_marker() not in ("None", "")]
    assert len({point.get_marker() for point in points}) == len(points) == 2


def test_legend_is_outside_of_the_axes():
    _, _, ax = drawing(FPOR(0.8))
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().y1 < ax.get_window_extent().y0
    assert ax.get_xlim() == ax.get_ylim() == (0, 1.01)


def test_given_axes_are_drawn_into():
    ax = Figure().subplots()
    assert drawing(FPOR(0.8), ax)[2] is ax
    assert len(ax.lines) == 5


def test_band_is_the_given_one():
    curves, points, plain = drawing(FPOR(0.8))
    assert len(plain.collections) == 0
    band = precision_band(SCORES["direct"], LABELS)
    ax = plot_precision_recall(curves, points, bands={"direct": band})
    (filled,) = ax.collections
    corners = filled.get_paths()[0].vertices
    for recall, low, high in zip(band.recall, band.low, band.high, strict=True):
        heights = corners[corners[:, 0] == recall, 1]
        assert low in heights and high in heights
    assert "direct: 95% band (bootstrap)" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_no_alarm_has_no_mark():
    curve = precision_recall_curve(SCORES["direct"], LABELS)
    columns = (SCORES["direct"][:, None], LABELS[:, None], np.array([np.inf]))
    point = evaluate(*columns, FPOR(0.8), label_names=["sick"], data="test")[0]
    ax = plot_precision_recall({"direct": curve}, {"direct": point})
    assert [line.get_label() for line in ax.lines] == ["direct", "precision >= 0.8"]


@pytest.mark.slow
def test_pyplot_is_left_alone(tmp_path):
    code = f"""
import sys
from metricopt import precision_recall_curve
from metricopt.plots import plot_precision_recall
assert "matplotlib" not in sys.modules
ax = plot_precision_recall({{"a": precision_recall_curve([.1, .2, .3], [0, 1, 1])}}, {{}})
ax.figure.savefig({str(tmp_path / "curve.png")!r})
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
