"""The command line: what is typed, and the runs on tables behind it."""

from metricopt.cli.commands import main

__all__ = ["main"]
