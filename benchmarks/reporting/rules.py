"""What each rule for the threshold delivers with the same scores, for methods that were judged by several.

This file decides which rows stand for a method among others, and the table of all its rules. The rules are those of
:mod:`benchmarks.running.rules`.
"""

from __future__ import annotations

import pandas as pd

from benchmarks.reporting import delivered
from benchmarks.running.rules import DEFAULT


def of_default_rule(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the default rule, and those of methods that have no rules."""
    return frame[_rules(frame).isin(["", DEFAULT])]


def by_rule(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a line for every model, objective, method and rule, in the order of the rows; empty without rules."""
    known = frame.assign(rule=_rules(frame))
    known = known[known["rule"] != ""]
    if known.empty:
        return pd.DataFrame()
    known = known.assign(
        net=delivered.net_value(known),
        delivered=delivered.delivered(known),
        raised=delivered.alarms_raised(known),
        met=delivered.met_given_raised(known),
        shortfall=delivered.shortfall(known),
    )
    keys = ["model", "objective", "method", "rule"]
    over_sets = known.groupby([*keys, "dataset"], sort=False)[["net", "delivered", "shortfall"]].mean()
    means = over_sets.groupby(keys, sort=False).mean()
    trials = known.groupby(keys, sort=False)[["raised", "met"]].mean()
    return pd.DataFrame(
        {
            "net value": means["net"].map("{:+.3f}".format),
            "delivered": means["delivered"],
            "alarms raised": trials["raised"].map("{:.0%}".format),
            "met given raised": trials["met"].map("{:.0%}".format, na_action="ignore"),
            "shortfall": means["shortfall"],
        }
    )


def _rules(frame: pd.DataFrame) -> pd.Series:
    """Return the rule of every row, "" where there is none."""
    return frame["rule"].fillna("") if "rule" in frame else pd.Series("", frame.index)
