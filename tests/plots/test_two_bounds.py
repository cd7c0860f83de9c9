"""The map of two bounds, against the choice of a threshold at single pairs of bounds."""

import numpy as np
import pytest

from metricopt import InvalidInputError, Program, choose_threshold
from metricopt.evidence.two_bounds import NUM_VALUES, TwoBounds
from metricopt.plots import plot_two_bounds


def rows(seed, num_rows=60, decimals=1):
    random = np.random.default_rng(seed)
    labels = (random.random(num_rows) < 0.4).astype(float)
    return np.round(random.normal(size=num_rows) + 1.5 * labels, decimals), labels


PROGRAMS = [
    Program("recall", ["precision >= 0.7", "false_positive_rate <= 0.1"]),
    Program("precision", ["recall >= 0.5", "negative_predictive_value >= 0.8"]),
    Program(minimize="expected_cost(1, 3)", subject_to=["alarm_rate <= 0.5", "recall >= 0.6"]),
]


@pytest.mark.parametrize("confidence", [None, 0.8])
@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_each_pair_has_the_value_of_the_best_threshold_there(program, confidence):
    scores, labels = rows(seed=3, num_rows=60 if confidence is None else 150)
    found = TwoBounds.of(scores, labels, program, confidence=confidence)
    first, second = program.bounds
    random, num_feasible = np.random.default_rng(0), 0
    for row, column in random.integers(0, NUM_VALUES, (40, 2)):
        pair = [found.first[column], found.second[row]]
        ends = [(bound.metric.low, bound.metric.high) for bound in (first, second)]
        if any(not low < number < high for number, (low, high) in zip(pair, ends, strict=True)):
            continue  # a program takes no such bound
        asked = [
            f"{bound.metric.name} {bound.relation} {float(n)!r}" for bound, n in zip((first, second), pair, strict=True)
        ]
        choice = choose_threshold(scores, labels, Program(program.maximised, asked), confidence=confidence)
        by_rows = choice.feasible and not any(each.by_definition for each in choice.program.bounds)
        if confidence is None or by_rows:
            expected = float(choice.value) if choice.feasible else np.nan
            assert found.value[row, column] == pytest.approx(expected, nan_ok=True)
            num_feasible += bool(choice.feasible)
    assert num_feasible >= 5


def test_tighter_bounds_are_never_better_and_the_mark_is_what_the_program_reaches():
    scores, labels = rows(seed=1, num_rows=400, decimals=3)
    program = PROGRAMS[0]
    found = TwoBounds.of(scores, labels, program)
    value = np.where(np.isnan(found.value), -1, found.value)
    assert (np.diff(value, axis=1) <= 0).all() and (np.diff(value, axis=0) >= 0).all()
    assert found.asked == float(choose_threshold(scores, labels, program).value)


def test_the_picture_says_what_is_asked_and_where_nothing_can_be_had():
    scores, labels = rows(seed=2, num_rows=300, decimals=3)
    ax = plot_two_bounds(scores, labels, PROGRAMS[2], title="sick")
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts[0] == "no threshold meets both"
    assert texts[1].startswith("asked: 0.5 and 0.6, expected cost(1, 3) 0.")
    assert ax.get_title() == "sick" and ax.figure.axes[1].get_ylabel() == "least expected cost(1, 3)"
    best = plot_two_bounds(scores, labels, PROGRAMS[0])
    assert best.figure.axes[1].get_ylabel() == "best recall" and len(best.get_legend().get_texts()) == 1
    out_of_reach = Program("recall", ["precision >= 0.999", "recall >= 0.999"])
    texts = [text.get_text() for text in plot_two_bounds(scores, labels, out_of_reach).get_legend().get_texts()]
    assert texts[-1] == "asked: 0.999 and 0.999, not met together"
    few = plot_two_bounds(scores[:20], labels[:20], PROGRAMS[0], confidence=0.99)
    assert "not met together" in few.get_legend().get_texts()[-1].get_text()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"program": Program("recall", ["precision >= 0.8"])}, "a Program with two bounds over all rows"),
        ({"program": Program("recall", ["precision >= 0.8", "recall >= 0.5 in every site"])}, "over all rows"),
        ({"program": "FPOR"}, "a Program with two bounds"),
        ({"labels": np.zeros(60)}, "both classes"),
        ({"scores": np.zeros((60, 1)), "labels": np.zeros((60, 1))}, "one label at a time"),
        ({"confidence": 90}, r"in \(0, 1\)"),
    ],
)
def test_bad_input(change, why):
    scores, labels = rows(seed=4)
    given = {"scores": scores, "labels": labels, "program": PROGRAMS[0], **change}
    with pytest.raises(InvalidInputError, match=why):
        plot_two_bounds(**given)
