"""What all pictures share: how methods are told apart, how a bound looks, where a legend lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = (("#0072B2", "-", "o"), ("#D55E00", "--", "s"), ("#009E73", "-.", "^"), ("#CC79A7", ":", "D"))
"""Colour (Okabe and Ito 2008), line and marker of the first four methods. A fifth method looks like the first again."""

BOUND: dict[str, Any] = {"color": "black", "linestyle": (0, (1, 1.5)), "linewidth": 1.2}
INFEASIBLE: dict[str, Any] = {"color": "0.93", "linewidth": 0, "zorder": 0}

RELATIONS = {"min": ">=", "max": "<="}


def style(number: int) -> tuple[str, str, str]:
    """Return colour, line and marker of a method by its position."""
    return STYLES[number % len(STYLES)]


def own_axes(ax: Axes | None, figsize: tuple[float, float]) -> Axes:
    """Return the axes as given, or those of a new figure."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=figsize, layout="constrained").subplots()


def in_words(name: str) -> str:
    """Return the name of a metric in the words that an axis shows.

    Examples
    --------
    >>> in_words("false_positive_rate")
    'false positive rate'
    """
    return name.replace("_", " ")


def legend_below(ax: Axes, handles: Sequence[Any], **options: Any) -> None:
    """Put the legend of the handles below the axes, because no place inside is free of curves on all data."""
    defaults: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.12), "ncols": 2}
    ax.legend(handles=handles, frameon=False, fontsize="small", **{**defaults, **options})
