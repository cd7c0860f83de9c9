"""What holds for every loss that reweights, alone and in ``fit``."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from metricopt import InvalidInputError
from metricopt.losses import LDAM, FocalLoss, LabelSmoothing, LogitAdjustment, WeightedCrossEntropy
from tests.held_out import fit
from tests.losses.batches import batch, training_labels

LOSSES = [
    WeightedCrossEntropy, lambda: WeightedCrossEntropy("effective_number", 0.99),
    FocalLoss, lambda: FocalLoss(0.5, 0.75), LDAM, lambda: LDAM(defer=0), LogitAdjustment, LabelSmoothing,
]  # fmt: skip
every_loss = pytest.mark.parametrize("make", LOSSES)


@every_loss
def test_gradients_are_those_of_finite_differences(make):
    scores, labels = batch()
    loss = make().prepare(training_labels())
    assert torch.autograd.gradcheck(lambda own: loss(own, labels), scores.requires_grad_())
    (gradient,) = torch.autograd.grad(loss(scores, labels), scores)
    assert ((gradient == 0) == labels.isnan()).all()


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("size", [80, 1e4, 6e4])
def test_extreme_scores(make, dtype, size):
    scores = torch.tensor([[-size], [size], [-size], [size], [0]], dtype=dtype).repeat(1, 2).requires_grad_()
    labels = torch.tensor([[0.0], [0.0], [1.0], [1.0], [torch.nan]]).repeat(1, 2)
    loss = make().prepare(training_labels())(scores, labels)
    loss.backward()
    assert loss.isfinite() and loss > size / 10 and scores.grad.isfinite().all()
    assert (scores.grad[1] > 0).all() and (scores.grad[2] < 0).all()  # the wrong ones are still pulled


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_that_of_the_scores_alone(make, dtype):
    scores, labels = batch(dtype)
    loss = make().prepare(training_labels())
    torch.testing.assert_close(loss(scores, labels), loss(scores.float(), labels.float()), rtol=0, atol=0)


@every_loss
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_alone_in_a_batch(make, label):
    scores = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    labels = torch.full((3,), label)
    loss = make().prepare([1, 0, 0, 0])(scores, labels)
    loss.backward()
    assert loss > 0 and scores.grad.isfinite().all() and (scores.grad * (1 - 2 * label)).sum() > 0


@every_loss
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_alone_in_the_training_set(make, label):
    labels = torch.full((5,), label)
    loss = make().prepare(labels)(torch.zeros(5), labels)
    assert 0 < loss < 2


@every_loss
def test_missing_labels(make):
    scores, labels = batch()
    loss = make().prepare(training_labels())
    by_column = [
        loss(scores, labels.masked_fill(torch.tensor(gone), torch.nan)) for gone in ([False, True], [True, False])
    ]
    num_present = (~labels.isnan()).sum(dim=0)
    expected = (by_column[0] * num_present[0] + by_column[1] * num_present[1]) / num_present.sum()
    torch.testing.assert_close(loss(scores, labels), expected)
    wild = scores.masked_fill(labels.isnan(), torch.nan)
    assert loss(wild, labels) == loss(scores, labels)
    own = scores.requires_grad_()
    nothing = loss(own, torch.full_like(labels, torch.nan))
    nothing.backward()
    assert nothing == 0 and (own.grad == 0).all()


# In fit


def blobs():
    draw = torch.Generator().manual_seed(0)
    y = (torch.rand(80, 2, generator=draw) < 0.3).float()
    x = torch.randn(80, 2, generator=draw) + 3 * y
    y[::9, 0] = torch.nan
    return TensorDataset(x, y)


def train(loss, **rest):
    model = nn.Linear(2, 2)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    loader = DataLoader(blobs(), batch_size=20, shuffle=True)
    arguments = {"epochs": 5, "alpha": 0.6, "val_fraction": 0, "learning_rate": 0.05, "progress": False, **rest}
    return fit(model, loader, "FPOR", solver=loss, **arguments)


@every_loss
def test_fit_trains_with_it(make):
    loss = make()
    result = train(loss)
    assert all(label.average_precision > 0.8 for label in result.train.labels)
    assert loss.progress == 1


class SpiedLDAM(LDAM):
    """Notes the progress at every batch, and dies at a given one."""

    def __init__(self, die_at=None):
        super().__init__(decay=0.9)
        self._die_at, self._noted = die_at, []

    def of_columns(self, scores, labels, present):
        if len(self._noted) == self._die_at:
            raise KeyboardInterrupt
        self._noted.append(self.progress)
        return super().of_columns(scores, labels, present)


def test_progress_moves_with_the_batches():
    loss = SpiedLDAM()
    for _ in range(2):  # the second training begins anew
        loss._noted.clear()
        train(loss)
        assert loss._noted == [step / 20 for step in range(20)]


@pytest.mark.parametrize("die_at", [1, 9, 17, 19])  # of 20 batches, the last four with weights
def test_a_resumed_training_ends_in_the_same_weights(die_at, tmp_path):
    wanted = train(SpiedLDAM()).model.state_dict()
    with pytest.raises(KeyboardInterrupt):
        train(SpiedLDAM(die_at), checkpoint_dir=tmp_path, checkpoint_every=3)
    loss = SpiedLDAM()
    got = train(loss, checkpoint_dir=tmp_path, checkpoint_every=3, resume=True).model.state_dict()
    first = die_at // 3 * 3
    assert loss._noted == [step / 20 for step in range(first, 20)]
    assert all(torch.equal(got[name], wanted[name]) for name in wanted)


def test_a_training_is_resumed_with_the_same_loss_alone(tmp_path):
    train(FocalLoss(2.0), checkpoint_dir=tmp_path)
    with pytest.raises(InvalidInputError, match=r"FocalLoss\(gamma=2.0, alpha=None\).* there.*FocalLoss\(gamma=1.0"):
        train(FocalLoss(1.0), checkpoint_dir=tmp_path, resume=True)
    train(FocalLoss(2.0), checkpoint_dir=tmp_path, resume=True)
