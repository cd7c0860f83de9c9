import numpy as np
import pytest
import torch
from torch import nn

from metricopt import InvalidInputError
from metricopt.losses import CountingLoss, Loss
from metricopt.losses.base import mean_over
from tests.losses.batches import NUM_NEGATIVES, NUM_POSITIVES, batch, training_labels

NAN = torch.nan


class Square(Loss):
    """The mean square of scores less labels; it notes what it was given."""

    def __init__(self, power=2):
        super().__init__()
        self.power = power

    def of_columns(self, scores, labels, present):
        self._seen = scores, labels, present
        return mean_over((scores - labels).abs() ** self.power, present)


class Odds(CountingLoss):
    def of_columns(self, scores, labels, present):
        positives, negatives = self.counts(scores)
        return mean_over(scores * positives / negatives, present)


def test_one_label_has_a_column_or_none():
    scores, labels = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0])
    loss = Square()
    assert loss(scores, labels).item() == loss(scores[:, None], labels[:, None]).item() == 2.5
    assert loss(scores, labels).shape == () and [given.shape for given in loss._seen] == [(2, 1)] * 3


@pytest.mark.parametrize(
    ("shapes", "said"),
    [(((4,), (4,)), None), (((4, 2), (4, 2)), None), (((4,), (4, 1)), r"\(4,\) and \(4, 1\)"),
     (((4, 1), (4,)), r"\(4, 1\) and \(4,\)"), (((4, 1), (4, 2)), r"\(4, 1\) and \(4, 2\)"),
     (((), ()), r"\(\) and \(\)"), (((2, 1, 1), (2, 1, 1)), r"\(2, 1, 1\) and \(2, 1, 1\)")],
)  # fmt: skip
def test_shapes_that_differ_are_rejected(shapes, said):
    scores, labels = (torch.zeros(shape) for shape in shapes)
    if said is None:
        assert Square()(scores, labels).item() == 0
        return
    with pytest.raises(InvalidInputError, match=rf"scores and labels must be both of shape .*, got {said}; reshape"):
        Square()(scores, labels)


def test_missing_labels_are_masked_out_label_by_label():
    scores, labels = batch()
    present = ~labels.isnan()
    loss = Square()
    torch.testing.assert_close(loss(scores, labels), ((scores[present] - labels[present]) ** 2).mean())
    seen_scores, seen_labels, seen_present = loss._seen
    assert seen_present.dtype == seen_scores.dtype and (seen_present == present).all()
    assert (seen_scores[~present] == 0).all() and (seen_labels[~present] == 0).all()


@pytest.mark.parametrize("score", [NAN, torch.inf, 1e300])
def test_scores_without_a_label_never_matter(score):
    scores, labels = batch()
    gone = labels.isnan()
    wild = scores.masked_fill(gone, score).requires_grad_()
    loss = Square()(wild, labels)
    loss.backward()
    assert loss.item() == Square()(scores, labels).item()
    assert wild.grad.isfinite().all() and (wild.grad[gone] == 0).all() and (wild.grad[~gone] != 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(dtype):
    scores, labels = torch.tensor([[300.0], [-300.0]], dtype=dtype, requires_grad=True), torch.zeros(2, 1)
    loss = Square()(scores, labels.to(dtype))  # 90,000 is beyond float16
    assert loss.item() == 90_000 and loss.dtype == torch.float32
    loss.backward()
    assert scores.grad.dtype == dtype and scores.grad[:, 0].tolist() == [300, -300]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_full_precision_stays(dtype):
    assert Square()(torch.ones(1, dtype=dtype), torch.zeros(1)).dtype == dtype


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float32, torch.float64])
def test_labels_are_of_any_type(dtype):
    labels = torch.tensor([1, 0]).to(dtype)
    assert Square()(torch.zeros(2), labels).item() == 0.5
    assert Odds().prepare(labels)(torch.ones(2), labels).item() == 1


@pytest.mark.parametrize(("shape", "score"), [((3,), 1.0), ((3, 2), 1.0), ((3, 2), NAN), ((0,), 1.0), ((0, 2), 1.0)])
def test_no_label_is_a_differentiable_zero(shape, score):
    scores = torch.full(shape, score, requires_grad=True)
    loss = Square()(scores, torch.full(shape, NAN))
    loss.backward()
    assert loss.item() == 0 and scores.grad.shape == shape and (scores.grad == 0).all()


def test_a_plain_loss_needs_no_preparation_and_shows_its_settings():
    loss = Square(power=3)
    assert loss.prepare(np.array([1.0, 0.0])) is loss and loss.progress == 0
    assert repr(loss) == "Square(power=3)" and repr(Odds().prepare([1, 0])) == "Odds()"


def test_classes_are_counted_label_by_label():
    loss = Odds()
    assert loss.prepare(training_labels()) is loss
    assert loss.num_positives.tolist() == list(NUM_POSITIVES)
    assert loss.num_negatives.tolist() == list(NUM_NEGATIVES)
    for labels in ([1, 0, 0, 0], np.array([[1], [0], [0], [0]]), torch.tensor([1.0, 0, NAN, 0, 0])):
        loss.prepare(labels)
        assert (loss.num_positives.tolist(), loss.num_negatives.tolist()) == ([1], [3])


def test_counts_are_as_the_scores_are_and_a_class_without_samples_counts_as_one():
    loss = Odds().prepare(torch.tensor([[1.0, NAN], [1.0, NAN]]))
    counts = loss.counts(torch.zeros(3, 2, dtype=torch.float64))
    assert [of_class.tolist() for of_class in counts] == [[2, 1], [1, 1]]
    assert {of_class.dtype for of_class in counts} == {torch.float64}


def test_preparing_anew_counts_anew():
    loss = Odds().prepare(training_labels())
    loss.prepare([1, 1, 0])
    assert loss(torch.ones(1), torch.ones(1)).item() == 2
    loss.prepare(training_labels())
    assert loss(torch.ones(1, 2), torch.tensor([[NAN, 1.0]])).item() == 3


def test_counts_are_part_of_the_state():
    loss, other = Odds().prepare([1, 1, 0]), Odds().prepare([1, 0])
    other.load_state_dict(loss.state_dict())
    assert other(torch.ones(1), torch.ones(1)).item() == 2
    assert {tensor.device.type for tensor in nn.Sequential(loss).to("meta").state_dict().values()} == {"meta"}


def test_an_unprepared_loss_says_what_to_do():
    loss = Odds()
    with pytest.raises(InvalidInputError, match=r"Odds must be prepared with the training labels.*prepare\(labels\)"):
        loss(torch.zeros(2), torch.zeros(2))
    loss.prepare([1, 0])(torch.zeros(2), torch.zeros(2))


def test_another_number_of_labels_is_rejected():
    loss = Odds().prepare(training_labels())
    with pytest.raises(InvalidInputError, match=r"scores must be of shape \(B, 2\), for .*, got shape \(B, 1\)"):
        loss(torch.zeros(2), torch.zeros(2))
    loss(torch.zeros(2, 2), torch.zeros(2, 2))


@pytest.mark.parametrize("labels", [[0, 1, 2], [0.5, 1.0], [-1, 1], [np.inf, 0.0]])
def test_other_values_are_no_labels(labels):
    with pytest.raises(InvalidInputError, match=r"labels must be 0, 1 or NaN \(missing\), got \["):
        Odds().prepare(labels)
    Odds().prepare([np.nan, 1.0, 0.0])
