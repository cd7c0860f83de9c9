"""Decision curves: net benefit against the threshold probability, beside flagging every row and none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from metricopt._arrays import Array
from metricopt._validation import reject
from metricopt.evidence.decision_curve import DecisionCurve
from metricopt.plots._style import legend_below, own_axes, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_decision_curve(
    probabilities: Array | Mapping[str, Array],
    labels: Array,
    *,
    threshold_probabilities: Array | None = None,
    sample_weight: Array | None = None,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Draw the net benefit of models against the threshold probability, beside flagging every row and none.

    Read it at the threshold probabilities that users would choose: 0.1 means that they would accept nine false alarms
    for one right one. A model is worth its use where its curve is the highest (Vickers and Elkin 2006).

    Parameters
    ----------
    probabilities : array, shape (n,), float, in [0, 1], or {name: array}
        Of rows that neither trained the models nor calibrated them.
    labels : array, shape (n,)
        0, 1 or NaN (missing).
    threshold_probabilities : array, shape (T,), in (0, 1), optional
        The default is 0.01, 0.02, ..., 0.99, up to where no model is above 0 any more.
    sample_weight : array, shape (n,), optional
        Weights >= 0.
    ax : Axes, optional
        The axes to draw into. The default is those of a new figure.
    title : str
        The title of the picture.

    Returns
    -------
    Axes
        ``.figure.savefig("decision_curve.png")`` writes the picture.

    Raises
    ------
    InvalidInputError
        If a shape or value is not as above, or no sample has a label.

    Examples
    --------
    >>> ax = plot_decision_curve({"ours": [0.9, 0.6, 0.3, 0.1]}, [1, 0, 1, 0])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['ours', 'flag every row', 'flag none']
    """
    models = dict(probabilities) if isinstance(probabilities, Mapping) else {"model": probabilities}
    if not models:
        reject("probabilities", "of one model at least", "none", "give e.g. {'ours': probabilities}")
    curves = {
        name: DecisionCurve.of(own, labels, threshold_probabilities, sample_weight=sample_weight)
        for name, own in models.items()
    }
    first = next(iter(curves.values()))
    shown = np.ones(len(first.of_all), bool)
    if threshold_probabilities is None:
        above = np.flatnonzero(np.max([curve.net_benefit for curve in curves.values()], axis=0) > 0)
        shown = np.arange(len(shown)) <= (above[-1] + 5 if len(above) else len(shown))
    ax, at = own_axes(ax, (6.4, 4.6)), first.threshold_probabilities[shown]
    handles: list[Any] = []
    for number, (name, curve) in enumerate(curves.items()):
        color, line, _ = style(number)
        handles += ax.plot(at, curve.net_benefit[shown], color=color, linestyle=line, label=name, zorder=3)
    handles += ax.plot(at, first.of_all[shown], color="0.45", linewidth=1.0, label="flag every row", zorder=2)
    handles.append(ax.axhline(0, color="black", linewidth=1.0, linestyle=(0, (1, 1.5)), label="flag none", zorder=2))
    highest = max(0.0, *(float(curve.net_benefit[shown].max()) for curve in curves.values()))
    highest = max(highest, float(first.of_all[shown].max()))
    room = highest or 0.01
    ax.set(xlabel="threshold probability", ylabel="net benefit", ylim=(-0.15 * room, 1.08 * room))
    ax.set_title(title, fontsize="medium")
    legend_below(ax, handles)
    return ax
