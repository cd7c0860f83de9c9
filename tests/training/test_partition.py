import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from metricopt._validation import InvalidInputError
from metricopt.training.partition import SCORING_BATCH, make_partition

N = 60
X = torch.arange(N * 1.0)[:, None]
Y = (torch.arange(N) % 4 == 0).float()


class Rows(Dataset):
    """Rows with a shift, as an augmentation would make; ``x - shift`` is the row's number."""

    def __init__(self, shift=0.0, num_rows=N):
        self.shift, self.num_rows = shift, num_rows

    def __len__(self):
        return self.num_rows

    def __getitem__(self, row):
        return X[row] + self.shift, Y[row]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


def parts_of(loader, **arguments):
    defaults = {"val_loader": None, "eval_dataset": None, "val_fraction": 0.25, "groups": None, "sample_weight": None}
    watch = arguments.pop("watch", lambda items, what: iter(items))
    return make_partition(loader, **(defaults | {"seed": 0} | arguments), watch=watch)


class NewTensors(TorchDispatchMode):
    """Notes the largest number of rows that any new tensor has."""

    def __init__(self):
        super().__init__()
        self.num_rows = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.ndim == 2:
            self.num_rows = max(self.num_rows, len(made))
        return made


def rows_of(part):
    return torch.cat([x[:, 0] for x, _ in part.batches]).long().tolist()


def drawn(parts):
    """Index and row number of everything that a pass of training sees."""
    seen = [(index, x[:, 0]) for (x, _), index in parts.train_loader]
    return torch.cat([index for index, _ in seen]).tolist(), torch.cat([x for _, x in seen]).long().tolist()


@pytest.mark.parametrize("shuffle", [True, False])
def test_rows_that_lie_in_memory_are_copied_a_batch_at_a_time(shuffle):
    x, y = torch.zeros(20_000, 3), (torch.arange(20_000) % 4 == 0).float()
    with NewTensors() as made:
        parts = parts_of(DataLoader(TensorDataset(x, y), batch_size=500, shuffle=shuffle))
        for part in (parts.train, parts.validation):
            assert sum(len(batch[0]) for batch in part.batches) == len(part)
        assert sum(len(index) for _, index in parts.train_loader) == 15_000
    assert made.num_rows == SCORING_BATCH < 15_000


@pytest.mark.parametrize("dataset", [TensorDataset(X, Y), Rows()], ids=["tensors", "rows"])
def test_rows_are_held_out_once_and_index_the_training_part(dataset):
    parts = parts_of(DataLoader(dataset, batch_size=8, shuffle=True))
    train, validation = rows_of(parts.train), rows_of(parts.validation)
    assert sorted(train + validation) == list(range(N))
    assert len(validation) == 15 and parts.selection is parts.validation and not parts.is_stream
    assert Y[train].tolist() == parts.train.labels[:, 0].tolist() and len(parts.train) == 45
    assert Y[validation].tolist() == parts.validation.labels[:, 0].tolist()
    index, rows = drawn(parts)
    assert sorted(index) == list(range(45)) and index != sorted(index)
    assert rows == [train[k] for k in index]


def test_the_same_seed_holds_out_the_same_rows_in_the_same_order():
    loader = DataLoader(TensorDataset(X, Y), batch_size=8, shuffle=True)
    first, again, other = (parts_of(loader, seed=seed) for seed in (1, 1, 2))
    assert rows_of(first.validation) == rows_of(again.validation) != rows_of(other.validation)
    assert drawn(first) == drawn(again) != drawn(other)


def test_the_order_of_a_pass_follows_the_generator():
    parts = parts_of(DataLoader(TensorDataset(X, Y), batch_size=8, shuffle=True))
    orders = []
    for seed in (7, 7, 8):
        parts.order.manual_seed(seed)
        orders.append(drawn(parts))
    assert orders[0] == orders[1] != orders[2]


def test_groups_stay_whole():
    groups = [f"patient {row // 4}" for row in range(N)]
    parts = parts_of(DataLoader(Rows(), batch_size=8), groups=groups)
    train, validation = ({groups[row] for row in rows_of(part)} for part in (parts.train, parts.validation))
    assert not train & validation and len(train | validation) == 15


def test_scoring_takes_the_rows_without_augmentation():
    parts = parts_of(DataLoader(Rows(shift=1000.0), batch_size=8), eval_dataset=Rows())
    assert sorted(rows_of(parts.train) + rows_of(parts.validation)) == list(range(N))
    index, rows = drawn(parts)
    assert [row - 1000 for row in rows] == [rows_of(parts.train)[k] for k in index]


def test_nothing_is_held_out_for_a_fraction_of_0():
    parts = parts_of(DataLoader(Rows(), batch_size=8), val_fraction=0.0)
    assert parts.validation is None and parts.selection is parts.train
    assert rows_of(parts.train) == list(range(N))


def test_a_val_loader_selects():
    validation = DataLoader(Subset(Rows(), range(0, 30, 3)), batch_size=4, shuffle=True, drop_last=True)
    parts = parts_of(DataLoader(Rows(), batch_size=8), val_loader=validation, val_fraction=0.0)
    assert rows_of(parts.train) == list(range(N))
    assert rows_of(parts.selection) == list(range(0, 30, 3))
    assert parts.validation.labels[:, 0].tolist() == Y[0:30:3].tolist()


@pytest.mark.parametrize("dataset", [TensorDataset(X, Y), Rows()], ids=["tensors", "rows"])
def test_an_own_sampler_draws_the_training_and_scoring_takes_all(dataset):
    sampler = WeightedRandomSampler(Y, 100)
    validation = DataLoader(Rows(), batch_size=8)
    for loader in (
        DataLoader(dataset, batch_size=8, sampler=sampler),
        DataLoader(dataset, batch_sampler=[[0, 4], [8, 12, 0]]),
    ):
        parts = parts_of(loader, val_loader=validation, val_fraction=0.0)
        index, rows = drawn(parts)
        assert index == rows and set(index) <= set(range(0, N, 4))
        assert rows_of(parts.train) == list(range(N))


def test_a_subset_keeps_its_rows():
    rows = list(range(0, N, 2))
    parts = parts_of(DataLoader(Subset(TensorDataset(X, Y), rows), batch_size=8, shuffle=True))
    assert sorted(rows_of(parts.train) + rows_of(parts.validation)) == rows


@pytest.mark.parametrize("has_val_loader", [False, True])
def test_streams(has_val_loader):
    validation = DataLoader(Stream(), batch_size=16) if has_val_loader else None
    parts = parts_of(DataLoader(Stream(), batch_size=8), val_loader=validation, val_fraction=0.0)
    assert parts.is_stream and len(parts.train_loader) == 8
    assert parts.train.labels[:, 0].tolist() == Y.tolist()
    assert rows_of(parts.selection) == list(range(N))
    assert (parts.selection is parts.train) != has_val_loader
    index, rows = drawn(parts)
    assert index == rows == list(range(N))


def test_drop_last_drops_in_training_alone():
    parts = parts_of(DataLoader(Rows(), batch_size=8, drop_last=True, shuffle=True))
    assert len(drawn(parts)[0]) == 40 and len(rows_of(parts.train)) == 45


@pytest.mark.parametrize("weight", [np.arange(N), torch.arange(N)[:, None], list(range(N))])
def test_weights_go_with_their_rows(weight):
    parts = parts_of(DataLoader(Rows(), batch_size=8), sample_weight=weight)
    for part in (parts.train, parts.validation):
        assert part.sample_weight[:, 0].tolist() == rows_of(part)


def test_weights_are_for_all_labels_or_for_each():
    dataset = TensorDataset(X, torch.stack([Y, 1 - Y], dim=1))
    common = parts_of(DataLoader(dataset), sample_weight=np.arange(N), val_fraction=0.0)
    assert common.train.sample_weight.tolist() == [[row, row] for row in range(N)]
    own = parts_of(DataLoader(dataset), sample_weight=np.arange(2 * N).reshape(N, 2), val_fraction=0.0)
    assert own.train.sample_weight.tolist() == [[2 * row, 2 * row + 1] for row in range(N)]


def test_reading_labels_is_watched():
    seen = []

    def watch(items, what):
        seen.append(what)
        return iter(items)

    parts_of(DataLoader(Rows(), batch_size=8), val_loader=DataLoader(Rows()), val_fraction=0.0, watch=watch)
    assert sorted(seen) == ["reading labels", "reading validation labels"]


def labelled(labels):
    return DataLoader(TensorDataset(X[: len(labels)], torch.tensor(labels)), batch_size=8)


GOOD = labelled([1.0, 0.0] * 30)


@pytest.mark.parametrize(
    ("loader", "arguments", "message"),
    [
        (
            labelled([0.0] * 60),
            {},
            "loader must be one with positives and negatives, got no positives among 60 samples",
        ),
        (
            labelled([1.0] * 60),
            {},
            "loader must be one with positives and negatives, got no negatives among 60 samples",
        ),
        (labelled([torch.nan] * 9), {}, "loader must be one with positives and negatives, got no positives among 9"),
        (labelled([0.0, 1.0, 2.0] * 20), {}, r"labels must be 0, 1 or NaN .missing., got \[2.0\]; map the classes"),
        (
            labelled([1.0] + [0.0] * 59),
            {},
            "labels must be of 2 positives or more, some to train and some in the held-out 0.25 of the rows",
        ),
        (DataLoader(TensorDataset(X[:0], Y[:0])), {}, "loader must be non-empty, got a data set of 0 samples"),
        (DataLoader(Rows(num_rows=0)), {}, "loader must be non-empty, got a data set of 0 samples"),
        (
            DataLoader(Rows(), batch_size=64, drop_last=True),
            {},
            "loader must be one with at least one batch, got 45 training samples in batches of 64 with drop_last",
        ),
        (
            GOOD,
            {"val_loader": labelled([0.0] * 9)},
            "val_loader must be one with positives and negatives, got no positives among 9 samples",
        ),
        (
            GOOD,
            {"val_loader": DataLoader(Rows(num_rows=0))},
            "val_loader must be one with positives and negatives, got no positives among 0 samples",
        ),
        (GOOD, {"groups": range(59)}, "groups must be one value a row .60., got 59 values"),
        (
            GOOD,
            {"sample_weight": np.ones(59)},
            r"sample_weight must be of shape \(60,\) or \(60, 1\), got shape \(59,\)",
        ),
        (GOOD, {"sample_weight": -np.ones(60)}, "sample_weight must be >= 0, got -1; give 0 to leave a sample out"),
        (GOOD, {"sample_weight": np.full(60, np.nan)}, "sample_weight must be finite, got 60 NaN"),
    ],
)
def test_faults(loader, arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        parts_of(loader, **arguments)


def test_their_twins_pass():
    parts_of(GOOD, groups=range(60), sample_weight=np.zeros(60), val_loader=labelled([0.0, 1.0]))
    parts_of(labelled([torch.nan, 1.0, 0.0] * 20))
    parts_of(DataLoader(Rows(), batch_size=45, drop_last=True))


def test_a_subset_sampler_splits_as_a_subset_does():
    chosen = list(range(10, 50))
    loader = DataLoader(Rows(), batch_size=8, sampler=SubsetRandomSampler(chosen))
    parts = parts_of(loader, val_fraction=0.25)
    assert sorted(rows_of(parts.train) + rows_of(parts.validation)) == chosen
    validation = DataLoader(Rows(), batch_size=8, sampler=SubsetRandomSampler(range(50, N)))
    parts = parts_of(loader, val_loader=validation, val_fraction=0.0)
    assert rows_of(parts.train) == chosen and rows_of(parts.validation) == list(range(50, N))


def test_a_val_loader_that_leaves_rows_out_in_its_own_way_is_refused():
    validation = DataLoader(Rows(), batch_size=8, sampler=WeightedRandomSampler(Y, 100))
    with pytest.raises(InvalidInputError, match="val_loader must be one in order"):
        parts_of(DataLoader(Rows(), batch_size=8), val_loader=validation, val_fraction=0.0)
