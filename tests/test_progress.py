import io
import sys

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from metricopt.progress import Display, describe
from tests.held_out import fit

RECORD = {
    "metric": "recall",
    "value": 0.5,
    "bounded_metric": "precision",
    "bounded_value": 0.91,
    "bound": 0.9,
    "feasible": True,
}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(params=[io.StringIO, Terminal], ids=["file", "terminal"])
def put_stderr(request, monkeypatch):
    """Put a stream into the place of standard error; called in the test, because pytest changes it before each."""

    def put():
        stream = request.param()
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")
    return put


def small_fit(**arguments):
    x = torch.linspace(-1, 1, 40)[:, None]
    loader = DataLoader(TensorDataset(x, (x[:, 0] > 0.2).float()), batch_size=20)
    model = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(model.weight, -1.0)
    torch.nn.init.zeros_(model.bias)
    return fit(model, loader, "FPOR", alpha=0.9, epochs=4, val_fraction=0, **arguments)


def test_a_bar_shows_metric_bound_and_status_on_terminals_unless_told_otherwise(put_stderr):
    for progress in (None, True, False):
        stderr = put_stderr()
        small_fit(progress=progress)
        shown = stderr.getvalue()
        if stderr.isatty() if progress is None else progress:
            assert "recall " in shown and "(bound 0.9, " in shown and "4/4" in shown
        else:
            assert shown == ""


def test_a_bar_changes_nothing():
    shown, hidden = small_fit(progress=True), small_fit(progress=False)
    assert repr(shown.history) == repr(hidden.history) and shown.threshold == hidden.threshold


@pytest.mark.parametrize("shown", [False, True])
def test_watched_items_pass_through(shown):
    with Display(shown) as display:
        assert list(display.watch([4, 5], "reading")) == [4, 5]
        assert list(display.watch(iter([4, 5]), "reading what has no length")) == [4, 5]


def test_a_bar_ends_after_an_error(put_stderr):
    stderr = put_stderr()
    with pytest.raises(KeyError), Display(True) as display:
        display.begin(3)
        raise KeyError
    with Display(True) as display:  # rich allows one live display at a time
        display.begin(1)
        display.show(1, "warm-up", [RECORD])
    assert "warm-up: recall 0.500" in stderr.getvalue()


def test_describe():
    assert describe([RECORD]) == "recall 0.500, precision 0.910 (bound 0.9, met)"
    missed = RECORD | {"feasible": False, "bounded_value": float("nan")}
    assert describe([missed]) == "recall 0.500, precision nan (bound 0.9, missed)"
    assert describe([{"metric": "f1", "value": 0.25, "bounded_metric": None}]) == "f1 0.250"
