"""The standard error of a metric is that of what it is a fraction of."""

import numpy as np
import pytest

from metricopt import FPOR, FROP, OAP, OFBS, RecallAtAlarmRate, RecallAtFPR
from metricopt.evidence.choice import ThresholdChoice
from metricopt.evidence.standard_error import standard_error
from metricopt.problem.ratios import Counts, LinearForm, Ratio


def labels_of(num_positives, num_negatives=1000):
    return np.repeat([[1.0], [0.0]], [num_positives, num_negatives], axis=0)


def choice_of(value, *, counts, bounded=None, feasible=True):
    bounded = None if bounded is None else np.array([bounded])
    return ThresholdChoice(np.zeros(1), np.array([value]), bounded, counts, np.array([feasible]))


# Each is judged by the ratio of two counts, of 100 positives and 5,000 negatives: 80 found among 4,000 alarms.
JUDGED = {
    "recall": (FPOR(0.01), True, 0.8, 100),
    "precision": (FROP(0.5), True, 0.02, 4000),
    "precision that misses its bound": (FPOR(0.9), False, 0.02, 4000),
    "recall that misses its bound": (FROP(0.9), False, 0.8, 100),
    "false-positive rate that misses its bound": (RecallAtFPR(0.1), False, 0.784, 5000),
    "alarm rate that misses its bound": (RecallAtAlarmRate(0.1), False, 4000 / 5100, 5100),
    "F2, a scale": (OFBS(2.0), True, 5 * 80 / (4000 + 4 * 100), (4000 + 4 * 100) / 5),
    "average precision, a scale": (OAP(), True, 0.3, 100),
}


@pytest.mark.parametrize("name", JUDGED)
@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.1, 1.7)])
def test_the_error_is_that_of_what_the_metric_is_a_fraction_of(name, weights):
    objective, feasible, value, size = JUDGED[name]
    of_positives, of_negatives = weights
    counts = Counts(*np.array([[80.0], [3920.0], [20.0], [1080.0]]))
    counts = Counts(
        counts.true_positives * of_positives,
        counts.false_positives * of_negatives,
        counts.false_negatives * of_positives,
        counts.true_negatives * of_negatives,
    )
    bounded = None if objective.bounded is None else value
    choice = choice_of(value, bounded=bounded, feasible=feasible, counts=counts)
    fraction = (value * size + 2) / (size + 4)
    expected = np.sqrt(fraction * (1 - fraction) / (size + 4))
    assert standard_error(choice, objective, labels_of(100, 5000)) == pytest.approx(expected, rel=1e-12)


def test_what_is_undefined_has_no_error():
    undefined = choice_of(0.0, bounded=np.nan, feasible=False, counts=Counts(*np.zeros((4, 1))))
    assert standard_error(undefined, FPOR(0.9), labels_of(50)) == 0


def test_a_metric_outside_0_and_1_has_no_error():
    class Gain(OFBS):
        maximised = Ratio("gain", LinearForm(tp=1.0, fp=-1.0), LinearForm(positives=1.0))

    counts = Counts(*np.array([[80.0], [3920.0], [20.0], [1080.0]]))
    assert standard_error(choice_of(-38.4, counts=counts), Gain(), labels_of(100, 5000)) == 0
