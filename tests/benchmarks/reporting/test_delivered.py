"""What a threshold delivers, recomputed row by row from the counts."""

import math

import numpy as np
import pandas as pd
import pytest

from benchmarks.reporting import delivered

BOUND = 0.8


def trials(bounded, number=400, seed=0):
    """Rows with few positives and alarms, so that silence, full recall and bounds met exactly all occur."""
    random = np.random.default_rng(seed)
    positives = random.integers(1, 12, number)
    tp = random.binomial(positives, random.random(number))
    fp = random.integers(0, 6, number) * (random.random(number) < 0.7)
    recall = tp / positives
    with np.errstate(invalid="ignore"):
        precision = np.where(tp + fp > 0, tp / (tp + fp), np.nan)
    value = recall if bounded == "precision" else precision
    return pd.DataFrame(
        {
            "dataset": random.choice(["a", "b"], number),
            "method": random.choice(["x", "y"], number),
            "split": np.arange(number),
            "bounded": bounded,
            "bound": BOUND,
            "test_tp": tp,
            "test_fp": fp,
            "test_fn": positives - tp,
            "test_tn": 90 - fp,
            "test_value": value,
        }
    )


def ratio(one, other):
    return one / other if other else math.nan


@pytest.mark.parametrize("bounded", ["precision", "recall"])
def test_row_by_row(bounded):
    frame = trials(bounded)
    found = pd.DataFrame(
        {
            "raised": delivered.alarms_raised(frame),
            "met": delivered.met_on_test(frame),
            "met_given_raised": delivered.met_given_raised(frame),
            "delivered": delivered.delivered(frame),
            "net": delivered.net_value(frame),
            "shortfall": delivered.shortfall(frame),
        }
    )
    silent = 0
    for (_, row), got in zip(frame.iterrows(), found.to_dict("records"), strict=True):
        tp, fp, positives = row["test_tp"], row["test_fp"], row["test_tp"] + row["test_fn"]
        precision, recall = ratio(tp, tp + fp), tp / positives
        reached, value = (precision, recall) if bounded == "precision" else (recall, precision)
        met = reached >= BOUND
        silent += tp + fp == 0
        assert got["raised"] == (tp + fp > 0) and got["met"] == met
        assert got["delivered"] == (value if met else 0.0)
        if bounded == "precision":
            assert math.isnan(got["met_given_raised"]) if tp + fp == 0 else got["met_given_raised"] == met
            assert got["net"] == pytest.approx((tp - 4 * fp) / positives)
            assert got["shortfall"] == pytest.approx(0 if tp + fp == 0 else max(0, BOUND - precision))
        else:
            assert got["met_given_raised"] == met
            missing = max(0.0, BOUND * positives - tp) / (0.2 * positives)
            assert got["net"] == pytest.approx((0.0 if tp + fp == 0 else precision) - missing)
            assert got["shortfall"] == pytest.approx(max(0, BOUND - recall))
    assert silent > 10


def test_net_value_is_0_for_silence_and_for_a_bound_met_with_nothing_to_spare_and_negative_below_it():
    rows = trials("precision")
    net, met, raised = delivered.net_value(rows), delivered.met_on_test(rows), delivered.alarms_raised(rows)
    assert (net[raised == 0] == 0).all()
    assert (net[(raised == 1) & (met == 0)] < 0).all() and (net[met == 1] >= -1e-12).all()


def test_flagging_everything_earns_the_prevalence_where_recall_is_bounded_and_silence_loses_most():
    rows = trials("recall")
    positives = rows["test_tp"] + rows["test_fn"]
    everything = rows.assign(test_tp=positives, test_fp=90, test_fn=0, test_tn=0)
    assert delivered.net_value(everything).to_numpy() == pytest.approx(positives / (positives + 90))
    silence = rows.assign(test_tp=0, test_fp=0, test_fn=positives, test_tn=90)
    assert delivered.net_value(silence).to_numpy() == pytest.approx(-4.0)
    assert (delivered.net_value(rows) >= -4.0 - 1e-9).all()


@pytest.mark.parametrize("bounded", ["precision", "recall"])
def test_pooled_counts(bounded):
    frame = trials(bounded)
    pooled = delivered.pooled(frame)
    for (dataset, method), got in pooled.iterrows():
        own = frame[(frame["dataset"] == dataset) & (frame["method"] == method)]
        denominator = own["test_tp"] + (own["test_fp"] if bounded == "precision" else own["test_fn"])
        assert got["bounded"] == pytest.approx(own["test_tp"].sum() / denominator.sum())
        assert got["met"] == (got["bounded"] >= BOUND)
    silence = frame.assign(test_tp=0, test_fp=0, test_fn=5)
    of_silence = delivered.pooled(silence)["met"]
    assert of_silence.isna().all() if bounded == "precision" else (of_silence == 0).all()


def test_without_a_bound_the_value_is_delivered():
    frame = trials("precision").assign(bounded="", bound=np.nan)
    assert delivered.delivered(frame).equals(frame["test_value"].astype(float))
    for of in (delivered.met_on_test, delivered.met_given_raised, delivered.net_value, delivered.shortfall):
        assert of(frame).isna().all()
    undefined = frame.assign(test_value=np.nan)
    assert (delivered.delivered(undefined) == 0).all()
