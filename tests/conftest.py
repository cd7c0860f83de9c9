"""Set up before torch is imported: every test worker computes on one core, so that workers do not slow each other.

Tests of rooms that load networks or start processes are marked as slow here; others that take long with all their
cases carry the mark themselves; a case that takes over a second alone is named at the end of a run if it does not.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

SLOW_ROOMS = {"benchmarks", "backbones", "cli", "chexpert"}
SECONDS = 2.0
"""More than the second that is meant: a busy machine takes longer."""


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
