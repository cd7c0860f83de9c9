from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from metricopt._validation import InvalidInputError
from metricopt.data import BalancedBatchSampler
from tests.held_out import fit

Y = np.zeros(50)
Y[[3, 8, 20, 21, 44, 45, 49]] = 1


def epochs_of(sampler, number=1):
    return [list(sampler) for _ in range(number)]


@pytest.mark.parametrize(
    ("batch_size", "share", "positives", "num_batches"),
    [
        (10, 0.5, 5, 9),  # 43 negatives, 5 a batch
        (10, 0.2, 2, 6),
        (10, 0.01, 1, 7),  # 7 positives, 1 a batch: rarer than they are
        (10, 0.99, 9, 43),
        (2, 0.5, 1, 43),
        (200, 0.5, 100, 1),
    ],
)
def test_every_batch_is_balanced_and_an_epoch_shows_every_row(batch_size, share, positives, num_batches):
    sampler = BalancedBatchSampler(Y, batch_size, share)
    (batches,) = epochs_of(sampler)
    assert len(sampler) == len(batches) == num_batches
    assert all(len(batch) == batch_size and Y[batch].sum() == positives for batch in batches)
    assert {row for batch in batches for row in batch} == set(range(len(Y)))


def test_rows_of_a_class_come_in_turn():
    drawn = Counter(row for batch in BalancedBatchSampler(Y, 8, 0.25, num_batches=70) for row in batch)
    assert {drawn[row] for row in np.flatnonzero(Y == 1)} == {20}  # 140 places, 7 rows
    assert {drawn[row] for row in np.flatnonzero(Y == 0)} == {9, 10}  # 420 places, 43 rows
    first = [row for batch in BalancedBatchSampler(Y, 8, 0.5, num_batches=10) for row in batch if Y[row] == 0]
    assert len(set(first)) == len(first) == 40


def test_the_seed_sets_the_order_of_every_epoch():
    first, again, other = (epochs_of(BalancedBatchSampler(Y, 10, seed=seed), 2) for seed in (1, 1, 2))
    assert first == again != other
    assert first[0] != first[1]
    assert [sorted(Y[batch]) for batch in first[0]] == [sorted(Y[batch]) for batch in other[0]]


@pytest.mark.parametrize("num_drawn", [0, 1, 4, 8, 9, 13])
def test_goes_on_where_its_state_was_taken(num_drawn):
    def stream(sampler):
        while True:
            yield from sampler

    whole = epochs_of(BalancedBatchSampler(Y, 10, seed=5), 4)
    drawing = BalancedBatchSampler(Y, 10, seed=5)
    batches = stream(drawing)
    for _ in range(num_drawn):
        next(batches)
    state = drawing.state_dict()
    next(batches)  # the state is no alias
    resumed = BalancedBatchSampler(Y, 10, seed=0)
    resumed.load_state_dict(state)
    assert resumed.state_dict()["position"] == state["position"]
    rest = [batch for epoch in epochs_of(resumed, 2) for batch in epoch]
    assert rest == [batch for epoch in whole for batch in epoch][num_drawn:][: len(rest)]
    assert len(rest) > 9


def test_a_pass_that_was_left_is_not_gone_on_with():
    sampler = BalancedBatchSampler(Y, 10)
    next(iter(sampler))
    assert len(list(sampler)) == len(sampler)


def test_a_state_of_longer_epochs_is_rejected():
    long, short = BalancedBatchSampler(Y, 10, num_batches=5), BalancedBatchSampler(Y, 10, num_batches=3)
    drawn = iter(long)
    next(drawn), next(drawn)
    short.load_state_dict(long.state_dict())
    assert len(list(short)) == 1
    next(drawn)
    with pytest.raises(InvalidInputError, match="state must be of a sampler with 3 batches in an epoch"):
        short.load_state_dict(long.state_dict())


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor, list])
def test_one_label_of_several_is_balanced_and_rows_without_it_are_left_out(kind):
    labels = np.stack([1 - Y, Y], axis=1)
    labels[[3, 5, 6], 1] = np.nan
    labels[7, 0] = np.nan
    batches = list(BalancedBatchSampler(kind(labels.tolist()), 10, label=1))
    assert all(np.nansum(labels[batch, 1]) == 5 for batch in batches)
    assert {row for batch in batches for row in batch} == set(range(len(Y))) - {3, 5, 6}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 1}, "batch_size must be an integer >= 2, got 1; "),
        ({"positive_fraction": 1.0}, r"positive_fraction must be in \(0, 1\), got 1.0; "),
        ({"positive_fraction": 0.0}, r"positive_fraction must be in \(0, 1\), got 0.0; "),
        ({"num_batches": 0}, "num_batches must be an integer >= 1, got 0; "),
        ({"label": 1}, "label must be a column of labels, 0 to 0, got 1; "),
        ({"seed": -1}, r"seed must be an integer in \[0, 2\*\*32\), got -1; "),
        ({"labels": np.zeros(5)}, "labels must be with positives and negatives, got no positive in column 0; "),
        ({"labels": np.ones(5)}, "labels must be with positives and negatives, got no negative in column 0; "),
        ({"labels": np.arange(5)}, "labels must be 0, 1 or NaN"),
    ],
)
def test_faults(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        BalancedBatchSampler(**{"labels": Y, "batch_size": 10, **arguments})
    assert len(BalancedBatchSampler(Y, 2, 0.5, 1, 0, 0)) == 1


def test_faults_are_told_together():
    with pytest.raises(InvalidInputError, match="(?s)batch_size must be .*\n.*seed must be"):
        BalancedBatchSampler(Y, 0, seed=-1)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_fit_takes_one_step_a_batch_and_counts_epochs(num_workers):
    x = torch.randn(len(Y), 2, generator=torch.Generator().manual_seed(0))
    y = torch.from_numpy(Y).float()
    loader = DataLoader(
        TensorDataset(x, y), batch_sampler=BalancedBatchSampler(Y, 10, num_batches=4), num_workers=num_workers
    )
    model, seen = nn.Linear(2, 1), []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]) if module.training else None)
    validation = DataLoader(TensorDataset(x, y), batch_size=25)
    result = fit(model, loader, "OFBS", solver="cross_entropy", val_loader=validation, epochs=3, progress=False)
    assert [record["epoch"] for record in result.history] == [1, 2, 3]
    assert [len(batch) for batch in seen] == [10] * 12
    batches = [batch for epoch in epochs_of(BalancedBatchSampler(Y, 10, num_batches=4), 3) for batch in epoch]
    for batch, rows in zip(seen, batches, strict=True):
        assert torch.equal(batch, x[rows])
