"""The latest scores: at their rows, or in order of arrival."""

import numpy as np
import pytest
import torch

from metricopt import InvalidInputError
from metricopt.training.score_memory import ScoreMemory

LABELS = np.array([[1.0, 0], [0, np.nan], [0, 1], [1, 0], [np.nan, 1]], dtype=np.float32)


def batch(*values):
    """Scores that name where they come from: the value, and minus the value."""
    return torch.tensor([[float(value), -float(value)] for value in values])


def put_rows(memory, rows, *values):
    memory.put(batch(*values), torch.from_numpy(LABELS[rows]), torch.tensor(rows))


def test_scores_stay_at_their_rows():
    memory = ScoreMemory(LABELS)
    assert memory.is_empty
    put_rows(memory, [3, 0], 3, 10)
    assert not memory.is_empty
    np.testing.assert_array_equal(memory.scores[:, 0], [10, 6.5, 6.5, 3, 6.5])
    np.testing.assert_array_equal(memory.scores[:, 1], -memory.scores[:, 0])
    is_seen = np.array([[True], [False], [False], [True], [False]])
    np.testing.assert_array_equal(memory.labels, np.where(is_seen, LABELS, np.nan))
    put_rows(memory, [4, 1, 2, 0], 4, 1, 2, 0)
    np.testing.assert_array_equal(memory.scores[:, 0], [0, 1, 2, 3, 4])
    assert memory.labels is LABELS


def test_without_rows_the_oldest_give_way():
    memory = ScoreMemory(LABELS)
    for first in (0, 3, 6):
        values = range(first, first + 3)
        memory.put(batch(*values), torch.tensor([[value % 2, 1.0] for value in values]), None)
    np.testing.assert_array_equal(memory.scores[:, 0], [5, 6, 7, 8, 4])
    np.testing.assert_array_equal(memory.labels, [[1, 1], [0, 1], [1, 1], [0, 1], [0, 1]])
    assert LABELS[0, 1] == 0  # what was passed is as it was


def test_all_scores_at_once():
    memory, scores = ScoreMemory(LABELS), np.arange(10.0).reshape(5, 2)
    put_rows(memory, [3, 0], 3, 10)
    memory.replace(scores)
    np.testing.assert_array_equal(memory.scores, scores)
    assert memory.scores.dtype == np.float64 and memory.labels is LABELS
    labels = LABELS[::-1].copy()
    memory.replace(scores, labels)
    np.testing.assert_array_equal(memory.labels, labels)
    memory.put(torch.full((5, 2), 7.0), torch.ones(5, 2), None)  # what was passed stays as it was
    assert scores.max() == 9 and np.array_equal(labels, LABELS[::-1], equal_nan=True)


@pytest.mark.parametrize("in_order", [True, False])
def test_state(in_order):
    memory, other = ScoreMemory(LABELS), ScoreMemory(LABELS)
    rows = torch.tensor([2, 1, 4])
    memory.put(batch(1, 2, 3), torch.from_numpy(LABELS)[rows], rows if in_order else None)
    state = memory.state_dict()
    other.load_state_dict(state)
    for each in (memory, other):
        each.put(batch(7, 8), torch.from_numpy(LABELS[:2]), torch.arange(2) if in_order else None)
    np.testing.assert_array_equal(memory.scores, other.scores)
    np.testing.assert_array_equal(memory.labels, other.labels)
    assert state["scores"].tolist() != memory.scores.tolist()  # a copy, not an alias


def test_rows_and_none_do_not_mix():
    memory = ScoreMemory(LABELS)
    put_rows(memory, [0], 1)
    memory.put(batch(1), torch.tensor([[1.0, 0]]), None)
    with pytest.raises(InvalidInputError, match="index must be given for every batch or for none"):
        memory.check(torch.from_numpy(LABELS[:1]), torch.tensor([0]))
    memory.replace(np.zeros((5, 2)))
    memory.check(torch.from_numpy(LABELS[:1]), torch.tensor([0]))


@pytest.mark.parametrize(
    ("index", "text"),
    [
        ([0], "labels must be those of the rows in index"),
        ([5], "index must be 1 rows from 0 to 4, got 1 of 5 to 5; pass the row of each sample"),
        ([-5], "got 1 of -5 to -5"),
        ([0, 0], "got 2 of 0 to 0"),
        (None, "labels must be 0, 1 or NaN"),
    ],
)
def test_labels_of_a_first_pass_are_checked(index, text):
    memory = ScoreMemory(LABELS)
    index = None if index is None else torch.tensor(index)
    with pytest.raises(InvalidInputError, match=text):
        memory.check(torch.tensor([[1.0, 0.5]]), index)
    memory.check(torch.tensor([[1.0, 0.0]]), None if index is None else torch.tensor([0]))
    memory.replace(np.zeros((5, 2)))
    memory.check(torch.tensor([[1.0, 0.5]]), index)  # what was seen once is not looked at again
