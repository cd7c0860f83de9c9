import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn

from metricopt._validation import InvalidInputError
from metricopt.problem.catalogue import METRICS, SYNONYMS, metric_of, negated
from metricopt.problem.metrics import measure
from metricopt.problem.ratios import Counts, Ratio

FORMULAS = {
    "recall": lambda y, z, w: sklearn.recall_score(y, z, sample_weight=w),
    "precision": lambda y, z, w: sklearn.precision_score(y, z, sample_weight=w),
    "specificity": lambda y, z, w: sklearn.recall_score(y, z, pos_label=0, sample_weight=w),
    "false_positive_rate": lambda y, z, w: 1 - sklearn.recall_score(y, z, pos_label=0, sample_weight=w),
    "alarm_rate": lambda y, z, w: np.average(z, weights=w),
    "negative_predictive_value": lambda y, z, w: sklearn.precision_score(y, z, pos_label=0, sample_weight=w),
    "accuracy": lambda y, z, w: sklearn.accuracy_score(y, z, sample_weight=w),
    "balanced_accuracy": lambda y, z, w: sklearn.balanced_accuracy_score(y, z, sample_weight=w),
    "youdens_j": lambda y, z, w: sklearn.balanced_accuracy_score(y, z, sample_weight=w, adjusted=True),
    "jaccard": lambda y, z, w: sklearn.jaccard_score(y, z, sample_weight=w),
    "number_needed_to_evaluate": lambda y, z, w: 1 / sklearn.precision_score(y, z, sample_weight=w),
    "f1": lambda y, z, w: sklearn.f1_score(y, z, sample_weight=w),
    "f2": lambda y, z, w: sklearn.fbeta_score(y, z, beta=2, sample_weight=w),
    "f_beta(0.5)": lambda y, z, w: sklearn.fbeta_score(y, z, beta=0.5, sample_weight=w),
    "net_benefit(0.2)": lambda y, z, w: np.average(y * z - (1 - y) * z * 0.2 / 0.8, weights=w),
    "expected_cost(2, 7)": lambda y, z, w: np.average(2 * (1 - y) * z + 7 * y * (1 - z), weights=w),
}


def test_every_metric_has_a_formula_to_be_tested_against():
    assert {name.partition("(")[0] for name in FORMULAS} == METRICS.keys()
    assert set(SYNONYMS.values()) <= METRICS.keys()


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_metrics_are_those_of_scikit_learn_or_of_the_formula(name, weighted, kind):
    rng = np.random.default_rng(len(name))
    for _ in range(20):
        scores, labels = rng.normal(size=60), (rng.random(60) < 0.4).astype(float)
        weight = rng.random(60) + 0.1 if weighted else None
        alarms = (scores >= 0.1).astype(float)
        found = measure(name, kind(scores), kind(labels), 0.1, None if weight is None else kind(weight))
        assert float(found) == pytest.approx(FORMULAS[name](labels, alarms, weight), abs=1e-12)


@pytest.mark.parametrize("name", FORMULAS)
def test_values_stay_between_the_ends_of_their_metric_and_reach_them(name):
    ratio = metric_of(*_parts(name)[:1], *_parts(name)[1])
    rng = np.random.default_rng(0)
    counts = [Counts(*map(float, rng.integers(0, 4, 4) * (rng.random(4) < 0.6))) for _ in range(4000)]
    values = np.array([float(ratio(each)) for each in counts])
    values = values[~np.isnan(values)]
    assert values.min() >= ratio.low - 1e-12 and values.max() <= ratio.high + 1e-12
    assert values.min() == pytest.approx(ratio.low, abs=1e-12)
    if np.isfinite(ratio.high):
        reachable = 1.0 if name != "net_benefit(0.2)" else ratio.high
        assert values.max() == pytest.approx(max(reachable, ratio.high), abs=1e-12)


def test_metrics_of_one_class_are_nan_where_they_need_both():
    alone = Counts(3.0, 0.0, 1.0, 0.0)
    assert np.isnan(metric_of("balanced_accuracy")(alone)) and np.isnan(metric_of("specificity")(alone))
    assert float(metric_of("accuracy")(alone)) == 0.75


def test_the_negative_of_a_metric_is_larger_where_it_is_smaller():
    cost = metric_of("expected_cost", 1, 10)
    counts = Counts(3.0, 2.0, 1.0, 4.0)
    assert float(negated(cost)(counts)) == -float(cost(counts))
    assert (negated(cost).low, negated(cost).high) == (-10.0, 0.0)
    assert negated(negated(cost)) == Ratio(f"neg_neg_{cost.name}", cost.numerator, cost.denominator, 0.0, 10.0)


@pytest.mark.parametrize(
    ("name", "numbers", "said"),
    [
        ("precison", (), "did you mean 'precision'"),
        ("recall", (0.5,), "without numbers"),
        ("net_benefit", (), "net_benefit(0.1)"),
        ("net_benefit", (1.0,), "in (0, 1)"),
        ("expected_cost", (0, 0), "not both 0"),
        ("expected_cost", (-1, 1), "at least 0"),
        ("f_beta", (0.0,), "above 0"),
    ],
)
def test_bad_metrics_are_rejected(name, numbers, said):
    with pytest.raises(InvalidInputError) as raised:
        metric_of(name, *numbers)
    assert said in str(raised.value)


def _parts(name):
    word, _, rest = name.partition("(")
    return word, [float(number) for number in rest.rstrip(")").split(",")] if rest else []
