"""Pictures show the numbers that they were given, and no text lies on another."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from benchmarks.reporting import pictures, statistics
from benchmarks.reporting.statistics import Interval
from tests.benchmarks.synthetic import FAMILIES, rows

NAMES = [*FAMILIES, "TunedThresholdClassifierCV (boosting)", "random over-sampling"]


def ranking(num_methods, num_datasets=14, seed=0):
    random = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product([range(num_datasets), [0]], names=["dataset", "split"])
    means = np.linspace(0.5, 0.6, num_methods)
    return statistics.rank_methods(
        pd.DataFrame(means + random.normal(0, 0.05, (num_datasets, num_methods)), index, NAMES[:num_methods])
    )


def overlaps(figure):
    """Pairs of texts that lie on each other, and texts that leave the picture."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    hidden = set()  # labels of ticks outside of the axes exist, but are not drawn
    for axis in [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]:
        low, high = sorted(axis.get_view_interval())
        at = zip(axis.get_major_ticks(), axis.get_majorticklocs(), strict=False)
        hidden |= {tick.label1 for tick, place in at if not low <= place <= high or not axis.axes.get_visible()}
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text() and text not in hidden]
    # That of Text, for an annotation's own holds its line to the point, too.
    boxes = [(text.get_text(), Text.get_window_extent(text, canvas.get_renderer())) for text in texts]
    boxes = [(text, box) for text, box in boxes if box.width > 0]
    page = figure.bbox.padded(1)
    faults = [(one, other) for (one, a), (other, b) in itertools.combinations(boxes, 2) if a.padded(-1).overlaps(b)]
    inside = [page.x0 <= box.x0 and page.y0 <= box.y0 and box.x1 <= page.x1 and box.y1 <= page.y1 for _, box in boxes]
    return faults + [text for (text, _), fits in zip(boxes, inside, strict=True) if not fits]


def points(num_methods, seed=0):
    random = np.random.default_rng(seed)
    families = [FAMILIES.get(name, "peer") for name in NAMES[:num_methods]]
    values = {"shortfall": random.uniform(0, 0.03, num_methods), "objective": random.uniform(0.5, 0.55, num_methods)}
    return pd.DataFrame({**values, "family": families}, NAMES[:num_methods])


@pytest.mark.parametrize("num_methods", [2, 3, 7, 12])
def test_mean_ranks_are_where_they_are_said_to_be(num_methods):
    one, other = ranking(num_methods), ranking(num_methods, 3, seed=1)
    figure = pictures.critical_differences({"scores": one, "deployed": other}, FAMILIES, "linear, FPOR .8")
    assert overlaps(figure) == []
    for axes, drawn in zip(figure.axes, (one, other), strict=True):
        stems = sorted(line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 3)
        assert stems == pytest.approx(list(drawn.mean_ranks))
        bars = [line for line in axes.lines if line.get_linewidth() == 3.5]
        ends = [drawn.mean_ranks[method] for clique in drawn.cliques for method in (clique[0], clique[-1])]
        assert [end for bar in bars for end in bar.get_xdata() + np.array([0.04, -0.04])] == pytest.approx(ends)
        (bold,) = [text for text in axes.texts if text.get_fontweight() == "bold" and "profiled" in text.get_text()]
        assert f"{drawn.mean_ranks['profiled']:.2f}" in bold.get_text()


@pytest.mark.parametrize("num_methods", [2, 5, 12])
def test_pareto_names_every_method(num_methods):
    at = points(num_methods)
    figure = pictures.pareto(at, "shortfall of precision", "recall", "linear, FPOR .8")
    assert overlaps(figure) == []
    (axes,) = figure.axes
    assert {text.get_text() for text in axes.texts} == set(at.index)
    bold = {text.get_text() for text in axes.texts if text.get_fontweight() == "bold"}
    assert bold == set(pictures.undominated(at))
    drawn = {
        (x, y) for line in axes.lines if line.get_marker() != "None" for x, y in zip(*line.get_data(), strict=True)
    }
    assert drawn == set(zip(at["shortfall"], at["objective"], strict=True))


def test_far_method_is_named_with_its_values_instead():
    at = points(8)
    at.loc["SMOTE", ["shortfall", "objective"]] = (0.3, 0.99)
    figure = pictures.pareto(at, "shortfall", "recall", "title")
    assert overlaps(figure) == []
    (axes,) = figure.axes
    assert "outside of the picture: SMOTE (0.300, 0.990)" in axes.get_xlabel()
    assert axes.get_xlim()[1] < 0.05 and "SMOTE" not in {text.get_text() for text in axes.texts}
    assert "outside" not in pictures.pareto(points(8), "shortfall", "recall", "title").axes[0].get_xlabel()


def test_many_far_methods_stay_on_the_page():
    at = points(12)
    at.loc[["SMOTE", "profiled"], "objective"] = 0.99
    at.loc["TunedThresholdClassifierCV (boosting)", "shortfall"] = 0.7
    figure = pictures.pareto(at, "shortfall", "recall", "title")
    assert overlaps(figure) == []
    assert figure.axes[0].get_xlabel().count("(") == 4 and "\n" in figure.axes[0].get_xlabel()


def test_equal_points_are_drawn():
    at = points(6).assign(shortfall=0.0, objective=0.5)
    figure = pictures.pareto(at, "shortfall", "recall", "title")
    assert overlaps(figure) == [] and len(figure.axes[0].texts) == 6
    assert pictures.undominated(at) == list(at.index)


@pytest.mark.parametrize("num_panels", [1, 3, 7])
def test_differences_say_their_verdict_without_colour(num_panels):
    panel = {
        "far ahead": Interval(0.05, 0.01, 0.09),
        "CheXpert: Enlarged Cardiomediastinum": Interval(-0.05, -0.09, -0.01),
        "unclear": Interval(0.01, -0.02, 0.04),
        "one split": Interval(0.02, float("nan"), float("nan")),
        "all sets": Interval(0.01, -0.03, 0.05),
    }
    panels = {f"objective {number}": panel for number in range(num_panels)}
    figure = pictures.differences(panels, "linear: profiled minus cross-entropy")
    assert overlaps(figure) == []
    axes = figure.axes[0]
    marks = [line for line in axes.lines if line.get_marker() != "None" and len(line.get_xdata()) == 1]
    assert [line.get_xdata()[0] for line in marks] == [interval.mean for interval in panel.values()]
    assert [line.get_marker() for line in marks] == ["o", "s", "D", "D", "D"]


def test_real_report_has_no_overlaps():
    frame = rows(models=("linear",), objectives=("FPOR .8",))
    values = statistics.complete(statistics.by_split(frame, frame["test_curve_value"]))
    figure = pictures.critical_differences({"scores": statistics.rank_methods(values)}, FAMILIES, "linear")
    assert overlaps(figure) == []
