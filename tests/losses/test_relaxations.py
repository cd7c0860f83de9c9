"""What every relaxation must keep, whatever its formula."""

import numpy as np
import pytest
import torch

from metricopt._validation import InvalidInputError
from metricopt.data import rath_hughes_toy
from metricopt.losses import (
    AnyLoss,
    AUCMarginLoss,
    BoundedLoss,
    HingeFBeta,
    HingePrecisionAtRecall,
    HingeRecallAtPrecision,
    SmoothAP,
    SoftFBeta,
    SoftPrecisionAtRecall,
    SoftRecallAtPrecision,
    TightRecallAtPrecision,
)
from tests.held_out import fit

RELAXATIONS = {
    "SoftFBeta": lambda: SoftFBeta(2.0, 1.5, 0.2),
    "SoftRecallAtPrecision": lambda: SoftRecallAtPrecision(0.8),
    "SoftPrecisionAtRecall": lambda: SoftPrecisionAtRecall(0.8),
    "HingeRecallAtPrecision": lambda: HingeRecallAtPrecision(0.8),
    "HingePrecisionAtRecall": lambda: HingePrecisionAtRecall(0.8),
    "HingeFBeta": lambda: HingeFBeta(2.0),
    "TightRecallAtPrecision": lambda: TightRecallAtPrecision(0.8, penalty=10.0),
    "AnyLoss": AnyLoss,
    "AUCMarginLoss": AUCMarginLoss,
    "SmoothAP": SmoothAP,
}
everyone = pytest.mark.parametrize("make", RELAXATIONS.values(), ids=RELAXATIONS)


def problem(num_rows=24, num_labels=3, has_missing=True, seed=0):
    """Scores and labels; every label has both classes, and the first one an early positive."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((num_rows, num_labels)) < 0.3).astype(np.float64)
    labels[0], labels[1] = 1, 0
    scores = labels + 1.5 * rng.normal(size=labels.shape)
    if has_missing:
        labels[2:][rng.random((num_rows - 2, num_labels)) < 0.2] = np.nan
    return torch.from_numpy(scores), torch.from_numpy(labels)


def value_and_gradient(loss, scores, labels):
    scores = scores.clone().requires_grad_()
    value = loss(scores, labels)
    (gradient,) = torch.autograd.grad(value, scores)
    return value.detach(), gradient


@everyone
def test_gradient_is_that_of_finite_differences(make):
    scores, labels = problem()
    loss = make().prepare(labels).eval()
    assert torch.autograd.gradcheck(lambda z: loss(z, labels), scores.requires_grad_(), rtol=1e-5, atol=1e-7)
    assert value_and_gradient(loss, scores.detach(), labels)[1].abs().sum() > 0


@everyone
@pytest.mark.parametrize(("dtype", "size"), [(torch.float16, 6e4), (torch.bfloat16, 6e4), (torch.float32, 1e4)])
def test_extreme_logits_stay_finite(make, dtype, size):
    for signs in ([1, 1, 1, 1], [-1, -1, -1, -1], [1, -1, 1, -1], [-1, 1, 1, -1]):
        labels = torch.tensor([1.0, 0.0, 1.0, 0.0])
        loss = make().prepare(labels)
        for _ in range(2):  # the second time with a multiplier that has moved
            value, gradient = value_and_gradient(loss, size * torch.tensor(signs, dtype=dtype), labels)
            assert value.isfinite() and gradient.isfinite().all() and value.dtype == torch.float32


@everyone
@pytest.mark.parametrize("truth", [0.0, 1.0])
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_a_batch_of_one_class_is_harmless(make, truth, size):
    loss = make().prepare(torch.tensor([1.0, 0.0, 0.0, 0.0]))
    scores = size * torch.tensor([0.5, -0.3, -2.0])
    value, gradient = value_and_gradient(loss, scores, torch.full((3,), truth))
    assert value.isfinite() and gradient.isfinite().all()


@everyone
def test_missing_labels_are_left_out(make):
    scores, labels = problem(num_labels=1)
    present = ~labels[:, 0].isnan()
    assert not present.all()
    loss = make().prepare(labels).eval()
    value, gradient = value_and_gradient(loss, scores, labels)
    by_hand, own_gradient = value_and_gradient(loss, scores[present], labels[present])
    torch.testing.assert_close(value, by_hand)
    torch.testing.assert_close(gradient[present], own_gradient)
    assert (gradient[~present] == 0).all()


@everyone
def test_scores_without_a_label_may_be_anything(make):
    scores, labels = problem()
    loss = make().prepare(labels).eval()
    expected = loss(scores, labels)
    assert torch.equal(loss(scores.where(~labels.isnan(), torch.nan), labels), expected)


@everyone
def test_several_labels_are_the_mean_of_each(make):
    scores, labels = problem()
    labels[:, 2] = torch.nan
    whole = torch.cat([labels, torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])])
    together = make().prepare(whole)
    alone = [make().prepare(whole[:, label]) for label in range(3)]
    for _ in range(2):
        one_by_one = [loss(scores[:, label], labels[:, label]) for label, loss in enumerate(alone)]
        torch.testing.assert_close(together(scores, labels), torch.stack(one_by_one).mean())
    if isinstance(together, BoundedLoss):
        torch.testing.assert_close(together.multiplier, torch.cat([loss.multiplier for loss in alone]))
        assert (together.multiplier != 1).tolist() == [True, True, False]


@everyone
def test_better_scores_cost_less(make):
    _, labels = problem(num_labels=1, has_missing=False)
    loss = make().prepare(labels).eval()
    good, even, bad = (loss(size * (2 * labels - 1), labels) for size in (4.0, 0.0, -4.0))
    assert good < even < bad


@everyone
def test_state_survives(make):
    scores, labels = problem()
    loss = make().prepare(labels)
    for _ in range(3):
        loss(scores, labels)
    restored = make().prepare(torch.ones_like(labels))
    restored.load_state_dict(loss.state_dict())
    for _ in range(2):
        assert torch.equal(restored(scores, labels), loss(scores, labels))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SoftFBeta(beta=0), "beta must be a finite number above 0, got 0; "),
        (lambda: SoftFBeta(slope=-1), "slope must be a finite number above 0, got -1; "),
        (lambda: AnyLoss(beta=-1), "beta must be a finite number above 0, got -1; "),
        (lambda: AnyLoss(amplification=0), "amplification must be a finite number above 0, got 0; "),
        (lambda: HingeFBeta(0), "beta must be a finite number above 0, got 0; "),
        (lambda: SoftRecallAtPrecision(80), r"min_precision must be in \(0, 1\], got 80; "),
        (lambda: SoftRecallAtPrecision([0.8, 0.9]), r"min_precision must be in \(0, 1\], got \[0.8, 0.9\]; "),
        (lambda: SoftRecallAtPrecision(0.8, slope=0), "slope must be a finite number above 0, got 0; "),
        (lambda: SoftPrecisionAtRecall(0), r"min_recall must be in \(0, 1\], got 0; "),
        (lambda: SoftPrecisionAtRecall(0.8, slope=0), "slope must be a finite number above 0, got 0; "),
        (lambda: HingePrecisionAtRecall(0.8, multiplier_step=0), "multiplier_step must be a finite number above 0"),
        (lambda: TightRecallAtPrecision(1.0), "min_precision must be below 1 for this loss, got 1.0; "),
        (lambda: TightRecallAtPrecision(0.8, penalty=0), "penalty must be a finite number above 0, got 0; "),
        (lambda: AUCMarginLoss(margin=0), "margin must be a finite number above 0, got 0; "),
        (lambda: SmoothAP(temperature=0), "temperature must be a finite number above 0, got 0; "),
    ],
)
def test_what_cannot_be_meant_is_rejected(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_bounds_may_be_tight():
    for loss in (SoftRecallAtPrecision(1.0), SoftPrecisionAtRecall(1.0), TightRecallAtPrecision(0.99)):
        assert isinstance(loss, torch.nn.Module)


@pytest.mark.slow
@everyone
def test_fit_trains_on_it(make):
    features, labels = rath_hughes_toy()
    data = torch.utils.data.TensorDataset(torch.from_numpy(features).float(), torch.from_numpy(labels).float())
    loader = torch.utils.data.DataLoader(data, batch_size=128, shuffle=True)
    torch.manual_seed(0)
    result = fit(
        torch.nn.Linear(2, 1), loader, "FROP", alpha=0.8, solver=make(), epochs=30, val_fraction=0, progress=False
    )
    # Any scores meet a bound on recall; chance has a precision of .21, the best linear model one of about .71.
    assert result.status.value == "feasible"
    assert result.train.precision > 0.65
