import numpy as np
import pandas as pd
import pytest

import metricopt
from metricopt import InvalidInputError, Program
from metricopt.evidence.decision_curve import DecisionCurve
from metricopt.plots import plot_decision_curve, plot_subgroups

RANDOM = np.random.default_rng(0)
PROBABILITIES = np.round(RANDOM.random(700) ** 2, 2)  # many of them on the grid of thresholds
LABELS = (RANDOM.random(700) < PROBABILITIES).astype(float)
AT = np.arange(1, 100) / 100


def by_hand(at, weight=None):
    weight = np.ones(700) if weight is None else weight
    alarms = at <= PROBABILITIES
    right, wrong = (weight * alarms * LABELS).sum(), (weight * alarms * (1 - LABELS)).sum()
    return (right - wrong * at / (1 - at)) / weight.sum()


@pytest.mark.parametrize("weight", [None, RANDOM.random(700) + 0.1])
def test_net_benefit_is_that_of_the_formula_and_of_the_metric(weight):
    curve = DecisionCurve.of(PROBABILITIES, LABELS, sample_weight=weight)
    np.testing.assert_allclose(curve.net_benefit, [by_hand(at, weight) for at in AT], atol=1e-12)
    rate = np.average(LABELS, weights=weight)
    np.testing.assert_allclose(curve.of_all, rate - (1 - rate) * AT / (1 - AT), atol=1e-12)
    named = metricopt.measure("net_benefit(0.3)", PROBABILITIES, LABELS, 0.3, weight)
    assert curve.net_benefit[29] == pytest.approx(float(named), abs=1e-12)


def test_net_benefit_is_that_of_dcurves():
    dcurves = pytest.importorskip("dcurves")
    frame = pd.DataFrame({"sick": LABELS, "ours": PROBABILITIES})
    found = dcurves.dca(data=frame, outcome="sick", modelnames=["ours"], thresholds=AT)
    theirs = found[found["model"] == "ours"].set_index("threshold")["net_benefit"].to_numpy()
    of_all = found[found["model"] == "all"].set_index("threshold")["net_benefit"].to_numpy()
    curve = DecisionCurve.of(PROBABILITIES, LABELS, AT)
    np.testing.assert_allclose(curve.net_benefit, theirs, atol=1e-9)
    np.testing.assert_allclose(curve.of_all, of_all, atol=1e-9)


def test_rows_without_a_label_count_nowhere():
    missing = np.where(np.arange(700) < 100, np.nan, LABELS)
    some, alone = DecisionCurve.of(PROBABILITIES, missing), DecisionCurve.of(PROBABILITIES[100:], LABELS[100:])
    np.testing.assert_array_equal(some.net_benefit, alone.net_benefit)


def test_picture_shows_models_beside_all_and_none():
    ax = plot_decision_curve({"ours": PROBABILITIES, "other": np.full(700, 0.3)}, LABELS, title="a title")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ours", "other", "flag every row", "flag none"]
    drawn = ax.lines[0]
    curve = DecisionCurve.of(PROBABILITIES, LABELS)
    np.testing.assert_array_equal(drawn.get_ydata(), curve.net_benefit[: len(drawn.get_ydata())])
    assert ax.get_title() == "a title"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([1.5, 0.2], [1, 0]), "in [0, 1]"),
        (([0.5, 0.2], [np.nan, np.nan]), "of at least one sample"),
        (([[0.5], [0.2]], [[1], [0]]), "of shape (n,)"),
        (({}, [1, 0]), "of one model at least"),
    ],
)
def test_bad_input(arguments, said):
    with pytest.raises(InvalidInputError) as raised:
        plot_decision_curve(*arguments)
    assert said in str(raised.value)
    with pytest.raises(InvalidInputError, match="threshold_probabilities"):
        plot_decision_curve([0.5, 0.2], [1, 0], threshold_probabilities=[0.5, 1.0])


def test_forest_plot_has_a_line_for_each_bound_and_subgroup():
    sites = np.array(list("AB"))[np.arange(700) % 2]
    program = Program("recall", ["precision >= 0.5", "recall >= 0.99 in every site"])
    result = metricopt.from_scores(PROBABILITIES, LABELS, program, subgroups=sites, confidence=None)
    report = result.train
    ax = plot_subgroups(report)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["recall in site=B", "recall in site=A", "precision"]
    points = [line.get_xdata()[0] for line in ax.lines]
    assert points == [each.value for each in reversed(report.bounds)]
    with pytest.raises(InvalidInputError, match="bounds of a program"):
        plot_subgroups(metricopt.from_scores(PROBABILITIES, LABELS, "FPOR", alpha=0.5).train)
