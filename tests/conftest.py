"""Set up before torch is imported: every test worker computes on one core, so that workers do not slow each other.

Tests of rooms that load networks or start processes are marked as slow here; others that take long with all their
cases carry the mark themselves; a case that takes over a second alone is named at the end of a run if it does not.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from tests.undrawn import savefig

# With every seed, torch keeps the stack of the call for each kind of device that is not there yet: that takes longer
# than all else that small trainings draw.
for devices in (torch.cuda, torch.xpu, torch.mtia):
    if not devices.is_available():
        devices.manual_seed_all = lambda seed: None

SLOW_ROOMS = {"benchmarks", "backbones", "cli", "chexpert"}
SECONDS = 2.0
"""More than the second that is meant: a busy machine takes longer."""


@pytest.fixture(autouse=True)
def same_draws_in_any_order():
    """Let a test that draws from torch's global generator draw the same, whichever tests came before it."""
    torch.manual_seed(0)


@pytest.fixture
def undrawn(monkeypatch):
    """Let figures be made but not drawn."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", savefig)


@pytest.fixture(scope="module")
def small_forests():
    """Let boosted trees be few where nobody says how many: on folds, they take most of the time of their tests."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(HistGradientBoostingClassifier.__init__.__kwdefaults__, "max_iter", 50)
        yield


def pytest_collection_modifyitems(config, items):
    for item in items:
        if SLOW_ROOMS.intersection(item.path.relative_to(config.rootpath).parts):
            item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter):
    passed = terminalreporter.getreports("passed")
    unmarked = [each.nodeid for each in passed if each.duration > SECONDS and "slow" not in each.keywords]
    if unmarked:
        terminalreporter.section("take long without the mark slow")
        terminalreporter.write("".join(f"{each}\n" for each in unmarked))
