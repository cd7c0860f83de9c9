"""Probabilities beside what was observed: a point for each bin, near the diagonal where they can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from metricopt._arrays import Array
from metricopt.evidence.reliability import Reliability
from metricopt.plots._style import STYLES, legend_below, own_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_reliability(
    probabilities: Array,
    labels: Array,
    *,
    sample_weight: Array | None = None,
    num_bins: int = 10,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Draw the fraction of positives against the probability, with intervals, slope and intercept.

    Each point stands for rows of like probability, cut so that each expects equally many positives
    (:mod:`metricopt.evidence.reliability`). Above the diagonal probabilities are too low, below it too high.

    Parameters
    ----------
    probabilities : array, shape (n,), float, in [0, 1]
        Of rows that neither trained the model nor calibrated it.
    labels : array, shape (n,)
        0, 1 or NaN (missing).
    sample_weight : array, shape (n,), optional
        Weights >= 0. There are no intervals with them.
    num_bins : int, >= 1
        The largest number of points.
    ax : Axes, optional
        The axes to draw into. The default is those of a new figure.
    title : str
        The title of the picture.

    Returns
    -------
    Axes
        ``.figure.savefig("reliability.png")`` writes the picture.

    Raises
    ------
    InvalidInputError
        If a shape or value is not as above, or no row has a label.

    Examples
    --------
    >>> ax = plot_reliability([0.2, 0.2, 0.2, 0.2, 0.2, 0.6, 0.6], [0, 0, 1, 0, 0, 1, 0])
    >>> [text.get_text() for text in ax.get_legend().get_texts()][0]
    'as good as it gets'
    """
    found = Reliability.of(probabilities, labels, sample_weight=sample_weight, num_bins=num_bins)
    ax = own_axes(ax, (5.2, 5.4))
    color, _, marker = STYLES[0]
    top = max(float(np.nanmax([*found.predicted, *found.observed, *found.high])), 1e-3)
    top = 1.0 if top > 0.6 else top * 1.05
    (ideal,) = ax.plot([0, top], [0, top], color="0.5", linewidth=1, linestyle=(0, (4, 3)), label="as good as it gets")
    what = "interval of 95 %, " if np.isfinite(found.low).any() else ""
    number = f"{found.weight.min():,.0f} to {found.weight.max():,.0f}"
    rows = "rows" if sample_weight is None else "weight"
    ends = np.stack([found.observed - found.low, found.high - found.observed])
    points = ax.errorbar(
        found.predicted,
        found.observed,
        yerr=np.maximum(np.nan_to_num(ends), 0),
        color=color,
        marker=marker,
        linewidth=1.2,
        elinewidth=1,
        capsize=2.5,
        label=f"observed, {what}{number} {rows} a point\n{found}",
    )
    ax.set(xlabel="probability", ylabel="fraction of positives", xlim=(0, top), ylim=(0, top), aspect="equal")
    ax.set_title(title, fontsize="medium")
    legend_below(ax, [ideal, points], ncols=1)
    return ax
