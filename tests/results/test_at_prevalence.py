"""Results at another prevalence than that of their data."""

import numpy as np
import pytest
import torch

from metricopt import FPOR, OAP, OFBS, InvalidInputError, choose_threshold
from metricopt.evidence.evaluation import evaluate
from metricopt.problem.prevalence import weights_at
from metricopt.results.scores import DataScores, scores_at
from tests.results.made import result_of

ASKED = FPOR(0.5)


def drawn(num_rows, prevalence, seed=0, num_labels=1):
    random = np.random.default_rng(seed)
    labels = (random.random((num_rows, num_labels)) < prevalence).astype(np.float32)
    return (random.normal(size=labels.shape) + 2 * labels).astype(np.float32), labels


def report_of(scores, labels, objective, threshold, weight=None):
    names = ("a",)
    return evaluate(scores, labels, np.array([threshold]), objective, label_names=names, data="x", sample_weight=weight)


@pytest.mark.parametrize("objective", [FPOR(0.6), OFBS(1.0), OAP()], ids=str)
def test_a_result_at_another_prevalence_is_chosen_and_reported_by_weights(objective):
    scores, labels = drawn(800, 0.4)
    moved = result_of(scores, labels, objective).at_prevalence(0.05)
    weight = weights_at(0.05, labels)
    choice = choose_threshold(scores, labels, objective, sample_weight=weight)
    assert moved.threshold == choice.threshold[0] and moved.prevalence == 0.05
    assert moved.train.value == pytest.approx(choice.value[0])
    assert moved.train.precision == pytest.approx(
        report_of(scores, labels, objective, moved.threshold, weight)[0].precision
    )
    assert moved.threshold > result_of(scores, labels, objective).threshold
    assert moved.train.prevalence == moved.baseline_train.prevalence == 0.05
    assert "For       a prevalence of 0.05" in moved.summary() and "weighted to a prevalence of 0.05" in moved.summary()
    assert "prevalence" not in result_of(scores, labels, objective).summary()


def test_moves_do_not_pile_up_and_another_bound_keeps_the_prevalence():
    scores, labels = drawn(800, 0.4)
    result = result_of(scores, labels, ASKED)
    there, back = result.at_prevalence(0.05), result.at_prevalence(0.3).at_prevalence(0.05)
    assert back.threshold == there.threshold and back.train.precision == pytest.approx(there.train.precision)
    stricter = there.with_bound(0.8)
    assert stricter.prevalence == 0.05 and stricter.train.precision >= 0.8 and stricter.train.prevalence == 0.05
    again = result.with_bound(0.8).at_prevalence(0.05)
    assert again.threshold == stricter.threshold


def test_labels_by_name():
    scores, labels = drawn(800, 0.4, num_labels=2)
    moved = result_of(scores, labels, ASKED).at_prevalence({"b": 0.3, "a": 0.02})
    assert moved.prevalence == (0.02, 0.3) and [one.prevalence for one in moved.train] == [0.02, 0.3]
    assert moved.thresholds[0] > moved.thresholds[1]


def test_evaluation_takes_the_results_own_prevalence_another_or_the_datas():
    scores, labels = drawn(800, 0.4)
    moved = result_of(scores, labels, ASKED).at_prevalence(0.05)
    test = tuple(map(torch.from_numpy, drawn(1000, 0.4, seed=5)))
    own, other, raw = (
        moved.evaluate(test),
        moved.evaluate(test, prevalence=0.2),
        moved.evaluate(test, prevalence="observed"),
    )
    assert own.precision < other.precision < raw.precision and own.recall == pytest.approx(raw.recall)
    assert (own.prevalence, other.prevalence, raw.prevalence) == (0.05, 0.2, None)
    assert raw.precision == report_of(*(part.numpy() for part in test), ASKED, moved.threshold).precision
    # All data weigh as at .05; what that makes of a site depends on how many positives it has itself.
    sites = np.where(test[1][:, 0] == 1, np.where(np.arange(1000) < 500, "x", "y"), "y")
    parts = moved.evaluate(test, by=sites).subgroups
    assert parts["x"].prevalence == 1 and 0 < parts["y"].prevalence < 0.05
    with pytest.raises(InvalidInputError, match="prevalence must be in"):
        moved.evaluate(test, prevalence="clinic")


def test_a_stream_in_another_order_cannot_be_moved():
    scores, labels = drawn(50, 0.4)
    part = DataScores("train", scores, scores, labels, labels[::-1].copy())
    with pytest.raises(InvalidInputError, match="prevalence must be for data of one order"):
        scores_at(0.1, {"train": part})
    in_order = {"train": DataScores("train", scores, scores, labels, labels)}
    assert scores_at(0.1, in_order)["train"].sample_weight is not None
