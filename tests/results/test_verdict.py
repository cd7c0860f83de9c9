"""What new rows say of a bound, in a word and in a sentence."""

import numpy as np
import pytest

from metricopt import FPOR, FROP, OFBS, RecallAtFPR
from metricopt.evidence.evaluation import evaluate
from metricopt.results.verdict import Verdict, headline, verdict_of


def report_of(right, wrong, missed, objective, rest=1000, threshold=0.5, **weights):
    scores = np.repeat([1.0, 1.0, 0.0, 0.0], [right, wrong, missed, rest])[:, None]
    labels = np.repeat([1.0, 0.0, 1.0, 0.0], [right, wrong, missed, rest])[:, None]
    given = {"label_names": ["sick"], "data": "test", **weights}
    return evaluate(scores, labels, np.array([threshold]), objective, **given)[0]


@pytest.mark.parametrize(
    ("counts", "objective", "verdict", "said"),
    [
        ((90, 10, 5), FPOR(0.9), Verdict.MET, "Precision 0.900 (0.824-0.951), asked >= 0.9: the bound holds there."),
        ((85, 15, 5), FPOR(0.9), Verdict.NEAR, "the bound fails there, by no more than chance may explain."),
        ((70, 30, 5), FPOR(0.9), Verdict.MISSED, "the bound fails there, by more than chance explains."),
        (
            (0, 0, 5),
            FPOR(0.9),
            Verdict.UNDEFINED,
            "no alarm is raised, and 0 of 5 positives are found.",
        ),
        ((50, 10, 50), FROP(0.9), Verdict.MISSED, "Recall 0.500 (0.398-0.602), asked >= 0.9: the bound fails"),
        ((50, 500, 50), RecallAtFPR(0.1), Verdict.MISSED, "False positive rate 0.333 (0.309-0.358), asked <= 0.1"),
        ((50, 5, 50), RecallAtFPR(0.1), Verdict.MET, "asked <= 0.1: the bound holds there."),
        (
            (50, 5, 50),
            OFBS(1.0),
            None,
            "50 of 55 alarms are right, and 50 of 100 positives are found.",
        ),
    ],
)
def test_verdict_follows_from_the_interval(counts, objective, verdict, said):
    report = report_of(*counts, objective)
    assert verdict_of(report, objective.bound_direction) is verdict
    assert said in headline(report, "test", objective.bound_direction)


def test_a_miss_without_an_interval_is_not_said_to_be_beyond_chance():
    weight = np.linspace(0.5, 2, 1105)[:, None]
    report = report_of(50, 50, 5, FPOR(0.9), sample_weight=weight)
    assert not report.intervals and verdict_of(report, "min") is Verdict.NEAR


def test_a_label_without_a_threshold_has_no_verdict():
    assert verdict_of(report_of(50, 5, 50, FPOR(0.9), threshold=np.nan), "min") is None
