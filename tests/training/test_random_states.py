import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset, WeightedRandomSampler

from metricopt.training.random_states import RandomStates, generators_of

OWN = {
    "torch": (lambda: torch.Generator().manual_seed(1), lambda own: torch.rand(2, generator=own).tolist()),
    "generator": (lambda: np.random.default_rng(1), lambda own: own.random(2).tolist()),
    "philox": (lambda: np.random.Generator(np.random.Philox(1)), lambda own: own.random(2).tolist()),
    "legacy": (lambda: np.random.RandomState(1), lambda own: own.rand(2).tolist()),
    "python": (lambda: random.Random(1), lambda own: [own.random(), own.gauss(0, 1)]),
}


def draw(own=(), draws=()):
    everywhere = [torch.rand(2).tolist(), np.random.rand(2).tolist(), np.random.randn(), random.gauss(0, 1)]
    return everywhere + [one(generator) for generator, one in zip(own, draws, strict=True)]


def test_draws_repeat_after_states_are_put_back():
    own, draws = [make() for make, _ in OWN.values()], [one for _, one in OWN.values()]
    states = RandomStates(own)
    draw(own, draws)
    before = states.capture()
    first, second = draw(own, draws), draw(own, draws)
    assert first != second
    for _ in range(2):
        states.restore(before)
        assert [draw(own, draws), draw(own, draws)] == [first, second]


@pytest.mark.parametrize("name", OWN)
def test_a_state_serves_another_generator_of_its_kind(name):
    make, one = OWN[name]
    first, other = make(), make()
    one(first)
    RandomStates([other]).restore(RandomStates([first]).capture())
    assert one(other) == one(first) != one(make())


def test_generators_are_found_once_where_loaders_keep_them():
    class Held(IterableDataset):
        def __init__(self, generator):
            self._rng, self.again, self.nothing = generator, generator, None

        def __iter__(self):
            return iter(())

    data = TensorDataset(torch.zeros(4, 1))
    data.rng = random.Random(0)
    own = [torch.Generator() for _ in range(3)]
    sampler = WeightedRandomSampler(torch.ones(4), 4, generator=own[0])
    loader = DataLoader(Subset(data, [0, 1]), sampler=sampler, generator=own[1])
    assert set(generators_of(loader, None, data)) == {own[0], own[1], data.rng}
    assert generators_of(DataLoader(Held(own[2]))) == [own[2]]
    assert generators_of(DataLoader(TensorDataset(torch.zeros(2)), shuffle=True), None) == []
