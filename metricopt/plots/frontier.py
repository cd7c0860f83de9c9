"""The best value at each of several bounds: one line for each method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metricopt._validation import reject
from metricopt.plots._style import RELATIONS, in_words, legend_below, own_axes, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_COLUMNS = ("method", "bound", "metric", "value", "low", "high", "bounded_metric", "bound_direction", "met")
_DODGE = 0.012


def plot_frontier(frame: pd.DataFrame, *, ax: Axes | None = None, title: str = "") -> Axes:
    """Draw the metric that each method reaches along a list of bounds, with intervals.

    Steps join the points: a model that meets a bound meets every looser one, so between two bounds at least the value
    of the stricter one can be reached. A hollow mark beside the line is a point whose bound is missed on these data, or
    not supported by those that chose the threshold, so that no alarm is raised.

    Parameters
    ----------
    frame : DataFrame
        One row for each method and bound, of one label and one data set, as ``Tradeoff.to_frame()`` makes them. Its
        columns are method, bound, metric, value, low and high (the interval of the value, NaN where there is none),
        bounded_metric, bound_direction (``"min"`` or ``"max"``), met.
    ax : Axes, optional
        The axes to draw into. The default is those of a new figure.
    title : str
        The title of the picture.

    Returns
    -------
    Axes
        ``.figure.savefig("frontier.png")`` writes the picture.

    Raises
    ------
    InvalidInputError
        If a column is missing, there is no row, or a method has several rows for one bound.

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"method": "FPOR", "metric": "recall", "low": 0.4, "high": 0.7, "bounded_metric": "precision",
    ...        "bound_direction": "min", "met": True}
    >>> frame = pd.DataFrame([{**row, "bound": 0.8, "value": 0.6}, {**row, "bound": 0.9, "value": 0.5}])
    >>> ax = plot_frontier(frame)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('bound: precision >=', 'recall')
    """
    missing = [name for name in _COLUMNS if name not in frame]
    if missing or not len(frame):
        reject("frame", f"of columns {', '.join(_COLUMNS)}, and of a row or more", f"no {missing or 'row'}", "add them")
    if frame.duplicated(["method", "bound"]).any():
        reject("frame", "of one row a method and bound", "several", "choose one label and one data set")
    ax = own_axes(ax, (6.4, 4.8))
    bounds = frame["bound"].unique()
    first, room = frame.iloc[0], float(bounds.max() - bounds.min()) or 0.1
    # From each point towards the looser bounds.
    steps = "steps-pre" if first["bound_direction"] == "min" else "steps-post"
    methods = list(dict.fromkeys(frame["method"]))
    handles = []
    for number, method in enumerate(methods):
        own = frame[frame["method"] == method].sort_values("bound")
        color, line, marker = style(number)
        # Side by side, so that the intervals of two methods at one bound are both seen.
        x = own["bound"] + _DODGE * room * (number - (len(methods) - 1) / 2)
        held = own["met"].astype(bool)
        (drawn,) = ax.plot(
            x, own["value"].where(held), line, color=color, marker=marker, drawstyle=steps, label=method, zorder=3
        )
        handles.append(drawn)
        ax.vlines(x, own["low"], own["high"], color=color, linewidth=1, alpha=0.6, zorder=2)
        ax.plot(x[~held], own["value"][~held], marker, color=color, markerfacecolor="white", zorder=4)
    if not frame["met"].astype(bool).all():
        handles += ax.plot([], [], "o", color="0.3", markerfacecolor="white", label="bound missed or not supported")
    ax.set_xticks(sorted(bounds))
    ax.set_xticklabels([f"{bound:g}" for bound in sorted(bounds)])
    ax.set_ylim(0, 1.01)
    ax.set(xlabel=f"bound: {in_words(first['bounded_metric'])} {RELATIONS[first['bound_direction']]}")
    ax.set_ylabel(in_words(first["metric"]))
    ax.grid(axis="y", color="0.92", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.set_title(title, fontsize="medium")
    legend_below(ax, handles, ncols=3)
    return ax
