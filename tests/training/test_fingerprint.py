"""A training is resumed with the data that it began with, and with no other."""

import copy
import random

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from metricopt import InvalidInputError
from metricopt.training.fingerprint import digest_of
from metricopt.training.random_states import RandomStates, generators_of
from tests.held_out import fit
from tests.training.test_resume import Noisy, Shuffled, X, Y, blobs, linear, loader_of, plain


def train(case, folder):
    model, loader = case.pop("model"), case.pop("loader")
    arguments = {"alpha": 0.6, "epochs": 2, "warmup_epochs": 1, **case}
    return fit(model, loader, "FPOR", checkpoint_dir=folder, resume=True, **arguments)


class Scaled(Dataset):
    """Other values in the same rows; the labels are the same."""

    def __init__(self, dataset, scale):
        self.dataset, self.scale = dataset, scale

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, row):
        x, y = self.dataset[row]
        return self.scale * x, y


class ScaledStream(Shuffled):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def __iter__(self):
        return ((self.scale * x, y) for x, y in super().__iter__())


def of_tensors(scale):
    x = X.clone()
    x[17] *= scale  # all of them count
    return {"model": linear(), "loader": loader_of(TensorDataset(x, Y), shuffle=True)}


def of_rows(scale):
    return {"model": linear(), "loader": loader_of(Scaled(Noisy(), scale), shuffle=True)}


def of_a_stream(scale):
    return {"model": linear(), "loader": loader_of(ScaledStream(scale)), "val_fraction": 0}


def of_held_out_rows(scale):
    return {**plain(), "val_loader": loader_of(Scaled(TensorDataset(*blobs(seed=1)), scale))}


def of_rows_to_score(scale):
    return {**plain(), "eval_dataset": Scaled(TensorDataset(X, Y), scale)}


@pytest.mark.parametrize("scale", [100.0, -1.0])
@pytest.mark.parametrize(
    ("make", "part"),
    [
        (of_tensors, "training inputs"),
        (of_rows, "training inputs"),
        (of_a_stream, "training inputs"),
        (of_held_out_rows, "validation inputs"),
        (of_rows_to_score, "scored inputs"),
    ],
)
def test_other_values_with_the_same_labels_are_not_resumed(make, part, scale, tmp_path):
    first = train(make(1.0), tmp_path)
    with pytest.raises(
        InvalidInputError, match=rf"differs in {part} \([0-9a-f]{{8}} there, [0-9a-f]{{8}} now\); resume"
    ):
        train(make(scale), tmp_path)
    assert train(make(1.0), tmp_path).validation == first.validation


@pytest.mark.parametrize("make", [of_rows, of_a_stream])
def test_rows_that_are_drawn_at_random_are_the_same_data_whenever_they_are_read(make):
    dataset = make(1.0)["loader"].dataset
    own, first = generators_of(dataset), digest_of(dataset, generators_of(dataset))
    before = repr(RandomStates(own).capture())
    assert digest_of(dataset, own) == first
    assert repr(RandomStates(own).capture()) == before
    for _ in range(3):  # whatever was drawn since
        list(dataset) if isinstance(dataset, IterableDataset) else [dataset[row] for row in range(9)]
    assert digest_of(dataset, own) == first


class Unlike(Dataset):
    """Rows that draw from the system, or that only a worker can read."""

    def __init__(self, in_workers):
        self.in_workers = in_workers

    def __len__(self):
        return 40

    def __getitem__(self, row):
        if self.in_workers and torch.utils.data.get_worker_info() is None:
            raise OSError("no file is open here")
        return X[row] + random.SystemRandom().random(), Y[row]


@pytest.mark.parametrize(
    ("in_workers", "said"), [(False, "others at every reading"), (True, "not readable outside of workers")]
)
def test_what_cannot_be_told_does_not_count(in_workers, said):
    assert digest_of(Unlike(in_workers), []) == said


@pytest.mark.parametrize(
    "row",
    [
        {"image": torch.ones(2, 3, dtype=torch.bfloat16), "age": 40},
        (np.arange(6, dtype=np.int16), "a text"),
        [np.array(["2001-01-01"], dtype="M8[D]"), None],
        (torch.ones(3).to_sparse(), True),
    ],
)
def test_rows_of_any_kind_count_by_their_values(row):
    changed = [2 * torch.ones(2, 3, dtype=torch.bfloat16), "another", np.array(["2001-01-02"], dtype="M8[D]"), False]
    first = digest_of([row], [])
    assert len(first) == 8 and digest_of([copy.deepcopy(row)], []) == first
    for value in changed:
        other = {**row, "image": value} if isinstance(row, dict) else type(row)((row[0], value))
        assert digest_of([other], []) != first
