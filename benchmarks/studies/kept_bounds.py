"""How often a threshold keeps its bound on new rows, and what it gives up: the rules, what is counted, the tables.

Both studies of the evidence share it: :mod:`benchmarks.studies.evidence` trains models,
:mod:`benchmarks.studies.score_evidence` draws their scores.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from metricopt.evidence.rule import Rule
from metricopt.problem.objectives import CountObjective
from metricopt.problem.ratios import Counts

LEAST = 0.85
"""The fraction of draws in which a nominal confidence of .9 must keep the bound, or raise no alarm."""


def name_of(rule: Rule | None) -> str:
    """Return what the tables call a rule.

    Examples
    --------
    >>> name_of(None), name_of(Rule(0.9, every_fold=False)), name_of(Rule(None, every_fold=True))
    ('best cut', 'limit .9', 'every fold')
    """
    if rule is None:
        return "best cut"
    limit = [] if rule.confidence is None else [f"limit {rule.confidence:g}".replace("0.", ".")]
    return ", ".join([*limit, *(["every fold"] if rule.every_fold else [])])


RULES: dict[str, Rule | None] = {
    name_of(rule): rule
    for rule in (
        None,
        *(Rule(confidence, every_fold=False) for confidence in (0.5, 0.7, 0.9)),
        *(Rule(confidence, every_fold=True) for confidence in (None, 0.9)),
    )
}
DEFAULT = name_of(Rule())


def worth(objective: CountObjective, raised: np.ndarray, counts: Counts, oracle: float) -> dict[str, Any]:
    """Count what thresholds are worth on new rows.

    Parameters
    ----------
    objective : CountObjective
    raised : ndarray, shape (number of draws,), bool
        Whether a threshold claims anything: raises an alarm, or spares one where recall is bounded.
    counts : Counts
        The counts on new rows, per row, of the thresholds that claim something.
    oracle : float
        The best value that any threshold has within the bound.
    """
    met, values = objective.feasible(counts), np.asarray(objective.value(counts))
    return {
        "draws": len(raised),
        "raised": int(raised.sum()),
        "met": int(met.sum()),
        "oracle": round(oracle, 4),
        "value_where_met": round(float(values[met].mean()), 4) if met.any() else None,
        "delivered": round(float(values[met].sum()) / len(raised), 4),
    }


def asked_of(objective: CountObjective) -> str:
    """Return the bound of an objective as the tables call it."""
    return str(objective).partition("subject to ")[2].replace("_", " ")


def measured(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows with what is quoted of them."""
    frame = pd.DataFrame(rows)
    frame["alarms raised"] = frame["raised"] / frame["draws"]
    frame["met given raised"] = frame["met"] / frame["raised"].where(frame["raised"] > 0)
    frame["not missed"] = 1 - (frame["raised"] - frame["met"]) / frame["draws"]
    frame["given up"] = frame["oracle"] - frame["value_where_met"].astype(float)
    frame["delivered / oracle"] = frame["delivered"] / frame["oracle"].where(frame["oracle"] > 0)
    return frame


QUOTED = ["alarms raised", "met given raised", "not missed", "given up", "delivered / oracle"]


def tables(rows: list[dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """Return the page's tables by heading."""
    frame = measured(rows)
    on_precision = frame[frame["asked"].str.startswith("precision")]
    by_rule = [
        on_precision.groupby(keys, sort=False)[QUOTED].mean().rename_axis([None] * len(keys))
        for keys in (["rule"], ["rule", "case"], ["rule", "family"], ["rule", "positives"], ["rule", "asked"])
    ]
    default = frame[frame["rule"] == DEFAULT]
    others = frame[~frame["asked"].str.startswith("precision")]
    keys = ["case", "family", "positives", "asked"]
    made = {
        "Bounds on precision, by rule (means over all cells)": by_rule[0],
        "By rule and case": by_rule[1],
        "By rule and family": by_rule[2],
        "By rule and number of positives": by_rule[3],
        "By rule and bound": by_rule[4],
        "Other bounds, plain, by rule": others.groupby(["rule", "asked"], sort=False)[QUOTED].mean(),
        f"Cells in which {DEFAULT} keeps the bound in less than {LEAST:g} of the draws": default[
            default["not missed"] < LEAST
        ].set_index(keys)[QUOTED],
        f"All cells, {DEFAULT}": default.sort_values(keys).set_index(keys)[QUOTED],
    }
    return {heading: table for heading, table in made.items() if len(table)}


def conclusions(rows: list[dict[str, Any]]) -> list[str]:
    """Return what the rows say."""
    frame = measured(rows)
    default = frame[frame["rule"] == DEFAULT]
    enough = default[default["positives"] >= 50]
    low = enough[enough["not missed"] < LEAST]
    said = [
        f"{DEFAULT}: of {len(enough)} cells with 50 positives or more, the bound is kept on new rows (or nothing is "
        f"claimed) in {LEAST:g} of the draws or more in {len(enough) - len(low)}; the least is "
        f"{enough['not missed'].min():.3f}. Met given raised, pooled over draws: "
        f"{enough['met'].sum() / enough['raised'].sum():.3f}, with something raised in "
        f"{enough['raised'].sum() / enough['draws'].sum():.3f} of the draws."
    ]
    for rule, own in frame[frame["asked"].str.startswith("precision")].groupby("rule", sort=False):
        raised, met, draws = (own[name].sum() for name in ("raised", "met", "draws"))
        oracle = (own["oracle"] * own["draws"]).sum()
        delivered = (own["delivered"] * own["draws"]).sum() / oracle
        said.append(
            f"{rule}: raised in {raised / draws:.2f} of the draws, met given raised {met / raised:.3f}, "
            f"delivered {delivered:.2f} of the oracle's recall (bounds on precision, all cells pooled)."
        )
    return said
