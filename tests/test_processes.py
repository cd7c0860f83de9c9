"""Who has which rows, and what a process does when another is lost; launches themselves are in test_distributed.py."""

import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from metricopt import InvalidInputError
from metricopt.processes import ALONE, Processes, ProcessLostError, is_main_process, join_launch


def processes(number):
    return [Processes(SimpleNamespace(num_processes=number, process_index=position)) for position in range(number)]


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_parts_of_a_batch_are_the_batch_in_order_and_none_is_a_single_row_without_need(number, batch_size, data):
    batch = list(range(data.draw(st.integers(0, number * batch_size))))
    parts = [each.part_of(batch, batch_size) for each in processes(number)]
    assert [row for part in parts for row in part] == batch
    sizes = [len(part) for part in parts]
    assert max(sizes) <= max(batch_size, 3) and sizes == sorted(sizes, key=lambda size: size == 0)
    if len(batch) == number * batch_size:
        assert sizes == [batch_size] * number
    if batch_size > 1 and len(batch) > 1:
        assert 1 not in sizes
    as_tensor = [each.part_of(torch.tensor(batch), batch_size) for each in processes(number)]
    assert [part.tolist() for part in as_tensor] == parts


@given(st.integers(1, 9), st.integers(0, 50))
def test_own_rows_of_all_processes_are_all_rows_in_order(number, num_rows):
    rows = np.arange(num_rows) * 2
    parts = [each.own_rows(rows) for each in processes(number)]
    assert np.concatenate(parts).tolist() == rows.tolist()
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_one_process_exchanges_nothing():
    scores, labels, index = torch.zeros(3, 2, requires_grad=True), torch.ones(3, 2), torch.arange(3)
    assert all(a is b for a, b in zip(ALONE.whole_batch(scores, labels, index), (scores, labels, index), strict=True))
    model, rows = nn.Linear(2, 1), np.ones((3, 2))
    ALONE.average_gradients(model), ALONE.take_weights_of_main(model), ALONE.take_buffers_of_main(model)
    assert model.weight.grad is None and ALONE.concatenated(rows) is rows and ALONE.own_rows(rows) is rows
    assert ALONE.all_of("a") == ["a"] and ALONE.from_main(lambda: "b") == "b" and ALONE.is_main
    with pytest.raises(OSError, match="as it is"), ALONE.in_step():
        raise OSError("as it is")
    assert is_main_process()


def test_a_launcher_s_signal_is_an_error_that_names_the_checkpoints_while_several_train():
    before = signal.getsignal(signal.SIGTERM)
    first, _ = processes(2)
    with (
        pytest.raises(ProcessLostError, match="Process 0 of 2 ends: .* checkpoints in 'runs/x'"),
        first.watched("runs/x"),
    ):
        os.kill(os.getpid(), signal.SIGTERM)
        signal.sigtimedwait([], 1)
    with pytest.raises(ProcessLostError, match="give checkpoint_dir to be able"), processes(2)[1].watched(None):
        os.kill(os.getpid(), signal.SIGTERM)
        signal.sigtimedwait([], 1)
    assert signal.getsignal(signal.SIGTERM) is before
    with ALONE.watched("runs/x"):
        assert signal.getsignal(signal.SIGTERM) is before


def test_a_lost_connection_is_told_in_words():
    def gather(tensor):
        raise RuntimeError("Connection closed by peer")

    one = Processes(SimpleNamespace(num_processes=2, process_index=1, gather=gather))
    with pytest.raises(ProcessLostError, match=r"Process 1 of 2 ends: .*\(Connection closed by peer\)"):
        one.whole_batch(torch.zeros(3, 2), torch.zeros(3, 2), torch.arange(3))


def test_a_launch_that_accelerate_was_not_told_of_is_refused(monkeypatch):
    assert join_launch().number == 1
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InvalidInputError, match="accelerate must be set up for the 2 processes of the launch, got 1; "):
        join_launch("cpu")
