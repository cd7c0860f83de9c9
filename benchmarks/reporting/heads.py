"""What linear heads show: the gain of the direct method over others, by data set and in the mean of all.

The rows are those of :mod:`benchmarks.running.heads`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from benchmarks.reporting import delivered
from benchmarks.reporting.statistics import t_interval
from benchmarks.running.heads import DIRECT, PLAIN, RANKING


def tables(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return for each objective what scores allow, the gain of the direct method over each other, and the delivered."""
    found = {}
    for name, rows in frame.groupby("asked", sort=False):
        allowed = rows.pivot_table(index=["dataset", "split"], columns="method", values="test_curve_value", sort=False)
        found[f"{name}: what test scores allow"] = allowed.groupby("dataset", sort=False).mean()
        found[f"{name}: {DIRECT} minus the other, paired over the splits"] = _differences(allowed)
        if name == RANKING:
            continue
        got = rows.assign(value=delivered.delivered(rows)).pivot_table(
            index=["dataset", "split"], columns="method", values="value", sort=False
        )
        found[f"{name}: delivered at the deployed threshold"] = got.groupby("dataset", sort=False).mean()
        found[f"{name}: delivered, {DIRECT} minus the other"] = _differences(got)
        if rows["bounded"].iloc[0]:
            met = (
                rows.assign(
                    raised=delivered.alarms_raised(rows),
                    met=delivered.met_given_raised(rows),
                    missing=delivered.shortfall(rows),
                )
                .groupby("method", sort=False)[["raised", "met", "missing"]]
                .mean()
            )
            found[f"{name}: the bound on test rows"] = met.rename(
                columns={"raised": "with alarms", "met": "of these it holds", "missing": "shortfall"}
            )
    of_direct = frame[frame["method"] == DIRECT].groupby(["dataset", "asked"], sort=False)["stage"].first()
    found[f"Weights that the {DIRECT} method returned"] = of_direct.unstack("asked")
    return found


def _differences(values: pd.DataFrame) -> pd.DataFrame:
    """Return a line for each data set, and one for the mean of all of them in every split."""
    lines = {}
    for dataset, own in values.groupby("dataset", sort=False):
        lines[str(dataset)] = {name: str(t_interval(own[DIRECT] - own[name])) for name in values if name != DIRECT}
    means = values.groupby("split").mean()
    lines["mean of all"] = {name: str(t_interval(means[DIRECT] - means[name])) for name in values if name != DIRECT}
    return pd.DataFrame.from_dict(lines, orient="index")


def _measures(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield, for what scores allow and what is delivered by each objective, a column a method by set and split."""
    for name, rows in frame.groupby("asked", sort=False):
        measures = {"what test scores allow": rows["test_curve_value"]}
        if name != RANKING:
            measures["delivered"] = delivered.delivered(rows)
        for what, values in measures.items():
            by_split = rows.assign(value=values).pivot_table(
                index=["dataset", "split"], columns="method", values="value", sort=False
            )
            yield f"{name}, {what}", by_split


def gains_by_family(frame: pd.DataFrame, families: Mapping[str, Sequence[str]]) -> dict[str, pd.DataFrame]:
    """Return the gain of the direct method over each other in the mean of families of sets.

    Parameters
    ----------
    frame : DataFrame
    families : mapping of str to sequence of str
        The names of the sets of each.

    Returns
    -------
    dict of str to DataFrame
        By measure; a line for each family of which there are rows, over the splits and over the sets.
    """
    found = {}
    for what, values in _measures(frame):
        gain = values.rsub(values[DIRECT], axis=0).drop(columns=DIRECT)
        lines = {}
        for family, names in families.items():
            own = gain[gain.index.get_level_values("dataset").isin(names)]
            for over, plural in (("split", "splits"), ("dataset", "sets")) if len(own) else ():
                means = own.groupby(over).mean()
                lines[f"{family}, over the {plural}"] = {str(other): str(t_interval(means[other])) for other in means}
        found[f"{what}: {DIRECT} minus the other"] = pd.DataFrame.from_dict(lines, orient="index")
    return found


def conclusions(frame: pd.DataFrame) -> list[str]:
    """Say where the direct method is above and below cross-entropy at 95 %."""
    said = []
    for what, by_split in _measures(frame):
        gain = (by_split[DIRECT] - by_split[PLAIN]).groupby("dataset", sort=False)
        verdicts = {str(dataset): t_interval(own).verdict for dataset, own in gain}
        sides = {
            side: [dataset for dataset, verdict in verdicts.items() if verdict == side] for side in ("above", "below")
        }
        text = ", ".join(f"{side} on {len(own)} ({', '.join(own) or 'none'})" for side, own in sides.items())
        mean = t_interval((by_split[DIRECT] - by_split[PLAIN]).groupby("split").mean())
        said.append(f"**{what}**: {DIRECT} minus {PLAIN} {mean} over the splits; {text} of {len(verdicts)}.")
    return said


def by_steps(frame: pd.DataFrame, more_steps: int) -> pd.DataFrame:
    """Return a line for each data set, bound and number of steps: both methods, their difference, and the weights kept.

    Parameters
    ----------
    frame : DataFrame
        Rows with ``steps``; those of few steps where there are some of more.
    more_steps : int
    """
    longer = frame[frame["steps"] == more_steps]
    kept = frame.set_index(["dataset", "asked"]).index.isin(longer.set_index(["dataset", "asked"]).index)
    lines = {}
    both = frame[kept & frame["method"].isin((DIRECT, PLAIN))]
    for (dataset, name, steps), rows in both.groupby(["dataset", "asked", "steps"], sort=False):
        values = rows.pivot(index="split", columns="method", values="test_curve_value")
        got = rows.assign(value=delivered.delivered(rows)).pivot(index="split", columns="method", values="value")
        lines[f"{dataset}, {name}, {steps} steps"] = {
            **values.mean().to_dict(),
            "difference": str(t_interval(values[DIRECT] - values[PLAIN])),
            "delivered, difference": str(t_interval(got[DIRECT] - got[PLAIN])),
            f"weights of {DIRECT}": rows.loc[rows["method"] == DIRECT, "stage"].iloc[0],
        }
    return pd.DataFrame.from_dict(lines, orient="index").sort_index()
