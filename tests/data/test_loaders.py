import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from metricopt._validation import InvalidInputError
from metricopt.data.loader_labels import as_label_columns, read_labels
from metricopt.data.loaders import batch_size_of, has_own_order, indexed_loader, is_iterable, rows_of, split_batch

N = 23
X = torch.arange(N * 2.0).reshape(N, 2)
Y = (torch.arange(N) % 3 == 0).float()


class Rows(Dataset):
    """A map-style data set that knows nothing about itself."""

    def __init__(self, num_rows=N):
        self.num_rows = num_rows

    def __len__(self):
        return self.num_rows

    def __getitem__(self, row):
        assert isinstance(row, int)
        return X[row], Y[row]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


class Named(Rows):
    def __init__(self, **attributes):
        super().__init__()
        vars(self).update(attributes)


class Inputs(Rows):
    """x as a tuple or a dict."""

    def __init__(self, form):
        super().__init__()
        self.form = form

    def __getitem__(self, row):
        x, y = super().__getitem__(row)
        return ((x, 2 * x) if self.form == "tuple" else {"a": x, "b": 2 * x}), y


def rebuilt(loader, rows=None, *, shuffled=True, seed=0, dataset=None, **rest):
    generator = torch.Generator().manual_seed(seed)
    rows = np.arange(N) if rows is None else rows
    return indexed_loader(loader, dataset or loader.dataset, rows, shuffled=shuffled, generator=generator, **rest)


def collect(loader):
    """Index, x and y of everything that an indexed loader yields."""
    indices, xs, ys = [], [], []
    for (x, y), index in loader:
        assert len(x) == len(y) == len(index) and index.dtype == torch.int64
        indices.append(index)
        xs.append(x)
        ys.append(y)
    return torch.cat(indices), torch.cat(xs), torch.cat(ys)


FAST_AND_GENERIC = pytest.mark.parametrize("dataset", [TensorDataset(X, Y), Rows()], ids=["tensors", "rows"])


@FAST_AND_GENERIC
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("rows", [np.arange(N), np.array([3, 1, 20, 22, 9, 4])], ids=["all", "some"])
def test_each_row_comes_once_beside_its_index(dataset, shuffle, rows):
    index, x, y = collect(rebuilt(DataLoader(dataset, batch_size=4, shuffle=shuffle), rows))
    assert sorted(index.tolist()) == list(range(len(rows)))
    assert (index.tolist() == list(range(len(rows)))) != shuffle
    assert torch.equal(x, X[rows[index]]) and torch.equal(y, Y[rows[index]])


@FAST_AND_GENERIC
def test_holding_rows_out_leaves_no_batch_of_one(dataset):
    sizes = [len(index) for (_, index) in rebuilt(DataLoader(dataset, batch_size=4), np.arange(9))]
    assert sizes == [4, 4]
    assert [len(index) for (_, index) in rebuilt(DataLoader(dataset, batch_size=4), np.arange(10))] == [4, 4, 2]
    scored = rebuilt(DataLoader(dataset, batch_size=4), np.arange(9), shuffled=False)
    assert [len(index) for (_, index) in scored] == [4, 4, 1]


@FAST_AND_GENERIC
def test_a_subset_sampler_stands_for_its_rows(dataset):
    loader = DataLoader(dataset, batch_size=4, sampler=SubsetRandomSampler([5, 2, 9, 7]))
    assert rows_of(loader).tolist() == [2, 5, 7, 9] and not has_own_order(loader)
    index, x, _ = collect(rebuilt(loader, rows_of(loader)))
    assert sorted(index.tolist()) == [0, 1, 2, 3] and torch.equal(x, X[rows_of(loader)[index]])
    assert rows_of(DataLoader(dataset, sampler=WeightedRandomSampler(torch.ones(N), 7))).tolist() == list(range(N))


@FAST_AND_GENERIC
def test_scoring_takes_all_rows_in_order_whatever_the_loader_does(dataset):
    loaders = [
        DataLoader(dataset, batch_size=4, shuffle=True, drop_last=True),
        DataLoader(dataset, batch_size=4, sampler=WeightedRandomSampler(torch.ones(N), 7)),
        DataLoader(dataset, batch_sampler=BatchSampler(RandomSampler(dataset), 4, drop_last=True)),
        DataLoader(dataset, batch_sampler=[[0, 1], [5]]),
    ]
    for loader in loaders:
        index, x, _ = collect(rebuilt(loader, shuffled=False))
        assert index.tolist() == list(range(N)) and torch.equal(x, X)


@FAST_AND_GENERIC
def test_drop_last_is_kept_in_training(dataset):
    loader = rebuilt(DataLoader(dataset, batch_size=4, drop_last=True))
    assert len(loader) == N // 4
    assert len(collect(loader)[0]) == N // 4 * 4


@FAST_AND_GENERIC
def test_the_order_is_drawn_from_the_generator(dataset):
    loader = DataLoader(dataset, batch_size=4, shuffle=True)
    first, again, other = (collect(rebuilt(loader, seed=seed))[0].tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_the_loader_itself_is_not_drawn_from():
    own = torch.Generator().manual_seed(5)
    loader, state = DataLoader(TensorDataset(X, Y), batch_size=4, shuffle=True, generator=own), own.get_state()
    collect(rebuilt(loader))
    assert torch.equal(own.get_state(), state)


@FAST_AND_GENERIC
def test_own_samplers_draw_as_they_please(dataset):
    sampler = WeightedRandomSampler((Y == 1).float(), 50, generator=torch.Generator().manual_seed(0))
    index, x, y = collect(rebuilt(DataLoader(dataset, batch_size=8, sampler=sampler)))
    assert len(index) == 50 and (y == 1).all() and torch.equal(x, X[index])


@FAST_AND_GENERIC
def test_own_batch_samplers_draw_as_they_please(dataset):
    loader = rebuilt(DataLoader(dataset, batch_sampler=[[4, 2], [7], [2, 1, 0]]))
    assert [index.tolist() for _, index in loader] == [[4, 2], [7], [2, 1, 0]]
    assert torch.equal(collect(loader)[1], X[[4, 2, 7, 2, 1, 0]])


@pytest.mark.parametrize("form", ["tuple", "dict"])
def test_structured_inputs_are_collated(form):
    loader = rebuilt(DataLoader(Inputs(form), batch_size=4, shuffle=True))
    keys = (0, 1) if form == "tuple" else ("a", "b")
    for (x, y), index in loader:
        assert torch.equal(x[keys[0]], X[index]) and torch.equal(x[keys[1]], 2 * X[index]) and torch.equal(y, Y[index])


def twice(samples):
    x, y = torch.utils.data.default_collate(samples)
    return 2 * x, y


@FAST_AND_GENERIC
def test_an_own_collate_function_is_kept(dataset):
    index, x, _ = collect(rebuilt(DataLoader(dataset, batch_size=4, collate_fn=twice)))
    assert torch.equal(x, 2 * X[index])


@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers(num_workers):
    loader = DataLoader(Rows(), batch_size=4, shuffle=True, num_workers=num_workers)
    index, x, y = collect(rebuilt(loader))
    assert sorted(index.tolist()) == list(range(N))
    assert torch.equal(x, X[index]) and torch.equal(y, Y[index])


def test_rows_of_another_data_set():
    index, x, _ = collect(rebuilt(DataLoader(Rows(), batch_size=4), dataset=TensorDataset(X + 1, Y)))
    assert torch.equal(x, X[index] + 1)


def test_batch_sizes():
    dataset = TensorDataset(X, Y)
    assert batch_size_of(DataLoader(dataset, batch_size=7)) == 7
    assert batch_size_of(DataLoader(dataset, batch_sampler=BatchSampler(SequentialSampler(dataset), 5, False))) == 5
    assert batch_size_of(DataLoader(dataset, batch_sampler=[[0], [1]])) == 64
    assert len(rebuilt(DataLoader(dataset, batch_size=7), batch_size=100)) == 1


def test_has_own_order():
    dataset = TensorDataset(X, Y)
    for plain in (DataLoader(dataset), DataLoader(dataset, shuffle=True), DataLoader(dataset, drop_last=True)):
        assert not has_own_order(plain)
    for own in (
        DataLoader(dataset, sampler=WeightedRandomSampler(torch.ones(N), N)),
        DataLoader(dataset, sampler=RandomSampler(dataset, replacement=True)),
        DataLoader(dataset, sampler=RandomSampler(dataset, num_samples=5)),
        DataLoader(dataset, sampler=[0, 1]),
        DataLoader(dataset, batch_sampler=[[0, 1]]),
    ):
        assert has_own_order(own)


def test_is_iterable():
    assert is_iterable(DataLoader(Stream())) and not is_iterable(DataLoader(Rows()))


# Labels


def scanned(dataset, **rest):
    """Labels, and how many scans it took to get them."""
    scans = []

    def batches(scan):
        scans.append(scan)
        return iter(scan)

    return read_labels(DataLoader(dataset, batch_size=4, **rest), batches), len(scans)


LIST = Y.long().tolist()


@pytest.mark.parametrize(
    "dataset",
    [
        TensorDataset(X, Y),
        TensorDataset(X, Y.bool()),
        Named(labels=LIST),
        Named(targets=Y.numpy()),
        Named(labels=LIST, targets=[7] * N),
        Subset(Named(targets=LIST), range(N)),
        Subset(Subset(TensorDataset(X, Y), list(range(N))), list(range(N))),
    ],
)
def test_labels_are_read_from_the_data_set(dataset):
    labels, num_scans = scanned(dataset)
    assert num_scans == 0 and labels.dtype == np.float32
    assert labels.tolist() == Y[:, None].tolist()


@pytest.mark.parametrize(
    "dataset",
    [
        Rows(),
        ConcatDataset([Rows(5), Subset(Rows(), range(5, N))]),
        Named(targets=list(range(N))),  # classes, which a target_transform makes 0 or 1
        Named(labels=["sick", "well"]),  # the names of the classes
        Named(labels=["sick"] * N),
        Named(labels=2, targets=None),
        Named(labels=lambda: None),
        Named(labels=LIST[:-1]),
        [(X[row], Y[row]) for row in range(N)],
    ],
)
@pytest.mark.parametrize("shuffle", [False, True])
def test_labels_are_scanned_where_the_data_set_does_not_tell(dataset, shuffle):
    labels, num_scans = scanned(dataset, shuffle=shuffle)
    assert num_scans == 1
    assert labels.tolist() == Y[:, None].tolist()


def test_labels_of_a_subset_are_those_of_its_rows():
    rows = [22, 3, 3, 0]
    for dataset in (TensorDataset(X, Y), Named(targets=LIST), Rows()):
        assert scanned(Subset(dataset, rows))[0].tolist() == Y[rows][:, None].tolist()


@pytest.mark.parametrize(
    "dataset", [TensorDataset(X[:0], Y[:0]), Rows(0), Subset(Rows(), []), Subset(Named(labels=LIST), [])]
)
def test_labels_of_nothing_are_none(dataset):
    assert scanned(dataset)[0].shape == (0, 1)


def test_labels_are_scanned_through_a_batch_sampler_that_leaves_rows_out():
    loader = DataLoader(Rows(), batch_sampler=[[0, 1], [5]])
    assert read_labels(loader, iter).tolist() == Y[:, None].tolist()


@pytest.mark.parametrize("labels", [[1, 0], [True, False], np.array([1, 0], np.int8), torch.tensor([1, 0])])
def test_labels_become_a_float_column(labels):
    columns = as_label_columns(labels)
    assert columns.dtype == np.float32 and columns.tolist() == [[1.0], [0.0]]


def test_labels_of_any_other_shape_are_rejected():
    with pytest.raises(InvalidInputError, match=r"labels must be of shape \(n,\) or \(n, L\), got shape \(2, 1, 1\); "):
        as_label_columns(np.zeros((2, 1, 1)))
    assert as_label_columns(np.zeros((2, 3))).shape == (2, 3)


@pytest.mark.parametrize(
    ("batch", "got"), [([X], "1 items"), ((X, Y, Y), "3 items"), (X, "Tensor"), ({"x": X, "y": Y}, "dict")]
)
def test_batches_that_are_no_pairs_are_rejected(batch, got):
    with pytest.raises(InvalidInputError, match=rf"loader must be one that yields \(x, y\), got {got}; yield pairs"):
        split_batch(batch)
    assert split_batch([X, Y]) == (X, Y)
