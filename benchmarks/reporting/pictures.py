"""The pictures of a report: differences with intervals, critical-difference diagrams, objective against violation.

Made without pyplot, as in :mod:`metricopt.plots`. Colours are told apart by colour-blind readers, and everything that a
colour says, a shape, a line or a word says too, for grey print. Numbers come from
:mod:`benchmarks.reporting.statistics`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.reporting.statistics import Interval, Ranking

# Okabe and Ito (2008).
BLUE, ORANGE, GREEN, PURPLE, BLACK = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000"
FAMILIES = {
    "direct": (BLUE, "o", "direct"),
    "loss": (ORANGE, "s", "loss"),
    "resampling": (GREEN, "^", "resampling"),
    "peer": (PURPLE, "D", "peer, as it is"),
}
_OTHER = (BLACK, "v", "other")
_LETTERS_AN_INCH = 11  # of a title
_ABOVE, _BELOW, _NEITHER = (BLUE, "o", BLUE), (ORANGE, "s", ORANGE), ("0.45", "D", "white")


def differences(panels: Mapping[str, Mapping[str, Interval]], title: str) -> Figure:
    """Draw a column of intervals a panel, a line a data set, on one scale; below a rule, what is said of all sets.

    Parameters
    ----------
    panels : dict of str to dict of str to Interval
        By objective, then by data set; the last one is the summary.
    title : str
    """
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    columns = min(4, len(panels))
    rows = math.ceil(len(panels) / columns)
    height = 1.0 + rows * (0.75 + 0.21 * len(names))
    width = 1.9 + 2.1 * columns
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for number, axes in enumerate(grid.flat):
        axes.set_visible(number < len(panels))
    for axes, (objective, panel) in zip(grid.flat, panels.items(), strict=False):
        axes.set_axisbelow(True)  # the grid behind the line at 0
        axes.axvline(0, color="0.2", linewidth=0.9, zorder=1)
        axes.axhline(len(names) - 1.5, color="0.7", linewidth=0.8, zorder=1)
        for line, name in enumerate(names):
            if name in panel and not math.isnan(panel[name].mean):
                interval = panel[name]
                color, marker, face = {"above": _ABOVE, "below": _BELOW, "": _NEITHER}[interval.verdict]
                ends = [interval.low, interval.high]
                axes.plot(ends, [line, line], "-", color=color, linewidth=2 if line == len(names) - 1 else 1.2)
                axes.plot(interval.mean, line, marker, color=color, markerfacecolor=face, markersize=5)
        axes.set_title(objective, fontsize="medium")
        axes.grid(axis="x", color="0.9", linewidth=0.6)
        axes.locator_params(axis="x", nbins=5)
        axes.tick_params(labelsize="small", labelbottom=True)
        axes.margins(y=0.03)
    grid[0, 0].set_yticks(range(len(names)), names)
    grid[0, 0].invert_yaxis()
    for shown, text in ((_ABOVE, "above 0"), (_BELOW, "below 0"), (_NEITHER, "0 inside the interval")):
        color, marker, face = shown
        figure.axes[0].plot([], [], f"-{marker}", color=color, markerfacecolor=face, markersize=5, label=text)
    figure.suptitle("\n".join(wrap(title, round(_LETTERS_AN_INCH * width))), fontsize="medium")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    return figure


def critical_differences(rankings: Mapping[str, Ranking], families: Mapping[str, str], title: str) -> Figure:
    """Draw mean ranks, the best left, with a bar over methods that do not differ; one diagram below the other.

    Parameters
    ----------
    rankings : dict of str to Ranking
        By what was ranked.
    families : dict of str to str
        By method; those of family "direct" are in bold.
    title : str

    References
    ----------
    Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006, figure 1.
    """
    heights = [_height(ranking) for ranking in rankings.values()]
    figure = Figure(figsize=(8, 0.35 + sum(heights)), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    grid = figure.subplots(len(rankings), 1, squeeze=False, height_ratios=heights)
    for axes, (name, ranking) in zip(grid.flat, rankings.items(), strict=True):
        _critical_difference(axes, name, ranking, families)
    return figure


def _height(ranking: Ranking) -> float:
    """Inches."""
    return 1.1 + 0.1 * len(ranking.cliques) + 0.2 * math.ceil(len(ranking.mean_ranks) / 2)


def _critical_difference(axes: Axes, name: str, ranking: Ranking, families: Mapping[str, str]) -> None:
    ranks, number = ranking.mean_ranks, len(ranking.mean_ranks)
    cliques = ranking.cliques
    bars, text = 0.35 + 0.5 * len(cliques), 1.0  # units of one line of text
    room = 0.45 * (number - 1) + 0.2  # for names, on either side of the scale
    axes.set_xlim(1 - room, number + room)
    axes.set_ylim(bars + text * math.ceil(number / 2) + 0.6, -2.6)
    axes.set_axis_off()
    axes.plot([1, number], [0, 0], "-", color="black", linewidth=1)
    for rank in range(1, number + 1):
        axes.plot([rank, rank], [0, -0.25], "-", color="black", linewidth=1)
        axes.text(rank, -0.4, str(rank), ha="center", va="bottom", fontsize="small")
    span = min(ranking.critical_difference, number - 1)
    axes.plot([1, 1 + span], [-1.6, -1.6], "|-", color="black", linewidth=1.2, markersize=6)
    wider = "" if span == ranking.critical_difference else ", wider than the scale"
    axes.text(
        1 + span + 0.02 * number,
        -1.6,
        f"critical difference {ranking.critical_difference:.2f}{wider}",
        va="center",
        fontsize="small",
    )
    axes.text(1 - room, -2.1, name, ha="left", va="bottom", fontsize="small", fontweight="bold")
    for line, clique in enumerate(cliques):
        low, high = ranks[clique[0]], ranks[clique[-1]]
        y = 0.4 + 0.5 * line
        axes.plot([low - 0.04, high + 0.04], [y, y], "-", color="0.35", linewidth=3.5, solid_capstyle="butt")
    on_left = math.ceil(number / 2)
    for place, (method, rank) in enumerate(ranks.items()):
        left = place < on_left
        # Half a line lower on the right, so that no two lines meet.
        y = bars + text * (0.5 + place if left else number - place)
        end = 1 - 0.15 if left else number + 0.15
        style = _style(families, method)
        axes.plot([rank, rank, end], [0, y, y], "-", color=style["color"], linewidth=0.9, zorder=1)
        axes.text(
            end - 0.05 if left else end + 0.05,
            y,
            f"{method}  {rank:.2f}" if left else f"{rank:.2f}  {method}",
            ha="right" if left else "left",
            va="center",
            fontsize="small",
            **style,
        )


def _style(families: Mapping[str, str], method: str) -> dict[str, Any]:
    direct = families.get(method) == "direct"
    return {"color": BLUE, "fontweight": "bold"} if direct else {"color": "black"}


def pareto(points: pd.DataFrame, xlabel: str, ylabel: str, title: str) -> Figure:
    """Draw the mean violation of every method against its mean objective, names beside, the undominated joined.

    Methods far from all others would press those into one spot: they are named with their values instead.

    Parameters
    ----------
    points : DataFrame
        Indexed by method, columns shortfall, objective and family.
    xlabel, ylabel, title : str
    """
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.subplots()
    front = undominated(points)
    far = far_out(points["shortfall"]) | far_out(points["objective"])
    away = [f"{name} ({at['shortfall']:.3f}, {at['objective']:.3f})" for name, at in points[far].iterrows()]
    points = points[~far]
    steps = points[points.index.isin(front)].sort_values("shortfall")
    axes.step(steps["shortfall"], steps["objective"], where="post", color="0.6", linewidth=1, linestyle="--", zorder=1)
    for family in dict.fromkeys(points["family"]):
        members = points[points["family"] == family]
        color, marker, label = FAMILIES.get(family, _OTHER)
        axes.plot(
            members["shortfall"], members["objective"], marker, color=color, mec="black", label=label, markersize=7
        )
    low, high = points["objective"].min(), points["objective"].max()
    room = max(high - low, 0.02) * 0.08
    axes.set_ylim(low - room, high + room)
    left, right = float(points["shortfall"].min()), float(points["shortfall"].max())
    room = max(right - left, 0.002) * 0.06
    axes.set_xlim(left - room, right + room)
    ordered = points.sort_values("objective")
    bottom, top = axes.get_ylim()
    # A name a line, in a column of its own: beside the points names would run into each other.
    heights = spread(ordered["objective"].to_numpy(), 0.052 * (top - bottom), bottom, top)
    for (method, point), height in zip(ordered.iterrows(), heights, strict=True):
        axes.annotate(
            str(method),
            (point["shortfall"], point["objective"]),
            xytext=(1.04, (height - bottom) / (top - bottom)),
            textcoords="axes fraction",
            va="center",
            fontsize="small",
            arrowprops={"arrowstyle": "-", "color": "0.75", "linewidth": 0.6, "shrinkB": 4, "relpos": (0, 0.5)},
            zorder=0,
            fontweight="bold" if method in front else "normal",
        )
    axes.set(
        xlabel="\n".join([xlabel, *wrap(f"outside of the picture: {', '.join(away)}", 80)] if away else [xlabel]),
        ylabel=ylabel,
    )
    figure.suptitle(title, fontsize="medium")
    axes.grid(color="0.93", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.plot([], [], "--", color="0.6", label="undominated (bold)")
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize="small")
    return figure


def far_out(values: pd.Series) -> pd.Series:
    """Return which values lie more than three interquartile ranges outside of the quartiles (Tukey's far out).

    Examples
    --------
    >>> far_out(pd.Series([0.1, 0.2, 0.3, 0.4, 5.0])).tolist()
    [False, False, False, False, True]
    """
    low, high = values.quantile([0.25, 0.75])
    # A range of 0, of four equal values, would put the fifth outside however near it is.
    reach = 3 * max(high - low, 0.01)
    return (values < low - reach) | (values > high + reach)


def undominated(points: pd.DataFrame) -> list[str]:
    """Return the methods that no other beats in one of objective and shortfall without being worse in the other.

    Examples
    --------
    >>> undominated(pd.DataFrame({"objective": [0.5, 0.6, 0.4], "shortfall": [0.0, 0.1, 0.1]}, index=["a", "b", "c"]))
    ['a', 'b']
    """
    kept = []
    for method, point in points.iterrows():
        as_good = (points["objective"] >= point["objective"]) & (points["shortfall"] <= point["shortfall"])
        better = (points["objective"] > point["objective"]) | (points["shortfall"] < point["shortfall"])
        if not (as_good & better).any():
            kept.append(str(method))
    return kept


def spread(wanted: Sequence[float] | np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Return ascending positions near the ascending ones wanted, at least a gap apart, inside of [low, high] if it can.

    Examples
    --------
    >>> spread([0.0, 0.1, 5.0], gap=1.0, low=0.0, high=5.0).tolist()
    [0.0, 1.0, 5.0]
    """
    placed = np.array(wanted, dtype=float)
    gap = min(gap, (high - low) / max(1, len(placed) - 1))
    for i in range(len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap if i else low)
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], placed[i + 1] - gap if i + 1 < len(placed) else high)
    return placed
