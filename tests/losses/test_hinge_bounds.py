import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import fbeta_score

from metricopt.losses import HingeFBeta, HingePrecisionAtRecall, HingeRecallAtPrecision
from metricopt.losses.hinge_bounds import hinge_counts

samples = st.lists(st.tuples(st.floats(-5, 5), st.sampled_from([0.0, 1.0])), min_size=1, max_size=20)


def columns(rows):
    return torch.tensor(rows, dtype=torch.float64).split(1, dim=1)


@given(samples)
def test_hinges_bound_the_counts(rows):
    scores, labels = columns(rows)
    counts = hinge_counts(scores, labels, torch.ones_like(labels))
    alarms = (scores > 0).double()
    assert counts.true_positives <= (alarms * labels).sum()
    assert counts.false_positives >= (alarms * (1 - labels)).sum()
    assert counts.false_negatives >= ((1 - alarms) * labels).sum()


@given(samples, st.sampled_from([0.5, 1.0, 2.0]))
def test_f_beta_is_bounded(rows, beta):
    scores, labels = columns(rows)
    truth, alarms = labels[:, 0].numpy(), scores[:, 0].numpy() > 0
    metric = fbeta_score(truth, alarms, beta=beta, zero_division=0.0)
    assert HingeFBeta(beta)(scores, labels).item() >= 1 - metric - 1e-12


def test_hinges_are_exact_beyond_the_margin():
    labels = torch.tensor([[1.0], [1.0], [0.0], [0.0]])
    counts = hinge_counts(torch.tensor([[1.0], [9.0], [-1.0], [-9.0]]), labels, torch.ones(4, 1))
    assert [count.item() for count in counts] == [2, 0, 0]


@pytest.mark.parametrize("multiplier", [0.0, 1.0, 7.5])
def test_values_are_the_published_formulas(multiplier):
    """Of the authors' code, in units of the positives: L+ and L- are sums of hinges, p the number of positives."""
    rng = np.random.default_rng(4)
    scores, labels, alpha = rng.normal(size=50), (rng.random(50) < 0.3).astype(float), 0.8
    p = labels.sum()
    positive_loss = (np.maximum(0, 1 - scores) * labels).sum()
    negative_loss = (np.maximum(0, 1 + scores) * (1 - labels)).sum()
    weighted = (1 + multiplier * (1 - alpha)) * positive_loss + multiplier * alpha * negative_loss
    expected = {
        # without the constant p that 1 - recall has over -recall
        HingeRecallAtPrecision: (weighted - multiplier * (1 - alpha) * p) / p - 1,
        HingePrecisionAtRecall: (negative_loss + multiplier * (p * (alpha - 1) + positive_loss)) / p,
    }
    for kind, value in expected.items():
        loss = kind(alpha).prepare(labels)
        loss.multiplier.fill_(multiplier)
        assert loss(torch.from_numpy(scores), torch.from_numpy(labels)).item() == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("shift", [-3.0, 2.0])
def test_f_beta_of_the_bounds(beta, shift):
    rng = np.random.default_rng(5)
    labels = (rng.random(50) < 0.3).astype(float)
    scores = rng.normal(size=50) + shift * (2 * labels - 1)
    tp = (1 - np.maximum(0, 1 - scores))[labels == 1].sum()
    fp = np.maximum(0, 1 + scores)[labels == 0].sum()
    assert (tp > 0) == (shift > 0)
    expected = 1 - (1 + beta**2) * tp / (beta**2 * labels.sum() + max(tp, 0) + fp)
    value = HingeFBeta(beta)(torch.from_numpy(scores), torch.from_numpy(labels)).item()
    assert value == pytest.approx(expected, rel=1e-12)
