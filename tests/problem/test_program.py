import json
import pickle

import pytest

from metricopt import FPOR, FROP, MetricBound, Program, RecallAtFPR
from metricopt._validation import InvalidInputError
from metricopt.problem.catalogue import METRICS
from metricopt.problem.ratios import PRECISION, RECALL, Counts, LinearForm, Ratio
from metricopt.problem.registry import get_objective, objective_from_dict, objective_to_dict

WHOLE = Program(
    "recall",
    ["precision >= 0.8", "false_positive_rate <= 0.05", "recall >= 0.85 in every site"],
    threshold_per="site",
)
OWN = Ratio("odds", LinearForm(tp=1.0), LinearForm(fp=1.0), high=float("inf"))
PROGRAMS = [
    WHOLE,
    Program("f1"),
    Program(minimize="expected_cost(1, 10)", subject_to="nne <= 5"),
    Program("net_benefit(0.1)", ["youdens_j >= -0.5"]),
    Program("f1", ['recall >= 0.5 in every "age band"'], threshold_per="my site"),
    Program(OWN, [MetricBound(OWN, ">=", 2.0, within="age band")]),
]


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_programs_are_written_down_and_read_back(program):
    assert objective_from_dict(json.loads(json.dumps(objective_to_dict(program), allow_nan=False))) == program
    assert pickle.loads(pickle.dumps(program)) == program and hash(program) == hash(pickle.loads(pickle.dumps(program)))


@pytest.mark.parametrize("program", PROGRAMS[:-1], ids=str)
def test_the_sentence_of_a_program_is_that_program(program):
    assert get_objective(str(program)) == program
    assert eval(repr(program)) == program


@pytest.mark.parametrize(
    ("sentence", "bound"),
    [
        ("precision >= 0.8", MetricBound(PRECISION, ">=", 0.8)),
        ("precision>=.8", MetricBound(PRECISION, ">=", 0.8)),
        ("PPV of at least 80 %", MetricBound(PRECISION, ">=", 0.8)),
        ("false positive rate at most 5%", MetricBound("fpr", "<=", 0.05)),
        ("recall ≥ 8e-1 in each site", MetricBound("recall", ">=", 0.8, "site")),
        ("recall >= 0.8 per 'age band'", MetricBound(RECALL, ">=", 0.8, "age band")),
        ("expected_cost(false_positive = 1, false_negative=3) <= 0.5", MetricBound("expected_cost(1, 3)", "<=", 0.5)),
    ],
)
def test_sentences_of_a_bound(sentence, bound):
    assert Program("f1", [sentence]).bounds == (bound,)


@pytest.mark.parametrize(
    ("sentence", "why", "place", "length"),
    [
        ("precison >= 0.8", "did you mean 'precision'?", 0, 8),
        ("precision > 0.8", "a bound is >= or <=", 10, 1),
        ("precision 0.8", "followed by >= or <=", 10, 1),
        ("precision >= ", "number of the bound is missing", 13, 1),
        ("precision >= 80", "in (0, 1], got 80", 13, 2),
        ("precision >= 0", "in (0, 1], got 0", 13, 1),
        ("alarm_rate <= 1", "in [0, 1), got 1", 14, 1),
        ("youdens_j >= -2", "in (-1, 1]", 13, 2),
        ("nne <= 0.5", "in [1, inf)", 7, 3),
        ("recall >= 0.8 in every", "column of subgroups is missing", 22, 1),
        ("recall >= 0.8 for site", "ended before this", 14, 3),
        ("net_benefit >= 0.1", "takes numbers", 0, 11),
        ("net_benefit(0.1 >= 0.1", "bracket is not closed", 16, 1),
        ("net_benefit(x) >= 0.1", "a number is missing", 12, 1),
        ("", "name of a metric is missing", 0, 1),
    ],
)
def test_a_caret_points_at_the_fault(sentence, why, place, length):
    with pytest.raises(InvalidInputError) as raised:
        Program("f1", [sentence])
    said, text, caret = str(raised.value).split("\n")
    assert why in said
    assert text == f"  {sentence}"
    assert caret[2 + place : 2 + place + length] == "^" * length and caret.count("^") >= length


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "neither"),
        ({"maximize": "recall", "minimize": "alarm_rate"}, "both"),
        ({"maximize": "alarm_rate"}, "minimize='alarm_rate'"),
        ({"minimize": "recall"}, "maximize='recall'"),
        ({"maximize": 3}, "a Ratio"),
        ({"maximize": "recall", "subject_to": [3]}, "a MetricBound"),
        ({"maximize": "recall", "subject_to": [MetricBound("recall", ">=", 1.5)]}, "in (0, 1]"),
        ({"maximize": "recall", "subject_to": ["precision >= 0.8", "PPV <= 0.7"]}, "hold together"),
        ({"maximize": "recall", "subject_to": ["precision >= 0.8", "PPV <= 0.7 in every site"]}, "hold together"),
        ({"maximize": "recall", "subject_to": ["precision >= 0.8", "PPV >= 0.7"]}, "stricter"),
        ({"maximize": "recall", "subject_to": ["specificity >= 0.9", "fpr >= 0.5"]}, "hold together"),
        ({"maximize": "recall", "subject_to": ["nne >= 2", "precision >= 0.6 in every site"]}, "hold together"),
        ({"maximize": "recall", "subject_to": None}, "a list of bounds"),
        ({"maximize": "recall", "threshold_per": 3}, "name of a column"),
    ],
)
def test_bad_programs_are_rejected(arguments, said):
    with pytest.raises(InvalidInputError) as raised:
        Program(**arguments)
    assert said in str(raised.value)


def test_bounds_that_can_hold_together_are_accepted():
    between = Program("recall", ["precision >= 0.7", "precision <= 0.7", "precision >= 0.6 in every site"])
    assert len(between.bounds) == 3
    Program("f1", ["balanced_accuracy >= 0.8", "balanced_accuracy <= 0.7 in every site"])  # no mean of its parts
    Program("recall", ["specificity >= 0.9", "fpr >= 0.05", "nne >= 2", "precision >= 0.5 in every site"])
    Program("recall", ["recall >= 0.9", "specificity >= 0.9", "alarm_rate <= 0.01"])  # as rare as the finding may be


@pytest.mark.parametrize(
    ("name", "program"),
    [
        (FPOR(0.8), Program("recall", ["precision >= 0.8"])),
        (FROP(0.8), Program("precision", ["recall >= 0.8"])),
        (RecallAtFPR(0.1), Program("recall", ["fpr <= 0.1"])),
    ],
)
def test_objectives_are_names_for_programs(name, program):
    assert str(name) == str(program) and name.bounds == program.bounds
    counts = Counts(8.0, 1.0, 2.0, 20.0)
    assert name.feasible(counts) == program.feasible(counts)
    assert name.class_weights(0.3, 0.5) == program.class_weights(0.3, 0.5)
    assert program.with_bound(0.5).bounds == name.with_bound(0.5).bounds


def test_every_metric_can_be_maximised_or_minimised():
    for name, entry in METRICS.items():
        if isinstance(entry, Ratio):
            lower = name in ("false_positive_rate", "alarm_rate", "number_needed_to_evaluate")
            assert Program(**{"minimize" if lower else "maximize": name}).maximised.name.endswith(name)
