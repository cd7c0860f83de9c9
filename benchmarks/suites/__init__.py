"""What is compared on what: every suite is a small file of its own."""

from __future__ import annotations

from benchmarks.suites import development, label_context, linear_folds, small, tables
from benchmarks.suites.suite import Plan, Suite

SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (tables.SUITE, linear_folds.SUITE, small.SUITE, label_context.SUITE, development.SUITE)
}

__all__ = ["SUITES", "Plan", "Suite"]
