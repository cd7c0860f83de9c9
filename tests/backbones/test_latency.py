"""Latencies are those of the models given, in evaluation mode, one round after the other."""

import time

import numpy as np
import pytest
import torch
from torch import nn

from metricopt import InvalidInputError
from metricopt.backbones import cpu_latencies, cpu_latency


class Slow(nn.Module):
    """A network that takes a known time and writes down when it was called."""

    calls: list = []  # noqa: RUF012, all copies write into it

    def __init__(self, seconds):
        super().__init__()
        self.first, self.seconds = nn.Conv2d(2, 1, 1), seconds

    def forward(self, x):
        assert not self.training and x.shape == (1, 2, 5, 7) and torch.is_inference(x + 1)
        Slow.calls.append((self.seconds, torch.get_num_threads()))
        time.sleep(self.seconds)
        return x


def test_in_turn_and_in_milliseconds():
    Slow.calls.clear()
    fast, slow, threads = Slow(0.001).train(), Slow(0.01), torch.get_num_threads()
    times = cpu_latencies({"fast": fast, "slow": slow}, (5, 7), repeats=4, threads=1)
    assert Slow.calls == [(0.001, 1), (0.01, 1)] * 7  # 3 rounds to warm up
    assert {name: values.shape for name, values in times.items()} == {"fast": (4,), "slow": (4,)}
    assert times["slow"].min() >= 10 and times["fast"].min() >= 1
    assert np.median(times["slow"] / times["fast"]) > 1
    assert fast.training and torch.get_num_threads() == threads
    assert cpu_latency(slow, (5, 7), repeats=3) >= 10


@pytest.mark.parametrize(("argument", "value"), [("repeats", 0), ("repeats", 1.5), ("threads", 0)])
def test_bad_arguments(argument, value):
    with pytest.raises(InvalidInputError, match=f"{argument} must be an integer >= 1, got {value}"):
        cpu_latency(Slow(0), (5, 7), **{argument: value})
    assert cpu_latency(Slow(0), (5, 7), repeats=1, threads=1) > 0
