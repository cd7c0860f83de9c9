"""Histograms of the scores of both classes, and where the threshold divides them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from metricopt._arrays import Array, Samples
from metricopt._validation import reject
from metricopt.plots._style import STYLES, legend_below, own_axes
from metricopt.problem.ranking import RankedClass, Ranking

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NUM_BINS = 50
_CLASSES = {"negatives": None, "positives": "////"}
"""The two classes, with the hatching of their bars."""


def plot_scores(
    scores: Array,
    labels: Array,
    threshold: float,
    *,
    sample_weight: Array | None = None,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Draw how the scores of positives and negatives are distributed, on a log scale, so that the rare class is seen.

    The threshold is a line in its margin, the interval around it that has no score. Anywhere in the margin the
    threshold decides alike on these samples.

    Parameters
    ----------
    scores, labels : array, shape (n,)
        The scores, and labels that are 0, 1 or NaN (missing).
    threshold : float
        Scores at or above it are alarms. An infinite threshold, which flags no row or every row, stands in the legend
        alone. NaN, the threshold of a label that was left out, is not shown.
    sample_weight : array, shape (n,), optional
        Weights >= 0, of which the bars are then sums.
    ax : Axes, optional
        The axes to draw into. The default is those of a new figure.
    title : str
        The title of the picture.

    Returns
    -------
    Axes
        ``.figure.savefig("scores.png")`` writes the picture.

    Raises
    ------
    InvalidInputError
        If a shape or value is not as above, or no sample has a label.

    Examples
    --------
    >>> ax = plot_scores([0.9, 0.8, 0.4, 0.2], [1, 0, 1, 0], 0.6)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['2 negatives: 1 false alarm', '2 positives: 1 found, 1 missed', 'threshold 0.6, margin 0.4 to 0.8']
    """
    samples = Samples.read(scores, labels, sample_weight)
    if samples.has_label_axis:
        reject("scores", "of shape (n,)", f"shape {samples.scores.shape}", "give one label at a time")
    ranking = Ranking.of(samples, 0)
    every = np.concatenate([ranking.positives.scores, ranking.negatives.scores]).astype(np.float64)
    if not len(every):
        reject("labels", "of at least one sample", "none", "give labelled samples")
    from matplotlib.colors import to_rgba
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    ax = own_axes(ax, (6.4, 4.6))
    edges, is_set = _edges(every, threshold), not np.isnan(threshold)
    handles: list[Any] = []
    for own, name, (color, _, _) in zip((ranking.negatives, ranking.positives), _CLASSES, STYLES, strict=False):
        counts, _ = np.histogram(own.scores, edges, weights=own.weight)
        look: dict[str, Any] = {
            "facecolor": to_rgba(color, 0.3),
            "edgecolor": color,
            "hatch": _CLASSES[name],
            "linewidth": 1.2,
        }
        ax.stairs(counts, edges, fill=True, zorder=2, **look)
        label = f"{own.weight.sum():g} {name}" + (_outcome(own, name, threshold) if is_set else "")
        handles.append(Patch(label=label, **look))
    if np.isinf(threshold):
        flagged = "no row is flagged" if threshold > 0 else "every row is flagged"
        handles.append(Line2D([], [], color="black", linewidth=1.2, label=f"threshold {threshold:g}: {flagged}"))
    elif is_set:
        low, high = _margin(every, threshold)
        ax.axvspan(low, high, color="0.75", linewidth=0, zorder=1)
        label = f"threshold {threshold:.4g}, margin {low:.4g} to {high:.4g}"
        handles.append(ax.axvline(threshold, color="black", linewidth=1.2, label=label, zorder=4))
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set(xlabel="score", ylabel="samples" if samples.weight is None else "weight of samples")
    # A bar of one sample has a height on a log scale only if the axis begins below 1.
    ax.set_ylim(bottom=0.7 if samples.weight is None else None)
    ax.set_title(title, fontsize="medium")
    legend_below(ax, handles, ncols=1)
    return ax


def _edges(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Return the edges of equally wide bars. One edge is the threshold, so that no bar mixes alarms with others."""
    low, high = float(scores.min()), float(scores.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    width = (high - low) / _NUM_BINS
    start = low if not np.isfinite(threshold) else threshold - np.ceil((threshold - low) / width) * width
    edges: np.ndarray = start + width * np.arange(max(1, np.floor((high - start) / width) + 1) + 1)
    return edges


def _outcome(own: RankedClass, name: str, threshold: float) -> str:
    """Say how many samples of a class raise an alarm."""
    alarms = float(own.weight_at_or_above(np.array([threshold]))[0])
    if name == "negatives":
        return f": {alarms:g} false alarm{'s' * (alarms != 1)}"
    return f": {alarms:g} found, {own.weight.sum() - alarms:g} missed"


def _margin(scores: np.ndarray, threshold: float) -> tuple[float, float]:
    """Return the nearest scores below and at or above the threshold, or the threshold where there is none."""
    below, above = scores[scores < threshold], scores[scores >= threshold]
    return float(below.max(initial=-np.inf)) if len(below) else threshold, float(above.min()) if len(
        above
    ) else threshold
