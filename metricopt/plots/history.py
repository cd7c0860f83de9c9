"""How a training went: the exact metric, the bound, its multiplier and the slacks, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metricopt._validation import check_choice, reject
from metricopt.plots._style import BOUND, INFEASIBLE, STYLES, in_words
from metricopt.solvers import WARMUP
from metricopt.solvers.agreement import TOLERANCE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_NUMBERS = ("epoch", "value", "bounded_value", "multiplier", "agreement")
_PANEL_HEIGHT = 1.7
(_BLUE, *_), (_ORANGE, *_), (_GREEN, *_) = STYLES[:3]


def plot_history(
    history: Sequence[dict[str, Any]],
    *,
    label: str | None = None,
    figure: Figure | SubFigure | None = None,
    title: str = "",
) -> np.ndarray:
    """Draw what a training reached after every epoch: one panel for each quantity, with the stages shaded.

    The panels show the metric at the exact threshold of the selection data, with the best value so far; the bounded
    metric and its bound; the multiplier of the bound; and the fraction of slacks that agree with the model. A dashed
    line marks the epoch whose weights the result has, or each of those whose average it has. A quantity that a training
    does not have gets no panel. Epochs that miss the bound are drawn thin and grey: the metric of such an epoch is that
    at the threshold which comes nearest to the bound.

    Parameters
    ----------
    history : sequence of dict
        ``result.history``, or records as :func:`~metricopt.training.records.records_of` makes them.
    label : str, optional
        The label that is drawn. The default is the first.
    figure : Figure or SubFigure, optional
        The figure to draw into. The default is a new one.
    title : str
        The title of the picture.

    Returns
    -------
    ndarray of Axes, shape (number of panels,)
        ``axes[0].figure.savefig("history.png")`` writes the picture.

    Raises
    ------
    InvalidInputError
        If the history is empty, or has no label of that name.

    Examples
    --------
    >>> record = {"epoch": 1, "stage": "warm-up", "label": "sick", "metric": "recall", "value": 0.5, "feasible": True,
    ...           "bounded_metric": None, "bounded_value": None, "bound": None, "multiplier": None}
    >>> [ax.get_ylabel() for ax in plot_history([record, {**record, "epoch": 2, "value": 0.6}])]
    ['recall']
    """
    if not history:
        reject("history", "of at least one epoch", "none", "train for an epoch or more")
    if label is not None:
        check_choice("label", label, {record["label"] for record in history})
    own = [record for record in history if record["label"] == (label or history[0]["label"])]
    columns = {name: np.array([record.get(name) for record in own], dtype=float) for name in _NUMBERS}
    first, epochs, held = own[0], columns["epoch"], np.array([record["feasible"] for record in own])
    panels = ["value", *(name for name in _NUMBERS[2:] if not np.isnan(columns[name]).all())]
    if figure is None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 1.4 + _PANEL_HEIGHT * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    stages = [record["stage"] for record in own]
    _shade_stages(axes, stages, epochs)
    for ax, panel in zip(axes, panels, strict=True):
        ax.set_ylabel({"value": in_words(first["metric"]), "agreement": "slack\nagreement"}.get(panel, panel))
        if panel == "value":
            _draw_epochs(ax, epochs, columns["value"], held)
            _draw_best(ax, epochs, np.where(held, columns["value"], -np.inf), stages)
        elif panel == "bounded_value":
            _draw_epochs(ax, epochs, columns["bounded_value"], held)
            ax.axhline(first["bound"], label=f"bound on {in_words(first['bounded_metric'])}", **BOUND)
            ax.set_ylabel(in_words(first["bounded_metric"]))
        else:
            ax.plot(epochs, columns[panel], color=_BLUE, linewidth=1)
    _mark_chosen(axes, [record["epoch"] for record in own if record.get("chosen")])
    if "agreement" in panels:
        axes[-1].axhline(1 - TOLERANCE, label=f"slack gap below {1 - TOLERANCE:g}", **{**BOUND, "color": "0.5"})
    axes[-1].set_xlabel("epoch")
    figure.suptitle(title, fontsize="medium")
    handles = {line.get_label(): line for ax in axes for line in ax.lines if not line.get_label().startswith("_")}
    figure.legend(handles=list(handles.values()), loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    return np.array(axes)


def _draw_epochs(ax: Axes, epochs: np.ndarray, values: np.ndarray, held: np.ndarray) -> None:
    """Draw a value after every epoch, thin and grey where the bound is missed."""
    if not held.all():
        ax.plot(epochs, values, color="0.55", linewidth=0.8, zorder=2, label="epoch, bound missed")
    # A line that is broken where the bound is missed, with a dot for an epoch that has no neighbour which meets it.
    alone = held & ~np.append(False, held[:-1]) & ~np.append(held[1:], False)
    ax.plot(epochs, np.where(held, values, np.nan), color=_BLUE, linewidth=1.2, zorder=3, label="epoch")
    ax.plot(epochs[alone], values[alone], "o", color=_BLUE, markersize=2.5, zorder=3)


def _draw_best(ax: Axes, epochs: np.ndarray, values: np.ndarray, stages: Sequence[str]) -> None:
    """Draw the best value so far (-inf where the bound is missed), and a level line for the best of the warm-up."""
    best = np.maximum.accumulate(values)
    best[np.isinf(best)] = np.nan
    ax.plot(epochs, best, color=_ORANGE, drawstyle="steps-post", linewidth=1.6, zorder=4, label="best so far")
    warm = [place for place, stage in enumerate(stages) if stage == WARMUP]
    if warm and len(warm) < len(stages) and not np.isnan(best[warm[-1]]):
        after = [epochs[warm[-1]], epochs[-1]]
        ax.plot(after, [best[warm[-1]]] * 2, "-.", color=_GREEN, linewidth=1.4, zorder=3.5, label="best of the warm-up")


def _mark_chosen(axes: np.ndarray, epochs: Sequence[int]) -> None:
    """Draw a line through all panels at every epoch whose weights the result has."""
    label = "chosen weights" if len(epochs) < 2 else "chosen weights (their average)"
    for ax in axes:
        for epoch in epochs:
            ax.axvline(epoch, color="black", linestyle="--", linewidth=1.2, zorder=5, label=label)


def _shade_stages(axes: np.ndarray, stages: Sequence[str], epochs: np.ndarray) -> None:
    """Shade every other stage, and name all of them above the first panel."""
    begins = [0, *(place for place in range(1, len(stages)) if stages[place] != stages[place - 1])]
    for number, (begin, end) in enumerate(zip(begins, [*begins[1:], len(stages)], strict=True)):
        ends = epochs[begin] - 0.5, epochs[end - 1] + 0.5
        for ax in axes[: len(axes) * (number % 2)]:
            ax.axvspan(*ends, **INFEASIBLE)
        axes[0].annotate(
            stages[begin],
            (ends[0] if len(begins) > 3 else np.mean(ends), 1),
            xycoords=axes[0].get_xaxis_transform(),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize="x-small",
            **({"rotation": 30, "ha": "left"} if len(begins) > 3 else {"ha": "center"}),
        )
    axes[0].set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
