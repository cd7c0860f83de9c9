"""A map of two bounds: the best value at every pair of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from metricopt._arrays import Array
from metricopt.evidence.two_bounds import TwoBounds
from metricopt.plots._style import STYLES, in_words, legend_below, own_axes
from metricopt.problem.program import Program

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEVELS = 7


def plot_two_bounds(
    scores: Array,
    labels: Array,
    program: Program,
    *,
    confidence: float | None = None,
    sample_weight: Array | None = None,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Draw the best value that some threshold reaches at every pair of two bounds, and what the program asks for.

    Read it from the mark: towards a side the colour says what relaxing that bound would bring, or what tightening it
    would cost. Where the map is hatched, no threshold meets both.

    Parameters
    ----------
    scores, labels : array, shape (n,)
        Scores of rows that did not train the model, and labels that are 0, 1 or NaN (missing).
    program : Program
        With two bounds, each over all rows.
    confidence : float, in (0, 1), optional
        How sure both bounds must be on new rows. By default they need only hold on these.
    sample_weight : array, shape (n,), optional
        Weights >= 0.
    ax : Axes, optional
        The axes to draw into. The default is those of a new figure.
    title : str
        The title of the picture.

    Returns
    -------
    Axes
        ``.figure.savefig("two_bounds.png")`` writes the picture.

    Raises
    ------
    InvalidInputError
        If the program has other bounds, or a shape or value is not as above.

    Examples
    --------
    >>> program = Program("recall", ["precision >= 0.6", "alarm_rate <= 0.5"])
    >>> ax = plot_two_bounds([4.0, 3.0, 2.0, 1.0], [1, 0, 1, 0], program)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('bound: precision >=', 'bound: alarm rate <=')
    """
    found = TwoBounds.of(scores, labels, program, confidence=confidence, sample_weight=sample_weight)
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    is_minimised = program.maximised.name.startswith("neg_")
    metric = in_words(program.maximised.name.removeprefix("neg_"))
    value, at_asked = (-found.value, -found.asked) if is_minimised else (found.value, found.asked)
    ax = own_axes(ax, (6.4, 5.2))
    ax.patch.set(facecolor="0.93", hatch="///", edgecolor="0.75")
    handles: list[Any] = []
    if np.isfinite(value).any():
        low, high = float(np.nanmin(value)), float(np.nanmax(value))
        shown = np.ma.masked_invalid(value)
        colours = "cividis_r" if is_minimised else "cividis"
        filled = ax.pcolormesh(found.first, found.second, shown, cmap=colours, vmin=low, vmax=high, rasterized=True)
        if high > low:
            levels = np.linspace(low, high, _LEVELS)[1:-1]
            lines = ax.contour(found.first, found.second, shown, levels, colors="white", linewidths=0.7)
            ax.clabel(lines, fmt="%.2f", fontsize="x-small")
        ax.figure.colorbar(filled, ax=ax, label=f"{'least' if is_minimised else 'best'} {metric}")
    if not np.isfinite(value).all():
        handles.append(Patch(facecolor="0.93", edgecolor="0.75", hatch="///", label="no threshold meets both"))
    first, second = (float(np.asarray(bound.bound)) for bound in program.bounds)
    color, _, marker = STYLES[1]
    ax.plot([first], [second], marker, color=color, markeredgecolor="white", markersize=9, zorder=4, clip_on=False)
    reached = "not met together" if np.isnan(at_asked) else f"{metric} {at_asked:.3f}"
    label = f"asked: {first:g} and {second:g}, {reached}"
    handles.append(
        Line2D([], [], color=color, marker=marker, markeredgecolor="white", linestyle="none", markersize=9, label=label)
    )
    names = [f"bound: {in_words(bound.metric.name)} {bound.relation}" for bound in program.bounds]
    ax.set(xlabel=names[0], ylabel=names[1])
    ax.set_title(title, fontsize="medium")
    legend_below(ax, handles, ncols=1)
    return ax
